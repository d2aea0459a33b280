"""Fixtures for everybody: servers that are gone when the test is over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import ScriptedPrometheus


@pytest.fixture
def scripted_prometheus() -> Iterator[ScriptedPrometheus]:
    """A server that answers 1 to everything until the test says otherwise."""
    with ScriptedPrometheus() as server:
        yield server
