"""The stack of deploy/stack for tests: one's own, or one that `make stack` has started already.

with running_stack(tmp_path, rules=fast) as stack:
    stack.break_(errors=0.5)
    wait_for(lambda: "ErrorRateBudgetBurn" in stack.firing() or None, 60, lambda: f"{stack.firing()}")
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "deploy" / "demo"))
sys.path.insert(0, str(Path(__file__).parents[2] / "deploy" / "stack"))

from asking import Asking
from monitoring import ALERTS, RULES, SCRAPE, Stack
from stage import DemoError

__all__ = ["DEPLOY", "RULES", "Asking", "DemoError", "Found", "Stack", "running_stack"]

DEPLOY = Path(__file__).parents[2] / "deploy"


class Found(Asking):
    """A stack that somebody else started, by its `stack.json`: to ask, not to break."""

    def __init__(self, file: Path) -> None:
        known = json.loads(file.read_text(encoding="utf-8"))
        self._addresses: dict[str, str] = known["addresses"]
        self.root = Path(known["root"])
        self.config = Path(known["config"])
        self.rules = Path(known["rules"])
        self.rollout = known["rollout"]

    def url(self, server: str, path: str = "") -> str:
        return f"{self._addresses[server]}{path}"


@contextmanager
def running_stack(
    root: Path, *, rules: Path = RULES, alerts: Path = ALERTS, scrape: str = SCRAPE, settle: float = 0.0
) -> Iterator[Stack]:
    """A stack of one's own below `root`, ended with the block; with `settle` given out when it has settled in time."""
    stack = Stack(root, rules=rules, alerts=alerts, scrape=scrape)
    try:
        stack.set_up()
        if settle:
            stack.settle(within=settle)
        yield stack
    finally:
        stack.stage.stop_all()
