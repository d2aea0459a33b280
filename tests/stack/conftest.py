"""The session's stack. It takes up to six minutes to settle: the rules of five minutes have to be evaluated once.

STACK=build/stack/stack.json makes the tests ask a stack that `make stack` has started, in place of one of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import wait_for
from tests.stack.running import Found, Stack, running_stack

SETTLED_WITHIN = 720.0
TIMEOUT = 900
"""Seconds for a test, the fixture of the first one included."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this directory their own timeout, unless they have one."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack | Found]:
    """A stack that runs as it should: targets up, rules evaluated, a rollout ramping. Ask it; do not break it."""
    known = os.environ.get("STACK")
    if known:
        found = Found(Path(known))
        wait_for(lambda: not found.unsettled() or None, SETTLED_WITHIN, lambda: f"waits for {found.unsettled()}")
        yield found
        return
    with running_stack(tmp_path_factory.mktemp("stack"), settle=SETTLED_WITHIN) as own:
        yield own
