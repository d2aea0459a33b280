"""A Chromium for the whole run, and one site whose rollouts have come to every phase."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.browser.shops import Shop, open_shop

SCREENSHOTS = Path("build/screenshots")
PATIENCE = 20_000
"""Milliseconds until something that should be on a page is given up: machines that test are busy."""

Visit = Callable[..., BrowserContext]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program is not None, "Chromium is not installed: `scripts/setup --browser` installs Debian's"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as opened:
        yield opened


@pytest.fixture
def visit(chromium: Browser, shop: Shop) -> Iterator[Visit]:
    """Opens a browser of one person in Berlin at the site; further settings as Playwright names them."""
    with ExitStack() as stack:

        def visiting(**how: object) -> BrowserContext:
            settings = {"base_url": shop.url, "locale": "en-GB", "timezone_id": "Europe/Berlin", **how}
            context = chromium.new_context(**settings)  # type: ignore[arg-type]
            context.set_default_timeout(PATIENCE)
            stack.callback(context.close)
            return context

        yield visiting


@pytest.fixture(scope="session")
def screenshots() -> Path:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS
