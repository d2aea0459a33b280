"""The smoke suite against the whole stack: a daemon that asks a real Prometheus, and the shop whose flag it steers."""

from __future__ import annotations

from tests.stack.running import Found, Stack
from tests.test_smoke_suite import smoke


def test_the_stack_passes_the_smoke_suite(stack: Stack | Found) -> None:
    done = smoke("--target", stack.watchdog, "--service", stack.url("shop"))
    assert done.status == 0, done.out
