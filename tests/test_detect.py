"""The detectors, against a reference written from the formula, and against their promises."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rollouts import NOON, event, internal, rollout, value
from watchdog.detect import NEVER, State, Step, Tuning, emptied, fold, reach, step_of, tuning
from watchdog.model import Confirm, Measurement, Rollout, Sequential

FOUR = [event(f"o{n}") for n in range(4)]
"""Four objectives that roll back share 1 %: alpha is 0.25 %."""


def tuned(*lines: str, target: str = "at_most: 0.1%") -> Tuning:
    watched = rollout(event("error_rate", *lines, target=target), *FOUR[1:])
    return tuning(watched, watched.objectives[0])


def counts(bad: float, total: float, at: int = NOON) -> Step:
    return Step(at, False, bad, total)  # noqa: FBT003


Counts = list[tuple[float, float]]


def reference(steps: Counts, p0: float, alpha: float, planned: int, above: float = 1.5) -> list[float]:
    """The mean of R_t over the bets after each step, in exact arithmetic, straight from the formula."""
    p = Fraction(above) * Fraction(p0)
    m = Fraction(3, 10) / p
    bets = [Fraction(text) / p for text in ("0.02", "0.05", "0.1", "0.2", "0.5", "0.9")]
    r, t, statistics = [Fraction(0)] * 6, 0, []
    for bad, total in steps:
        if total > 0:
            t += 1
            clipped = min(max(Fraction(bad), Fraction(0)), Fraction(total))
            y = (clipped - p * Fraction(total)) / max(Fraction(total), m)
            w = Fraction(planned) / ((planned + t - 1) * (planned + t))
            r = [(old + w) * (1 + bet * y) for old, bet in zip(r, bets, strict=True)]
        statistics.append(float(sum(r) / 6))
    return statistics


def folded(tune: Tuning, steps: Counts, state: State | None = None) -> list[float]:
    state, statistics = state or State(), []
    for bad, total in steps:
        outcome = fold(tune, state, counts(bad, total))
        state = outcome.state
        statistics.append(outcome.statistic)
    return statistics


# --- sequential -----------------------------------------------------------------------------------------------------


def test_the_constants_are_those_of_the_semantics() -> None:
    tune = tuned()
    assert tune.p == pytest.approx(0.0015)
    assert tune.floor == pytest.approx(200.0)
    assert tune.threshold == pytest.approx(400.0)
    assert tune.planned == 12_960  # 7 + 2 days of minutes
    assert [bet * tune.p for bet in tune.bets] == pytest.approx([0.02, 0.05, 0.1, 0.2, 0.5, 0.9])


def test_alpha_is_shared_among_all_objectives_that_roll_back_whatever_their_detector() -> None:
    assert rollout(event()).alpha == pytest.approx(0.01)
    both = rollout(event(), value(), event("other", "on_breach: page"), event("third", "on_breach: hold"), internal())
    assert both.alpha == pytest.approx(0.005)
    assert rollout(event("error_rate", "on_breach: page")).alpha == pytest.approx(0.01)
    assert rollout(*FOUR, false_rollback="4%").alpha == pytest.approx(0.01)


def test_planned_steps_count_ramp_and_window_in_the_detectors_own_steps() -> None:
    slow = rollout(event("error_rate", "sequential: {every: 5m, rollback_above: 2}"))
    tune = tuning(slow, slow.objectives[0])
    assert tune.planned == 12_960 / 5
    assert tune.p == pytest.approx(0.002)


STEPS = st.lists(
    st.tuples(
        st.one_of(st.just(0.0), st.floats(-2, 4000, width=32)), st.one_of(st.just(0.0), st.floats(0, 4000, width=32))
    ),
    max_size=25,
)


@given(STEPS)
def test_the_fold_is_the_formula(steps: Counts) -> None:
    tune = tuned()
    assert folded(tune, steps) == pytest.approx(reference(steps, 0.001, 0.0025, 12_960), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(("target", "p0"), [("at_least: 98%", 0.02), ("below: 0.1%", 0.001), ("at_most: 5%", 0.05)])
def test_the_fold_is_the_formula_for_a_long_quiet_watch_with_an_incident(target: str, p0: float) -> None:
    chance = random.Random(7)
    steps = [(float(chance.randrange(0, 4)), float(chance.randrange(0, 3000))) for _ in range(250)]
    steps += [(chance.random() * 0.2 * 3000, 3000.0) for _ in range(10)]
    exact = reference(steps, p0, 0.0025, 12_960)
    assert folded(tuned(target=target), steps) == pytest.approx(exact, rel=1e-9)


def test_an_alarm_is_given_when_the_statistic_reaches_the_threshold_and_not_before() -> None:
    tune, state = tuned(), State()
    for _ in range(20):
        outcome = fold(tune, state, counts(15.0, 3000.0))  # 0.5 %
        assert outcome.alarm == (outcome.statistic >= 400.0)
        if outcome.alarm:
            break
        state = outcome.state
    assert outcome.alarm
    level = Tuning(tune.detector, outcome.statistic, tune.p, tune.floor, tune.planned, tune.bets)
    assert fold(level, state, counts(15.0, 3000.0)).alarm  # equality is enough


def test_a_step_without_events_changes_nothing_and_is_not_used() -> None:
    state = fold(tuned(), State(), counts(9.0, 3000.0)).state
    outcome = fold(tuned(), state, counts(0.0, 0.0))
    assert outcome.state == state
    assert not outcome.alarm


@pytest.mark.parametrize(("odd", "even"), [((-5.0, 3000.0), (0.0, 3000.0)), ((4000.0, 3000.0), (3000.0, 3000.0))])
def test_bad_is_clipped_to_what_there_is(odd: tuple[float, float], even: tuple[float, float]) -> None:
    assert folded(tuned(), [odd]) == folded(tuned(), [even])


def test_one_isolated_bad_event_at_low_traffic_cannot_decide() -> None:
    assert folded(tuned(), [(1.0, 1.0)] * 2)[-1] < 400.0
    alarm = next(n for n, found in enumerate(folded(tuned(), [(1.0, 1.0)] * 5000), 1) if found >= 400.0)
    assert alarm > 8  # about ten


def test_the_same_counts_give_the_same_bits() -> None:
    chance = random.Random(3)
    steps = [(float(chance.randrange(9)), chance.random() * 3000) for _ in range(300)]
    assert folded(tuned(), steps) == folded(tuned(), steps)


def test_wealth_stays_positive_under_a_long_spell_of_good_steps() -> None:
    assert all(found > 0 for found in folded(tuned(), [(0.0, 3000.0)] * 2000))


def test_emptying_forgets_the_wealth_and_keeps_the_weights_spent() -> None:
    state = State()
    for _ in range(5):
        state = fold(tuned(), state, counts(9.0, 3000.0)).state
    anew = emptied(state)
    assert (anew.used, anew.statistic, anew.known) == (5, 0.0, ())
    tune = tuned()
    weight = 12_960 / ((12_960 + 5) * (12_960 + 6))
    expected = sum(weight * (1 - bet * tune.p) for bet in tune.bets) / 6
    assert fold(tune, anew, counts(0.0, 3000.0)).statistic == pytest.approx(expected)


def test_the_weights_of_a_whole_watch_sum_to_less_than_one() -> None:
    planned = 12_960
    spent = sum(planned / ((planned + t - 1) * (planned + t)) for t in range(1, 3 * planned))
    assert spent < 1.0


@pytest.mark.parametrize(("share", "most"), [(0.002, 110), (0.005, 17), (0.01, 10), (0.05, 6), (0.5, 3)])
def test_at_fifty_requests_a_second_delays_are_those_promised(share: float, most: int) -> None:
    quiet = [(1.5, 3000.0)] * 500  # from half the target
    found = folded(tuned(), [*quiet, *[(share * 3000.0, 3000.0)] * 200])
    alarm = next(n for n, statistic in enumerate(found) if statistic >= 400.0)
    assert 0 < alarm - 500 + 1 <= most


def test_half_the_target_for_nine_days_never_alarms() -> None:
    assert max(folded(tuned(), [(1.5, 3000.0)] * 12_960)) < 400.0


# --- silence --------------------------------------------------------------------------------------------------------


def test_a_silent_step_is_m_bad_of_m_to_the_sequential_detector() -> None:
    tune = tuned("no_data: fail")
    silent = step_of(tune, Measurement(NOON, silent=True), failed=True)
    assert (silent.bad, silent.total) == (tune.floor, tune.floor)
    outcome = fold(tune, State(), silent)
    assert outcome.statistic == pytest.approx(reference([(tune.floor, tune.floor)], 0.001, 0.0025, 12_960)[0])


@pytest.mark.parametrize(("target", "steps"), [("at_most: 0.1%", 3), ("at_least: 98%", 6), ("at_least: 95%", 8)])
def test_a_service_that_fell_silent_breaches_as_fast_as_one_that_fails_wholly(target: str, steps: int) -> None:
    tune, state = tuned("no_data: fail", target=target), State(used=12_959)
    for count in range(1, steps + 1):
        outcome = fold(tune, state, step_of(tune, Measurement(NOON, silent=True), failed=True))
        state = outcome.state
        assert outcome.alarm == (count == steps)


# --- how far a total failure gets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("p0", "steps"), [(0.001, 3), (0.02, 6), (0.05, 8), (0.1, 11)])
def test_the_reach_of_a_total_failure(p0: float, steps: int) -> None:
    assert reach(Sequential(60), p0, 0.0025, 12_960) == steps


def test_the_reach_is_the_slowest_of_the_whole_watch() -> None:
    """At its end the weights are smallest: a failure on the first day is found no later."""
    worst = reach(Sequential(60), 0.05, 0.0025, 12_960)
    tune = tuned(target="at_least: 95%")
    early = next(n for n, found in enumerate(folded(tune, [(3000.0, 3000.0)] * 20), 1) if found >= 400.0)
    assert early <= worst


def test_less_traffic_reaches_later_and_too_little_never() -> None:
    reached = [reach(Sequential(60), 0.001, 0.0025, 12_960, events) for events in (3000.0, 60.0, 5.0, 1.0)]
    assert reached == sorted(reached)
    assert reached[0] == 3
    assert reached[-1] > reached[0]
    assert reach(Sequential(60), 0.001, 0.0025, 12_960, 0.0) == NEVER


def test_confirm_reaches_at_its_number_of_fails() -> None:
    assert reach(Confirm(60, 2, 4), 0.1, 0.0025, 12_960) == 2


# --- confirm --------------------------------------------------------------------------------------------------------


def confirmed(pattern: str, *, every: int = 60, detector: str = "3 of 5") -> list[bool]:
    """The alarms after each known step: `x` failed, `.` kept, a blank is a step that nobody knows."""
    watched = rollout(value("latency_p95", f"confirm: {detector}"))
    tune, state, alarms = tuning(watched, watched.objectives[0]), State(), []
    for index, sign in enumerate(pattern):
        if sign == " ":
            continue
        outcome = fold(tune, state, Step(NOON + index * every, sign == "x"))
        state = outcome.state
        alarms.append(outcome.alarm)
    return alarms


@pytest.mark.parametrize(
    ("pattern", "alarm"),
    [
        ("xxx", True),
        ("xx", False),
        ("x.x.x", True),
        ("xx...", False),
        ("xx...x", False),  # the newest five: x...x
        ("x x x", True),  # unknown steps are skipped, not forgotten
        ("x    x    x", True),  # the first is exactly ten steps old
        ("x     x    x", False),  # eleven steps old: forgotten
        ("xx         x", False),
        ("x.........xx", False),
        ("..xxx", True),
    ],
)
def test_three_failing_of_the_newest_five_known_steps_not_older_than_ten(pattern: str, *, alarm: bool) -> None:
    assert confirmed(pattern)[-1] is alarm


def test_confirm_by_other_numbers() -> None:
    assert confirmed("x", detector="1 of 1") == [True]
    assert confirmed("x....x", detector="2 of 5")[-1] is False
    assert confirmed("x...x", detector="2 of 5")[-1] is True


@given(st.text(alphabet="x. ", max_size=40), st.integers(1, 5), st.integers(0, 3))
def test_confirm_is_its_definition(pattern: str, fails: int, more: int) -> None:
    of = fails + more
    expected = []
    for now, sign in enumerate(pattern):
        if sign != " ":
            known = [then for then in range(now + 1) if pattern[then] != " "][-of:]
            expected.append(sum(pattern[then] == "x" for then in known if now - then <= 10) >= fails)
    assert confirmed(pattern, detector=f"{fails} of {of}") == expected


def test_emptying_confirm_forgets_what_failed() -> None:
    watched: Rollout = rollout(value())
    tune = tuning(watched, watched.objectives[0])
    state = State(known=((NOON, True), (NOON + 60, True)))
    assert fold(tune, state, Step(NOON + 120, failed=True)).alarm
    assert not fold(tune, emptied(state), Step(NOON + 120, failed=True)).alarm
