"""What is asked for again, when and how far back; and when a slice is settled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rollouts import HOUR, NOON, event, rollout, value
from watchdog.reask import MOST, Key, again, forget, unsettled

RULE = rollout(event(), value())
NOBODY: frozenset[str] = frozenset()


def slot(at: int, name: str = "error_rate") -> Key:
    return ("slot", name, at)


def asked(missing: dict[Key, float], now: float, recovered: frozenset[str] = NOBODY) -> set[int]:
    return {at for _, _, at in again(RULE, missing, now, int(now), recovered).wanted}


@pytest.mark.parametrize(("since", "due"), [(59, False), (60, True), (300, True)])
def test_a_young_slot_is_asked_for_each_minute(since: float, *, due: bool) -> None:
    now = NOON + 600.0
    assert asked({slot(NOON): now - since}, now) == ({NOON} if due else set())


@pytest.mark.parametrize(("since", "due"), [(60, False), (3599, False), (3600, True)])
def test_an_old_slot_is_asked_for_hourly(since: float, *, due: bool) -> None:
    now = NOON + 3 * HOUR + 0.0
    assert asked({slot(NOON): now - since}, now) == ({NOON} if due else set())


def test_a_slot_is_old_from_settle_on() -> None:
    assert asked({slot(NOON): NOON + 839.0}, NOON + 899.9) == {NOON}
    assert asked({slot(NOON): NOON + 839.0}, NOON + 900.0) == set()


def test_old_slots_are_asked_for_when_their_source_recovers() -> None:
    now = NOON + 3 * HOUR + 0.0
    missing = {slot(NOON): now - 90, slot(NOON, "latency_p95"): now - 90, slot(NOON + 3 * HOUR - 30): now - 30}
    assert asked(missing, now, frozenset({"error_rate"})) == {NOON}


def test_nothing_is_asked_further_back_than_the_window() -> None:
    now = float(NOON + 48 * HOUR)
    assert asked({slot(NOON): 0.0, slot(NOON + 30): 0.0}, now) == {NOON + 30}
    missing = {slot(NOON): 0.0, slot(NOON + 30): 0.0}
    forget(RULE, missing, int(now))
    assert set(missing) == {slot(NOON + 30)}


def test_there_is_one_bounded_query_for_each_objective_and_grid() -> None:
    missing = {slot(NOON + 30 * k, name): 0.0 for k in range(0, 200, 7) for name in ("error_rate", "latency_p95")}
    missing[("step", "error_rate", NOON + 60)] = 0.0
    missing[("slice", "error_rate", NOON + HOUR)] = 0.0
    found = again(RULE, missing, NOON + 2.0 * HOUR, NOON + 2 * HOUR, NOBODY)
    ranges = {(ask.grid, ask.objective.name): (ask.first, ask.last, ask.step, ask.seconds) for ask in found.asks}
    assert len(ranges) == len(found.asks)
    assert ranges == {
        ("slot", "error_rate"): (NOON, NOON + 30 * 196, 30, 300.0),
        ("slot", "latency_p95"): (NOON, NOON + 30 * 196, 30, 300.0),
        ("step", "error_rate"): (NOON + 60, NOON + 60, 60, 75.0),
        ("slice", "error_rate"): (NOON + HOUR, NOON + HOUR, HOUR, 3600.0),
    }


def test_a_query_has_at_most_ten_thousand_points_and_takes_the_newest() -> None:
    fine = rollout(event(), interval="5s", ramp="{strategy: all_at_once}")
    missing = {slot(NOON): 0.0, slot(NOON + 5 * 20_000): 0.0}
    found = again(fine, missing, NOON + 200_000.0, NOON + 100_000, NOBODY)
    (ask,) = found.asks
    assert len(ask.instants) == MOST
    assert ask.last == NOON + 100_000
    assert found.wanted == {slot(NOON + 100_000)}


@given(st.dictionaries(st.integers(0, 6000), st.floats(0, 180_000), max_size=20), st.floats(0, 180_000))
def test_what_is_wanted_is_inside_what_is_asked_and_due(missing: dict[int, float], now: float) -> None:
    unanswered = {slot(NOON + 30 * k): NOON + at for k, at in missing.items()}
    found = again(RULE, unanswered, NOON + now, NOON + int(now), NOBODY)
    for key in found.wanted:
        assert any(key[2] in ask.instants for ask in found.asks)
        assert NOON + now - unanswered[key] >= 60


# --- settled --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "waits"),
    [(NOON + HOUR, True), (NOON + HOUR + 899, True), (NOON + HOUR + 900, False), (NOON + 5 * HOUR, False)],
)
@pytest.mark.parametrize("at", [NOON + 30, NOON + 1800, NOON + HOUR])
def test_a_slice_with_a_missing_slot_is_final_at_its_end_and_settle(at: int, now: int, *, waits: bool) -> None:
    assert unsettled(RULE, {slot(at): 0.0}, float(now), NOON, NOON + HOUR) is waits


def test_a_slice_of_which_nothing_is_missing_is_final() -> None:
    assert not unsettled(RULE, {}, float(NOON + HOUR), NOON, NOON + HOUR)
    other = {slot(NOON): 0.0, slot(NOON + HOUR + 30): 0.0}
    assert not unsettled(RULE, other, float(NOON + HOUR), NOON, NOON + HOUR)


def test_slots_of_a_slice_that_has_not_ended_hold_nothing_up() -> None:
    missing = {slot(NOON + HOUR + 30): 0.0}
    assert not unsettled(RULE, missing, float(NOON + HOUR + 60), NOON, NOON + HOUR + 60)


def test_before_the_start_nothing_is_unsettled() -> None:
    assert not unsettled(RULE, {slot(NOON): 0.0}, float(NOON), None, NOON)
