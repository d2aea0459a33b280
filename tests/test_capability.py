"""`rollback_capability`: a drill of the last seven days under the bound passes, none fails; live, late and replayed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.rollouts import NOON, Past, event, rollout, traffic
from tests.stage import HOUR, MINUTE, LedgerDown, Stage, a_rule
from watchdog.bound import judge
from watchdog.evaluate import describe_target, sentence
from watchdog.ledger import Drilled, DrillIntent, Ledger
from watchdog.model import Comparison, Evaluation, OnBreach, Target, Verdict
from watchdog.observe import PROOF_LASTS, rollback_capability
from watchdog.replay import Replay
from watchdog.rolloutfile import rollout_from_resolved

DAY = 86_400
CAPABLE = "  - use: rollback_capability"
RULE = rollout(event(), CAPABLE, rollback="{to: 0, within: 15m, verify: 30m}")
(OBJECTIVE,) = (o for o in RULE.objectives if o.internal is not None)


def passed(at: float, worst: float = 0.2) -> Drilled:
    return Drilled(at, passed=True, worst=worst)


def failed(at: float, worst: float | None = None) -> Drilled:
    return Drilled(at, passed=False, worst=worst)


def judged(*drills: Drilled, at: int = NOON) -> Evaluation:
    return rollback_capability(OBJECTIVE, drills, at)


def drilled(ledger: Ledger, at: float, *, passes: bool = True, worst: float | None = 0.2) -> None:
    """A drill that ended at `at`, as the ledger has it."""
    intent = DrillIntent("memory", "slo-watchdog-drill", "memory", "ada", "a test", 5, 900.0)
    number = ledger.begin_drill(intent, at - 1.0, 0.0)
    ledger.finish_drill(number, at, passed=passes, worst=worst, report={"drill": number})


# --- the rule -----------------------------------------------------------------------------------------------------


def test_a_rollout_may_use_it_and_its_bound_is_that_of_the_rollback() -> None:
    assert Target(Comparison.BELOW, 900.0) == OBJECTIVE.target
    assert OBJECTIVE.on_breach is OnBreach.PAGE
    assert not OBJECTIVE.gates
    assert describe_target(OBJECTIVE) == "a drill in the last 7 days, off in less than 15m"
    assert "rollback_capability" not in judge(RULE).missing

    (quick,) = (o for o in rollout(event(), CAPABLE, rollback="{within: 20m}").objectives if o.internal)
    assert quick.target.limit == 1200.0
    assert rollout_from_resolved(RULE.resolved, RULE.text) == RULE


# --- verdicts over time -------------------------------------------------------------------------------------------


def test_no_drill_is_a_failure_that_says_what_to_do() -> None:
    found = judged()
    assert (found.verdict, found.value) == (Verdict.FAIL, 900.0)
    assert "no drill under 15m has passed in the last 7 days; run `slo-watchdog drill`" in sentence(OBJECTIVE, found)


@pytest.mark.parametrize(
    ("ago", "verdict"),
    [
        (0, Verdict.PASS),
        (DAY, Verdict.PASS),
        (PROOF_LASTS - 1, Verdict.PASS),
        (PROOF_LASTS, Verdict.FAIL),
        (30 * DAY, Verdict.FAIL),
        (-1, Verdict.FAIL),
    ],
)
def test_a_proof_lasts_for_seven_days_and_begins_when_the_drill_has_ended(ago: float, verdict: Verdict) -> None:
    assert judged(passed(NOON - ago)).verdict is verdict


@pytest.mark.parametrize(("worst", "verdict"), [(0.1, Verdict.PASS), (899.9, Verdict.PASS), (900.0, Verdict.FAIL)])
def test_the_worst_run_must_be_under_the_bound(worst: float, verdict: Verdict) -> None:
    found = judged(passed(NOON - 60, worst))
    assert (found.verdict, found.value) == (verdict, worst)


def test_a_failed_drill_proves_nothing_and_takes_no_proof_away() -> None:
    assert judged(failed(NOON - 60)).verdict is Verdict.FAIL
    assert judged(failed(NOON - 60, worst=0.1)).verdict is Verdict.FAIL
    assert "the newest, at 2023-11-15T11:59:00Z, failed" in judged(failed(NOON - 60)).detail
    assert judged(passed(NOON - DAY), failed(NOON - 60)).verdict is Verdict.PASS


def test_the_value_is_that_of_the_best_proof() -> None:
    assert judged(passed(NOON - 3 * DAY, 0.4), passed(NOON - DAY, 1.5)).value == 0.4


# --- live ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path, a_rule(event(), CAPABLE))
    yield stage
    stage.close()


def verdicts(stage: Stage) -> list[str]:
    return [e.verdict.value for e in stage.evaluations("rollback_capability")]


def test_without_a_drill_it_pages_once_and_the_ramp_goes_on(stage: Stage) -> None:
    stage.run(NOON + 8 * MINUTE)

    assert set(verdicts(stage)) == {"fail"}
    assert stage.pages("breach") == ["breach"]
    assert "no drill under 15m has passed" in stage.why("breach")

    stage.run(NOON + 25 * MINUTE)
    assert stage.percent == 100.0


def test_a_drill_counts_from_the_slot_after_its_end_and_stops_counting_a_week_later(stage: Stage) -> None:
    drilled(stage.ledger, NOON + 3 * MINUTE + 10)

    stage.run(NOON + 8 * MINUTE)

    by_slot = {e.at - NOON: e.verdict.value for e in stage.evaluations("rollback_capability")}
    assert by_slot == {
        60: "fail",
        120: "fail",
        180: "fail",
        240: "pass",
        300: "pass",
        360: "pass",
        420: "pass",
    }


def test_what_is_caught_up_after_an_outage_is_judged_by_the_drills_of_its_time(stage: Stage) -> None:
    drilled(stage.ledger, NOON - 10)
    stage.run(NOON + 3 * MINUTE)
    stage.clock.now = NOON + 7 * DAY + HOUR
    stage.restart()

    for _ in range(6):
        stage.tick(1.0)

    found = {e.at: e.verdict for e in stage.evaluations("rollback_capability")}
    last_pass = max(at for at, verdict in found.items() if verdict is Verdict.PASS)
    first_fail = min(at for at, verdict in found.items() if verdict is Verdict.FAIL)
    assert last_pass < NOON - 10 + PROOF_LASTS <= first_fail
    assert first_fail - last_pass == stage.rule.interval


def test_a_restart_folds_the_same(stage: Stage) -> None:
    drilled(stage.ledger, NOON + 2 * MINUTE)
    stage.run(NOON + 6 * MINUTE)
    before = stage.evaluations("rollback_capability")
    stage.restart()
    stage.run(NOON + 12 * MINUTE)

    assert stage.evaluations("rollback_capability")[: len(before)] == before
    assert verdicts(stage)[-1] == "pass"


def test_while_the_ledger_cannot_be_read_it_is_unknown(stage: Stage) -> None:
    drilled(stage.ledger, NOON - 10)
    stage.run(NOON + 3 * MINUTE)
    down = LedgerDown(stage.ledger)
    stage.ticker._gather.ledger = down  # type: ignore[assignment]
    down.down = "all"
    stage.run(NOON + 4 * MINUTE)
    down.down = None
    stage.run(NOON + 6 * MINUTE)

    assert "unknown" in verdicts(stage)
    assert verdicts(stage)[-1] == "pass"


# --- replay -------------------------------------------------------------------------------------------------------


def replayed(*drills: Drilled, **top: str) -> Replay:
    rule = a_rule(event(), CAPABLE, **top)
    run = Replay(rule, NOON, NOON + HOUR, keep_going=True, keep_evaluations=True, drilled=drills)
    run.run(Past(**traffic()))
    return run


def test_a_replay_judges_it_where_the_ledger_knows_of_drills() -> None:
    run = replayed(passed(NOON - PROOF_LASTS + 30 * MINUTE))

    found = [e.verdict.value for e in run.evaluations["rollback_capability"]]
    assert found == ["pass"] * 29 + ["fail"] * 31
    assert run.figures()["left_out"] == []


@pytest.mark.parametrize("drills", [(), (passed(NOON + 10),)], ids=["no drill", "a first drill in the middle"])
def test_a_replay_leaves_it_out_where_the_ledger_knows_nothing_and_says_so(drills: tuple[Drilled, ...]) -> None:
    run = replayed(*drills)

    figures: dict[str, Any] = run.figures()
    assert list(figures["evaluations"]) == ["error_rate"]
    (left_out,) = figures["left_out"]
    assert left_out["objective"] == "rollback_capability"
    assert left_out["why"] == "the ledger has no drill from before 2023-11-15T12:00:00Z"
    assert run.watch.windows.interim.window.completed_at is not None


def test_leaving_it_out_changes_nothing_for_the_others() -> None:
    strict = a_rule(event(), f"{CAPABLE}\n    on_breach: rollback")
    run = Replay(strict, NOON, NOON + HOUR)

    assert [o.name for o in run.rollout.objectives] == ["error_rate"]
    assert run.rollout.alpha == pytest.approx(strict.alpha, rel=1e-12)
    assert replace(run.rollout, objectives=strict.objectives).alpha < strict.alpha
