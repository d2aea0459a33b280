"""The smallest regression that is found in time, against regressions that are made anew, event by event."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rollouts import COHORTS, NOON, event, rollout, split
from watchdog import detect
from watchdog.feasibility.detectable import Chances, Traffic, draw, smallest, steps_within, thinned, traffic
from watchdog.feasibility.regressions import exposures
from watchdog.model import Measurement, Objective, Reason, Rollout

RULE = rollout(event(), split(), cohorts=COHORTS)
POOLED, SPLIT = RULE.objectives
STEPS = 58
"""Whole steps of a minute that are judged within an hour, at an interval and a delay of 30 s."""


def steady(events: float, share: float = 0.0002, steps: int = 2000) -> Traffic:
    return Traffic((events,) * steps, share)


def found(rule: Rollout, objective: Objective, events: int, share: float, runs: int = 150, steps: int = STEPS) -> float:
    """The share of regressions that the detector finds, each request failing or not by a chance of its own."""
    random, tuning, count = Random(5), detect.tuning(rule, objective), 0
    for _ in range(runs):
        state = detect.State()
        for at in range(60 + steps):
            failing = 0.0002 if at < 60 else share
            bad = float(sum(random.random() < failing for _ in range(events)))
            outcome = detect.fold(tuning, state, detect.Step(at, failed=False, bad=bad, total=float(events)))
            state = outcome.state
            if outcome.alarm:
                count += at >= 60
                break
    return count / runs


@pytest.mark.parametrize("events", [30, 300])
def test_what_is_said_to_be_found_in_80_of_100_cases_is(events: int) -> None:
    share = smallest(RULE, POOLED, steady(events), STEPS, Chances(Random(1)))
    assert share is not None
    assert 0.7 <= found(RULE, POOLED, events, share) <= 0.95
    assert found(RULE, POOLED, events, share / 1.5) < 0.6


def test_more_traffic_and_more_time_find_smaller_regressions() -> None:
    chances = Chances(Random(1))
    in_an_hour = [smallest(RULE, POOLED, steady(events), STEPS, chances) or 1.0 for events in (3, 30, 300, 3000)]
    assert in_an_hour == sorted(in_an_hour, reverse=True)
    assert (smallest(RULE, POOLED, steady(300), 8, chances) or 1.0) > in_an_hour[2]


def test_the_figures_of_the_design_come_out_again() -> None:
    """50 requests a second, allowed 0.1 %: pooled at 1 % needs some 15 % of the exposed to fail, split some 1 %."""
    chances, busy = Chances(Random(1)), steady(3000, 0.0005)
    pooled = thinned(smallest(RULE, POOLED, busy, STEPS, chances), busy.share, 0.01)
    alone = smallest(RULE, SPLIT, busy, STEPS, chances, exposure=0.01, split=True)
    assert pooled is not None
    assert alone is not None
    assert 0.1 < pooled < 0.3
    assert 0.007 < alone < 0.02


def test_an_exposure_of_one_in_a_hundred_of_a_few_requests_shows_nothing() -> None:
    chances = Chances(Random(1))
    assert smallest(RULE, SPLIT, steady(3), STEPS, chances, exposure=0.01, split=True) is None
    assert smallest(RULE, POOLED, steady(3000), 0, chances) is None, "no whole step fits"
    assert thinned(0.05, 0.0, 0.01) is None, "not even if all of them fail"
    assert thinned(None, 0.0, 1.0) is None


def test_steps_of_which_nothing_is_known_find_nothing() -> None:
    assert smallest(RULE, POOLED, Traffic((None,) * 500, 0.0), STEPS, Chances(Random(1))) is None


def test_only_whole_steps_after_the_onset_count_and_only_once_they_are_judged() -> None:
    assert steps_within(RULE, POOLED, 600.0) == 8
    assert steps_within(RULE, POOLED, 3600.0) == STEPS
    assert steps_within(RULE, POOLED, 60.0) == 0


def test_traffic_is_taken_from_known_steps_only() -> None:
    steps = [
        Measurement(NOON, bad=1.0, total=100.0),
        Measurement(NOON + 60, reason=Reason.NO_DATA),
        Measurement(NOON + 120, bad=0.0, total=300.0),
        Measurement(NOON + 180, silent=True),
    ]
    seen = traffic(steps)
    assert seen.totals == (100.0, None, 300.0, None)
    assert seen.share == pytest.approx(1 / 400)
    assert seen.typical == 300.0
    assert traffic([]).typical == 0.0


@given(st.floats(0, 2000), st.floats(0, 1), st.floats(0, 1), st.floats(-4, 4))
@settings(deadline=None)
def test_a_larger_share_never_draws_fewer_events(most: float, one: float, other: float, z: float) -> None:
    low, high = sorted((one, other))
    fewer, more = draw(most * low, most, z), draw(most * high, most, z)
    assert 0.0 <= fewer <= most
    # Where the normal takes over from the binomial the two may disagree by an event.
    assert fewer <= more + 1.5


@pytest.mark.parametrize(("mean", "most"), [(0.3, 3.0), (4.0, 3000.0), (25.0, 100.0), (200.0, 3000.0), (29.0, 30.0)])
def test_drawn_numbers_have_the_mean_and_variance_of_a_binomial(mean: float, most: float) -> None:
    random = Random(3)
    drawn = [draw(mean, most, random.gauss(0.0, 1.0)) for _ in range(8000)]
    found_mean = math.fsum(drawn) / len(drawn)
    variance = math.fsum((number - found_mean) ** 2 for number in drawn) / len(drawn)
    assert found_mean == pytest.approx(mean, rel=0.05)
    assert variance == pytest.approx(mean * (1.0 - mean / most), rel=0.12)


def test_a_long_ramp_is_looked_at_where_people_ask_and_a_short_one_everywhere() -> None:
    long = rollout(event())
    assert [round(percent, 1) for percent, _ in exposures(long)] == [1.2, 4.8, 10.1, 50.0, 100.0]
    fine = rollout(event(), ramp="{strategy: progressive, over: 10d, every: 30m}")
    assert exposures(fine)[0][0] == pytest.approx(0.208)
    steps = "{steps: [{percent: 5, for: 1h}, {percent: 20, for: 2h}, {percent: 100}]}"
    short = rollout(event(), ramp=steps)
    assert [percent for percent, _ in exposures(short)] == [5.0, 20.0, 100.0]
