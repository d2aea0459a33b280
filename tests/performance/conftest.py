"""Only tests marked `timing` are run again when they fail: what is no measurement of time fails at once."""

from __future__ import annotations

import os

import pytest

from tests.performance.limits import Limit, load

RERUNS, DELAY = 3, 2
TIMEOUT = 60
"""Seconds for one try of one test."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "timing: a busy machine spoils what it judges, so it is run again")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.timeout(TIMEOUT))
        if item.get_closest_marker("timing") is not None:
            item.add_marker(pytest.mark.flaky(reruns=RERUNS, reruns_delay=DELAY))


@pytest.fixture(scope="session")
def limits() -> dict[str, Limit]:
    """The limits of this environment."""
    return load(os.environ)
