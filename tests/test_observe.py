"""What is asked for a stretch of the grid, and what becomes of the answers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.rollouts import COHORTS, HOUR, NOON, Answer, Past, event, internal, rollout, split, traffic, value
from watchdog.model import Evaluation, Measurement, Objective, Reason, Rollout, Series, Verdict
from watchdog.observe import Ask, Facts, asks, observe, slots
from watchdog.prometheus import Range
from watchdog.queries import expand, expressions

Rows = dict[tuple[str, str], tuple[int, int, int, float]]


def asked(rule: Rollout, after: int, until: int) -> Rows:
    return {
        (ask.objective.name, ask.grid): (ask.first, ask.last, ask.step, ask.seconds) for ask in asks(rule, after, until)
    }


# --- what is asked --------------------------------------------------------------------------------------------------


def test_one_slot_asks_for_itself_alone() -> None:
    rule = rollout(event())
    assert asked(rule, NOON, NOON + 30) == {("error_rate", "slot"): (NOON + 30, NOON + 30, 30, 300.0)}


def test_a_slot_that_ends_a_step_and_a_slice_asks_for_them_too() -> None:
    rule = rollout(event())
    end = NOON + HOUR
    assert asked(rule, end - 30, end) == {
        ("error_rate", "slot"): (end, end, 30, 300.0),
        ("error_rate", "step"): (end, end, 60, 75.0),
        ("error_rate", "slice"): (end, end, 3600, 3600.0),
    }


def test_a_stretch_owns_the_instants_after_its_start_up_to_its_end() -> None:
    rule = rollout(event())
    found = asked(rule, NOON, NOON + 2 * HOUR)
    assert found["error_rate", "slot"] == (NOON + 30, NOON + 2 * HOUR, 30, 300.0)
    assert found["error_rate", "step"] == (NOON + 60, NOON + 2 * HOUR, 60, 75.0)
    assert found["error_rate", "slice"] == (NOON + HOUR, NOON + 2 * HOUR, 3600, 3600.0)
    off = asked(rule, NOON + 17, NOON + 2 * HOUR + 17)
    assert off == found


def test_two_stretches_in_a_row_ask_for_what_one_does() -> None:
    rule = rollout(event(), value())
    for border in (NOON + 30, NOON + 60, NOON + 1799, HOUR + NOON, NOON + HOUR + 31):
        whole = {(a.objective.name, a.grid, at) for a in asks(rule, NOON, NOON + 2 * HOUR) for at in a.instants}
        parts = [
            (a.objective.name, a.grid, at)
            for span in ((NOON, border), (border, NOON + 2 * HOUR))
            for a in asks(rule, *span)
            for at in a.instants
        ]
        assert sorted(parts) == sorted(whole)


def test_internal_objectives_ask_nothing_and_values_without_range_have_no_slice_query() -> None:
    rule = rollout("  - {name: saturation, value: saturation, below: 1}", value(), internal())
    assert set(asked(rule, NOON, NOON + HOUR)) == {
        ("saturation", "slot"),
        ("saturation", "step"),
        ("latency_p95", "slot"),
        ("latency_p95", "step"),
        ("latency_p95", "slice"),
    }


def test_a_cohort_objective_is_asked_for_its_control_too() -> None:
    rule = rollout(split(), cohorts=COHORTS)
    assert asked(rule, NOON, NOON + 30)["exposed_errors", "control"] == (NOON + 30, NOON + 30, 30, 300.0)
    alone = rollout(split(), cohorts="""{exposed: 'variant="on"'}""")
    assert ("exposed_errors", "control") not in asked(alone, NOON, NOON + 30)


def test_range_and_cohort_are_expanded_by_what_is_asked() -> None:
    assert expand("x[$range]", 300.0, None) == "x[300s]"
    assert expand("x[$range]", 0.25, None) == "x[250ms]"
    assert expand("x{$cohort}[$range] / y[$range]", 75.0, 'v="on"') == 'x{v="on"}[75s] / y[75s]'
    rule = rollout(split(), cohorts=COHORTS)
    (objective,) = rule.objectives
    assert expressions(rule, objective, 75.0)["bad"] == 'exposed_errors_bad{variant="on"}[75s]'
    assert expressions(rule, objective, 75.0, control=True)["total"] == 'exposed_errors_total{variant="off"}[75s]'


# --- what becomes of the answers ------------------------------------------------------------------------------------


def gathered(rule: Rollout, past: Past, after: int = NOON, until: int = NOON + HOUR) -> Facts:
    return observe(rule, past, asks(rule, after, until))


def test_detector_steps_are_exact_increments_and_slots_and_slices_whole_counts() -> None:
    facts = gathered(rollout(event()), Past(**traffic(rps=50.0, share=0.01)))
    (slot, *_), (step, *_), (whole,) = (facts.of(grid)["error_rate"] for grid in ("slot", "step", "slice"))
    assert (slot.bad, slot.total) == pytest.approx((150.0, 15_000.0))  # 300 s
    assert (step.bad, step.total) == pytest.approx((30.0, 3000.0))  # 75 s asked, 60 s meant
    assert (whole.bad, whole.total) == pytest.approx((1800.0, 180_000.0))


def test_a_query_without_range_is_not_scaled() -> None:
    rule = rollout("  - {name: error_rate, bad: error_rate_bad, total: error_rate_total, at_most: 0.1%}")
    facts = gathered(rule, Past(error_rate_bad=lambda at, seconds: 5.0, error_rate_total=lambda at, seconds: 100.0))
    step = facts.steps["error_rate"][0]
    assert (step.bad, step.total) == (5.0, 100.0)


def test_values_are_never_scaled() -> None:
    facts = gathered(rollout(value()), Past(latency_p95=lambda at, seconds: 0.15))
    for grid in ("slot", "step", "slice"):
        assert facts.of(grid)["latency_p95"][0].value == 0.15


def test_one_instant_is_asked_as_an_instant_and_more_as_ranges_with_the_same_answers() -> None:
    rule = rollout(event(), value())

    def found(at: int, seconds: float) -> float | Reason | None:
        kind = at // 30 % 5
        return None if kind == 0 else Reason.PARTIAL if kind == 1 else float(at % 7000) + seconds

    answers: dict[str, Answer] = dict.fromkeys(("error_rate_bad", "error_rate_total", "latency_p95"), found)
    live, back = Past(**answers), Past(**answers)
    whole = gathered(rule, back)
    assert back.instant_calls == 0
    for at in range(NOON + 30, NOON + HOUR + 1, 30):
        one = gathered(rule, live, at - 30, at)
        for grid in ("slot", "step", "slice"):
            for name, measured in one.of(grid).items():
                assert measured == [m for m in whole.of(grid)[name] if m.at == at]
    assert live.instant_calls == 120


def test_the_same_question_is_asked_once() -> None:
    rule = rollout(event("a"), "  - {name: b, bad: 'b_bad[$range]', total: 'a_total[$range]', at_most: 0.1%}")
    past = Past(a_bad=lambda at, s: 0.0, b_bad=lambda at, s: 0.0, a_total=lambda at, s: 100.0)
    facts = gathered(rule, past, NOON, NOON + 600)
    assert len(past.asked) == len(set(past.asked))
    assert facts.slots["b"] == facts.slots["a"]


def test_control_is_recorded_beside_and_judges_nothing() -> None:
    rule = rollout(split(), cohorts=COHORTS)
    past = Past(
        exposed_errors_bad_on=lambda at, s: 0.0,
        exposed_errors_total_on=lambda at, s: 10.0 * s,
        exposed_errors_bad_off=lambda at, s: 9.0 * s,
        exposed_errors_total_off=lambda at, s: 90.0 * s,
    )
    facts = gathered(rule, past, NOON, NOON + 600)
    assert facts.controls["exposed_errors"][0].bad == 2700.0
    for slot in slots(rule, facts, NOON, NOON + 600, lambda at: {}):
        assert slot.evaluations["exposed_errors"].verdict is Verdict.PASS
        assert set(slot.evaluations) == {"exposed_errors"}


# --- silence --------------------------------------------------------------------------------------------------------

SILENT = ("no_data: fail", "present: up")


def silence(until: int, present: Answer, rule: Rollout | None = None, **more: Answer) -> Facts:
    """The service vanishes at noon + 10 min."""

    def gone(at: int, seconds: float) -> float | None:
        return None if at > NOON + 600 else 50.0 * seconds

    answers: dict[str, Answer] = {"error_rate_bad": lambda at, s: 0.0, "error_rate_total": gone, "up": present, **more}
    return gathered(rule or rollout(event("error_rate", *SILENT)), Past(**answers), NOON, until)


def silent(facts: Facts, grid: str = "slot") -> list[int]:
    return [m.at for m in facts.of(grid)["error_rate"] if m.silent]


def test_silence_is_failure_while_prometheus_was_ingesting_throughout() -> None:
    facts = silence(NOON + 900, lambda at, s: 1.0)
    assert silent(facts) == list(range(NOON + 630, NOON + 901, 30))
    assert silent(facts, "step") == list(range(NOON + 660, NOON + 901, 60))


@pytest.mark.parametrize(
    ("away", "counts_again"),
    [(0, True), (30, False), (300, False), (570, False), (600, False), (630, True)],
)
def test_prometheus_must_have_been_ingesting_at_each_slot_of_the_two_ranges_before(
    away: int, *, counts_again: bool
) -> None:
    """Two ranges of a slot are 600 s: one slot without a sample among them, and silence proves nothing."""
    at = NOON + 1800
    facts = silence(at, lambda instant, s: None if away and instant == at - away else 1.0)
    assert (at in silent(facts)) is counts_again
    last = facts.slots["error_rate"][-1]
    assert last.reason is (None if counts_again else Reason.NO_DATA)


def test_not_ingesting_at_the_instant_itself_is_no_silence() -> None:
    at = NOON + 1800
    assert at not in silent(silence(at, lambda instant, s: None if instant == at else 1.0))


def test_a_step_looks_back_two_of_its_own_ranges() -> None:
    """150 s: a slot without a sample 150 s before the step counts, one 180 s before does not."""
    for away, counted in ((150, False), (180, True)):
        facts = silence(NOON + 1800, lambda at, s, away=away: None if at == NOON + 1800 - away else 1.0)  # type: ignore[misc]
        assert (NOON + 1800 in silent(facts, "step")) is counted


def test_a_present_that_cannot_be_asked_is_no_silence() -> None:
    assert silent(silence(NOON + 900, lambda at, s: Reason.UNREACHABLE)) == []


def test_a_silent_slot_asked_alone_is_the_same_as_in_a_stretch() -> None:
    rule = rollout(event("error_rate", *SILENT))
    answers: dict[str, Answer] = {
        "error_rate_bad": lambda at, s: None,
        "error_rate_total": lambda at, s: None,
        "up": lambda at, s: None if at == NOON else 1.0,
    }
    whole = gathered(rule, Past(**answers), NOON, NOON + 1800).slots["error_rate"]
    assert {m.silent for m in whole} == {True, False}
    for measured in whole:
        alone = gathered(rule, Past(**answers), measured.at - 30, measured.at)
        assert alone.slots["error_rate"] == [measured]


def test_each_objective_is_silent_by_its_own_present() -> None:
    """One exporter's outage must not hide the silence of a service that another one watches."""
    rule = rollout(
        event("error_rate", "no_data: fail", "present: up"), event("probes", "no_data: fail", "present: prober")
    )
    facts = silence(
        NOON + 900,
        lambda at, s: 1.0,
        rule,
        probes_bad=lambda at, s: None,
        probes_total=lambda at, s: None,
        prober=lambda at, s: None,
    )
    assert silent(facts) == list(range(NOON + 630, NOON + 901, 30))
    assert {m.reason for m in facts.slots["probes"]} == {Reason.NO_DATA}


def test_present_is_asked_only_where_something_is_missing() -> None:
    past = Past(**traffic(), up=lambda at, s: 1.0)
    gathered(rollout(event("error_rate", *SILENT)), past)
    assert "up" not in {request.expression for request in past.asked}


# --- slots ----------------------------------------------------------------------------------------------------------


def own(at: int) -> dict[str, Evaluation]:
    return {"flag_ramp": Evaluation(at, Verdict.FAIL, value=5.0, detail="the flag reads 5%")}


def test_slots_come_oldest_first_each_with_what_ends_in_it() -> None:
    rule = rollout(event(), internal())
    facts = gathered(rule, Past(**traffic()), NOON, NOON + 2 * HOUR)
    found = list(slots(rule, facts, NOON, NOON + 2 * HOUR, own))
    assert [slot.at for slot in found] == list(range(NOON + 30, NOON + 2 * HOUR + 1, 30))
    for slot in found:
        assert set(slot.evaluations) == {"error_rate", "flag_ramp"}
        assert set(slot.steps) == ({"error_rate", "flag_ramp"} if slot.at % 60 == 0 else set())
        assert set(slot.pooled) == ({"error_rate"} if slot.at % HOUR == 0 else set())
    assert found[1].steps["flag_ramp"] == Measurement(NOON + 60, value=5.0, detail="the flag reads 5%")


def test_slots_of_a_stretch_off_the_grid_lie_on_it() -> None:
    rule = rollout(event())
    facts = gathered(rule, Past(**traffic()), NOON + 17, NOON + 317)
    found = [slot.at for slot in slots(rule, facts, NOON + 17, NOON + 317, own)]
    assert found == list(range(NOON + 30, NOON + 301, 30))
    assert all(later - earlier == 30 for earlier, later in pairwise(found))


def test_excuses_are_handed_on() -> None:
    rule = rollout(event(), internal())
    facts = gathered(rule, Past(**traffic()), NOON, NOON + 60)
    excuse: Callable[[int], frozenset[str]] = lambda at: frozenset({"flag_ramp"})  # noqa: E731
    assert all(slot.excused for slot in slots(rule, facts, NOON, NOON + 60, own, excuse))


def test_an_ask_knows_its_instants() -> None:
    objective: Objective = rollout(event()).objectives[0]
    assert list(Ask(objective, "slot", NOON, NOON + 60, 30, 300.0).instants) == [NOON, NOON + 30, NOON + 60]
    assert list(Range("up", NOON, NOON + 60, 30).instants) == [NOON, NOON + 30, NOON + 60]
    assert Series() == Series({}, {})
