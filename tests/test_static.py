"""What pages load: code of others as it was published, addresses that change with the content, caches and gzip."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.webserver import Site
from watchdog.web.static import FOR_EVER, address, assets

STATIC = Path(__file__).parent.parent / "watchdog" / "web" / "static"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("static")) as running:
        yield running


def vendored() -> dict[str, list[str]]:
    """The rows of VENDORED.md by file: package, version, file in the package, licence, sha256."""
    lines = (STATIC / "VENDORED.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {name: rest for name, *rest in rows if name not in ("file", "---")}


def test_code_of_others_is_what_was_published_and_comes_with_its_licence() -> None:
    found = vendored()
    assert set(found) >= {"htmx.min.js", "sse.js", "uPlot.iife.min.js", "uPlot.min.css"}
    for name, (_, version, _, licence, sha256) in found.items():
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == sha256, f"{name} was changed"
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
        if not name.startswith("LICENSE"):
            assert (STATIC / licence.partition(", ")[2]).is_file(), f"{name} has no licence"


def test_every_script_and_style_is_ours_or_listed() -> None:
    minified = {path.name for path in STATIC.iterdir() if len(max(path.read_text("utf-8").splitlines(), key=len)) > 999}
    assert minified == {name for name in vendored() if not name.startswith("LICENSE")}


@pytest.mark.parametrize("name", sorted(assets()))
def test_a_file_is_kept_for_ever_at_the_address_that_pages_give_it(site: Site, name: str) -> None:
    answer = site.get(address(name))
    assert answer.content == (STATIC / name).read_bytes()
    assert answer.headers["Cache-Control"] == FOR_EVER
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_address_changes_with_the_content() -> None:
    body = (STATIC / "page.css").read_bytes()
    assert address("page.css") == f"/static/page.css?v={hashlib.sha256(body).hexdigest()[:12]}"


@pytest.mark.parametrize("query", ["", "?v=", "?v=000000000000"])
def test_what_a_page_of_another_version_gets_is_not_kept(site: Site, query: str) -> None:
    answer = site.get(f"/static/page.css{query}")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-cache")


def test_a_browser_gets_it_packed_and_who_cannot_unpack_it_gets_it_plain(site: Site) -> None:
    for offered, packed in (("gzip, deflate", True), ("br", False), ("gzip;q=0", False), ("identity", False)):
        answer = site.get("/static/htmx.min.js", headers={"Accept-Encoding": offered}, stream=True)
        raw = answer.raw.read()
        assert (answer.headers.get("Content-Encoding") == "gzip") is packed
        assert (gzip.decompress(raw) if packed else raw) == (STATIC / "htmx.min.js").read_bytes()


@pytest.mark.parametrize("name", ["nothing.js", "VENDORED.md", "..%2f..%2fapp.py", "%2e%2e/app.py", "page.css%00", ""])
def test_nothing_else_is_served(site: Site, name: str) -> None:
    assert site.get(f"/static/{name}").status_code == 404


def test_nothing_is_loaded_from_anywhere_else() -> None:
    ours = [path for path in STATIC.iterdir() if path.name not in vendored() and path.suffix in (".js", ".css")]
    templates = (STATIC.parent / "templates").glob("*.html")
    for path in (*ours, *templates):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"""(src|href)=["']https?:|url\(|@import|<script>|<style|\sstyle=|\son\w+=["']""", text), (
            path
        )
