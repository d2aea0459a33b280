"""What a slot's answers mean: the table of reasons in its order, silence, cohorts, and equality at every threshold."""

from __future__ import annotations

import math
from itertools import combinations

import pytest

from tests.rollouts import COHORTS, NOON, event, internal, rollout, split, value
from watchdog.evaluate import Answers, evaluate, measure, missed, sentence
from watchdog.model import Evaluation, Measurement, Objective, Reason, Series, Verdict


def objective(*lines: str, target: str = "at_most: 0.1%") -> Objective:
    return rollout(event("error_rate", *lines, target=target)).objectives[0]


def latency(*lines: str, target: str = "below: 200ms") -> Objective:
    return rollout(value("latency_p95", *lines, target=target)).objectives[0]


def series(found: float | Reason | None) -> Series:
    if isinstance(found, Reason):
        return Series({}, {NOON: (found, "made up")})
    return Series({} if found is None else {NOON: found})


def events(bad: float | Reason | None, total: float | Reason | None, **more: object) -> Answers:
    return Answers(bad=series(bad), total=series(total), **more)  # type: ignore[arg-type]


def number(found: float | Reason | None, **more: object) -> Answers:
    return Answers(value=series(found), **more)  # type: ignore[arg-type]


def judged(judge: Objective, answers: Answers) -> Evaluation:
    (measurement,) = measure(judge, answers, [NOON])
    return evaluate(judge, measurement)


ASKING = [Reason.UNREACHABLE, Reason.CLOCK_SKEW, Reason.QUERY_ERROR, Reason.PARTIAL, Reason.MANY_SERIES]


@pytest.mark.parametrize("reason", ASKING)
def test_whatever_goes_wrong_with_either_count_is_the_reason_of_the_slot(reason: Reason) -> None:
    for answers in (events(reason, 1000.0), events(0.0, reason), events(reason, None), events(None, reason)):
        found = judged(objective(), answers)
        assert (found.verdict, found.reason) == (Verdict.UNKNOWN, reason)
        assert "made up" in found.detail


@pytest.mark.parametrize("reason", ASKING)
def test_whatever_goes_wrong_with_the_value_is_the_reason_of_the_slot(reason: Reason) -> None:
    assert judged(latency(), number(reason)).reason is reason


def test_of_two_things_wrong_the_first_row_of_the_table_is_given() -> None:
    for first, second in combinations(ASKING, 2):
        assert judged(objective(), events(first, second)).reason is first
        assert judged(objective(), events(second, first)).reason is first


def test_an_empty_total_is_no_data_even_where_bad_has_a_value() -> None:
    assert judged(objective(), events(None, None)).reason is Reason.NO_DATA
    assert judged(objective(), events(3.0, None)).reason is Reason.NO_DATA
    assert judged(latency(), number(None)).reason is Reason.NO_DATA


def test_an_empty_bad_beside_a_total_is_no_bad_event() -> None:
    found = judged(objective(), events(None, 1000.0))
    assert (found.verdict, found.bad, found.total) == (Verdict.PASS, 0.0, 1000.0)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_not_a_number_in_either_count(odd: float) -> None:
    assert judged(objective(), events(odd, 1000.0)).reason is Reason.NOT_A_NUMBER
    assert judged(objective(), events(0.0, odd)).reason is Reason.NOT_A_NUMBER
    assert judged(latency(), number(odd)).reason is Reason.NOT_A_NUMBER


FRESH = ("fresh: newest", "max_age: 2m")


@pytest.mark.parametrize(("age", "verdict"), [(0, Verdict.PASS), (120, Verdict.PASS), (121, Verdict.UNKNOWN)])
def test_a_sample_older_than_max_age_is_stale_and_one_of_that_age_is_not(age: int, verdict: Verdict) -> None:
    fresh = series(float(NOON - age))
    for found in (
        judged(objective(*FRESH), events(0.0, 1000.0, fresh=fresh)),
        judged(latency(*FRESH), number(0.1, fresh=fresh)),
    ):
        assert found.verdict is verdict
        assert found.reason is (Reason.STALE if verdict is Verdict.UNKNOWN else None)


def test_nobody_knows_how_old_a_sample_without_a_time_is() -> None:
    assert judged(objective(*FRESH), events(0.0, 1000.0, fresh=series(None))).reason is Reason.STALE
    assert judged(objective(*FRESH), events(0.0, 1000.0, fresh=series(math.nan))).reason is Reason.STALE


@pytest.mark.parametrize("reason", ASKING)
def test_a_fresh_that_cannot_be_asked_is_judged_at_its_row(reason: Reason) -> None:
    assert judged(objective(*FRESH), events(0.0, 1000.0, fresh=series(reason))).reason is reason
    assert judged(objective(*FRESH), events(None, None, fresh=series(reason))).reason is reason
    assert judged(latency(*FRESH), number(math.nan, fresh=series(reason))).reason is reason


def test_no_data_and_not_a_number_come_before_stale_and_stale_before_low_traffic() -> None:
    old = series(float(NOON - 1000))
    assert judged(objective(*FRESH), events(None, None, fresh=old)).reason is Reason.NO_DATA
    assert judged(objective(*FRESH), events(math.nan, 1000.0, fresh=old)).reason is Reason.NOT_A_NUMBER
    assert judged(objective(*FRESH), events(0.0, 0.0, fresh=old)).reason is Reason.STALE


def test_not_a_number_comes_before_low_traffic() -> None:
    assert judged(objective(), events(math.nan, 0.0)).reason is Reason.NOT_A_NUMBER


@pytest.mark.parametrize(
    ("total", "verdict"), [(0.0, "unknown"), (99.0, "unknown"), (100.0, "pass"), (100.0 * (1 - 1e-12), "pass")]
)
def test_below_min_events_is_low_traffic(total: float, verdict: str) -> None:
    found = judged(objective("min_events: 100"), events(0.0, total))
    assert found.verdict == verdict
    assert found.reason is (Reason.LOW_TRAFFIC if verdict == "unknown" else None)
    assert found.measured  # somebody looked, nobody came


def test_no_event_at_all_is_low_traffic_whatever_min_events_says() -> None:
    assert judged(objective("min_events: 0.001"), events(0.0, 0.0)).reason is Reason.LOW_TRAFFIC


def test_only_low_traffic_counts_as_measured_among_the_reasons() -> None:
    measured = [reason for reason in Reason if Evaluation(NOON, Verdict.UNKNOWN, reason).measured]
    assert measured == [Reason.LOW_TRAFFIC]


# --- silence --------------------------------------------------------------------------------------------------------


SILENT = ("no_data: fail",)


def test_silence_is_failure_while_prometheus_was_ingesting() -> None:
    for found in (
        judged(objective(*SILENT), events(None, None, ingesting=lambda at: True)),
        judged(latency(*SILENT), number(None, ingesting=lambda at: True)),
    ):
        assert (found.verdict, found.reason, found.silent) == (Verdict.FAIL, None, True)
        assert "silence" in found.detail


def test_silence_is_no_data_while_prometheus_itself_was_not_ingesting() -> None:
    assert judged(objective(*SILENT), events(None, None, ingesting=lambda at: False)).reason is Reason.NO_DATA
    assert judged(objective(*SILENT), events(None, None)).reason is Reason.NO_DATA


def test_silence_of_an_objective_that_does_not_ask_for_it_is_no_data() -> None:
    assert judged(objective(), events(None, None, ingesting=lambda at: True)).reason is Reason.NO_DATA


@pytest.mark.parametrize("reason", ASKING)
def test_a_source_that_did_not_answer_is_never_silence(reason: Reason) -> None:
    assert judged(objective(*SILENT), events(None, reason, ingesting=lambda at: True)).reason is reason
    assert judged(objective(*SILENT), events(reason, None, ingesting=lambda at: True)).reason is reason


def test_a_silent_step_misses_its_target() -> None:
    assert missed(objective(*SILENT), Measurement(NOON, silent=True))


# --- cohorts --------------------------------------------------------------------------------------------------------


def exposed() -> Objective:
    return rollout(split(), cohorts=COHORTS).objectives[0]


def test_an_empty_or_zero_total_of_a_cohort_is_low_traffic_and_never_no_data() -> None:
    assert judged(exposed(), events(None, None)).reason is Reason.LOW_TRAFFIC
    assert judged(exposed(), events(None, 0.0)).reason is Reason.LOW_TRAFFIC


def test_a_cohort_is_not_excused_from_the_rows_before() -> None:
    for reason in ASKING:
        assert judged(exposed(), events(reason, None)).reason is reason
    assert judged(exposed(), events(1.0, math.nan)).reason is Reason.NOT_A_NUMBER


def test_a_cohort_with_traffic_is_judged_like_any_other() -> None:
    assert judged(exposed(), events(1.0, 100.0)).verdict is Verdict.FAIL
    assert judged(exposed(), events(0.0, 100.0)).verdict is Verdict.PASS


def test_the_quantile_of_an_empty_cohort_is_low_traffic() -> None:
    quantile = "  - name: p95\n    value: p95{$cohort}[$range]\n    below: 200ms"
    (p95,) = rollout(quantile, cohorts=COHORTS).objectives
    assert judged(p95, number(None)).reason is Reason.LOW_TRAFFIC
    assert judged(p95, number(math.nan)).reason is Reason.LOW_TRAFFIC
    assert judged(p95, number(math.inf)).reason is Reason.NOT_A_NUMBER


# --- the seven thresholds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "total", "last_good"),
    [
        ("at_least: 98%", 1000.0, 20.0),  # test_pass_rate >= 98 %
        ("below: 0.1%", 100_000.0, 99.0),  # error_rate < 0.1 %
        ("at_least: 95%", 1000.0, 50.0),  # latency_p95, as a share of fast requests
        ("at_least: 99.9%", 100_000.0, 100.0),  # availability >= 99.9 %
        ("at_most: 0.1%", 100_000.0, 100.0),
        ("above: 99.9%", 100_000.0, 99.0),
        ("above: 95%", 1000.0, 49.0),
        ("below: 5%", 1000.0, 49.0),
        ("at_most: 2%", 1000.0, 20.0),
        ("at_least: 99.99%", 1_000_000.0, 100.0),
    ],
)
def test_equality_keeps_at_most_and_at_least_and_misses_below_and_above(
    target: str, total: float, last_good: float
) -> None:
    judge = objective(target=target)
    assert judged(judge, events(last_good, total)).verdict is Verdict.PASS
    assert judged(judge, events(last_good + 1, total)).verdict is Verdict.FAIL
    step_good, step_bad = (Measurement(NOON, bad=bad, total=total) for bad in (last_good, last_good + 1))
    assert (missed(judge, step_good), missed(judge, step_bad)) == (False, True)


@pytest.mark.parametrize(
    ("target", "found", "verdict"),
    [
        ("below: 200ms", 0.2, "fail"),  # latency_p95 < 200 ms, as a value
        ("below: 200ms", 0.199999, "pass"),
        ("at_most: 200ms", 0.2, "pass"),
        ("at_most: 200ms", 0.200001, "fail"),
        ("above: 99.9%", 0.999, "fail"),
        ("above: 99.9%", 0.999001, "pass"),
        ("at_least: 99.9%", 0.999, "pass"),
        ("at_least: 99.9%", 0.998999, "fail"),
        ("below: 5", 5.0, "fail"),  # alert_noise < 5
        ("below: 5", 4.0, "pass"),
        ("below: 15m", 900.0, "fail"),  # rollback_capability < 15 min
        ("below: 15m", 899.0, "pass"),
        ("at_most: 0", 0.0, "pass"),
        ("at_least: 0", 0.0, "pass"),
        ("below: 0", -1.0, "pass"),
    ],
)
def test_a_value_equal_to_its_limit(target: str, found: float, verdict: str) -> None:
    assert judged(latency(target=target), number(found)).verdict == verdict


def test_a_ratio_that_arithmetic_puts_beside_its_limit_equals_it() -> None:
    ratio = 1.0 - 0.9  # 0.09999999999999998
    assert judged(latency(target="below: 0.1"), number(ratio)).verdict is Verdict.FAIL
    assert judged(latency(target="at_least: 0.1"), number(ratio)).verdict is Verdict.PASS


def test_the_flag_must_read_exactly_what_is_desired() -> None:
    (flag_ramp,) = rollout(internal()).objectives
    assert evaluate(flag_ramp, Measurement(NOON, value=0.0)).verdict is Verdict.PASS
    assert evaluate(flag_ramp, Measurement(NOON, value=0.001)).verdict is Verdict.FAIL
    assert not flag_ramp.gates


# --- measurements ---------------------------------------------------------------------------------------------------


def test_counts_of_overlapping_ranges_are_scaled_to_increments() -> None:
    (measured,) = measure(objective(), events(5.0, 1000.0), [NOON], scale=60 / 75)
    assert (measured.bad, measured.total) == (4.0, 800.0)


def test_every_instant_gets_exactly_one_measurement() -> None:
    instants = [NOON, NOON + 30, NOON + 60]
    answers = Answers(bad=Series({NOON: 1.0}), total=Series({NOON: 10.0, NOON + 60: 20.0}))
    measured = measure(objective(), answers, instants)
    assert [m.at for m in measured] == instants
    assert [m.reason for m in measured] == [None, Reason.NO_DATA, None]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (events(5.0, 1000.0), ["0.5%", "5 bad of 1000", "at most 0.1% bad"]),
        (events(0.0, 0.0), ["low_traffic", "0 bad of 0"]),
        (events(None, None), ["no_data"]),
        (events(Reason.UNREACHABLE, None), ["unreachable", "made up"]),
    ],
)
def test_the_sentence_says_what_was_found_and_what_was_wanted(answers: Answers, words: list[str]) -> None:
    found = sentence(objective(), judged(objective(), answers))
    assert found.startswith("error_rate ")
    for word in words:
        assert word in found
