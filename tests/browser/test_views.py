"""Every view, on a desk and on a phone, in light and dark: nothing is cut off or refused, axe-core is content."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import Visit
from tests.browser.shops import BROKEN, HELD, LATER, RISING, SIGNED
from tests.entering import ADA

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LOOKS: dict[str, dict[str, object]] = {
    "desk-light": {"viewport": DESK, "color_scheme": "light"},
    "desk-dark": {"viewport": DESK, "color_scheme": "dark"},
    "phone-light": {"viewport": PHONE, "color_scheme": "light", "is_mobile": True, "has_touch": True},
    "phone-dark": {"viewport": PHONE, "color_scheme": "dark", "is_mobile": True, "has_touch": True},
}
VIEWS = {
    "fleet": "/",
    "rising": f"/rollouts/{RISING}",
    "rolled-back": f"/rollouts/{BROKEN}",
    "held": f"/rollouts/{HELD}",
    "signed-off": f"/rollouts/{SIGNED}",
    "pending": f"/rollouts/{LATER}",
    "objective": f"/rollouts/{BROKEN}/objectives/error_rate",
    "confirm-hold": f"/rollouts/{RISING}/hold",
    "confirm-rollback": f"/rollouts/{RISING}/rollback",
    "confirm-waive": f"/rollouts/{LATER}/waive",
    "noise": "/noise",
    "preflight": "/preflight",
    "drills": "/drills",
    "flags": "/flags",
    "flag": f"/flags/flags/{quote('f2')}",
    "login": "/login",
    "nothing": "/rollouts/nobody-knows-it",
}


def entered(page: Page, token: str) -> None:
    """Log in as somebody with this token."""
    page.goto("/login")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")


def wider_than_the_screen(page: Page) -> list[str]:
    """The elements that make the page scroll sideways, but for those that scroll by themselves."""
    found: list[str] = page.evaluate(
        """() => document.documentElement.scrollWidth <= document.documentElement.clientWidth ? [] :
        [...document.querySelectorAll('body *')]
          .filter(one => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
          .map(one => one.tagName + '.' + one.className).slice(0, 5)"""
    )
    return found


@pytest.mark.parametrize("look", LOOKS)
def test_every_view_is_whole_and_accessible(visit: Visit, screenshots: Path, look: str) -> None:
    context = visit(**LOOKS[look])
    page, said = context.new_page(), list[str]()
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    entered(page, ADA)
    found: dict[str, list[str]] = {}
    for name, address in VIEWS.items():
        page.goto(address)
        page.wait_for_load_state("load")
        page.screenshot(path=screenshots / f"{name}-{look}.png", full_page=True)
        trouble = violations(page) + wider_than_the_screen(page)
        if trouble:
            found[name] = trouble
    assert found == {}
    assert [one for one in said if "404" not in one] == [], "no script failed, and nothing was against the policy"


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_reads_without_a_script(visit: Visit, name: str) -> None:
    page = visit(java_script_enabled=False).new_page()
    page.goto(VIEWS[name])
    expect(page.locator("main h1")).to_be_visible()
    expect(page.locator(".scripted")).to_be_hidden()
    assert len(page.locator("main").inner_text()) > 40


def test_times_are_the_readers_own_with_utc_for_the_pointer(visit: Visit) -> None:
    page = visit().new_page()
    page.goto(f"/rollouts/{RISING}")
    first = page.locator("main time[data-local]").first
    utc = first.get_attribute("datetime")
    assert utc is not None
    hour = (int(utc[11:13]) + 1) % 24
    expect(first).to_contain_text(f"{hour:02d}:{utc[14:16]}")
    assert f"{utc[11:19]} UTC" in (first.get_attribute("title") or "")
