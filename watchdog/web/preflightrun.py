"""A preflight in a process of its own: it sends messages, holds drills and reads days of history, and no tick waits."""

from __future__ import annotations

from collections.abc import Callable

from watchdog.config.settings import Settings
from watchdog.drill.plan import Plan
from watchdog.web.bodies import Asked
from watchdog.web.childrun import ChildRuns, Under

BESIDES = 600.0
"""Seconds that everything but the drill may take."""


class PreflightRuns(ChildRuns):
    """Starts preflights, one at a time."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        super().__init__("preflight", settings.path, clock)
        self._settings = settings

    @property
    def longest(self) -> float:
        """Seconds after which one is ended."""
        drill = self._settings.drill
        plan = Plan(drill.flag, drill.runs, "", "", propagation=self._settings.flags.worst_propagation)
        return BESIDES + plan.runs * plan.longest_run

    def start(self, asked: Asked) -> Under | None:
        """Start one; None when one is under way already. Raises OSError when no process can be started."""
        return self.run(asked.options, asked.by, self.longest)
