"""docs/http.md is what the daemon says of itself, and what a reader copies out of it is understood by a real server."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.webserver import ALERTS_TOKEN, NAME, TOKEN, Site
from watchdog.web.openapi import document
from watchdog.web.openapi_pages import TAG
from watchdog.web.problems import KINDS

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
REFERENCE = PAGE.split("\n## Reference\n")[1]
EXAMPLES = [
    shlex.split(found.replace("\\\n", " "))
    for found in re.findall(r"^\$ (curl .*?)\n```$", REFERENCE, re.MULTILINE | re.DOTALL)
]
STATE = {
    "unknown-command",
    "unknown-episode",
    "unknown-drill",
    "no-report",
    "rollout-refused",
    "flag-refused",
    "flag-conflict",
    "no-preflight",
    "no-drill",
    "not-ready",
}
"""Kinds of problem that are about what a daemon has, and not about how it was asked."""
LINK = re.compile(r"\]\(#([\w-]+)\)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("http")) as site:
        site.add()
        site.tick(2)
        yield site


def test_the_reference_is_what_the_daemon_says_of_itself() -> None:
    """It is generated; this fails when the API changed and the page did not."""
    asked = [sys.executable, "scripts/http_page.py", "--check"]
    checked = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_every_address_has_an_example() -> None:
    operations = [
        operation
        for item in document("")["paths"].values()
        for method, operation in item.items()
        if method != "parameters" and TAG not in operation.get("tags", ())
    ]
    assert len(EXAMPLES) == len(operations)


@pytest.mark.parametrize("words", EXAMPLES, ids=lambda words: words[-1] if "-d" not in words else words[3])
def test_an_example_is_understood(site: Site, words: list[str]) -> None:
    """Address, token and body are right: what a server may still miss is only what it has not got."""
    method = words[words.index("-X") + 1] if "-X" in words else "GET"
    (address,) = [word for word in words if word.startswith("http://")]
    headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H")
    if "Authorization" in headers:
        token = ALERTS_TOKEN if "alerts.token" in headers["Authorization"] else TOKEN
        headers["Authorization"] = f"Bearer {token}"
    body = words[words.index("-d") + 1] if "-d" in words else None
    answer = site.ask(method, "/" + address.split("/", 3)[3], headers=headers, data=body)
    kind = answer.json()["type"].rsplit(":", 1)[1] if "problem" in answer.headers["Content-Type"] else ""
    ours = kind == "" and (answer.status_code < 300 or "ofrep" in address)
    assert ours or kind in STATE, answer.text
    assert NAME in address or "rollouts/" not in address


def test_what_the_examples_are_excused_for_are_kinds_of_problem() -> None:
    assert KINDS.keys() >= STATE


def test_every_link_inside_the_page_leads_somewhere() -> None:
    anchors = set(re.findall(r'<a id="([\w-]+)">', PAGE))
    anchors |= {found.lower().replace(" ", "-") for found in re.findall(r"^#+ ([\w ]+)$", PAGE, re.MULTILINE)}
    assert set(LINK.findall(PAGE)) - anchors == set()
