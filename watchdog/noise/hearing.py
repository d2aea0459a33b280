"""Whether alerts were heard at all: a count of what fired means nothing for the time in which nobody told of it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from watchdog.model import Reason
from watchdog.noise.episodes import DAY
from watchdog.quantities import format_duration, rfc3339

MISSED_SHARE = 0.05
"""Of the 24 h so much may be missed: the share of its slots that a slice may miss."""
ENOUGH = 3600.0
"""Seconds of hearing without a pause after which a day that was heard only in part is judged all the same."""


@dataclass(frozen=True, slots=True)
class Heard:
    """How well alerts were heard. `reason` is None when the count may be judged; `detail` says what to know of it."""

    reason: Reason | None
    detail: str = ""


class Hearing:
    """Which time was heard. `minutes` are the ends of the minutes in which there was a message, in order."""

    def __init__(self, minutes: Sequence[int], heartbeat: float) -> None:
        self.minutes = minutes
        self.heartbeat = heartbeat
        self._deaf = [
            (before, after)
            for before, after in zip((-math.inf, *minutes), minutes, strict=False)
            if after - before > heartbeat
        ]
        self._ends = [end for _, end in self._deaf]

    def at(self, at: float) -> Heard:
        """How well the 24 h up to `at` were heard, by what was heard until then."""
        count = bisect_right(self.minutes, at)
        if count == 0:
            return Heard(Reason.STALE, "Alertmanager was never heard; let it send its alerts here (see docs/noise.md)")
        last = self.minutes[count - 1]
        if at - last > self.heartbeat:
            limit = format_duration(self.heartbeat)
            return Heard(Reason.STALE, f"Alertmanager was last heard at {rfc3339(last)}; alerts.heartbeat is {limit}")
        past = self._deaf[: bisect_right(self._ends, at)]
        missed = sum(max(0.0, min(end, at) - max(begin, at - DAY)) for begin, end in past[-200:])
        if not past or missed <= MISSED_SHARE * DAY:
            return Heard(None)
        since = past[-1][1]
        if at - since < ENOUGH:
            return Heard(
                Reason.NO_DATA, f"Alertmanager is heard since {rfc3339(since)}; judged after {format_duration(ENOUGH)}"
            )
        return Heard(None, f"not all of the 24 h was heard, without a pause since {rfc3339(since)}")
