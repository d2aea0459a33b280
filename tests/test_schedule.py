"""When ticks are due: after each grid instant, never twice, never drifting."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rollouts import NOON
from watchdog.schedule import MOST_SPREAD, SlotTrigger, comes_within, offset


def utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(
    ("now", "due"),
    [(NOON, NOON + 1.5), (NOON + 1.0, NOON + 1.5), (NOON + 1.5, NOON + 31.5), (NOON + 29.0, NOON + 31.5)],
)
def test_a_tick_is_due_a_little_after_each_grid_instant(now: float, due: float) -> None:
    assert SlotTrigger(30, 31.5).get_next_fire_time(None, utc(now)) == utc(due)


def test_a_late_tick_skips_what_it_missed() -> None:
    found = SlotTrigger(30, 31.5).get_next_fire_time(utc(NOON + 1.5), utc(NOON + 100.0))
    assert found == utc(NOON + 121.5)


@given(st.integers(1, 3600), st.floats(0, 600), st.floats(0, 2_000_000_000), st.integers(0, 40))
def test_ticks_are_strictly_later_and_one_interval_apart_for_ever(
    interval: int, after: float, now: float, ticks: int
) -> None:
    trigger = SlotTrigger(interval, after)
    first = fired = trigger.get_next_fire_time(None, utc(now))
    assert utc(now) < first <= utc(now) + timedelta(seconds=interval, milliseconds=1)
    for _ in range(ticks):  # the clock may stand exactly on the instant that fired
        following = trigger.get_next_fire_time(fired, fired)
        assert following > fired
        fired = following
    assert abs((fired - first).total_seconds() - ticks * interval) < 1e-3


@given(st.text(max_size=40), st.integers(1, 3600))
def test_the_offset_is_small_and_always_the_same(name: str, interval: int) -> None:
    found = offset(name, interval)
    assert 0 <= found <= min(MOST_SPREAD, 0.1 * interval)
    assert found == offset(name, interval)


def test_rollouts_do_not_all_ask_at_once() -> None:
    offsets = sorted(offset(f"checkout-2.{minor}", 30) for minor in range(20))
    assert max(offsets) - min(offsets) > 1.0


@pytest.mark.parametrize(
    ("now", "soon"),
    [(1.3, False), (1.41, True), (1.5, True), (1.51, True), (1.53, False), (31.41, True), (20.0, False)],
)
def test_a_tick_is_about_to_start_right_before_its_due_time_and_a_moment_after_it(now: float, *, soon: bool) -> None:
    assert comes_within(0.1, 30, 1.5, NOON + now) is soon


def test_with_an_offset_of_more_than_an_interval_the_due_time_is_that_of_each_slot_all_the_same() -> None:
    assert comes_within(0.1, 30, 61.5, NOON + 1.45)
    assert not comes_within(0.1, 30, 61.5, NOON + 1.6)
