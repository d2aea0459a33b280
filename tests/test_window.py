"""Slices and windows: what a slice says, and how slices in a row complete a window, beside a slow model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rollouts import COHORTS, HOUR, NOON, event, rollout, split, value
from watchdog.model import (
    Breach,
    Exposure,
    Measurement,
    Objective,
    ObjectiveSlice,
    Reason,
    Rollout,
    Slice,
    SliceVerdict,
)
from watchdog.window import Fold, Looked, Window, Windows, combine, judge

PASS, FAIL, UNKNOWN, IDLE = SliceVerdict.PASS, SliceVerdict.FAIL, SliceVerdict.UNKNOWN, SliceVerdict.IDLE
SLOTS = 120
FULL = Looked(SLOTS, SLOTS, 0, SLOTS)


def objective(*lines: str, target: str = "at_most: 0.1%") -> Objective:
    return rollout(event("error_rate", *lines, target=target)).objectives[0]


def pooled(bad: float, total: float) -> Measurement:
    return Measurement(NOON, bad=bad, total=total)


def breach_at(at: int, name: str = "error_rate") -> Breach:
    return Breach(name, at, "sequential", 500.0, 400.0, why="made up")


# --- one objective over one slice -----------------------------------------------------------------------------------


def test_a_breach_fails_its_slice_before_anything_else_is_looked_at() -> None:
    blind = Looked(SLOTS, 0, 0, 0)
    assert judge(objective(), blind, pooled(0, 180_000), breach_at(NOON)).verdict is FAIL


@pytest.mark.parametrize(("measured", "verdict"), [(120, PASS), (114, PASS), (113, UNKNOWN), (0, UNKNOWN)])
def test_a_slice_is_unknown_when_less_than_95_percent_of_its_slots_were_measured(
    measured: int, verdict: SliceVerdict
) -> None:
    looked = Looked(SLOTS, measured, 0, measured)
    assert judge(objective(), looked, pooled(0, 180_000), None).verdict is verdict


@pytest.mark.parametrize(
    ("bad", "total", "verdict"),
    [
        (0, 2999, IDLE),  # 3 / 0.1 %: fewer cannot show the target
        (0, 3000, PASS),
        (2999, 2999, IDLE),
        (3, 3000, PASS),  # equality keeps at_most
        (4, 3000, FAIL),
        (0, 0, IDLE),
        (180, 180_000, PASS),
        (181, 180_000, FAIL),
    ],
)
def test_the_events_of_the_whole_slice_are_judged_as_one(bad: float, total: float, verdict: SliceVerdict) -> None:
    assert judge(objective(), FULL, pooled(bad, total), None).verdict is verdict


def test_a_slice_of_a_strict_target_fails_at_equality() -> None:
    strict = objective(target="below: 0.1%")
    assert judge(strict, FULL, pooled(180, 180_000), None).verdict is FAIL
    assert judge(strict, FULL, pooled(179, 180_000), None).verdict is PASS


def test_failing_slots_do_not_fail_a_slice_whose_events_are_good_as_a_whole() -> None:
    looked = Looked(SLOTS, SLOTS, 60, 60)
    assert judge(objective(), looked, pooled(180, 180_000), None).verdict is PASS


def test_min_slice_events_can_be_written() -> None:
    patient = objective("min_slice_events: 100")
    assert judge(patient, FULL, pooled(0, 100), None).verdict is PASS
    assert judge(patient, FULL, pooled(0, 99), None).verdict is IDLE


@pytest.mark.parametrize("reason", [Reason.UNREACHABLE, Reason.MANY_SERIES, Reason.NO_DATA, Reason.NOT_A_NUMBER])
def test_a_slice_whose_own_query_gave_no_number_is_unknown(reason: Reason) -> None:
    found = judge(objective(), FULL, Measurement(NOON, reason=reason, detail="made up"), None)
    assert found.verdict is UNKNOWN
    assert reason.value in found.why


def test_a_slice_of_an_empty_cohort_is_idle() -> None:
    watched = rollout(split(), "  - {name: p95, value: 'p95{$cohort}[$range]', below: 200ms}", cohorts=COHORTS)
    nobody = Measurement(NOON, reason=Reason.LOW_TRAFFIC, detail="nobody")
    low = Looked(SLOTS, SLOTS, 0, 0)
    assert [judge(o, low, nobody, None).verdict for o in watched.objectives] == [IDLE, IDLE]


@pytest.mark.parametrize(("found", "verdict"), [(0.19, PASS), (0.2, FAIL), (0.21, FAIL)])
def test_a_value_objective_with_range_is_judged_by_the_whole_slice(found: float, verdict: SliceVerdict) -> None:
    (latency,) = rollout(value()).objectives
    looked = Looked(SLOTS, SLOTS, 60, 60)
    assert judge(latency, looked, Measurement(NOON, value=found), None).verdict is verdict


@pytest.mark.parametrize(
    ("measured", "failed", "verdict"), [(120, 6, PASS), (120, 7, FAIL), (114, 5, PASS), (114, 6, FAIL), (120, 0, PASS)]
)
def test_a_value_objective_without_range_fails_when_more_than_5_percent_of_its_measured_slots_do(
    measured: int, failed: int, verdict: SliceVerdict
) -> None:
    (saturation,) = rollout("  - {name: saturation, value: saturation, below: 1}").objectives
    looked = Looked(SLOTS, measured, failed, measured - failed)
    assert judge(saturation, looked, None, None).verdict is verdict


def test_a_silent_slice_is_judged_by_its_slots() -> None:
    silent = Measurement(NOON, silent=True)
    watched = objective("no_data: fail")
    assert judge(watched, Looked(SLOTS, SLOTS, SLOTS, 0), silent, None).verdict is FAIL
    assert judge(watched, Looked(SLOTS, SLOTS, 6, 114), silent, None).verdict is PASS


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ((PASS, PASS), PASS),
        ((PASS, IDLE), IDLE),
        ((IDLE, UNKNOWN), UNKNOWN),
        ((UNKNOWN, FAIL), FAIL),
        ((IDLE, FAIL, PASS), FAIL),
        ((), PASS),
    ],
)
def test_a_slice_is_fail_else_unknown_else_idle_else_pass(parts: tuple[SliceVerdict, ...], whole: SliceVerdict) -> None:
    for order in (parts, parts[::-1]):
        assert combine(order) is whole


# --- windows --------------------------------------------------------------------------------------------------------


def a_slice(
    index: int,
    verdict: SliceVerdict = PASS,
    unmeasured: tuple[tuple[int, int], ...] = (),
    breaches: tuple[Breach, ...] = (),
    exposure: float | None = 100.0,
) -> Slice:
    """Slice number `index` from noon on; `unmeasured` are runs of slot numbers 1..120 inside it."""
    end = NOON + (index + 1) * HOUR
    start = end - HOUR
    runs = tuple((start + first * 30, start + last * 30) for first, last in unmeasured)
    part = ObjectiveSlice("error_rate", verdict, SLOTS, 0, SLOTS, why=f"{verdict.value} here")
    return Slice(
        end, verdict, (part,), runs, None if exposure is None else Exposure(exposure), breaches=breaches, why=""
    )


def windows(*slices: Slice, watched: Rollout | None = None) -> Windows:
    both = Windows(watched or rollout(event()))
    for item in slices:
        both.add(item)
    return both


def interim(*slices: Slice) -> Window:
    return windows(*slices).interim.window


def good(count: int, first: int = 0) -> list[Slice]:
    return [a_slice(first + index) for index in range(count)]


def test_forty_eight_good_slices_in_a_row_complete_the_window() -> None:
    assert interim(*good(47)).completed_at is None
    found = interim(*good(48))
    assert (found.current, found.longest, found.completed_at) == (48, 48, NOON + 48 * HOUR)


def test_a_failing_slice_begins_the_window_anew_at_its_end() -> None:
    found = interim(*good(47), a_slice(47, FAIL), *good(3, 48))
    assert (found.current, found.longest, found.completed_at) == (3, 47, None)
    (reset,) = found.resets
    assert (reset.at, reset.objective, reset.why) == (NOON + 48 * HOUR, "error_rate", "fail here")


def test_a_night_without_traffic_completes_the_window_later() -> None:
    night = [a_slice(20 + index, IDLE) for index in range(8)]
    slices = [*good(20), *night, *good(28, 28)]
    assert interim(*slices[:-1]).completed_at is None
    assert interim(*slices).completed_at == NOON + (48 + 8) * HOUR


def test_twenty_four_idle_slices_are_within_the_budget_and_the_twenty_fifth_is_not() -> None:
    within = interim(*good(10), *[a_slice(10 + index, IDLE) for index in range(24)])
    assert (within.current, within.idle, within.resets) == (10, 24, ())
    beyond = interim(*good(10), *[a_slice(10 + index, IDLE) for index in range(25)])
    assert (beyond.current, beyond.idle) == (0, 0)
    assert [reset.at for reset in beyond.resets] == [NOON + 35 * HOUR]


def test_half_an_hour_of_unmeasured_slots_in_a_row_is_within_max_gap_and_one_slot_more_is_not() -> None:
    assert interim(*good(5), a_slice(5, UNKNOWN, ((10, 69),))).resets == ()
    (reset,) = interim(*good(5), a_slice(5, UNKNOWN, ((10, 70),))).resets
    assert reset.at == NOON + 6 * HOUR
    assert "max_gap" in reset.why


def test_a_gap_is_counted_across_the_border_of_two_slices() -> None:
    halves = a_slice(5, UNKNOWN, ((91, 120),)), a_slice(6, UNKNOWN, ((1, 31),))
    (reset,) = interim(*good(5), *halves).resets
    assert reset.at == NOON + 7 * HOUR
    apart = a_slice(5, UNKNOWN, ((91, 119),)), a_slice(6, UNKNOWN, ((1, 31),))
    assert interim(*good(5), *apart).resets == ()


def test_a_gap_over_many_slices_resets_once() -> None:
    outage = [a_slice(5 + index, UNKNOWN, ((1, 120),)) for index in range(6)]
    found = interim(*good(5), *outage, *good(2, 11))
    assert len(found.resets) == 1
    assert found.current == 2


def test_a_gap_does_not_reach_across_a_failing_slice() -> None:
    """Hours apart, two quarters of an hour are not half an hour in a row."""
    slices = a_slice(0, UNKNOWN, ((71, 120),)), a_slice(1, FAIL), a_slice(2, UNKNOWN, ((1, 20),))
    assert interim(*slices).gap == 20


def test_five_percent_of_the_window_may_be_unmeasured_in_all() -> None:
    """5 % of 48 h are 288 slots; no single gap here is longer than max_gap."""
    gaps = [a_slice(2 * index + 1, UNKNOWN, ((1, 48),)) for index in range(6)]
    slices = [item for index, gap in enumerate(gaps) for item in (a_slice(2 * index), gap)]
    assert interim(*slices).gap == 288
    assert interim(*slices).resets == ()
    (reset,) = interim(*slices, a_slice(12), a_slice(13, UNKNOWN, ((5, 11),))).resets
    assert reset.at == NOON + 14 * HOUR
    assert "5%" in reset.why


def test_unmeasured_slots_of_passing_slices_are_not_counted() -> None:
    found = interim(*[a_slice(index, PASS, ((1, 6),)) for index in range(40)])
    assert (found.gap, found.current) == (0, 40)


def test_resets_at_zero_progress_are_not_recorded() -> None:
    nothing = interim(
        a_slice(0, FAIL),
        a_slice(1, UNKNOWN, ((1, 120),)),
        *[a_slice(2 + index, IDLE) for index in range(30)],
        a_slice(32, FAIL, (), (breach_at(NOON + 32 * HOUR + 60),)),
    )
    assert nothing.resets == ()


def test_a_breach_resets_at_once_and_is_one_reset_with_its_slice() -> None:
    both = windows(*good(5))
    breach = breach_at(NOON + 5 * HOUR + 600)
    both.break_at(breach, rolled_back=False)
    assert both.interim.window.current == 0
    both.add(a_slice(5, FAIL, (), (breach,)))
    both.add(a_slice(6))
    assert [(reset.at, reset.objective) for reset in both.interim.window.resets] == [(breach.at, "error_rate")]
    assert both.interim.window.current == 1


def test_a_failing_slice_with_a_breach_is_stamped_at_the_breach() -> None:
    breach = breach_at(NOON + 5 * HOUR + 600)
    (reset,) = interim(*good(5), a_slice(5, FAIL, (), (breach,))).resets
    assert reset.at == breach.at


@pytest.mark.parametrize("progress", [0, 5])
@pytest.mark.parametrize("rolled_back", [True, False])
def test_a_breach_in_the_last_slot_of_a_slice_is_recorded_once(progress: int, *, rolled_back: bool) -> None:
    """The slice closes in the same slot in which the breach is found."""
    breach = breach_at(NOON + (progress + 1) * HOUR)
    both = windows(*good(progress), a_slice(progress, FAIL, (), (breach,)))
    both.break_at(breach, rolled_back=rolled_back)
    recorded = [reset.at for reset in both.interim.window.resets]
    assert recorded == ([breach.at] if progress or rolled_back else [])


def test_a_rollbacks_breach_is_recorded_even_at_zero_progress() -> None:
    both = windows()
    both.break_at(breach_at(NOON + 600), rolled_back=True)
    assert [reset.at for reset in both.interim.window.resets] == [NOON + 600]


def test_a_rollbacks_breach_is_recorded_even_after_another_breach_in_its_slice() -> None:
    both = windows(*good(2))
    both.break_at(breach_at(NOON + 2 * HOUR + 600, "latency_p95"), rolled_back=False)
    both.break_at(breach_at(NOON + 2 * HOUR + 900), rolled_back=True)
    assert [(reset.at, reset.objective) for reset in both.interim.window.resets] == [
        (NOON + 2 * HOUR + 600, "latency_p95"),
        (NOON + 2 * HOUR + 900, "error_rate"),
    ]


def test_a_breach_told_after_its_slice_was_folded_takes_nothing_from_what_was_earned_since() -> None:
    """A back-filled stretch is folded whole before its breaches are acted on."""
    breach = breach_at(NOON + 5 * HOUR + 600)
    both = windows(*good(5), a_slice(5, FAIL, (), (breach,)), *good(3, 6))
    both.break_at(breach, rolled_back=False)
    assert both.interim.window.current == 3
    assert [reset.at for reset in both.interim.window.resets] == [breach.at]


def test_the_interim_window_keeps_its_completion_and_the_final_one_does_not() -> None:
    both = windows(*good(48), a_slice(48, FAIL))
    assert both.interim.window.completed_at == NOON + 48 * HOUR
    assert both.interim.window.current == 0
    assert both.final.window.completed_at is None


def test_the_final_window_counts_only_slices_wholly_at_the_last_exposure() -> None:
    ramping = [a_slice(index, exposure=float(index)) for index in range(20)]
    both = windows(*ramping, a_slice(20, exposure=None), *good(48, 21))
    assert both.interim.window.completed_at == NOON + 48 * HOUR
    assert (both.final.window.current, both.final.window.completed_at) == (48, NOON + 69 * HOUR)


def test_a_slice_at_another_exposure_begins_the_final_window_anew() -> None:
    both = windows(*good(30), a_slice(30, exposure=50.0), *good(3, 31))
    assert both.interim.window.current == 34
    assert both.final.window.current == 3


# --- pool: window ---------------------------------------------------------------------------------------------------


def probes(*lines: str) -> Rollout:
    return rollout(event("availability", "pool: window", *lines, target="at_least: 99.9%"))


def probed(watched: Rollout, counts: list[tuple[float, float]], first: int = 0) -> Windows:
    both = Windows(watched)
    for index, (bad, total) in enumerate(counts, first):
        part = judge(watched.objectives[0], FULL, pooled(bad, total), None)
        both.add(replace(a_slice(index), objectives=(part,), verdict=combine([part.verdict])))
    return both


def test_one_failed_probe_does_not_fail_its_hour() -> None:
    assert probed(probes(), [(1, 240)]).interim.window.current == 1


def test_a_slice_fails_when_the_whole_windows_budget_is_spent() -> None:
    """0.1 % of 48 * 240 probes are 11.52 of them."""
    within = [(1.0, 240.0)] * 11 + [(0.0, 240.0)] * 10
    assert probed(probes(), within).interim.window.current == 21
    spent = probed(probes(), [*within, (1.0, 240.0)]).interim.window
    assert (spent.current, len(spent.resets)) == (0, 1)
    assert spent.resets[0].objective == "availability"


def test_the_budget_is_whole_again_after_a_reset() -> None:
    found = probed(probes(), [(0, 240), (12, 240), (11, 240), (0, 240)]).interim.window
    assert (found.current, len(found.resets)) == (2, 1)


def test_the_budget_follows_the_observed_rate() -> None:
    """Half the probes, half the budget: 5.76."""
    assert probed(probes(), [(0, 120), (5, 120)]).interim.window.current == 2
    assert probed(probes(), [(0, 120), (6, 120)]).interim.window.current == 0


def test_a_pool_equal_to_its_budget_is_spent_for_a_strict_target_only() -> None:
    strict = rollout(event("availability", "pool: window", target="above: 99.9%"))
    for watched, current in ((probes(), 1), (strict, 0)):
        assert probed(watched, [(12, 250)]).interim.window.current == current  # 48 * 250 * 0.1 % = 12


def test_a_pool_is_idle_at_zero_events_or_where_a_full_window_would_have_too_few() -> None:
    assert probed(probes(), [(0, 0)]).interim.window.idle == 1
    assert probed(probes("min_slice_events: 480"), [(0, 10)]).interim.window.current == 1
    assert probed(probes("min_slice_events: 481"), [(0, 10)]).interim.window.idle == 1


def test_a_recorded_slice_is_judged_by_each_window_for_itself() -> None:
    """The interim window has spent its budget, the younger final one has not: also after folding recorded slices."""
    watched = probes()
    both = Windows(watched)
    recorded = []
    for index, bad in enumerate([8, 2, 0, 2, 0]):
        part = judge(watched.objectives[0], FULL, pooled(bad, 240), None)
        item = replace(a_slice(index, exposure=50.0 if index < 2 else 100.0), objectives=(part,))
        recorded.append(both.add(item))
    assert (both.interim.window.current, both.final.window.current) == (1, 3)
    anew = Windows(watched)
    for item in recorded:
        anew.add(item)
    assert anew.interim.window == both.interim.window
    assert anew.final.window == both.final.window


# --- a slow model of the whole rule ---------------------------------------------------------------------------------


@dataclass
class Model:
    """The window as semantics 6 words it: lists of slices, everything counted again at each slice."""

    required: int
    slots: int
    max_gap: int
    max_idle: int
    done: int | None = None
    longest: int = 0
    resets: list[int] = field(default_factory=list)
    members: list[tuple[int, str, frozenset[int]]] = field(default_factory=list)
    """The slices since the window began, or was last completed: (number, verdict, unmeasured slots counted from 0)."""
    carried: list[tuple[int, str, frozenset[int]]] = field(default_factory=list)
    """Those before a reset, as far as a gap may reach back into them."""
    earlier: int = 0

    @property
    def current(self) -> int:
        return self.earlier + sum(verdict == "pass" for _, verdict, _ in self.members)

    @property
    def gap(self) -> int:
        return sum(len(missing) for _, verdict, missing in self.members if verdict == "unknown")

    @property
    def idle(self) -> int:
        return sum(verdict == "idle" for _, verdict, _ in self.members)

    def longest_gap_in(self, number: int) -> int:
        """The longest run of slots that touches slice `number`, through unknown slices next to it only."""
        every = {n: (verdict, missing) for n, verdict, missing in (*self.carried, *self.members)}
        first = number
        while first - 1 in every and every[first - 1][0] == "unknown":
            first -= 1
        missing = sorted(slot for n in range(first, number + 1) for slot in every[n][1])
        longest, run, before = 0, 0, None
        for slot in missing:
            run = run + 1 if before is not None and slot == before + 1 else 1
            before = slot
            if slot >= number * self.slots:
                longest = max(longest, run)
        return longest

    def add(self, number: int, verdict: str, missing: frozenset[int]) -> None:
        self.members.append((number, verdict, missing))
        spent = (
            verdict == "fail"
            or (verdict == "idle" and self.idle > self.max_idle)
            or (
                verdict == "unknown"
                and (self.longest_gap_in(number) > self.max_gap or self.gap > 0.05 * self.required * self.slots)
            )
        )
        self.longest = max(self.longest, self.current)
        if spent:
            if self.current:
                self.resets.append(number)
            self.carried, self.members, self.earlier = [*self.carried, *self.members], [], 0
        elif verdict == "pass" and self.current % self.required == 0:
            self.done = number if self.done is None else self.done
            self.earlier = self.current
            self.carried, self.members = [*self.carried, *self.members], []


SHORT = "{slices: 8, slice: 10m, max_gap: 2m, max_idle: 2}"
LENGTH, PER_SLICE = 600, 20


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, frozenset[int]]]:
    """Slices as (verdict, unmeasured slot numbers 0..19); unknown ones miss a few slots, others at most one."""
    found: list[tuple[str, frozenset[int]]] = []
    for _ in range(draw(st.integers(0, 30))):
        verdict = draw(st.sampled_from(["pass", "pass", "pass", "pass", "idle", "unknown", "unknown", "fail"]))
        runs = draw(st.lists(st.tuples(st.integers(0, 19), st.integers(1, 5)), max_size=3)) if verdict != "pass" else []
        missing = frozenset(slot for first, count in runs for slot in range(first, min(20, first + count)))
        found.append((verdict, missing))
    return found


def runs_of(missing: frozenset[int], end: int) -> tuple[tuple[int, int], ...]:
    start = end - LENGTH
    found: list[tuple[int, int]] = []
    for slot in sorted(missing):
        at = start + (slot + 1) * 30
        if found and at - found[-1][1] == 30:
            found[-1] = (found[-1][0], at)
        else:
            found.append((at, at))
    return tuple(found)


@given(histories())
@settings(max_examples=400, deadline=None)
def test_the_window_is_the_rule(history: list[tuple[str, frozenset[int]]]) -> None:
    watched = rollout(event(), window=SHORT)
    fold, model = Fold(watched), Model(8, PER_SLICE, 4, 2)
    for number, (verdict, missing) in enumerate(history):
        end = NOON + (number + 1) * LENGTH
        part = ObjectiveSlice("error_rate", SliceVerdict(verdict), 20, 0, 20, why=verdict)
        fold.add(Slice(end, SliceVerdict(verdict), (part,), runs_of(missing, end)))
        model.add(number, verdict, frozenset(number * PER_SLICE + slot for slot in missing))
        window = fold.window
        assert (window.current, window.longest, window.idle, window.gap) == (
            model.current,
            model.longest,
            model.idle,
            model.gap,
        )
        assert [reset.at for reset in window.resets] == [NOON + (n + 1) * LENGTH for n in model.resets]
        done = None if model.done is None else NOON + (model.done + 1) * LENGTH
        assert window.completed_at == done


@given(histories())
@settings(max_examples=100, deadline=None)
def test_a_window_is_only_ever_completed_by_enough_passing_slices(history: list[tuple[str, frozenset[int]]]) -> None:
    fold = Fold(rollout(event(), window=SHORT))
    passing = 0
    for number, (verdict, missing) in enumerate(history):
        end = NOON + (number + 1) * LENGTH
        part = ObjectiveSlice("error_rate", SliceVerdict(verdict), 20, 0, 20, why=verdict)
        fold.add(Slice(end, SliceVerdict(verdict), (part,), runs_of(missing, end)))
        passing = 0 if verdict == "fail" else passing + (verdict == "pass")
        assert fold.window.current <= passing
        if fold.window.completed_at == end:
            assert fold.window.current >= 8
