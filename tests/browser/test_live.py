"""Live: what a tick records is on every open page at once, without a reload, and a lost connection is said."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.shops import RISING, Shop


def test_a_tick_is_on_the_page_of_its_rollout_without_a_reload(shop: Shop, visit: Visit) -> None:
    page = visit().new_page()
    page.goto(f"/rollouts/{RISING}")
    expect(page.locator("#connection")).to_contain_text("live")
    page.evaluate("window.sameDocument = true")
    newest = page.locator("main time").last
    before = page.locator("#live").inner_text()
    shop.tick(RISING, 2)
    expect(page.locator("#live")).not_to_have_text(before, use_inner_text=True)
    assert page.evaluate("window.sameDocument") is True
    expect(newest).to_be_attached()


def test_a_step_of_the_ramp_is_on_the_fleet_page(shop: Shop, visit: Visit) -> None:
    page = visit().new_page()
    page.goto("/")
    expect(page.locator("#connection")).to_contain_text("live")
    page.evaluate("window.sameDocument = true")
    row = page.locator("li", has=page.get_by_role("link", name=RISING, exact=True))
    before = row.inner_text()
    shop.tick(RISING, 25)
    expect(row).not_to_have_text(before, use_inner_text=True)
    assert page.evaluate("window.sameDocument") is True


def test_a_headline_that_changes_is_announced_once(shop: Shop, visit: Visit) -> None:
    page = visit().new_page()
    page.goto(f"/rollouts/{RISING}")
    expect(page.locator("#connection")).to_contain_text("live")
    shop.site.ledger.add_command(RISING, "hold", "ada", "to see it announced", shop.site.now)
    shop.tick(RISING)
    expect(page.locator("#announced")).not_to_be_empty()
    shop.site.ledger.add_command(RISING, "resume", "ada", "seen", shop.site.now)
    shop.tick(RISING)
    expect(page.locator(".headline")).not_to_contain_text("On hold")


def test_what_is_open_and_what_has_the_focus_stays_so_when_a_page_changes(shop: Shop, visit: Visit) -> None:
    page = visit().new_page()
    page.goto(f"/rollouts/{RISING}")
    expect(page.locator("#connection")).to_contain_text("live")
    link = page.locator("#objectives ~ ul a, .objectives a").first
    name = link.inner_text()
    link.focus()
    before = page.locator("#live").inner_text()
    shop.tick(RISING, 2)
    expect(page.locator("#live")).not_to_have_text(before, use_inner_text=True)
    assert page.evaluate("document.activeElement.textContent") == name


def test_a_lost_connection_is_said(visit: Visit) -> None:
    context = visit()
    page = context.new_page()
    page.route(re.compile(r"/live(\?.*)?$"), lambda route: route.abort())
    page.goto("/")
    expect(page.locator("#connection")).to_contain_text("connection lost")
