"""When a rollout's tick is due: at its slots, plus the delay, plus a small offset of its own. Pure."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta

from apscheduler.triggers.base import BaseTrigger

SPREAD = 0.1
"""The share of an interval over which rollouts are spread, so that they do not all ask at once."""
MOST_SPREAD = 2.0
STARTING = 0.02
"""Seconds from the due time until the tick's thread runs."""


def offset(name: str, interval: int) -> float:
    """Seconds by which this rollout's ticks follow the due time; the same in every process."""
    return zlib.crc32(name.encode()) / 2**32 * min(MOST_SPREAD, SPREAD * interval)


def comes_within(seconds: float, interval: int, after: float, now: float) -> bool:
    """Whether a tick that is due `after` each slot starts so soon; one that is due this moment is starting still."""
    return (after + STARTING - now) % interval < seconds + STARTING


class SlotTrigger(BaseTrigger):  # type: ignore[misc]
    """Fires after each grid instant `k * interval`, `after` seconds later; never drifts, never fires twice."""

    def __init__(self, interval: int, after: float) -> None:
        self.interval = interval
        self.after = after

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The first due instant later than `now` and than the last one fired."""
        floor = now.timestamp()
        if previous_fire_time is not None:
            floor = max(floor, previous_fire_time.timestamp())
        slot = (floor - self.after) // self.interval + 1
        due = _at(slot * self.interval + self.after)
        # To the microsecond an instant may lie a little before its due time: then this one has fired already.
        return due if due.timestamp() > floor else _at((slot + 1) * self.interval + self.after)


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)
