"""What loading a rollout concludes: the worst case until flag off, who sees a dead service, what is not controlled."""

from dataclasses import replace

import pytest

from watchdog.bound import judge, worst_case
from watchdog.detect import reach
from watchdog.model import (
    Cohorts,
    Comparison,
    Confirm,
    Detector,
    Exposure,
    Kind,
    Objective,
    OnBreach,
    PlanStep,
    Ramp,
    RollbackRule,
    Rollout,
    Sequential,
    Target,
    WindowRule,
)

WEEK = 7 * 86400.0


def event(
    name: str = "error_rate", allowed: float = 0.001, detector: Detector | None = None, **more: object
) -> Objective:
    fields: dict[str, object] = {
        "bad": "sum(increase(bad[$range]))",
        "total": "sum(increase(all[$range]))",
        "allowed": allowed,
        "min_slice_events": 3 / allowed,
    }
    target = Target(Comparison.BELOW, allowed)
    return Objective(
        name,
        Kind.EVENT,
        target,
        detector or Sequential(60),
        OnBreach.ROLLBACK,
        **(fields | more),  # type: ignore[arg-type]
    )


def rollout(*objectives: Objective, **more: object) -> Rollout:
    steps = tuple(PlanStep(Exposure(percent), 3600.0) for percent in (1.0, 50.0, 100.0))
    plain = Rollout(
        "r", "s", "1", "f", objectives, WindowRule(), Ramp("progressive", 0, 100, steps, WEEK), RollbackRule()
    )
    return replace(plain, **more)  # type: ignore[arg-type]


def four(allowed: float) -> Rollout:
    """Four objectives share the false-rollback budget of 1 %: alpha is 0.25 %, as in the semantics' table."""
    return rollout(*(event(f"o{n}", allowed) for n in range(4)))


@pytest.mark.parametrize(
    ("allowed", "steps", "seconds"), [(0.001, 3, 330), (0.02, 6, 510), (0.05, 8, 630), (0.1, 11, 810)]
)
def test_the_defaults_sum_to_what_the_semantics_promise(allowed: float, steps: int, seconds: float) -> None:
    planned = four(allowed)
    bound = worst_case(planned, planned.objectives[0])
    assert planned.planned_steps(Sequential(60)) == 12960
    assert bound.steps == steps
    # 15 s scrape + (steps + 1) minutes + 30 s slot + 30 s delay + 10 s tick + 5 s write + 0 s propagation
    assert bound.total == seconds
    assert bound.holds


def test_the_sum_is_spelled_out_term_by_term() -> None:
    planned = four(0.001)
    assert worst_case(planned, planned.objectives[0]).spelled_out == (
        "15s scrape_interval + 4m (3 + 1) detector steps + 30s interval + 30s delay + 10s tick_deadline "
        "+ 5s flag write timeout + 0s propagation = 5m30s"
    )


def test_propagation_of_the_flag_service_is_part_of_the_sum() -> None:
    planned = replace(four(0.001), propagation=60.0)
    assert worst_case(planned, planned.objectives[0]).total == 390


def test_an_objective_for_which_silence_fails_adds_one_step_range() -> None:
    silent = event(silence_fails=True)
    speaking = replace(silent, silence_fails=False)
    difference = worst_case(rollout(silent), silent).total - worst_case(rollout(speaking), speaking).total
    assert difference == 75  # a step of a minute and one scrape interval


def test_confirm_reaches_with_its_fails() -> None:
    confirmed = event(detector=Confirm(60, 3, 5))
    bound = worst_case(rollout(confirmed), confirmed)
    assert bound.steps == 3
    assert bound.holds_from == bound.lowest_traffic == 0


def test_the_lowest_traffic_is_the_least_that_keeps_the_sum_within() -> None:
    planned = four(0.001)
    objective = planned.objectives[0]
    bound = worst_case(planned, objective)
    spare = bound.steps + int((bound.within - bound.total) // 60)

    def steps(events: float) -> int:
        return reach(objective.detector, 0.001, planned.alpha, 12960, events)

    assert bound.lowest_traffic is not None
    assert steps(bound.lowest_traffic) <= spare < steps(bound.lowest_traffic - 1)
    assert steps(bound.holds_from) == bound.steps < steps(bound.holds_from - 1)


def test_a_bound_that_is_too_long_is_refused_with_sum_traffic_and_remedy() -> None:
    slow = rollout(event(detector=Sequential(300), outside=True))
    (refusal,) = judge(slow).refusals
    assert refusal.place == "objectives[0]"
    for words in (
        "15s scrape_interval",
        "(3 + 1) detector steps",
        "later than rollback.within, 15m",
        "events a step on",
        "shorter every",
        "shorter scrape interval",
        "larger rollback.within",
        "rollback_bound",
    ):
        assert words in refusal.message
    assert worst_case(slow, slow.objectives[0]).lowest_traffic is None


def test_a_waiver_takes_the_refusal_and_is_repeated() -> None:
    slow = rollout(event(detector=Sequential(300), outside=True), waive={"rollback_bound": "batch service"})
    judgement = judge(slow)
    assert not judgement.refusals
    assert judgement.waived == {"rollback_bound": "batch service"}
    assert any("batch service" in note for note in judgement.notes)


def test_a_larger_within_lifts_the_refusal() -> None:
    assert not judge(
        rollout(event(detector=Sequential(300), outside=True), rollback=RollbackRule(within=1800))
    ).refusals


def test_objectives_that_do_not_roll_back_have_no_bound() -> None:
    held = replace(event("held", detector=Sequential(300)), on_breach=OnBreach.HOLD)
    judgement = judge(rollout(event(outside=True), held))
    assert [bound.objective for bound in judgement.bounds] == ["error_rate"]


def test_a_rollout_that_could_not_see_a_dead_service_is_refused() -> None:
    (refusal,) = judge(rollout(event())).refusals
    assert refusal.place == "objectives"
    for words in ("every process of the service died", "no_data: fail", "outside: true", "dead_service"):
        assert words in refusal.message


@pytest.mark.parametrize("seeing", [{"outside": True}, {"silence_fails": True}])
def test_one_objective_that_sees_death_is_enough(seeing: dict[str, object]) -> None:
    assert not judge(rollout(event(), event("probe", **seeing))).refusals


def test_an_objective_that_only_pages_does_not_see_death_for_the_others() -> None:
    probe = replace(event("probe", outside=True), on_breach=OnBreach.PAGE)
    assert judge(rollout(event(), probe)).refusals


def test_the_dead_service_can_be_waived_by_name() -> None:
    judgement = judge(rollout(event(), waive={"dead_service": "no probe yet"}))
    assert not judgement.refusals
    assert "dead_service" in judgement.waived


def test_an_idle_waiver_is_noted() -> None:
    judgement = judge(rollout(event(outside=True), waive={"dead_service": "x", "preflight": "y"}))
    assert [note for note in judgement.notes if "idle" in note] == ["waive.dead_service is idle: nothing here needs it"]
    assert judgement.waived == {}


def test_pooled_objectives_below_half_exposure_are_a_warning() -> None:
    (warning,) = judge(rollout(event(outside=True))).warnings
    for words in ("error_rate", "1%", "$cohort", "pooled_exposure"):
        assert words in warning.message


def test_a_split_sibling_takes_the_warning_away() -> None:
    split = event("split", bad="sum(increase(b{$cohort}[$range]))", total="sum(increase(a{$cohort}[$range]))")
    assert not judge(rollout(event(outside=True), split, cohorts=Cohorts('v="on"'))).warnings


def test_a_ramp_that_is_never_below_half_needs_no_split() -> None:
    at_once = Ramp("all_at_once", 0, 100, (PlanStep(Exposure(100.0), 0.0),), 0.0)
    assert not judge(rollout(event(outside=True), ramp=at_once)).warnings


def test_the_warning_can_be_waived() -> None:
    judgement = judge(rollout(event(outside=True), waive={"pooled_exposure": "no label"}))
    assert not judgement.warnings
    assert "pooled_exposure" in judgement.waived


def test_a_range_of_less_than_two_scrapes_is_a_warning() -> None:
    thin = event(outside=True, range=20.0)
    places = [warning.place for warning in judge(rollout(thin)).warnings]
    assert "objectives[0].range" in places


def test_objectives_without_a_guaranteed_rate_are_listed() -> None:
    overlapping = event("overlapping", bad="sum(rate(bad[5m]))", total="sum(rate(all[5m]))")
    judgement = judge(rollout(event(outside=True), event("confirmed", detector=Confirm(60)), overlapping))
    assert judgement.not_controlled == ("confirmed", "overlapping")
    assert any("do not use $range" in note for note in judgement.notes)


def test_the_notes_say_which_traffic_a_slice_needs() -> None:
    notes = judge(rollout(event(outside=True))).notes
    assert any("3000 events, 0.833333 a second" in note and "pool: window" in note for note in notes)


def test_the_missing_ones_of_the_seven_are_named() -> None:
    judgement = judge(rollout(event(outside=True)))
    assert judgement.missing == (
        "test_pass_rate",
        "latency_p95",
        "availability",
        "flag_ramp",
        "rollback_capability",
        "alert_noise",
    )
    assert any(note.startswith("1 of the 7 standard objectives are judged") for note in judgement.notes)
