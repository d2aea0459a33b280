"""Nine days of timetable, to the second, on a clock that a test turns: seven days of ramp, two days of window.

The clock is freezegun's, ticks come when the daemon's trigger says, and the tick is the real one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from tests.processes import FLAG, Installation
from tests.rollouts import NOON, event, internal, rollout
from tests.sources import Clock
from tests.stage import Stage
from watchdog.config import load_settings
from watchdog.daemon import Daemon
from watchdog.flags.memory import InMemoryFlags
from watchdog.model import Phase, Rollout
from watchdog.quantities import rfc3339
from watchdog.schedule import SlotTrigger, offset

HOUR, DAY = 3600, 86_400
INTERVAL, DELAY = 300, 30
NAME = "checkout-2"
LAG = DELAY + offset(NAME, INTERVAL)
"""Seconds between a slot and the tick that judges it."""


@pytest.fixture
def frozen() -> Iterator[Any]:
    """The wall clock, standing still until it is moved."""
    with freeze_time(datetime.fromtimestamp(NOON, UTC)) as clock:
        yield clock


class WallClock(Clock):
    """Reads the wall clock as the daemon does."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def __call__(self) -> float:
        return time.time()


def rule(**top: str) -> Rollout:
    """A slot each five minutes; the rest as it is in production: seven days of ramp, 48 hours of window."""
    keys = {"interval": f"{INTERVAL}s", "delay": f"{DELAY}s", "window": "{slices: 48, slice: 1h, max_gap: 30m}"}
    return rollout(event("error_rate", "range: 5m"), internal(), **{**keys, **top})


class Timetable:
    """One rollout whose ticks come when the daemon's trigger fires."""

    def __init__(self, path: Path, frozen: Any, started_by: Rollout, *, command: bool = True) -> None:
        self.frozen = frozen
        self.stage = Stage(path, started_by, at=time.time(), started=command)
        self.stage.clock = WallClock()
        self.stage.service.clock = self.stage.clock
        self.stage.start_up()
        self.trigger = SlotTrigger(INTERVAL, LAG)
        self.fired: datetime | None = None
        self.tick()

    def tick(self) -> None:
        now = time.time()
        self.stage.ticker.tick(now)

    def run(self, until: float) -> None:
        """Tick at every due time up to `until`, or until the rollout has ended."""
        while True:
            due = self.trigger.get_next_fire_time(self.fired, datetime.fromtimestamp(time.time(), UTC))
            if due.timestamp() > until or self.stage.phase is Phase.SIGNED_OFF:
                return
            self.fired = due
            self.frozen.move_to(due)
            self.tick()

    def told(self, *kinds: str) -> list[tuple[float, str]]:
        """(wall time, kind) of what happened."""
        transitions = self.stage.ledger.transitions(self.stage.stored.id)
        return [(told.at, told.kind) for told in transitions if told.kind in kinds]

    def exposures(self) -> list[tuple[float, float]]:
        """(instant, percent) of what was asked for."""
        facts = self.stage.ledger.exposures(self.stage.stored.id)
        return [(fact.at, fact.exposure.percent) for fact in facts if fact.kind == "desired"]


def test_seven_days_of_steps_and_two_of_window_to_the_second(tmp_path: Path, frozen: Any) -> None:
    """Started on the grid: step k at s + k h, the last at 7 days; interim after 48 h; signed off at 9 days."""
    table = Timetable(tmp_path, frozen, rule())
    assert table.stage.control["started_at"] == NOON
    table.run(NOON + 10 * DAY)
    steps = [at for at, kind in table.told("step")]
    due = [NOON + k * HOUR + LAG for k in range(1, 169)]
    assert steps[:168] == pytest.approx(due, abs=1e-3)
    asked = table.exposures()
    assert [at for at, _ in asked] == [NOON + k * HOUR for k in range(1, 169)]
    assert [percent for _, percent in asked] == pytest.approx([k * 100 / 168 for k in range(1, 169)], abs=1e-3)
    assert table.told("interim") == [(pytest.approx(NOON + 48 * HOUR + LAG, abs=1e-3), "interim")]
    assert table.told("signed_off") == [(pytest.approx(NOON + 9 * DAY + LAG, abs=1e-3), "signed_off")]
    assert (table.stage.control["interim_at"], table.stage.control["final_at"]) == (NOON + 48 * HOUR, NOON + 9 * DAY)
    table.stage.assert_dense()
    table.stage.close()


def test_a_start_off_the_grid_steps_at_the_first_slot_after_each_hour(tmp_path: Path, frozen: Any) -> None:
    """Started 100 s after a slot: an hour later the next slot is 200 s away; the first whole slice starts at 1 h."""
    frozen.move_to(datetime.fromtimestamp(NOON + 100, UTC))
    table = Timetable(tmp_path, frozen, rule(window="{slices: 2, slice: 1h}"))
    assert table.stage.control["started_at"] == NOON + 100
    table.run(NOON + 4 * HOUR)
    steps = [at for at, _ in table.told("step")]
    assert steps[0] == pytest.approx(NOON + HOUR + 300 + LAG, abs=1e-3)
    apart = [after - before for before, after in pairwise(steps)]
    assert apart == pytest.approx([HOUR] * len(apart), abs=1e-3)
    assert table.told("interim") == [(pytest.approx(NOON + 3 * HOUR + LAG, abs=1e-3), "interim")]
    table.stage.close()


@pytest.mark.parametrize(
    ("late", "counted_from", "note"),
    [(1500, NOON - 1500, ""), (1800, NOON - 1800, ""), (1801, NOON, "1801 s after its start_at, more than max_gap")],
)
def test_a_start_at_in_the_past_counts_from_then_unless_it_is_older_than_max_gap(
    tmp_path: Path, frozen: Any, late: int, counted_from: int, note: str
) -> None:
    table = Timetable(tmp_path, frozen, rule(start_at=rfc3339(NOON - late)), command=False)
    assert table.stage.control["started_at"] == counted_from
    assert note in table.stage.why("start")
    table.run(NOON + 2 * HOUR)
    first = -(-(counted_from + HOUR) // INTERVAL) * INTERVAL
    assert table.told("step")[0][0] == pytest.approx(first + LAG, abs=1e-3)
    table.stage.assert_dense("error_rate")
    table.stage.close()


def test_a_start_at_to_come_is_kept_to_the_second(tmp_path: Path, frozen: Any) -> None:
    table = Timetable(tmp_path, frozen, rule(start_at=rfc3339(NOON + 2 * HOUR)), command=False)
    table.run(NOON + 2 * HOUR - 1)
    assert table.stage.phase is Phase.PENDING
    table.run(NOON + 3 * HOUR + INTERVAL)
    assert table.stage.control["started_at"] == NOON + 2 * HOUR
    assert table.told("step")[0][0] == pytest.approx(NOON + 3 * HOUR + LAG, abs=1e-3)
    table.stage.close()


def test_a_night_without_traffic_completes_the_window_that_much_later(tmp_path: Path, frozen: Any) -> None:
    """Eight idle hours neither count nor reset: the 24th good slice is the 32nd."""
    quiet = rule(ramp="{strategy: percentage, to: 25}", window="{slices: 24, slice: 1h}")
    table = Timetable(tmp_path, frozen, quiet)
    table.run(NOON + 10 * HOUR + LAG + 1)
    table.stage.service.rps = 0.0
    table.run(NOON + 18 * HOUR + LAG + 1)
    table.stage.service.rps = 50.0
    table.run(NOON + 2 * DAY)
    assert table.told("interim") == [(pytest.approx(NOON + 32 * HOUR + LAG, abs=1e-3), "interim")]
    assert table.told("reset", "blind", "hold") == []
    table.stage.close()


def test_readiness_ends_three_intervals_and_a_deadline_after_the_last_tick(tmp_path: Path, frozen: Any) -> None:
    """The daemon's own clock, without its scheduler: nobody ticks."""
    site = Installation(tmp_path, "http://127.0.0.1:1", tick_deadline="10s")
    ramp, window = "{strategy: percentage, to: 25}", "{slices: 2, slice: 1h}"
    keys = {"interval": "30s", "window": window, "ramp": ramp, "rollback": "{within: 15m}"}
    site.rollout("checkout-1", f"\n{event()}\n", **keys)
    daemon = Daemon(load_settings(site.config), clock=time.time, flags=InMemoryFlags((FLAG,)))
    try:
        daemon.scan(strict=True)
        frozen.tick(100)
        assert daemon.ready() == (True, "ready")
        frozen.tick(1)
        assert daemon.ready() == (
            False,
            "rollout checkout-1 has not ticked for 101 s, more than three intervals",
        )
    finally:
        daemon.stop()
