"""Live pages of who may read no more: they show what any page shows then, soon, and ask for it gently."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import PATIENCE
from tests.entering import ADA, BOB, BOBS, http, tokens_file
from tests.webserver import NAME, RULE, Site

RAMP = RULE.replace("all_at_once", "progressive, from: 0, to: 100, over: 1h, every: 10m")


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Site]:
    """Whoever reads here must be somebody."""
    with Site(tmp_path, http=http(tmp_path, reads="token")) as site:
        site.add(rule=RAMP)
        site.tick(2)
        yield site


@pytest.fixture
def browsers(chromium: Browser, closed: Site) -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def logged_in(chromium: Browser, site: Site, stack: ExitStack, token: str) -> BrowserContext:
    context = chromium.new_context(base_url=site.url)
    context.set_default_timeout(PATIENCE)
    stack.callback(context.close)
    page = context.new_page()
    page.goto("/login")
    page.get_by_label("Token").fill(token)
    page.locator("main").get_by_role("button", name="Log in").click()
    expect(page.locator(".account")).to_contain_text("Logged in as")
    page.close()
    return context


def opened(context: BrowserContext, path: str) -> tuple[Page, list[str]]:
    """A live page, and what it asks `/live` for."""
    page, asked = context.new_page(), list[str]()
    page.on("request", lambda request: asked.append(request.url) if "/live?" in request.url else None)
    page.goto(path)
    expect(page.locator("#connection")).to_contain_text("live")
    return page, asked


@pytest.mark.parametrize("path", ["/", f"/rollouts/{NAME}"])
def test_a_page_whose_token_is_revoked_shows_where_to_log_in_and_another_goes_on(
    chromium: Browser, closed: Site, browsers: ExitStack, tmp_path: Path, path: str
) -> None:
    adas, asked = opened(logged_in(chromium, closed, browsers, ADA), path)
    bobs, others = opened(logged_in(chromium, closed, browsers, BOB), path)
    bobs.evaluate("window.sameDocument = true")
    tokens_file(tmp_path, BOBS)
    adas.wait_for_url(f"**/login?next={path}")
    expect(adas.get_by_label("Token")).to_be_visible()
    assert NAME not in adas.locator("main").inner_text()
    assert len(asked) <= 10, "the stream that ended, then with growing pauses until the page leaves"
    before = len(asked)
    before_tick = bobs.locator("#live").inner_text()
    closed.ledger.add_command(NAME, "hold", "bob", "to look at it", closed.now)
    closed.tick(2)
    expect(bobs.locator("#live")).not_to_have_text(before_tick, use_inner_text=True)
    assert bobs.evaluate("window.sameDocument") is True
    assert len(others) == 1
    assert len(asked) == before, "the page where one logs in asks nothing"


def test_to_log_out_in_one_tab_ends_the_others(chromium: Browser, closed: Site, browsers: ExitStack) -> None:
    context = logged_in(chromium, closed, browsers, ADA)
    staying, asked = opened(context, f"/rollouts/{NAME}")
    leaving, _ = opened(context, "/")
    leaving.get_by_role("button", name="Log out").click()
    staying.wait_for_url(f"**/login?next=/rollouts/{NAME}")
    assert len(asked) <= 10


def test_a_page_that_finds_no_place_stays_and_is_not_read_again(
    chromium: Browser, closed: Site, browsers: ExitStack
) -> None:
    """Only a missing right sends somebody away: a refusal for another reason passes."""
    page = logged_in(chromium, closed, browsers, ADA).new_page()
    full = {"status": 503, "content_type": "application/problem+json", "body": "{}"}
    page.route("**/live?*", lambda route: route.fulfill(**full))
    page.goto("/")
    page.evaluate("window.sameDocument = true")
    expect(page.locator("#connection")).to_contain_text("connection lost")
    while page.evaluate("performance.now()") < 10_500:
        with page.expect_request("**/live?*"):
            pass
    assert page.evaluate("window.sameDocument") is True
