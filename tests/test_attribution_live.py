"""Breaches with two cohorts, tick by tick: live and replay agree, restarts and troubles take the safe side."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cohorting import CONTROL, EXPOSED, a_split_rule, attributions, replayed, staged
from tests.rollouts import NOON, event, split
from tests.stage import FLAG, MINUTE, LedgerDown, Stage, a_rule
from watchdog.account import Account
from watchdog.attribution import again, patience
from watchdog.errors import FlagServiceError
from watchdog.explain import explain
from watchdog.flags.memory import InMemoryFlags
from watchdog.model import Blame, FlagReading, Phase, Reason

ONSET = NOON + 10 * MINUTE
FOUND = NOON + 14 * MINUTE
"""The slot at which five percent of failures from the onset on are a breach."""


def account(stage: Stage) -> Account:
    return Account(stage.ledger, stage.stored)


def shared(stage: Stage, until: float = float("inf")) -> None:
    """Both cohorts fail from the onset on, the control only until then."""
    stage.service.fails(ONSET, share=0.05, name=EXPOSED)
    stage.service.fails(ONSET, until, share=0.05, name=CONTROL)


def agree(stage: Stage) -> None:
    """What happened live is what a replay of the same time decides."""
    assert stage.stored.last_slot is not None
    run = replayed(stage, stage.stored.last_slot)
    assert run.attributions == attributions(stage)
    live = [
        (t.kind, t.why) for t in stage.ledger.transitions(stage.stored.id) if t.kind not in ("start", "rolled_back")
    ]
    again_ = [(t.kind, t.why) for t in run.transitions if t.kind not in ("start", "rolled_back")]
    assert live == again_
    assert run.control.phase is stage.phase


# --- live and replay ------------------------------------------------------------------------------------------------


def test_a_failing_flag_is_taken_back_with_the_figures_and_a_replay_agrees(tmp_path: Path) -> None:
    stage = staged(tmp_path)
    stage.service.fails(ONSET, share=0.05, name=EXPOSED)
    stage.run(FOUND + 5 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    assert "who has the feature fails more often" in stage.why("rollback")
    (found,) = attributions(stage)
    assert (found.verdict, found.objective, found.number) == (Blame.FLAG, EXPOSED, 1)
    assert (found.control.bad, found.control.total) == (0, found.exposed.total)
    agree(stage)
    stage.close()


def test_a_shared_cause_is_held_for_and_the_flag_is_taken_back_once_only_the_exposed_fail(tmp_path: Path) -> None:
    stage = staged(tmp_path)
    shared(stage, until=NOON + 40 * MINUTE)
    stage.run(NOON + 39 * MINUTE)
    assert stage.control["hold"]["cause"] == "shared_cause"
    assert stage.percent == 50.0
    assert stage.pages("hold", "rollback") == ["hold"]
    stage.run(NOON + 50 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    assert "the cause is no longer shared" in stage.why("rollback")
    assert stage.pages("hold", "rollback") == ["hold", "rollback"]
    assert {found.verdict for found in attributions(stage)[:-1]} == {Blame.SHARED}
    assert attributions(stage)[-1].verdict is Blame.FLAG
    agree(stage)
    stage.close()


def test_the_window_starts_again_as_for_any_breach_and_nothing_is_raised(tmp_path: Path) -> None:
    stage = staged(tmp_path, a_split_rule(ramp="{strategy: progressive, from: 50, to: 100, over: 40m, every: 20m}"))
    shared(stage)
    stage.run(NOON + 43 * MINUTE)
    assert stage.told("reset") != []
    assert stage.told("step") == []
    assert len(stage.ledger.breaches(stage.stored.id)) == 1
    agree(stage)
    stage.close()


def test_a_shared_failure_that_ends_leaves_the_hold_to_a_person_who_resumes(tmp_path: Path) -> None:
    stage = staged(tmp_path)
    stage.service.fails(ONSET, NOON + 30 * MINUTE, share=0.05, name=EXPOSED)
    stage.service.fails(ONSET, NOON + 30 * MINUTE, share=0.05, name=CONTROL)
    stage.run(NOON + 43 * MINUTE)
    assert "shared_cause_over" in stage.told()
    assert stage.control["hold"]["cause"] == "shared_cause"
    assert "shared" not in stage.control
    agree(stage)
    stage.command("resume")
    stage.run(NOON + 44 * MINUTE)
    assert stage.control["hold"] is None
    assert stage.phase is Phase.RAMPING
    stage.close()


def test_a_confirmed_breach_is_compared_over_its_failing_steps(tmp_path: Path) -> None:
    stage = staged(tmp_path, a_split_rule("confirm: 3 of 5"))
    shared(stage)
    stage.run(FOUND + 5 * MINUTE)
    assert stage.control["hold"]["cause"] == "shared_cause"
    assert attributions(stage)[0].steps == 3
    agree(stage)
    stage.close()


def test_a_breach_of_an_objective_without_cohorts_is_compared_with_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_rule(event(), ramp="{strategy: progressive, from: 50, to: 100, over: 10h, every: 5h}"))
    stage.turned_to(50.0)
    stage.service.fails(ONSET, share=0.05)
    before = len(stage.service.asked)
    stage.run(FOUND + 5 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    assert attributions(stage) == []
    assert "causes" not in account(stage).status()
    assert all("variant" not in asked.expression for _, asked in stage.service.asked[before:])
    stage.close()


def test_without_a_control_cohort_a_split_objective_takes_back_as_ever(tmp_path: Path) -> None:
    rule = a_split_rule(cohorts="{exposed: 'variant=\"on\"'}")
    stage = staged(tmp_path, rule)
    shared(stage)
    stage.run(FOUND + 5 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    assert attributions(stage) == []
    assert "fails more often" not in stage.why("rollback")
    stage.close()


# --- trouble takes the safe side ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [Reason.UNREACHABLE, Reason.PARTIAL, Reason.MANY_SERIES])
def test_a_control_that_cannot_be_asked_at_the_breach_takes_the_flag_back_in_the_same_tick(
    tmp_path: Path, reason: Reason
) -> None:
    stage = staged(tmp_path)
    shared(stage)
    stage.service.unreachable(NOON + 13 * MINUTE, reason=reason, name=CONTROL)
    stage.run(FOUND + 31)
    assert stage.phase is Phase.ROLLED_BACK
    assert f"the control cohort cannot be counted: {reason.value}" in stage.why("rollback")
    assert attributions(stage)[0].verdict is Blame.UNKNOWN
    stage.close()


def test_a_control_that_goes_blind_later_takes_the_flag_back_within_its_bound(tmp_path: Path) -> None:
    stage = staged(tmp_path)
    shared(stage)
    blind = NOON + 30 * MINUTE
    stage.service.unreachable(blind, name=CONTROL)
    stage.run(NOON + 43 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    assert "the control was not seen to fail for" in stage.why("rollback")
    rule = stage.rule
    assert stage.rollback["confirmed_at"] - blind <= rule.rollback.within
    steps = patience(rule, rule.objectives[0].detector)
    assert stage.rollback["decided_at"] - blind >= (steps - 2) * MINUTE
    stage.close()


def test_the_bound_holds_when_the_control_recovers_and_nothing_more_can_be_seen_of_it(tmp_path: Path) -> None:
    stage = staged(tmp_path)
    recovered = NOON + 30 * MINUTE
    shared(stage, until=recovered)
    stage.service.unreachable(recovered + 31, name=CONTROL)
    stage.run(NOON + 43 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    assert stage.rollback["confirmed_at"] - recovered <= stage.rule.rollback.within
    stage.close()


def test_a_prometheus_that_is_gone_during_the_hold_takes_the_flag_back(tmp_path: Path) -> None:
    stage = staged(tmp_path)
    shared(stage)
    stage.service.unreachable(NOON + 30 * MINUTE)
    stage.run(NOON + 43 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    stage.close()


class _Broken(InMemoryFlags):
    """A flag service that takes no change while `down`."""

    down = False

    def kill(self, *args: object, **kwargs: object) -> FlagReading:
        if self.down:
            raise FlagServiceError("connection refused")
        return super().kill(*args, **kwargs)  # type: ignore[arg-type]


def test_a_flag_service_that_fails_at_the_breach_is_tried_until_it_obeys(tmp_path: Path) -> None:
    flags = _Broken((FLAG,))
    stage = staged(tmp_path, flags=flags)
    stage.service.fails(ONSET, share=0.05, name=EXPOSED)
    flags.down = True
    stage.run(FOUND + 2 * MINUTE)
    assert stage.told("rollback", "rolled_back") == ["rollback"]
    assert len(attributions(stage)) == 1
    flags.down = False
    stage.run(FOUND + 4 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    assert stage.percent == 0.0
    stage.close()


def test_a_person_rolls_back_while_both_fail(tmp_path: Path) -> None:
    stage = staged(tmp_path)
    shared(stage)
    stage.run(NOON + 20 * MINUTE)
    stage.command("rollback", "we do not believe it")
    stage.run(NOON + 22 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    assert "shared" not in stage.control
    stage.close()


# --- restarts -------------------------------------------------------------------------------------------------------


def test_a_process_that_dies_with_the_answer_asks_again_and_decides_alike(tmp_path: Path) -> None:
    stage = staged(tmp_path)
    shared(stage)
    down = LedgerDown(stage.ledger)
    stage.start_up(ledger=down)
    stage.run(FOUND - MINUTE + 31)
    down.down = "writes"
    stage.run(FOUND + 31)
    assert attributions(stage) == []
    stage.start_up()  # what was in memory alone is lost
    stage.run(FOUND + 2 * MINUTE)
    assert stage.control["hold"]["cause"] == "shared_cause"
    assert attributions(stage)[0].verdict is Blame.SHARED
    stage.close()


def test_a_restart_during_the_hold_goes_on_looking(tmp_path: Path) -> None:
    stage = staged(tmp_path)
    shared(stage, until=NOON + 40 * MINUTE)
    for minute in range(12, 40, 3):
        stage.run(NOON + minute * MINUTE)
        stage.restart()
    assert stage.control["hold"]["cause"] == "shared_cause"
    stage.run(NOON + 50 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    agree(stage)
    stage.close()


def test_a_ledger_that_fails_at_the_breach_loses_nothing(tmp_path: Path) -> None:
    stage = staged(tmp_path)
    shared(stage)
    down = LedgerDown(stage.ledger)
    stage.start_up(ledger=down)
    stage.run(FOUND - MINUTE + 31)
    down.down = "writes"
    stage.run(FOUND + 5 * MINUTE)
    down.down = None
    stage.run(FOUND + 7 * MINUTE)
    assert stage.control["hold"]["cause"] == "shared_cause"
    assert [found.number for found in attributions(stage)] == list(range(1, len(attributions(stage)) + 1))
    stage.close()


def test_what_is_recorded_can_be_decided_again_from_its_counts(tmp_path: Path) -> None:
    stage = staged(tmp_path)
    shared(stage, until=NOON + 40 * MINUTE)
    stage.run(NOON + 50 * MINUTE)
    assert [again(found) for found in attributions(stage)] == attributions(stage)
    stage.close()


# --- shown ----------------------------------------------------------------------------------------------------------


def test_the_status_and_the_explanation_say_what_the_cohorts_say(tmp_path: Path) -> None:
    stage = staged(tmp_path)
    shared(stage)
    stage.run(FOUND + 31)
    (cause,) = account(stage).status()["causes"]
    assert cause["objective"] == EXPOSED
    assert cause["at"] == "2023-11-15T12:14:00Z"
    assert cause["attribution"]["verdict"] == "shared"
    assert cause["attribution"]["exposed"]["share"] == cause["attribution"]["control"]["share"]
    assert (cause["contributors"], cause["asked_at"], cause["problem"]) == ([], None, "")
    text = explain(account(stage), "", None)
    assert "What is known of the causes:" in text
    assert "both cohorts fail: the flag is probably not the cause" in text
    stage.close()


def test_two_split_objectives_are_each_compared_with_their_own_control(tmp_path: Path) -> None:
    rule = a_split_rule()
    both = a_rule(
        split(EXPOSED),
        split("exposed_slow"),
        cohorts="{exposed: 'variant=\"on\"', control: 'variant=\"off\"'}",
        ramp="{strategy: progressive, from: 50, to: 100, over: 10h, every: 5h}",
    )
    assert rule.on_shared_cause is both.on_shared_cause
    stage = staged(tmp_path, both)
    shared(stage)
    stage.run(FOUND + 31)
    assert stage.control["hold"]["cause"] == "shared_cause"
    assert {found.objective for found in attributions(stage)} == {EXPOSED}
    stage.close()
