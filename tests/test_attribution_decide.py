"""Decisions about a breach that both cohorts share: held, looked at again, taken back when that is no longer known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.rollouts import COHORTS, HOUR, NOON, event, passed, rollout, split
from watchdog.attribution import attribute, patience, unanswered
from watchdog.control import Control
from watchdog.decide import Decision, Seen, asleep_until, decide
from watchdog.errors import ConfigError
from watchdog.messages.advice import advice
from watchdog.messages.facts import facts_of
from watchdog.model import (
    Attribution,
    Blame,
    Breach,
    Command,
    Counts,
    Exposure,
    FlagReading,
    Hold,
    OnBreach,
    Phase,
    SharedCause,
)
from watchdog.rolloutfile import rollout_from_resolved
from watchdog.window import Window

PLAN = "{strategy: progressive, from: 0, to: 100, over: 4h, every: 1h}"
RULE = rollout(split("errors"), event("pooled"), ramp=PLAN, cohorts=COHORTS)
EVERY = 60
PATIENCE = patience(RULE, RULE.objectives[0].detector)
RAMPING = Control(phase=Phase.RAMPING, started_at=NOON - 2 * HOUR, desired=Exposure(50.0), last_step_at=NOON - HOUR)
CAUSE = SharedCause("errors", NOON, 5, NOON)
HELD = replace(RAMPING, hold=Hold("shared_cause", "watchdog", NOON + 30.0, "both cohorts fail"), shared=(CAUSE,))
SHARED = (Counts(150, 3000), Counts(3000, 60000))
GUILTY = (Counts(150, 3000), Counts(30, 60000))
UNSURE = (Counts(3, 20), Counts(100, 2000))


def breach(name: str = "errors", at: int = NOON) -> Breach:
    return Breach(name, at, "sequential", 500.0, 400.0, 150.0, 3000.0, why="5% bad")


def found(counts: tuple[Counts, Counts], *, at: int = NOON, name: str = "errors") -> dict[tuple[str, int], Attribution]:
    """What the cohorts say at the step `at` of the breach at noon."""
    number = (at - NOON) // EVERY + 1
    one = attribute(
        name, NOON, number=number, first=at - 240, last=at, steps=5, exposed=counts[0], control=counts[1], allowed=0.001
    )
    return {(name, NOON): one}


def blind(at: int = NOON) -> dict[tuple[str, int], Attribution]:
    why = "the control cohort cannot be counted: unreachable"
    return {("errors", NOON): unanswered("errors", NOON, at, (at - NOON) // EVERY + 1, 0.001, why)}


def one(control: Control, *, after: int = 0, rule: Any = RULE, **facts: Any) -> Decision:
    """One tick, `after` seconds after noon; the flag reads what is desired."""
    slot = NOON + after
    given: dict[str, Any] = {
        "now": slot + 30.25,
        "slot": slot,
        "live": True,
        "interim": Window(48),
        "final": Window(48),
        "verdicts": {objective.name: passed(slot) for objective in rule.objectives},
        "reading": FlagReading(control.desired, "7"),
    }
    return decide(rule, control, Seen(**(given | facts)))


def burning(**facts: Any) -> dict[str, Any]:
    """The breach is open."""
    return {"open_objectives": frozenset({"errors"}), "open_breaches": {"errors": breach()}, **facts}


def opened(**facts: Any) -> dict[str, Any]:
    """The breach was found just now."""
    return burning(opened=((breach(), False),), **facts)


def kinds(decision: Decision) -> list[str]:
    return [transition.kind for transition in decision.transitions]


def pages(decision: Decision) -> list[tuple[str, str]]:
    return [(message.kind, message.severity.value) for message in decision.notifications]


# --- the breach -----------------------------------------------------------------------------------------------------


def test_a_shared_cause_holds_the_rollout_and_pages() -> None:
    held = one(RAMPING, **opened(compared=found(SHARED)))
    assert held.control.phase is Phase.RAMPING
    assert held.control.hold is not None
    assert held.control.hold.cause == "shared_cause"
    assert "both cohorts fail: the flag is probably not the cause" in held.control.hold.why
    assert held.write is None
    assert kinds(held) == ["breach", "hold"]
    assert pages(held) == [("hold", "critical")]
    assert held.control.shared == (CAUSE,)


def test_the_page_says_what_the_cohorts_say_and_what_happens_next() -> None:
    (page,) = one(RAMPING, **opened(compared=found(SHARED))).notifications
    assert ("cohorts", found(SHARED)["errors", NOON].why) in facts_of(page.details)
    done, todo = advice(page, "checkout-2", "new-checkout")
    assert "taken back once the control is better off" in done
    assert "what both cohorts have in common" in todo


def test_a_flag_that_is_to_blame_is_taken_back_with_the_figures() -> None:
    taken = one(RAMPING, **opened(compared=found(GUILTY)))
    assert taken.control.phase is Phase.ROLLING_BACK
    assert taken.write == "kill"
    assert "who has the feature fails more often: 5% (150 of 3000) of the exposed" in taken.why
    assert taken.control.shared == ()


@pytest.mark.parametrize("compared", [found(UNSURE), blind(), {}], ids=["too few", "blind", "not asked"])
def test_whatever_is_not_known_to_be_shared_is_taken_back_at_once(compared: Any) -> None:
    assert one(RAMPING, **opened(compared=compared)).control.phase is Phase.ROLLING_BACK


def test_a_rule_that_wants_it_takes_back_for_a_shared_cause_too() -> None:
    rule = replace(RULE, on_shared_cause=OnBreach.ROLLBACK)
    taken = one(RAMPING, rule=rule, **opened(compared=found(SHARED)))
    assert taken.control.phase is Phase.ROLLING_BACK
    assert "both cohorts fail" in taken.why


def test_without_time_to_look_again_a_shared_cause_is_taken_back() -> None:
    rule = replace(RULE, rollback=replace(RULE.rollback, within=180.0))
    assert patience(rule, rule.objectives[0].detector) == 0
    assert one(RAMPING, rule=rule, **opened(compared=found(SHARED))).control.phase is Phase.ROLLING_BACK


def test_another_objective_that_has_no_control_takes_back_as_ever() -> None:
    both = ((breach(), False), (breach("pooled"), False))
    taken = one(RAMPING, opened=both, compared=found(SHARED), open_objectives=frozenset({"errors", "pooled"}))
    assert taken.control.phase is Phase.ROLLING_BACK
    assert taken.control.cause == ("pooled", NOON)


def test_a_hold_that_stands_already_stays_and_the_breach_is_paged() -> None:
    operator = Hold("operator", "ada", NOON - 60.0, "a look at the logs")
    held = one(replace(RAMPING, hold=operator), **opened(compared=found(SHARED)))
    assert held.control.hold == operator
    assert pages(held) == [("breach", "critical")]
    assert held.control.shared == (CAUSE,)


def test_nobody_exposed_holds_for_the_breach_itself() -> None:
    nobody = replace(RAMPING, desired=Exposure(0.0))
    held = one(nobody, **opened(compared=found(SHARED)))
    assert held.control.hold is not None
    assert held.control.hold.cause == "breach"
    assert held.control.shared == ()


def test_a_breach_found_late_holds_where_the_rule_says_so_whoever_is_to_blame() -> None:
    rule = replace(RULE, late_breach=OnBreach.HOLD)
    for counts in (SHARED, GUILTY):
        held = one(RAMPING, rule=rule, **burning(opened=((breach(), True),), compared=found(counts)))
        assert held.control.hold is not None
        assert held.control.hold.cause == "breach"


def test_an_observation_decides_the_same_and_pages_nobody() -> None:
    rule = rollout(split("errors"), event("pooled"), ramp=PLAN, cohorts=COHORTS, mode="observe")
    held = one(RAMPING, rule=rule, **opened(compared=found(SHARED)))
    assert held.control.hold is not None
    assert held.control.hold.cause == "shared_cause"
    assert pages(held) == []


# --- what happens next ----------------------------------------------------------------------------------------------


def test_while_the_control_is_seen_to_fail_the_hold_goes_on_however_long() -> None:
    control = HELD
    for step in range(1, 200):
        at = step * EVERY
        seen = one(control, after=at, **burning(compared=found(SHARED, at=NOON + at)))
        assert kinds(seen) == []
        control = seen.control
    assert control.shared == (replace(CAUSE, seen_at=NOON + 199 * EVERY),)


def test_exposure_is_not_raised_meanwhile() -> None:
    due = replace(HELD, last_step_at=NOON - 10 * HOUR)
    seen = one(due, after=EVERY, **burning(compared=found(SHARED, at=NOON + EVERY)))
    assert seen.control.desired == Exposure(50.0)
    assert seen.write is None


def test_a_control_that_recovers_while_the_exposed_go_on_failing_takes_the_flag_back() -> None:
    taken = one(HELD, after=EVERY, **burning(compared=found(GUILTY, at=NOON + EVERY)))
    assert taken.control.phase is Phase.ROLLING_BACK
    assert taken.control.cause == ("errors", NOON)
    assert taken.took_back == breach()
    assert "the cause is no longer shared" in taken.why
    assert pages(taken) == [("rollback", "critical")]
    assert taken.control.hold is None
    assert taken.control.shared == ()


def test_a_control_that_cannot_be_seen_is_waited_for_no_longer_than_the_bound_allows() -> None:
    control = HELD
    for step in range(1, PATIENCE):
        seen = one(control, after=step * EVERY, **burning(compared=blind(NOON + step * EVERY)))
        assert seen.control.phase is Phase.RAMPING
        control = seen.control
    taken = one(control, after=PATIENCE * EVERY, **burning(compared=blind(NOON + PATIENCE * EVERY)))
    assert taken.control.phase is Phase.ROLLING_BACK
    assert f"the control was not seen to fail for {PATIENCE}m" in taken.why
    assert "unreachable" in taken.why


def test_ticks_that_bring_no_step_end_the_patience_too() -> None:
    taken = one(HELD, after=PATIENCE * EVERY, **burning())
    assert taken.control.phase is Phase.ROLLING_BACK
    assert "no detector step has ended since" in taken.why


def test_a_glance_of_the_failing_control_renews_the_patience() -> None:
    last = PATIENCE * EVERY - EVERY
    seen = one(HELD, after=last, **burning(compared=found(SHARED, at=NOON + last)))
    assert one(seen.control, after=last + EVERY, **burning(compared=blind())).control.phase is Phase.RAMPING


def test_a_breach_that_is_over_leaves_the_hold_to_a_person() -> None:
    over = one(HELD, after=EVERY)
    assert kinds(over) == ["shared_cause_over"]
    assert over.control.hold == HELD.hold
    assert over.control.shared == ()
    assert one(over.control, after=HOUR).control.phase is Phase.RAMPING


def test_another_episode_of_the_same_objective_is_not_the_one_that_was_held_for() -> None:
    later = {"errors": breach(at=NOON + 10 * EVERY)}
    seen = one(HELD, after=10 * EVERY, open_objectives=frozenset({"errors"}), open_breaches=later)
    assert kinds(seen) == ["shared_cause_over"]


def test_a_person_resumes_and_the_next_breach_is_judged_anew() -> None:
    resume = Command(1, "resume", "ada", "the database is back", NOON + 50.0)
    resumed = one(HELD, after=EVERY, commands=(resume,), **burning())
    assert resumed.control.hold is None
    assert resumed.control.shared == ()
    assert resumed.resumed
    again = one(resumed.control, **opened(compared=found(GUILTY)))
    assert again.control.phase is Phase.ROLLING_BACK


@pytest.mark.parametrize(("verb", "phase"), [("rollback", Phase.ROLLING_BACK), ("stop", Phase.STOPPED)])
def test_a_person_can_end_it_at_any_moment(verb: str, phase: Phase) -> None:
    ended = one(HELD, after=EVERY, commands=(Command(1, verb, "ada", "enough", NOON + 50.0),), **burning())
    assert ended.control.phase is phase
    assert ended.control.shared == ()


def test_nothing_is_looked_at_any_more_once_it_is_being_rolled_back() -> None:
    rolling = replace(HELD, phase=Phase.ROLLED_BACK)
    seen = one(rolling, after=HOUR, **burning(compared=found(GUILTY, at=NOON + HOUR)))
    assert seen.control.phase is Phase.ROLLED_BACK
    assert "rollback" not in kinds(seen)


# --- remembering ----------------------------------------------------------------------------------------------------


def test_a_restart_remembers_what_is_held_for_and_since_when() -> None:
    assert Control.from_dict(HELD.to_dict()) == HELD


def test_where_nothing_is_shared_nothing_is_said_of_it() -> None:
    assert "shared" not in RAMPING.to_dict()
    assert Control.from_dict(RAMPING.to_dict()) == RAMPING


def test_a_replay_skips_no_slot_while_it_looks_on() -> None:
    assert asleep_until(RULE, HELD) == float("-inf")
    assert asleep_until(RULE, replace(HELD, shared=())) == float("inf")


# --- the rule -------------------------------------------------------------------------------------------------------


def test_a_rule_with_a_control_cohort_holds_by_default_and_keeps_that_word() -> None:
    assert RULE.on_shared_cause is OnBreach.HOLD
    assert rollout_from_resolved(RULE.resolved, RULE.text) == RULE
    said = rollout(split("errors"), cohorts=COHORTS, on_shared_cause="rollback")
    assert said.on_shared_cause is OnBreach.ROLLBACK
    assert rollout_from_resolved(said.resolved, said.text) == said


def test_a_rule_without_one_is_frozen_as_it_always_was() -> None:
    rule = rollout(event())
    assert rule.on_shared_cause is OnBreach.ROLLBACK
    assert "shared" not in rule.resolved
    assert "explain" not in rule.resolved


def test_a_rule_that_was_frozen_before_there_was_a_choice_goes_on_taking_back() -> None:
    older = RULE.resolved.replace('"on_shared_cause":"hold",', "")
    assert older != RULE.resolved
    assert rollout_from_resolved(older, RULE.text).on_shared_cause is OnBreach.ROLLBACK


@pytest.mark.parametrize(
    ("top", "words"),
    [
        ({"on_shared_cause": "hold"}, "on_shared_cause: needs cohorts.control"),
        (
            {"on_shared_cause": "hold", "cohorts": "{exposed: 'variant=\"on\"'}"},
            "on_shared_cause: needs cohorts.control",
        ),
        ({"on_shared_cause": "page", "cohorts": COHORTS}, "found 'page', expected hold or rollback"),
        (
            {"on_shared_cause": "hold", "cohorts": COHORTS, "rollback": "{within: 4m}"},
            "leaves no time to see the control of errors fail again",
        ),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused_with_a_sentence(top: dict[str, str], words: str) -> None:
    objective = split("errors") if "cohorts" in top else event("errors")
    with pytest.raises(ConfigError) as refused:
        rollout(objective, **top)
    assert words in str(refused.value)


def test_the_default_is_not_refused_where_it_cannot_be_kept() -> None:
    rule = rollout(split("errors"), cohorts=COHORTS, rollback="{within: 4m}")
    assert one(RAMPING, rule=rule, **opened(compared=found(SHARED))).control.phase is Phase.ROLLING_BACK


def test_verdicts_are_words_that_are_written_in_ledgers() -> None:
    assert [blame.value for blame in Blame] == ["flag", "shared", "unknown"]
