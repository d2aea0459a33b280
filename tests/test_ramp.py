"""The ramp's arithmetic: every strategy's steps, which one is next, and what was planned when."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rollouts import event, rollout
from watchdog.control import Control, overdue
from watchdog.model import Exposure, Hold, Phase, Ramp
from watchdog.ramp import above, next_step, planned, same, same_percent, schedule
from watchdog.rolloutfile import DaemonFacts

HOUR, DAY = 3600.0, 86_400.0


def ramp(text: str) -> Ramp:
    return rollout(event(), ramp=text).ramp


def percents(plan: Ramp) -> list[float]:
    return [step.exposure.percent for step in plan.steps]


def due(plan: Ramp) -> list[float]:
    return [at for at, _ in schedule(plan)][1:]


def test_progressive_takes_a_step_each_every_and_ends_exactly_at_to() -> None:
    plan = ramp("{strategy: progressive, from: 0, to: 100, over: 7d, every: 1h}")
    assert len(plan.steps) == 168
    assert percents(plan) == [round(100 * k / 168, 3) for k in range(1, 169)]
    assert percents(plan)[-1] == 100.0
    assert due(plan) == [k * HOUR for k in range(1, 169)]
    assert plan.seconds == 7 * DAY


@given(st.integers(0, 90), st.integers(1, 100), st.integers(1, 40), st.integers(30, 4000), st.integers(0, 29))
@settings(max_examples=60, deadline=None)
def test_percent_after_k_steps_is_the_formula(start: int, up: int, times: int, every: int, more: int) -> None:
    to, over = min(100, start + up), every * times + more
    plan = ramp(f"{{strategy: progressive, from: {start}, to: {to}, over: {over}s, every: {every}s}}")
    for k, step in enumerate(plan.steps, 1):
        exact = start + (to - start) * min(Fraction(1), Fraction(k * every, over))
        assert abs(exact - Fraction(step.exposure.percent)) < Fraction(1, 1000)  # to the finest that a plan keeps
        assert step.after == every
    assert percents(plan)[-1] == to
    assert percents(plan) == sorted(percents(plan))
    assert (len(plan.steps) - 1) * every < over <= len(plan.steps) * every


def test_a_last_step_that_every_does_not_divide_comes_a_whole_every_later() -> None:
    plan = ramp("{strategy: progressive, to: 100, over: 150m, every: 1h}")
    assert percents(plan) == [40.0, 80.0, 100.0]
    assert due(plan) == [HOUR, 2 * HOUR, 3 * HOUR]


def test_percentage_and_all_at_once_are_one_step_at_the_start() -> None:
    for text, to in (("{strategy: percentage, to: 25}", 25.0), ("{strategy: all_at_once}", 100.0)):
        plan = ramp(text)
        assert (percents(plan), due(plan), plan.to, plan.seconds) == ([to], [0.0], to, 0.0)


def test_explicit_steps_stay_as_long_as_they_say() -> None:
    plan = ramp("{steps: [{percent: 1, for: 1h}, {percent: 10, for: 1d}, {percent: 100}]}")
    assert schedule(plan) == [
        (0.0, Exposure(0.0)),
        (0.0, Exposure(1.0)),
        (HOUR, Exposure(10.0)),
        (HOUR + DAY, Exposure(100.0)),
    ]
    assert plan.to == 100.0


CANARY = "{strategy: canary, cohort: [qa-1, qa-2], cohort_for: 24h, to: 100, over: 4h, every: 1h}"


def test_canary_gives_the_cohort_a_head_start_and_keeps_it_exposed() -> None:
    plan = ramp(CANARY)
    assert schedule(plan) == [
        (0.0, Exposure(0.0)),
        (0.0, Exposure(0.0, cohort=True)),
        (DAY + HOUR, Exposure(25.0, cohort=True)),
        (DAY + 2 * HOUR, Exposure(50.0, cohort=True)),
        (DAY + 3 * HOUR, Exposure(75.0, cohort=True)),
        (DAY + 4 * HOUR, Exposure(100.0, cohort=True)),
    ]
    assert plan.cohort == ("qa-1", "qa-2")


PLANS = [
    "{strategy: progressive, from: 0, to: 100, over: 7d, every: 1h}",
    "{strategy: progressive, from: 5, to: 60, over: 1d, every: 7m}",
    "{strategy: percentage, to: 25}",
    "{strategy: all_at_once}",
    "{steps: [{percent: 1, for: 1h}, {percent: 10, for: 1d}, {percent: 100}]}",
    CANARY,
]


@pytest.mark.parametrize("text", PLANS)
def test_every_step_raises_exposure_and_following_the_plan_takes_each_once(text: str) -> None:
    plan = ramp(text)
    exposure, taken = Exposure(plan.start), []
    while (step := next_step(plan, exposure)) is not None:
        assert above(step.exposure, exposure, 0.001)
        exposure = step.exposure
        taken.append(step)
    assert tuple(taken) == plan.steps
    assert exposure.percent == plan.to


@pytest.mark.parametrize("text", PLANS)
def test_what_was_planned_is_the_schedule_without_waiting(text: str) -> None:
    plan = ramp(text)
    points = schedule(plan)
    for (at, exposure), (following, _) in zip(points, [*points[1:], (points[-1][0] + DAY, None)], strict=True):
        if at < following:
            assert planned(plan, at) == exposure
            assert planned(plan, (at + following) / 2) == exposure


@pytest.mark.parametrize(
    ("reading", "following"), [(0.0, 25.0), (10.0, 25.0), (25.0, 50.0), (25.1, 50.0), (99.9, 100.0), (100.0, None)]
)
def test_after_adopt_or_drift_the_next_step_is_the_first_planned_one_above_the_reading(
    reading: float, following: float | None
) -> None:
    step = next_step(ramp("{strategy: progressive, to: 100, over: 4h, every: 1h}"), Exposure(reading))
    assert (step.exposure.percent if step else None) == following


def test_a_canary_whose_cohort_was_taken_away_gets_it_back_first() -> None:
    step = next_step(ramp(CANARY), Exposure(0.0))
    assert step is not None
    assert step.exposure == Exposure(0.0, cohort=True)


@pytest.mark.parametrize(
    ("one", "other", "step", "equal"),
    [
        (10.0, 10.0004, 0.001, True),
        (10.0, 10.001, 0.001, False),
        (0.595, 1.0, 1.0, True),  # a service of whole percents
        (1.49, 1.51, 1.0, False),
        (0.1 + 0.2, 0.3, 0.001, True),
        (0.0, 0.001, 0.001, False),
        (99.999, 100.0, 0.001, False),
    ],
)
def test_percentages_compare_at_the_services_smallest_step(
    one: float, other: float, step: float, *, equal: bool
) -> None:
    assert same_percent(one, other, step) is equal
    assert same(Exposure(one), Exposure(other), step) is equal
    assert above(Exposure(other), Exposure(one), step) is not equal


def test_a_cohort_is_exposure_unless_everybody_is_exposed() -> None:
    assert above(Exposure(0.0, cohort=True), Exposure(0.0), 0.001)
    assert not above(Exposure(0.0), Exposure(0.0, cohort=True), 0.001)
    assert same(Exposure(100.0), Exposure(100.0, cohort=True), 0.001)
    assert not same(Exposure(50.0), Exposure(50.0, cohort=True), 0.001)


@given(
    p=st.floats(0, 100),
    q=st.floats(0, 100),
    c=st.booleans(),
    d=st.booleans(),
    step=st.sampled_from([0.001, 0.1, 1.0]),
)
def test_two_exposures_are_the_same_or_one_is_above_the_other_or_they_trade_cohort_for_percent(
    p: float,
    q: float,
    *,
    c: bool,
    d: bool,
    step: float,
) -> None:
    one, other = Exposure(p, c), Exposure(q, d)
    if same(one, other, step):
        assert same(other, one, step)
        assert not above(one, other, step)
        assert not above(other, one, step)
    else:
        assert above(one, other, step) or above(other, one, step)


RINGS = (
    "{steps: [{audience: internal, for: 1d}, {audience: [beta, eu], for: 2d}, {audience: us, percent: 10, for: 1h}, "
    "{percent: 100}]}"
)
TEAMS = DaemonFacts(audiences=frozenset({"internal", "beta", "eu", "us"}))


def rings(text: str = RINGS, facts: DaemonFacts = TEAMS) -> Ramp:
    return rollout(event(), ramp=text, daemon=facts).ramp


def test_rings_add_audiences_and_whoever_has_the_feature_keeps_it() -> None:
    plan = rings()
    assert schedule(plan) == [
        (0.0, Exposure(0.0)),
        (0.0, Exposure(0.0, audiences=("internal",))),
        (DAY, Exposure(0.0, audiences=("beta", "eu", "internal"))),
        (3 * DAY, Exposure(10.0, audiences=("beta", "eu", "internal", "us"))),
        (3 * DAY + HOUR, Exposure(100.0, audiences=("beta", "eu", "internal", "us"))),
    ]
    assert (plan.start, plan.to, plan.seconds) == (0.0, 100.0, 3 * DAY + HOUR)


def test_following_the_rings_takes_each_once() -> None:
    plan, exposure, taken = rings(), Exposure(0.0), []
    while (step := next_step(plan, exposure)) is not None:
        assert above(step.exposure, exposure, 0.001)
        exposure = step.exposure
        taken.append(step)
    assert tuple(taken) == plan.steps


def test_percentages_are_rounded_down_to_what_the_service_serves_and_empty_steps_are_left_out() -> None:
    whole = DaemonFacts(smallest_step=1.0)
    plan = rings(
        "{steps: [{percent: 0.5, for: 1h}, {percent: 1.9, for: 2h}, {percent: 2, for: 1d}, {percent: 3}]}", whole
    )
    assert schedule(plan) == [
        (0.0, Exposure(0.0)),
        (HOUR, Exposure(1.0)),
        (3 * HOUR, Exposure(2.0)),
        (27 * HOUR, Exposure(3.0)),
    ]
    assert plan.seconds == 27 * HOUR

    daily = rings("{strategy: progressive, over: 7d, every: 1h}", whole)
    assert percents(daily) == [float(percent) for percent in range(1, 101)]
    assert due(daily)[-1] == 7 * DAY
    assert all(at >= percent / 100 * 7 * DAY - 1 for at, percent in zip(due(daily), percents(daily), strict=True))


def test_the_cohorts_first_step_stays_when_percentages_are_coarse() -> None:
    assert percents(rings(CANARY, DaemonFacts(smallest_step=1.0))) == [0.0, 25.0, 50.0, 75.0, 100.0]


def test_a_step_is_overdue_from_its_time_on_unless_the_ramp_is_held_or_over() -> None:
    plan = ramp("{strategy: progressive, to: 100, over: 4h, every: 1h}")
    control = Control(phase=Phase.RAMPING, started_at=0, desired=Exposure(25.0), last_step_at=3600)
    assert [overdue(plan, control, slot) for slot in (None, 3600, 7200, 7230, 10800)] == [0, 0, 0, 30, 3600]
    held = replace(control, hold=Hold("operator", "alice", 7200, "a look"))
    assert overdue(plan, held, 10800) == 0
    assert overdue(plan, replace(control, desired=Exposure(100.0)), 10800) == 0
    assert overdue(plan, replace(control, phase=Phase.SOAKING), 10800) == 0
