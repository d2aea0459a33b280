"""Windows and watches drawn from a history: the live window's rules, and the closed forms that they must meet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rollouts import HOUR, NOON, event, rollout
from watchdog.feasibility.chain import Chain
from watchdog.feasibility.counting import expected_wait, quantile
from watchdog.feasibility.futures import (
    NOTHING_RULED_OUT,
    PATIENCE,
    Never,
    Watched,
    spoilt,
    watches,
    window_chance,
)
from watchdog.feasibility.past import PastSlice
from watchdog.feasibility.tallies import Slices, Tally
from watchdog.model import Breach, ObjectiveSlice, Rollout, Slice, SliceVerdict
from watchdog.window import Fold, combine

DAY = 24 * HOUR
MIDNIGHT = NOON // DAY * DAY
AT_ONCE = "{strategy: all_at_once}"
PLAIN = rollout(event(), ramp=AT_ONCE)
STEPPED = rollout(event(), ramp="{strategy: progressive, from: 0, to: 100, over: 10h, every: 1h}")
POOLED = rollout(
    event(),
    event("probes", "pool: window", "min_slice_events: 100", target="at_most: 1%"),
    event("strict", "pool: window", "min_slice_events: 100", target="below: 1%"),
    ramp=AT_ONCE,
    window="{slices: 6, slice: 1h, max_idle: 3}",
)
PASS, FAIL, IDLE, UNKNOWN = SliceVerdict.PASS, SliceVerdict.FAIL, SliceVerdict.IDLE, SliceVerdict.UNKNOWN


def past(verdicts: Sequence[SliceVerdict], rule: Rollout = PLAIN, start: int = MIDNIGHT) -> list[Slice]:
    name = rule.objectives[0].name
    length = rule.window.slice
    return [
        Slice(end, verdict, (ObjectiveSlice(name, verdict, 120, 0, 120),), ((end, end),) if verdict is UNKNOWN else ())
        for end, verdict in zip(
            range(start + length, start + length * (len(verdicts) + 1), length), verdicts, strict=True
        )
    ]


def chain(slices: Sequence[Slice], seed: int = 1) -> Chain:
    return Chain([item.end for item in slices], slices[1].end - slices[0].end, Random(seed))


def chance(slices: Sequence[Slice], rule: Rollout = PLAIN, attempts: int = 4000, seed: int = 1) -> float:
    return window_chance(Slices(rule, slices), chain(slices, seed), attempts)


def drawn(slices: Sequence[Slice], rule: Rollout = PLAIN, most: int = 300, **more: object) -> list[Watched]:
    history = [PastSlice(item, **more) for item in slices]  # type: ignore[arg-type]
    return list(watches(rule, history, Slices(rule, slices), chain(slices), most))


# --- the same rules as the live window -------------------------------------------------------------------------------


GAPS: tuple[tuple[tuple[int, int], ...], ...] = (
    (),
    ((1, 120),),
    ((1, 20),),
    ((100, 120),),
    ((1, 2), (30, 31), (119, 120)),
)
"""Runs of unmeasured slots, counted from 1."""
SEEDS = st.integers(0, 2**32)


def history(seed: int) -> list[Slice]:
    """Slices of every kind, good ones often enough for windows to get somewhere."""
    random = Random(seed)
    return [_made(random, MIDNIGHT + (index + 1) * HOUR) for index in range(random.randint(1, 60))]


def _made(random: Random, end: int) -> Slice:
    parts = []
    for objective in POOLED.objectives:
        verdict = random.choices((PASS, IDLE, UNKNOWN, FAIL), (12, 1, 1, 1))[0]
        total, bad = random.choice((None, 0.0, 10.0, 100.0, 240.0)), random.choice((0.0, 0.0, 0.0, 1.0, 2.0, 14.4))
        parts.append(ObjectiveSlice(objective.name, verdict, 120, 0, 120, None, bad, total))
    breaches: tuple[Breach, ...] = ()
    if random.random() < 0.1:
        guilty = random.randrange(len(parts))
        parts[guilty] = replace(parts[guilty], verdict=FAIL)
        breaches = (Breach(parts[guilty].objective, end - 60, "sequential", 500.0, 400.0, 1.0, 1.0, None, "made up"),)
    unmeasured = tuple((end - HOUR + first * 30, end - HOUR + last * 30) for first, last in random.choice(GAPS))
    return Slice(end, combine(part.verdict for part in parts), tuple(parts), unmeasured, breaches=breaches)


@given(SEEDS)
@settings(max_examples=200, deadline=None)
def test_the_quick_fold_is_the_live_one(seed: int) -> None:
    slices = history(seed)
    fold, tally = Fold(POOLED, latches=False), Tally(Slices(POOLED, slices))
    for index, item in enumerate(slices):
        fold.add(item)
        tally.add(index)
        assert tally.current == fold.window.current
        assert tally.anew == (fold.window.began_at is None)
        if fold.window.completed_at is not None:
            assert tally.complete


@given(SEEDS)
@settings(max_examples=50, deadline=None)
def test_what_one_objective_fails_fails_for_all(seed: int) -> None:
    slices = history(seed)
    every, alone = Tally(Slices(POOLED, slices)), Tally(Slices(POOLED, slices, "error_rate"))
    for index, item in enumerate(slices):
        every.add(index)
        alone.add(index)
        if item.objectives[0].verdict is FAIL:
            assert every.anew
            assert alone.anew


# --- what a history rules out is not drawn ----------------------------------------------------------------------------


@given(
    seed=SEEDS,
    kinds=st.sampled_from([(IDLE,), (FAIL,), (IDLE, UNKNOWN, FAIL), (PASS,), (PASS, IDLE, FAIL)]),
    blocked=st.sampled_from(["all", "none", "some"]),
    breaches=st.booleans(),
    ramped=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_a_watch_that_is_not_drawn_to_its_end_ends_as_if_it_were(
    seed: int, kinds: tuple[SliceVerdict, ...], blocked: str, *, breaches: bool, ramped: bool
) -> None:
    random, rule = Random(seed), STEPPED if ramped else PLAIN
    slices = past([random.choice(kinds) for _ in range(random.randint(2, 100))])
    every = tuple(range(120))
    slots = {"all": (every,), "none": ((),), "some": (every, every[:60], ())}[blocked]
    lived = [
        PastSlice(item, random.choice(slots), taken_back=7 if breaches and random.random() < 0.02 else None)
        for item in slices
    ]

    def drawn(never: Never | None) -> list[Watched]:
        return list(watches(rule, lived, Slices(rule, slices), chain(slices, seed), 4, never))

    assert drawn(None) == drawn(NOTHING_RULED_OUT)


@pytest.mark.parametrize("blocked", [(), tuple(range(120))], ids=["steps are taken", "no step is taken"])
def test_of_a_service_that_nobody_uses_nothing_is_drawn_for_weeks(blocked: tuple[int, ...]) -> None:
    class Counted(Chain):
        drawn = 0

        def after(self, index: int) -> int:
            Counted.drawn += 1
            return super().after(index)

    slices = past([IDLE] * 168)
    counted = Counted([item.end for item in slices], HOUR, Random(1))
    lived = [PastSlice(item, blocked) for item in slices]
    found = list(watches(STEPPED, lived, Slices(STEPPED, slices), counted, 300))
    assert {watch.signed_off for watch in found} == {None}
    assert Counted.drawn <= 12 * len(found), "the ramp's hours, where it goes on"
    assert window_chance(Slices(STEPPED, slices), counted, 300) == 0.0
    assert Counted.drawn <= 12 * len(found)


# --- closed forms -----------------------------------------------------------------------------------------------------


def test_a_history_of_good_slices_alone_completes_every_window() -> None:
    slices = past([PASS] * 168)
    assert chance(slices) == 1.0
    assert spoilt(Slices(PLAIN, slices)) == []
    assert {watch.signed_off for watch in drawn(slices)} <= {48 * HOUR + late for late in range(0, HOUR, 30)}


def test_a_history_of_bad_slices_alone_completes_none() -> None:
    slices = past([FAIL] * 168)
    assert chance(slices) == 0.0
    assert spoilt(Slices(PLAIN, slices)) == [0], "one spell"
    assert all(watch.signed_off is None for watch in drawn(slices, most=5))


@pytest.mark.parametrize("rate", [0.97, 0.99])
def test_independent_slices_complete_a_window_with_the_chance_p_to_the_48(rate: float) -> None:
    """A year of independent hours: enough for their own rate to be the true one."""
    random = Random(7)
    slices = past([PASS if random.random() < rate else FAIL for _ in range(365 * 24)])
    true = sum(item.verdict is PASS for item in slices) / len(slices)
    assert chance(slices) == pytest.approx(true**48, abs=0.03)


def test_the_wait_for_a_window_is_that_of_a_run_of_successes() -> None:
    random, rate = Random(11), 0.97
    slices = past([PASS if random.random() < rate else FAIL for _ in range(365 * 24)])
    true = sum(item.verdict is PASS for item in slices) / len(slices)
    times = [watch.signed_off for watch in drawn(slices, most=400)]
    waited = [at / HOUR - 0.5 for at in times if at is not None]
    assert len(waited) == len(times)
    wait = expected_wait(true, 48)
    assert math.fsum(waited) / len(waited) == pytest.approx(wait, rel=4 / math.sqrt(len(waited)))


def test_an_hour_that_fails_every_night_leaves_no_chance_although_23_of_24_are_good() -> None:
    slices = past(([PASS] * 3 + [FAIL] + [PASS] * 20) * 7)
    assert chance(slices) == 0.0


def test_with_two_days_of_history_the_time_of_day_is_not_kept() -> None:
    assert chain(past([PASS] * 48)).by_hour is False
    assert chain(past([PASS] * 168)).by_hour is True


def test_the_chain_keeps_the_time_of_day_and_stays_a_day_on_average() -> None:
    slices = past([PASS] * 168)
    drawing, at, jumps = chain(slices), 0, 0
    for _ in range(20_000):
        following = drawing.after(at)
        assert following % 24 == (at + 1) % 24
        jumps += following != at + 1
        at = following
    # A seventh of the jumps lands where it would have gone on anyway, and the end of the history is always one.
    assert jumps / 20_000 == pytest.approx(1 / 24 * 6 / 7 + 1 / 168, rel=0.15)


# --- idle and unknown slices ------------------------------------------------------------------------------------------


def test_idle_nights_make_a_window_longer_and_not_impossible() -> None:
    slices = past(([IDLE] * 6 + [PASS] * 18) * 7)
    assert chance(slices) == 1.0
    times = sorted(watch.signed_off or math.inf for watch in drawn(slices))
    assert 60 * HOUR <= quantile(times, 0.5) <= 68 * HOUR, "48 good slices and two or three nights"


def test_idle_halves_of_every_day_use_up_max_idle() -> None:
    slices = past(([IDLE] * 12 + [PASS] * 12) * 7)
    assert chance(slices) == 0.0


def test_a_slice_that_was_hardly_measured_begins_the_window_anew() -> None:
    slices = past([PASS] * 100 + [UNKNOWN] + [PASS] * 67)
    whole = replace(slices[100], unmeasured=((slices[99].end + 30, slices[100].end),))
    assert spoilt(Slices(PLAIN, slices)) == [], "one slot of a slice is within the budget"
    assert spoilt(Slices(PLAIN, [*slices[:100], whole, *slices[101:]])) == [100]


# --- ramps ------------------------------------------------------------------------------------------------------------


def test_a_ramp_without_obstacles_takes_as_long_as_planned() -> None:
    slices = past([PASS] * 168)
    found = drawn(slices, STEPPED)
    assert {watch.ramped for watch in found} == {10.0 * HOUR}
    assert all(watch.waited == 0.0 for watch in found)
    assert all(58 * HOUR <= (watch.signed_off or 0) < 59 * HOUR for watch in found), "the window begins at a slice"


def test_a_due_step_waits_for_a_slot_that_passes() -> None:
    """The first half of every slice is blocked: a step that is due in it waits for its end, and all later ones too."""
    found = drawn(past([PASS] * 168), STEPPED, blocked=tuple(range(60)))
    assert all(watch.ramped is not None and 10 * HOUR <= watch.ramped < 10 * HOUR + 1800 + 30 for watch in found)
    assert any(watch.waited > 0.0 for watch in found)


def test_a_ramp_whose_slots_never_pass_stands() -> None:
    found = drawn(past([PASS] * 168), STEPPED, most=5, blocked=tuple(range(120)))
    assert all((watch.ramped, watch.signed_off) == (None, None) for watch in found)


def test_a_breach_takes_the_flag_back_once_somebody_is_exposed() -> None:
    found = drawn(past([PASS] * 168), STEPPED, most=50, taken_back=3)
    assert all(watch.signed_off is None and watch.ramped is None for watch in found)
    assert all(watch.taken_back is not None and HOUR < watch.taken_back <= 2 * HOUR for watch in found)


def test_nobody_waits_longer_than_patience() -> None:
    for watch in drawn(past([FAIL] * 168), STEPPED, most=3):
        assert watch.ramped is not None
        assert watch.ramped < PATIENCE
        assert watch.signed_off is None
