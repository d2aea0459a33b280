"""Pages that change by themselves: who hears what, how soon, and who is let go."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import requests
from starlette.applications import Starlette
from starlette.middleware import Middleware

from tests.ledgers import ledger_at
from tests.listening import WITHIN, Page
from tests.processes import wait_for
from tests.webserver import NAME, RULE, Site
from watchdog.quantities import rfc3339
from watchdog.web.fleet import Fleet
from watchdog.web.guard import Guard
from watchdog.web.live import READERS, Live
from watchdog.web.server import Server
from watchdog.web.topics import event

RAMP = RULE.replace("all_at_once", "progressive, from: 0, to: 100, over: 1h, every: 10m")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as running:
        running.add(rule=RAMP)
        running.tick(2)
        yield running


def seen(site: Site) -> str:
    """What the fleet page says of its own state."""
    found = re.search(r'sse-connect="/live(\?seen=[0-9a-f]+)"', site.get("/").text)
    assert found is not None
    return found.group(1)


# --- what is heard ----------------------------------------------------------------------------------------------------


def test_a_page_hears_of_a_tick_and_is_sent_the_line_that_changed(site: Site) -> None:
    stored = site.add("other", "old-checkout", RAMP)
    first = site.ledger.rollout(NAME)
    assert first is not None
    with Page(site.url, seen(site)) as page:
        site.ledger.add_command(NAME, "hold", "ada", "to look at it", site.now)
        site.tick(1)
        # On hold, a person is needed: another group, so that the whole part is drawn again.
        assert "to look at it" in page.next("fleet")
        site.ledger.add_command(NAME, "hold", "ada", "again", site.now)
        site.tick(60)
        said = page.next(f"row-{first.id}", lambda data: "unknown" not in data)
        assert said.startswith(f'<li id="row-{first.id}"')
        assert f'id="row-{stored.id}"' not in said
        assert page.next("changed") == "1", "what pages with a filter hear"


def test_every_page_hears_the_same(site: Site) -> None:
    with ExitStack() as stack:
        pages = [stack.enter_context(Page(site.url, seen(site))) for _ in range(5)]
        site.add("another", "old-checkout")
        assert len({page.next("fleet", lambda data: ">another</a>" in data) for page in pages}) == 1


def test_a_page_hears_what_another_process_records(site: Site, tmp_path: Path) -> None:
    other = ledger_at(tmp_path / "watchdog.db")
    with Page(site.url, seen(site)) as page:
        site._ticks[NAME].ledger = other
        site.ledger, mine = other, site.ledger
        site.add("from-elsewhere", "old-checkout")
        assert ">from-elsewhere</a>" in page.next("fleet")
    site.ledger = mine
    other.close()


def test_a_page_that_was_drawn_before_something_happened_is_sent_all(site: Site) -> None:
    before = seen(site)
    site.add("meanwhile", "old-checkout")
    with Page(site.url, before) as page:
        assert ">meanwhile</a>" in page.next("fleet")
    with Page(site.url, seen(site)) as page:
        site.add("one-more")
        assert ">one-more</a>" in page.next(), "an up-to-date page is sent nothing but news"


def test_a_page_of_one_rollout_hears_of_that_one_only(site: Site) -> None:
    other = site.add("other", "old-checkout", RAMP)
    stored = site.ledger.rollout(NAME)
    assert stored is not None
    with Page(site.url, f"?rollout={stored.id}") as page:
        page.next(f"rollout-{stored.id}")
        site.tick(2, "other")
        site.ledger.add_command(NAME, "hold", "ada", "to look at it", site.now)
        site.tick(1)
        assert "to look at it" in page.next(f"rollout-{stored.id}", lambda data: "to look at it" in data)
    assert other.id != stored.id


def test_a_page_is_drawn_when_no_tick_runs(tmp_path: Path) -> None:
    runs = threading.Event()
    asked = []

    def ticking() -> bool:
        asked.append(runs.is_set())
        return runs.is_set()

    with Site(tmp_path, ticking=ticking) as site:
        site.add(rule=RAMP)
        with Page(site.url, seen(site)) as page:
            runs.set()
            site.add("meanwhile", "old-checkout")
            wait_for(lambda: sum(asked) >= 5 or None, WITHIN, lambda: f"asked {len(asked)} times")
            assert page.events.empty(), "a tick runs"
            runs.clear()
            assert ">meanwhile</a>" in page.next("fleet")


def test_ticks_that_follow_each_other_without_end_do_not_keep_a_page_from_its_news(tmp_path: Path) -> None:
    with Site(tmp_path, ticking=lambda: True) as site:
        site.add(rule=RAMP)
        with Page(site.url, seen(site)) as page:
            site.add("meanwhile", "old-checkout")
            assert ">meanwhile</a>" in page.next("fleet")


def test_a_page_is_told_as_of_when_it_is(site: Site) -> None:
    page = Page(site.url, seen(site))
    headers = page.answer.headers
    assert headers["Content-Type"].startswith("text/event-stream")
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Accel-Buffering"] == "no"
    lines = [page.answer.readline() for _ in range(4)]
    assert lines == [b"retry: 3000\n", b"\n", b"event: now\n", f"data: {rfc3339(int(site.now))}\n".encode()]
    page.close()


@pytest.mark.parametrize(
    ("query", "status", "kind"),
    [
        ("?rollout=4711", 404, "unknown-rollout"),
        ("?rollout=one", 400, "bad-parameter"),
        ("?rollout=-1", 400, "bad-parameter"),
        ("?rollout=99999999999999999999", 400, "bad-parameter"),
    ],
)
def test_who_asks_for_what_there_is_not_is_told(site: Site, query: str, status: int, kind: str) -> None:
    answer = site.get(f"/live{query}")
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (status, kind)


def test_a_ledger_that_fails_is_a_problem_and_no_page(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.ledger.close()
        for leftover in tmp_path.glob("watchdog.db*"):
            leftover.unlink()
        (tmp_path / "watchdog.db").write_bytes(b"this is no database" * 100)
        assert site.get("/live").status_code == 503


def test_an_event_keeps_its_lines_apart() -> None:
    assert event("row-1", "<li>\n a\r\n</li>") == b"event: row-1\ndata: <li>\ndata:  a\ndata: </li>\n\n"


# --- who is let go ----------------------------------------------------------------------------------------------------


def test_the_server_stops_at_once_although_pages_are_open(tmp_path: Path) -> None:
    with Site(tmp_path) as site, Page(site.url) as page, Page(site.url) as another:
        begun = time.monotonic()
        assert site.answering.stop(10)
        assert time.monotonic() - begun < 5
        assert page.ended()
        assert another.ended()


def refused(site: Site) -> bool:
    """Whether one more page finds no place."""
    page = Page(site.url)
    status = page.answer.status
    page.close()
    return status == 503


def test_pages_beyond_the_bound_are_told_to_come_again(site: Site) -> None:
    with ExitStack() as stack:
        for _ in range(READERS):
            reader = stack.enter_context(socket.create_connection(("127.0.0.1", site.answering.port), 20))
            reader.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: refused(site) or None, WITHIN, lambda: "none is refused")
        answer = site.get("/live")
        assert answer.headers["Retry-After"] == "30"
        assert answer.json()["type"].endswith(":too-many-readers")
        assert site.get("/").ok
    wait_for(lambda: not refused(site) or None, WITHIN, lambda: "no place gets free")


def test_a_look_at_the_headers_alone_ends_at_once_and_takes_no_place(site: Site) -> None:
    for _ in range(READERS + 1):
        answer = requests.head(f"{site.url}/live", timeout=20)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    assert requests.head(f"{site.url}/live?rollout=x", timeout=20).status_code == 400
    assert not refused(site)


@contextmanager
def served(site: Site, fragment: Callable[[int], str | None], patience: float = 10.0) -> Iterator[Live]:
    """A server of live pages alone, whose rollouts are drawn by `fragment`."""
    live = Live(site.ledger, Fleet(site.ledger), lambda: site.now, fragment, patience=patience)
    guard = Middleware(Guard, metrics=site.metrics)
    app = Starlette(routes=live.routes(), middleware=[guard], lifespan=lambda _: live.open())
    app.state.ending, site.ledger.ticked = live.end, live.tell
    server = Server(app, "127.0.0.1", 0)
    server.start()
    site.answering, own = server, site.answering
    try:
        yield live
    finally:
        site.answering = own
        assert server.stop(10)


def rest(connection: socket.socket) -> None:
    """Read all that comes."""
    while connection.recv(1_000_000):
        pass


def test_who_does_not_read_is_dropped_and_the_others_go_on(site: Site) -> None:
    drawn = 0

    def large(_number: int) -> str:
        nonlocal drawn
        drawn += 1
        return f"{drawn} {'x' * 2_000_000}"

    stored = site.ledger.rollout(NAME)
    assert stored is not None
    with served(site, large, patience=0.5) as live, socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.settimeout(20)
        lazy.connect(("127.0.0.1", site.answering.port))
        lazy.sendall(b"GET /live?rollout=%d HTTP/1.1\r\nHost: x\r\n\r\n" % stored.id)
        assert lazy.recv(10).startswith(b"HTTP/1.1")
        with Page(site.url, f"?rollout={stored.id}") as page:
            name = f"rollout-{stored.id}"
            before = page.next(name)

            def dropped() -> bool | None:
                site.tick(1)
                page.next(name)
                return True if live.readers == 1 else None

            wait_for(dropped, WITHIN, lambda: "the one that does not read is kept")
            site.tick(1)
            assert page.next(name) != before
            with suppress(ConnectionError):
                rest(lazy)  # which would go on until its timeout


def test_an_error_of_our_own_ends_the_pages_and_is_counted_and_they_can_come_again(site: Site) -> None:
    broken = False

    def fragment(_number: int) -> str:
        if broken:
            raise RuntimeError("password=hunter2")
        return "sound"

    stored = site.ledger.rollout(NAME)
    assert stored is not None
    with served(site, fragment), ExitStack() as stack:
        pages = [stack.enter_context(Page(site.url, f"?rollout={stored.id}")) for _ in range(3)]
        for page in pages:
            assert page.next() == "sound"
        broken = True
        site.tick(1)
        assert all(page.ended() for page in pages)
        assert b"slo_watchdog_http_errors_total 1.0" in site.metrics.exposition()
        broken = False
        with Page(site.url, f"?rollout={stored.id}") as page:
            assert page.next() == "sound"
