"""Live pages where reading takes a right: who loses it is let go, and everybody else hears on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from tests.entering import ADA, ADAS, BOB, BOBS, EVE, Browser, bearer, entry, http, tokens_file
from tests.listening import WITHIN, Page
from tests.processes import wait_for
from tests.test_live import RAMP
from tests.webserver import NAME, Site
from watchdog.access import Gate, Role
from watchdog.access.gate import COOKIE
from watchdog.access.proxy import Proxy
from watchdog.access.sessions import LONGEST
from watchdog.access.tokenfile import TokenFile
from watchdog.web.access import Access, Entrance
from watchdog.web.fleet import Fleet
from watchdog.web.guard import Guard
from watchdog.web.live import SOON, Live
from watchdog.web.server import Server

EVES_ALONE = entry("eve", Role.VIEWER, EVE)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Whoever reads here must be somebody."""
    with Site(tmp_path, http=http(tmp_path, reads="token")) as running:
        running.add(rule=RAMP)
        running.tick(2)
        yield running


def of_token(site: Site, token: str) -> Page:
    return Page(site.url, "?rollout=1", bearer(token))


def logged_in(site: Site, token: str) -> Browser:
    browser = Browser(site.url)
    assert browser.login(token).status_code == 303
    return browser


def of_browser(site: Site, browser: Browser) -> Page:
    return Page(site.url, "?rollout=1", {"Cookie": f"{COOKIE}={browser.session.cookies[COOKIE]}"})


def goes_on(site: Site, page: Page, why: str) -> None:
    """It hears of an order that is given now."""
    site.ledger.add_command(NAME, "hold", "ada", why, site.now)
    site.tick(1)
    page.next("rollout-1", lambda data: why in data)


# --- who is let go ----------------------------------------------------------------------------------------------------


def test_a_page_ends_when_its_token_is_revoked_and_another_reader_s_goes_on(tmp_path: Path, site: Site) -> None:
    with of_token(site, ADA) as adas, of_token(site, BOB) as bobs:
        tokens_file(tmp_path, BOBS)
        assert adas.ended()
        goes_on(site, bobs, "bob still reads")
    assert site.get("/live?rollout=1", headers=bearer(ADA)).status_code == 401


def test_a_page_ends_when_its_token_runs_out(tmp_path: Path, site: Site) -> None:
    tokens_file(tmp_path, entry("ada", Role.OPERATOR, ADA, site.now + 300), BOBS)
    with of_token(site, ADA) as adas, of_token(site, BOB) as bobs:
        goes_on(site, adas, "not over yet")
        site.now += 300
        assert adas.ended()
        goes_on(site, bobs, "his token has no end")


def test_a_token_of_the_same_name_that_was_made_anew_is_another_one(tmp_path: Path, site: Site) -> None:
    with of_token(site, ADA) as page:
        tokens_file(tmp_path, entry("ada", Role.OPERATOR, "swd_made-anew"), BOBS)
        assert page.ended()


def test_a_page_ends_with_the_session_that_is_logged_out_and_with_no_other(site: Site) -> None:
    leaver, stayer = logged_in(site, ADA), logged_in(site, ADA)
    with of_browser(site, leaver) as left, of_browser(site, stayer) as stays, of_token(site, ADA) as programs:
        assert leaver.post("/logout", {"csrf": leaver.csrf}).status_code == 303
        assert left.ended()
        goes_on(site, stays, "the other browser is logged in")
        goes_on(site, programs, "the token is good")


def test_a_page_ends_with_its_session_after_twelve_hours_and_with_the_token_of_its_session(
    tmp_path: Path, site: Site
) -> None:
    old = logged_in(site, ADA)
    site.now += LONGEST - 600
    young, others = logged_in(site, ADA), logged_in(site, BOB)
    with of_browser(site, old) as olds, of_browser(site, young) as youngs, of_browser(site, others) as bobs:
        site.now += 600
        assert olds.ended()
        goes_on(site, youngs, "hers began later")
        tokens_file(tmp_path, BOBS)
        assert youngs.ended()
        goes_on(site, bobs, "his token is good")


def test_who_may_read_no_more_is_told_nothing_that_happens_afterwards(tmp_path: Path, site: Site) -> None:
    page = Page(site.url, "?rollout=1", bearer(ADA))
    with page:
        page.next("rollout-1")
        tokens_file(tmp_path, BOBS)
        site.ledger.add_command(NAME, "hold", "bob", "not for ada", site.now)
        site.tick(1)
        heard = []
        while (one := page.events.get(timeout=WITHIN)) is not None:
            heard.append(one)
    assert not [data for _, data in heard if "not for ada" in data]


# --- who stays --------------------------------------------------------------------------------------------------------


def test_another_role_that_may_read_as_well_keeps_the_page(tmp_path: Path, site: Site) -> None:
    with of_token(site, ADA) as page, of_token(site, EVE) as gone:
        tokens_file(tmp_path, entry("ada", Role.VIEWER, ADA), BOBS)
        assert gone.ended(), "the file of before is not asked any more"
        goes_on(site, page, "a viewer reads")


def test_a_file_that_is_broken_ends_nobody_s_page(tmp_path: Path, site: Site) -> None:
    with of_token(site, ADA) as page:
        (tmp_path / "tokens.yaml").write_text("tokens: [")
        wait_for(
            lambda: b"slo_watchdog_tokens_file_good 0.0" in site.metrics.exposition() or None,
            WITHIN,
            lambda: "nobody looked at the file",
        )
        goes_on(site, page, "the last good one counts")


def test_where_everybody_may_read_nobody_is_let_go(tmp_path: Path) -> None:
    with Site(tmp_path, http=http(tmp_path)) as public:
        public.add(rule=RAMP)
        browser = logged_in(public, ADA)
        with (
            of_token(public, ADA) as page,
            of_browser(public, browser) as another,
            Page(public.url, "?rollout=1") as any_,
        ):
            assert browser.post("/logout", {"csrf": browser.csrf}).status_code == 303
            tokens_file(tmp_path, BOBS)
            for number, one in enumerate((page, another, any_) * 2):
                goes_on(public, one, f"order {number}")


# --- what it costs ----------------------------------------------------------------------------------------------------


class Clock:
    """Counts how often somebody asks: a gate does so once a look at who may read."""

    def __init__(self, now: float) -> None:
        self.now, self.asked = now, 0

    def __call__(self) -> float:
        self.asked += 1
        return self.now


@contextmanager
def served(site: Site, gate: Gate, vouched: float = 900.0) -> Iterator[Live]:
    """A server of live pages alone, for whom this gate lets in."""
    drawn = iter(range(1_000_000))
    live = Live(
        site.ledger, Fleet(site.ledger), lambda: site.now, lambda _: f"{next(drawn)}", gate=gate, vouched=vouched
    )
    before = [
        Middleware(Guard, metrics=site.metrics),
        Middleware(Access, entrance=Entrance(gate, reads_need_token=True)),
    ]
    app = Starlette(routes=live.routes(), middleware=before, lifespan=lambda _: live.open())
    app.state.ending, site.ledger.ticked = live.end, live.tell
    server = Server(app, "127.0.0.1", 0)
    server.start()
    site.answering, own = server, site.answering
    try:
        yield live
    finally:
        site.answering = own
        assert server.stop(10)


def test_fifty_readers_cost_one_look_at_the_tokens_a_look_however_much_they_hear(tmp_path: Path, site: Site) -> None:
    clock = Clock(site.now)
    gate = Gate(tokens=TokenFile(tokens_file(tmp_path, ADAS, EVES_ALONE)), clock=clock)
    with served(site, gate) as live, ExitStack() as stack:
        pages = [stack.enter_context(of_token(site, ADA)) for _ in range(50)]
        for page in pages:
            page.next("rollout-1")
        begun, asked = time.monotonic(), clock.asked
        for _ in range(10):
            site.tick(1)
            for page in pages:
                page.next("rollout-1")
        looks = clock.asked - asked
        assert 10 <= looks <= 1 + (time.monotonic() - begun) / SOON, "500 messages were heard"
        tokens_file(tmp_path, EVES_ALONE)
        assert all(page.ended() for page in pages)
        wait_for(lambda: live.readers == 0 or None, WITHIN, lambda: "somebody is kept")


# --- a proxy ----------------------------------------------------------------------------------------------------------


def test_whom_a_proxy_has_named_comes_again_now_and_then_for_nobody_else_can_be_asked(
    tmp_path: Path, site: Site
) -> None:
    vouching = Proxy((ip_network("127.0.0.1/32"),), "X-User", default_role=Role.VIEWER)
    gate = Gate(tokens=TokenFile(tokens_file(tmp_path, ADAS)), proxy=vouching)
    carol = {"X-User": "carol"}
    with served(site, gate, vouched=1.0), Page(site.url, "?rollout=1", carol) as hers, of_token(site, ADA) as adas:
        assert hers.ended()
        with Page(site.url, "?rollout=1", carol) as again:
            again.next("rollout-1")
        adas.next("rollout-1")
        site.tick(1)
        adas.next("rollout-1")
    with served(site, gate), Page(site.url, "?rollout=1", carol) as hers:
        hers.next("rollout-1")
        site.tick(1)
        hers.next("rollout-1")
