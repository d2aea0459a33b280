"""A rollback drill in a process of its own: the clients of its readers would stay in the daemon's memory."""

from __future__ import annotations

from collections.abc import Callable

from watchdog.config.settings import Settings
from watchdog.drill.plan import Plan
from watchdog.web.childrun import ChildRuns, Under
from watchdog.web.wishes import DrillAsked

START_UP = 60.0
"""Seconds that the process may take besides its runs."""


class DrillRuns(ChildRuns):
    """Starts drills that somebody asks for, one at a time; those by the clock have a schedule of their own."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        super().__init__("drill", settings.path, clock)
        self._settings = settings

    def flag_of(self, asked: DrillAsked) -> str:
        """The flag that would be switched."""
        return asked.flag or self._settings.drill.flag

    def start(self, asked: DrillAsked) -> Under | None:
        """Start one; None when one is under way already. Raises OSError when no process can be started."""
        plan = Plan(
            self.flag_of(asked),
            asked.runs or self._settings.drill.runs,
            asked.order.by or "",
            asked.order.reason,
            propagation=self._settings.flags.worst_propagation,
        )
        return self.run(asked.options, plan.by, plan.runs * plan.longest_run + START_UP)
