"""Steering in a browser: each order with its effect and its reason, by mouse on a phone and by keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.shops import LATER, RISING, Shop, open_shop
from tests.browser.test_views import PHONE, entered
from tests.entering import ADA, BOB, EVE


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """One of its own for each test: these change it."""
    with open_shop(tmp_path) as opened:
        yield opened


def ordered(shop: Shop, name: str = RISING) -> list[tuple[str, str, str]]:
    """Verb, who, why of every order that was recorded."""
    stored = shop.site.ledger.rollout(name)
    assert stored is not None
    return [(one.verb, one.by, one.reason) for one, _ in shop.site.ledger.commands(stored.id)]


def confirm(page: Page, verb: str, words: str, reason: str, name: str = RISING) -> None:
    """From the rollout's page over the confirmation, with a reason, and back."""
    page.goto(f"/rollouts/{name}")
    page.locator(f"#do-{verb}").click()
    expect(page.get_by_role("heading", name="What it does")).to_be_visible()
    page.get_by_label("Why?").fill(reason)
    page.get_by_role("button", name=words).click()
    page.wait_for_url(f"**/rollouts/{name}*")


def test_hold_and_resume(shop: Shop, visit: Visit) -> None:
    page = visit(viewport=PHONE, is_mobile=True, has_touch=True).new_page()
    entered(page, ADA)
    confirm(page, "hold", "Hold", "the warehouse counts")
    expect(page.locator("#given")).to_contain_text("the next tick carries it out")
    shop.tick(RISING)
    expect(page.locator("#live")).to_contain_text("On hold")
    expect(page.locator("#live")).to_contain_text("the warehouse counts")
    confirm(page, "resume", "Resume", "counted")
    shop.tick(RISING)
    expect(page.locator("#live")).not_to_contain_text("Only a person ends it")
    assert ordered(shop) == [("hold", "ada", "the warehouse counts"), ("resume", "ada", "counted")]


def test_rollback_shows_what_is_lost_and_takes_the_flag_back(shop: Shop, visit: Visit) -> None:
    page = visit().new_page()
    entered(page, ADA)
    page.goto(f"/rollouts/{RISING}/rollback")
    expect(page.locator(".change")).to_contain_text("becomes 0%")
    page.get_by_label("Why?").fill("sales call")
    page.get_by_role("button", name="Roll it back now").click()
    page.wait_for_url(f"**/rollouts/{RISING}*")
    shop.tick(RISING, 3)
    expect(page.locator(".headline")).to_contain_text("back")
    assert shop.site.flags.read("f4").exposure.none
    assert ordered(shop)[-1] == ("rollback", "ada", "sales call")


def test_stop(shop: Shop, visit: Visit) -> None:
    page = visit().new_page()
    entered(page, ADA)
    confirm(page, "stop", "Stop", "another release goes first")
    shop.tick(RISING)
    expect(page.locator(".state")).to_contain_text("stopped")
    expect(page).to_have_title(f"{RISING}: stopped · slo-watchdog")
    assert ordered(shop)[-1] == ("stop", "ada", "another release goes first")


def test_waiving_takes_an_approver(shop: Shop, visit: Visit) -> None:
    page = visit().new_page()
    entered(page, ADA)
    page.goto(f"/rollouts/{LATER}/waive")
    expect(page.locator("main")).to_contain_text("this takes the role approver")
    expect(page.get_by_label("Why?")).to_have_count(0)

    other = visit().new_page()
    entered(other, BOB)
    other.goto(f"/rollouts/{LATER}/waive")
    other.get_by_label("Why?").fill("no reader in this cluster yet")
    other.get_by_label("Until").fill("48h")
    other.locator("form.stack button").click()
    other.wait_for_url(f"**/rollouts/{LATER}*")
    expect(other.locator("#given")).to_contain_text("Waiver recorded")
    expect(other.locator("main")).to_contain_text("no reader in this cluster yet")


def test_an_alert_is_labelled(shop: Shop, visit: Visit) -> None:
    page = visit().new_page()
    entered(page, ADA)
    page.goto("/noise")
    expect(page.locator("main")).to_contain_text("ErrorRateHigh")
    page.get_by_text("Say what it was").first.click()
    page.get_by_label("It was").first.select_option(index=1)
    page.get_by_label("Why").first.fill("a deploy of the monitoring")
    page.get_by_role("button", name="Record it").first.click()
    expect(page.locator("main")).to_contain_text("by ada")
    expect(page.locator("main")).to_contain_text("a deploy of the monitoring")


def test_adopting_starts_from_what_the_flag_reads(shop: Shop, visit: Visit) -> None:
    page = visit().new_page()
    entered(page, BOB)
    page.goto(f"/rollouts/{LATER}")
    page.locator("#do-adopt").click()
    page.get_by_label("Why?").fill("ramped by hand so far")
    page.get_by_role("button", name="Start it from what the flag reads").click()
    page.wait_for_url(f"**/rollouts/{LATER}*")
    shop.tick(LATER)
    expect(page.locator(".state")).not_to_contain_text("pending")
    assert ordered(shop, LATER) == [("adopt", "bob", "ramped by hand so far")]


def test_whoever_only_looks_gets_no_button(visit: Visit) -> None:
    page = visit().new_page()
    entered(page, EVE)
    page.goto(f"/rollouts/{RISING}/rollback")
    expect(page.locator("main")).to_contain_text("eve has the role viewer")
    expect(page.locator("main form")).to_have_count(0)


def test_a_hold_by_keyboard_alone(shop: Shop, visit: Visit) -> None:
    page = visit().new_page()
    page.goto("/login")
    page.keyboard.type(ADA)
    page.keyboard.press("Enter")
    page.wait_for_url("**/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    expect(page.locator("a.skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    by_tab(page, RISING)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/rollouts/{RISING}")
    by_tab(page, "Hold")
    page.keyboard.press("Enter")
    page.wait_for_url("**/hold")
    page.keyboard.type("by keyboard alone")
    by_tab(page, "Hold")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/rollouts/{RISING}?*")
    assert ordered(shop) == [("hold", "ada", "by keyboard alone")]


def by_tab(page: Page, words: str) -> None:
    """Tab until something that begins with these words has the focus, and can be seen to have it."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if str(page.evaluate("document.activeElement.textContent")).strip().startswith(words):
            seen = page.evaluate(
                """() => { const style = getComputedStyle(document.activeElement);
                return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2; }"""
            )
            assert seen, f"the focus on {words} is visible"
            return
    raise AssertionError(f"80 tabs did not reach {words}")
