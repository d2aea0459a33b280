"""The comparison of two cohorts: exact chances, what they conclude, and how often that can be wrong."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from fractions import Fraction
from math import comb

import pytest

from tests.rollouts import COHORTS, event, rollout, split
from watchdog import detect
from watchdog.attribution import ALPHA, BETA, WORSE, again, at_least, at_most, attribute, level, patience, unanswered
from watchdog.model import Attribution, Blame, Confirm, Counts

ALLOWED = 0.001


def step(at: int, bad: float = 0.0, total: float = 3000.0, *, fails: bool = False) -> detect.Step:
    return detect.Step(at, fails, bad, total)


def compared(exposed: tuple[int, int], control: tuple[int, int], *, number: int = 1) -> Attribution:
    counts = {"exposed": Counts(*exposed), "control": Counts(*control)}
    return attribute("error_rate", 600, number=number, first=300, last=600, steps=5, allowed=ALLOWED, **counts)


def exactly(bad: int, total: int, share: Fraction) -> Fraction:
    """The chance of `bad` or more, as a fraction."""
    return sum(
        (comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(max(bad, 0), total + 1)), Fraction()
    )


# --- the chances ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [Fraction(*share) for share in ((1, 1000), (1, 100), (1, 3), (1, 2), (9, 10))])
def test_every_chance_of_up_to_forty_events_is_exact(share: Fraction) -> None:
    for total in range(41):
        for bad in range(-1, total + 2):
            wanted = float(exactly(bad, total, share))
            assert math.isclose(at_least(bad, total, float(share)), wanted, rel_tol=1e-10, abs_tol=1e-15), (bad, total)


def test_at_most_is_the_other_side_of_at_least() -> None:
    for bad in range(31):
        wanted = float(1 - exactly(bad + 1, 30, Fraction(1, 5)))
        assert math.isclose(at_most(bad, 30, 0.2), wanted, rel_tol=1e-9, abs_tol=1e-12), bad


def test_a_share_of_nothing_or_of_all_leaves_no_doubt() -> None:
    assert (at_least(0, 10, 0.0), at_least(1, 10, 0.0)) == (1.0, 0.0)
    assert (at_least(10, 10, 1.0), at_least(11, 10, 1.0)) == (1.0, 0.0)


@pytest.mark.parametrize("share", [1e-6, 0.01, 0.5, 0.999])
def test_ten_million_events_are_as_exact_as_the_normal_law_is_near(share: float) -> None:
    total = 10_000_000
    mean, deviation = total * share, math.sqrt(total * share * (1 - share))
    for away in (-3.0, -1.0, 1.0, 3.0):
        bad = round(mean + away * deviation)
        expected = 0.5 * math.erfc((bad - 0.5 - mean) / deviation / math.sqrt(2))
        # The skewness of the law bounds how near the normal one comes.
        assert math.isclose(at_least(bad, total, share), expected, abs_tol=0.6 * abs(1 - 2 * share) / deviation + 1e-6)
    chances = [at_least(round(mean + away * deviation), total, share) for away in range(-6, 7)]
    assert chances == sorted(chances, reverse=True)
    assert all(0.0 <= chance <= 1.0 for chance in chances)


def test_a_chance_too_small_for_a_float_is_none_at_all() -> None:
    assert at_least(9_000_000, 10_000_000, 0.01) == 0.0


# --- what is concluded ----------------------------------------------------------------------------------------------


def test_a_flag_that_fails_where_the_control_does_not_is_the_cause() -> None:
    found = compared((150, 3000), (30, 60000))
    assert found.verdict is Blame.FLAG
    assert "who has the feature fails more often" in found.why
    assert "5% (150 of 3000)" in found.why


def test_a_flag_that_makes_a_shared_failure_worse_is_the_cause_too() -> None:
    assert compared((300, 3000), (3000, 60000)).verdict is Blame.FLAG


def test_where_both_fail_alike_the_flag_is_probably_not_the_cause() -> None:
    found = compared((150, 3000), (3000, 60000))
    assert found.verdict is Blame.SHARED
    assert "both cohorts fail: the flag is probably not the cause" in found.why


def test_a_control_that_keeps_its_objective_shares_no_cause() -> None:
    found = compared((3, 900), (2, 900))
    assert found.verdict is Blame.UNKNOWN
    assert "the control is not seen to break the objective" in found.why


def test_too_few_failures_tell_nothing_even_where_the_control_fails() -> None:
    found = compared((3, 20), (100, 2000))
    assert found.verdict is Blame.UNKNOWN
    assert "too few failures" in found.why


@pytest.mark.parametrize(
    ("exposed", "control", "words"),
    [
        ((0, 0), (100, 2000), "nobody was seen in the exposed cohort"),
        ((10, 100), (0, 0), "nobody was seen in the control cohort"),
        ((0, 100), (0, 100), "nothing failed"),
    ],
)
def test_where_nobody_came_or_nothing_failed_nothing_is_concluded(
    exposed: tuple[int, int], control: tuple[int, int], words: str
) -> None:
    found = compared(exposed, control)
    assert found.verdict is Blame.UNKNOWN
    assert words in found.why


def test_counts_that_cannot_be_are_taken_for_the_nearest_that_can() -> None:
    assert compared((120, 100), (-3, 100)).verdict is Blame.FLAG
    assert compared((5, -1), (5, 100)).verdict is Blame.UNKNOWN


def test_every_pair_of_small_cohorts_gets_exactly_one_verdict_by_its_chances() -> None:
    for exposed_bad in range(0, 31, 3):
        for control_bad in range(0, 301, 20):
            found = compared((exposed_bad, 30), (control_bad, 300))
            if found.p_value is None:
                assert (exposed_bad, control_bad, found.verdict) == (0, 0, Blame.UNKNOWN)
                continue
            assert found.p_control is not None
            assert found.p_worse is not None
            alike = found.p_control <= ALPHA and found.p_worse <= BETA
            wanted = Blame.FLAG if found.p_value <= ALPHA / 2 else Blame.SHARED if alike else Blame.UNKNOWN
            assert found.verdict is wanted


def test_more_failures_of_the_exposed_never_speak_for_the_flag() -> None:
    order = [Blame.SHARED, Blame.UNKNOWN, Blame.FLAG]
    seen = [compared((bad, 200), (100, 2000)).verdict for bad in range(60)]
    ranks = [order.index(verdict) for verdict in seen]
    assert ranks == sorted(ranks)
    assert set(seen) == set(order)


def test_a_recorded_comparison_can_be_made_again_and_a_forged_one_differs() -> None:
    found = compared((150, 3000), (3000, 60000), number=3)
    assert again(found) == found
    assert again(replace(found, verdict=Blame.FLAG)) != replace(found, verdict=Blame.FLAG)
    assert again(replace(found, control=Counts(30, 60000))).verdict is Blame.FLAG


def test_what_was_not_answered_says_why() -> None:
    found = unanswered("error_rate", 600, 660, 2, ALLOWED, "connection refused")
    assert (found.verdict, found.why, found.number) == (Blame.UNKNOWN, "connection refused", 2)


# --- which steps a breach rests on ----------------------------------------------------------------------------------


def test_a_sequential_breach_rests_on_the_steps_since_things_went_wrong() -> None:
    rule = rollout(split(), cohorts=COHORTS)
    tuning = detect.tuning(rule, rule.objectives[0])
    steps = [step(60 * k, 1.0) for k in range(1, 101)]
    burst = [step(60 * k, 150.0) for k in range(101, 105)]
    assert detect.evidence(tuning, [*steps, *burst]) == (6120, 6180, 6240)
    assert detect.evidence(tuning, steps) == ()
    assert detect.evidence(tuning, []) == ()


def test_a_step_to_which_nobody_came_is_no_evidence() -> None:
    rule = rollout(split(), cohorts=COHORTS)
    tuning = detect.tuning(rule, rule.objectives[0])
    steps = [step(60, 150.0), step(120, total=0.0), step(180, 150.0)]
    assert detect.evidence(tuning, steps) == (60, 180)


def test_a_confirmed_breach_rests_on_the_steps_that_failed() -> None:
    rule = rollout(split("a", "confirm: 2 of 4"), cohorts=COHORTS)
    tuning = detect.tuning(rule, rule.objectives[0])
    failed = (False, True, False, True)
    steps = [step(60 * k, 5.0, 100.0, fails=fails) for k, fails in enumerate(failed, 1)]
    assert detect.evidence(tuning, steps) == (120, 240)


# --- how often it can be wrong --------------------------------------------------------------------------------------


def test_however_often_a_breach_is_looked_at_the_chance_of_a_wrong_blame_stays_within_alpha() -> None:
    assert level(1) == ALPHA / 2
    assert math.isclose(sum(level(number) for number in range(1, 100_000)), ALPHA, rel_tol=1e-4)


def flips(share: float, of: int, chance: random.Random) -> int:
    return sum(chance.random() < share for _ in range(of))


def test_simulated_shared_failures_are_blamed_on_the_flag_no_more_often_than_alpha_allows() -> None:
    chance = random.Random(20_26)
    rounds = 3000
    blamed = 0
    for _ in range(rounds):
        bad = 40 + chance.randrange(40)
        among_exposed = flips(0.2, bad, chance)
        found = compared((among_exposed, 2000), (bad - among_exposed, 8000))
        blamed += found.verdict is Blame.FLAG
    assert blamed <= rounds * level(1) + 4 * math.sqrt(rounds * level(1))


def test_simulated_flags_at_fault_are_excused_no_more_often_than_beta_allows() -> None:
    chance = random.Random(20_27)
    rounds, excused = 2000, 0
    worse = WORSE * 0.5 / (0.5 + WORSE * 0.5)
    for _ in range(rounds):
        among_exposed = flips(worse, 60, chance)
        found = compared((among_exposed, 500), (60 - among_exposed, 500))
        excused += found.verdict is Blame.SHARED
    assert excused <= rounds * BETA + 4 * math.sqrt(rounds * BETA)


# --- how long it is believed ----------------------------------------------------------------------------------------


def test_what_is_looked_at_and_believed_fits_into_the_time_that_a_rollback_has() -> None:
    for within in ("5m", "10m", "15m", "1h"):
        rule = rollout(split(), cohorts=COHORTS, rollback=f"{{within: {within}}}")
        detector = rule.objectives[0].detector
        steps = patience(rule, detector)
        needed = rule.interval + rule.delay + rule.tick_deadline + rule.write_timeout + rule.scrape_interval
        assert (2 * steps + 1) * detector.every + needed <= rule.rollback.within
        assert (2 * steps + 3) * detector.every + needed > rule.rollback.within


def test_where_there_is_no_time_nothing_is_believed() -> None:
    rule = rollout(split(), cohorts=COHORTS, rollback="{within: 3m}")
    assert patience(rule, rule.objectives[0].detector) == 0
    assert patience(rule, Confirm(300)) == 0


def test_only_event_objectives_that_are_split_have_a_control_to_be_compared_with() -> None:
    rule = rollout(split("a"), event("b"), cohorts=COHORTS)
    assert [rule.compares(objective) for objective in rule.objectives] == [True, False]
    alone = rollout(split("a"), cohorts="{exposed: 'variant=\"on\"'}")
    assert not alone.compares(alone.objectives[0])
