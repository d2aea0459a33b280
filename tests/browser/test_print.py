"""The report on paper: A4, at most four pages, nothing cut off."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.axe import violations
from tests.browser.conftest import Visit
from tests.browser.shops import BROKEN, SIGNED

MOST_PAGES = 4


def pages(pdf: bytes) -> int:
    """How many pages a PDF of Chromium's has."""
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def test_reports_print_on_four_pages_of_a4(visit: Visit, screenshots: Path) -> None:
    page = visit().new_page()
    for name in (SIGNED, BROKEN):
        page.goto(f"/api/v1/rollouts/{name}/report?format=html")
        expect(page.locator("h1")).to_be_visible()
        pdf = page.pdf(format="A4", path=screenshots / f"report-{name}.pdf")
        assert 1 <= pages(pdf) <= MOST_PAGES
        assert re.search(rb"/MediaBox\s*\[\s*0 0 59[45][.\d]* 84[12]", pdf), "A4"


def test_reports_are_accessible(visit: Visit, screenshots: Path) -> None:
    page = visit().new_page()
    for name in (SIGNED, BROKEN):
        page.goto(f"/api/v1/rollouts/{name}/report?format=html")
        page.screenshot(path=screenshots / f"report-{name}.png", full_page=True)
        assert violations(page) == []


def test_a_rollouts_page_prints_without_its_controls(visit: Visit) -> None:
    page = visit().new_page()
    page.goto(f"/rollouts/{SIGNED}")
    page.emulate_media(media="print")
    expect(page.locator("header.top nav")).to_be_hidden()
    expect(page.locator("h1")).to_be_visible()
