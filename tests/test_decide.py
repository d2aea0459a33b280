"""Decisions, one tick at a time: starting, stepping, holding, drifting, rolling back, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.rollouts import COHORTS, HOUR, NOON, event, failed, internal, passed, rollout, split, unknown, value
from watchdog.control import Control, Timeline
from watchdog.decide import Decision, Seen, decide, settle
from watchdog.model import (
    Breach,
    Command,
    Evaluation,
    Exposure,
    FlagReading,
    Hold,
    Phase,
    Reason,
    Rollback,
    Rollout,
    Verdict,
)
from watchdog.window import Reset, Window

PLAN = "{strategy: progressive, from: 0, to: 100, over: 4h, every: 1h}"
RULE = rollout(event(), value("latency_p95", "on_breach: hold"), event("noise", "on_breach: page"), ramp=PLAN)
NAMES = tuple(objective.name for objective in RULE.objectives)


def reads(percent: float, *, cohort: bool = False, latch: str | None = None, version: str = "7") -> FlagReading:
    return FlagReading(Exposure(percent, cohort), version, latch)


def seen(at: int = NOON, **facts: Any) -> Seen:
    """What a tick knows at slot `at`: every verdict passes and the flag reads 50 % unless said otherwise."""
    given = {
        "now": at + 30.25,
        "slot": at,
        "live": True,
        "interim": Window(48),
        "final": Window(48),
        "verdicts": {name: passed(at) for name in NAMES},
        "reading": reads(50.0),
    }
    return Seen(**(given | facts))


RAMPING = Control(phase=Phase.RAMPING, started_at=NOON - 2 * HOUR, desired=Exposure(50.0), last_step_at=NOON - HOUR)
SOAKING = replace(RAMPING, phase=Phase.SOAKING, desired=Exposure(100.0))
PENDING = Control()
HELD = replace(RAMPING, hold=Hold("operator", "ada", NOON - 60.0, "a look at the logs"))


def command(verb: str, reason: str = "because", number: int = 1) -> Command:
    return Command(number, verb, "ada", reason, NOON + 20.0)


def breach(name: str = "error_rate", at: int = NOON) -> Breach:
    return Breach(name, at, "sequential", 500.0, 400.0, 30.0, 3000.0, why="1% bad")


def kinds(decision: Decision) -> list[str]:
    return [transition.kind for transition in decision.transitions]


def pages(decision: Decision) -> list[tuple[str, str]]:
    return [(message.kind, message.severity.value) for message in decision.notifications]


def one(control: Control, rule: Rollout = RULE, **facts: Any) -> Decision:
    return decide(rule, control, seen(**facts))


# --- starting -------------------------------------------------------------------------------------------------------


def test_a_seen_file_is_pending_until_somebody_starts_it() -> None:
    quiet = one(PENDING, reading=reads(0.0), slot=None)
    assert quiet.control.phase is Phase.PENDING
    assert (quiet.transitions, quiet.write) == ((), None)
    started = one(PENDING, reading=reads(0.0), slot=None, commands=(command("start", "release day"),))
    assert started.control.phase is Phase.RAMPING
    assert started.control.started_at == NOON + 30
    assert "release day" in started.why
    assert "ada" in started.why
    assert (started.done, started.write) == (((1, "start accepted"),), None)


def test_auto_start_starts_by_itself() -> None:
    assert one(PENDING, replace(RULE, auto_start=True), reading=reads(0.0)).control.phase is Phase.RAMPING


@pytest.mark.parametrize(
    ("start_at", "started"),
    [(NOON + 31.0, None), (NOON + 30.0, NOON + 30), (NOON - 1000.0, NOON - 1000), (NOON - 1769.0, NOON - 1769)],
)
def test_start_at_starts_at_that_time(start_at: float, started: int | None) -> None:
    assert one(PENDING, replace(RULE, start_at=start_at), reading=reads(0.0)).control.started_at == started


def test_a_start_at_more_than_max_gap_in_the_past_starts_now_and_says_so() -> None:
    late = one(PENDING, replace(RULE, start_at=NOON - 1770.0), reading=reads(0.0))
    assert late.control.started_at == NOON + 30
    assert "more than max_gap" in late.why


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"reading": reads(30.0)}, "reads 30%"),
        ({"reading": reads(0.0, cohort=True)}, "and the cohort"),
        ({"reading": None, "reading_error": "no such file"}, "no such file"),
        ({"reading": reads(0.0), "taken_by": "checkout-1"}, "checkout-1"),
        ({"reading": reads(0.0, latch="checkout-2")}, "latch"),
    ],
)
def test_a_start_waits_while_something_stands_in_its_way_and_says_what(facts: dict[str, Any], words: str) -> None:
    waiting = one(PENDING, commands=(command("start"),), **facts)
    assert waiting.control.phase is Phase.PENDING
    assert waiting.write is None
    assert words in waiting.why
    again = one(waiting.control, **facts)
    assert again.transitions == ()  # said once
    assert words in again.why
    assert one(waiting.control, reading=reads(0.0)).control.phase is Phase.RAMPING


def test_another_rollouts_latch_does_not_stop_a_new_name() -> None:
    free = one(PENDING, commands=(command("start"),), reading=reads(0.0, latch="checkout-1"))
    assert free.control.phase is Phase.RAMPING


def test_not_even_adopt_starts_over_its_own_latch_or_on_a_taken_flag() -> None:
    for facts in ({"reading": reads(30.0, latch="checkout-2")}, {"reading": reads(30.0), "taken_by": "checkout-1"}):
        assert one(PENDING, commands=(command("adopt"),), **facts).control.phase is Phase.PENDING


def test_adopt_ramps_on_from_the_reading() -> None:
    adopted = one(PENDING, commands=(command("adopt", "it was at 30 already"),), reading=reads(30.0))
    assert (adopted.control.phase, adopted.control.desired, adopted.control.confirmed) == (
        Phase.RAMPING,
        Exposure(30.0),
        True,
    )
    assert adopted.write is None
    assert "it was at 30 already" in adopted.why
    later = one(adopted.control, now=NOON + 2 * HOUR + 30.0, slot=NOON + 2 * HOUR, reading=reads(30.0))
    assert later.control.desired == Exposure(50.0)  # the first planned percentage above the reading


def test_a_name_starts_once() -> None:
    for phase in (Phase.RAMPING, Phase.ROLLED_BACK, Phase.SIGNED_OFF, Phase.STOPPED):
        again = one(replace(RAMPING, phase=phase), commands=(command("start"),))
        assert again.control.phase is phase
        assert "refused" in kinds(again)


def test_an_observation_starts_whatever_the_real_flag_reads() -> None:
    watching = rollout(event(), ramp=PLAN, mode="observe")
    started = one(PENDING, watching, commands=(command("start"),), reading=reads(70.0, latch="checkout-2"))
    assert (started.control.phase, started.control.desired) == (Phase.RAMPING, Exposure(0.0))
    assert (started.notifications, started.write) == ((), None)


# --- stepping -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("since", "taken"), [(HOUR, True), (HOUR - 30, False), (3 * HOUR, True), (0, False)])
def test_a_step_is_never_closer_than_every_to_the_one_before(since: int, *, taken: bool) -> None:
    decision = one(replace(RAMPING, last_step_at=NOON - since))
    assert (decision.control.desired == Exposure(75.0)) is taken
    assert (decision.write == "set") is taken


@pytest.mark.parametrize(("since", "taken"), [(HOUR, True), (HOUR - 1, False)])
def test_the_first_step_is_due_every_after_the_start(since: int, *, taken: bool) -> None:
    fresh = replace(RAMPING, started_at=NOON - since, desired=Exposure(0.0), last_step_at=None)
    assert (one(fresh, reading=reads(0.0)).control.desired == Exposure(25.0)) is taken


def test_a_late_step_does_not_bring_the_next_one_nearer() -> None:
    late = one(replace(RAMPING, last_step_at=NOON - 5 * HOUR)).control
    confirmed = settle(RULE, late, seen(reading=reads(75.0))).control
    after = NOON + HOUR - 30
    assert one(confirmed, at=after, reading=reads(75.0)).control.desired == Exposure(75.0)
    assert one(confirmed, at=NOON + HOUR, reading=reads(75.0)).control.desired == Exposure(100.0)


def test_there_are_never_two_steps_in_one_slot() -> None:
    stepped = settle(RULE, one(RAMPING).control, seen(reading=reads(75.0))).control
    assert one(stepped, reading=reads(75.0)).control.desired == Exposure(75.0)


def test_a_step_is_recorded_told_and_written() -> None:
    decision = one(RAMPING)
    assert decision.control.confirmed is False
    assert decision.exposures == ((NOON, "desired", Exposure(75.0)),)
    assert kinds(decision) == ["step"]
    assert pages(decision) == [("step", "info")]
    assert decision.why == "checkout-2: exposure from 50% to 75%"


def verdicts_but(name: str, evaluation: Evaluation | None) -> dict[str, Evaluation]:
    found = {other: passed(NOON) for other in NAMES if other != name}
    return found if evaluation is None else {**found, name: evaluation}


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"verdicts": verdicts_but("error_rate", failed(NOON))}, "5% bad"),
        ({"verdicts": verdicts_but("noise", failed(NOON))}, "noise"),
        ({"verdicts": verdicts_but("error_rate", unknown(NOON, Reason.UNREACHABLE))}, "unreachable"),
        ({"verdicts": verdicts_but("error_rate", unknown(NOON, Reason.LOW_TRAFFIC))}, "low_traffic"),
        ({"verdicts": verdicts_but("latency_p95", None)}, "no verdict"),
        ({"live": False}, "too old"),
        ({"reading": None, "reading_error": "connection refused"}, "connection refused"),
    ],
)
def test_a_due_step_waits_says_for_what_and_goes_on_by_itself(facts: dict[str, Any], words: str) -> None:
    waiting = one(RAMPING, **facts)
    assert waiting.control.desired == Exposure(50.0)
    assert words in waiting.why
    assert kinds(waiting) == ["waiting"]
    assert waiting.notifications == ()
    longer = one(waiting.control, at=NOON + 30, **facts)
    assert longer.transitions == ()
    assert words in longer.why
    gone = one(longer.control, at=NOON + 60)
    assert gone.control.desired == Exposure(75.0)
    assert gone.control.waiting == ()


def test_a_step_waits_until_the_flag_reads_what_was_asked_before() -> None:
    unseen = replace(RAMPING, confirmed=False)
    waiting = one(unseen, reading=reads(25.0))
    assert waiting.control.desired == Exposure(50.0)
    assert waiting.write == "set"  # asked again
    assert "25%" in waiting.why


def test_internal_objectives_gate_no_step() -> None:
    rule = rollout(event(), internal(), ramp=PLAN)
    verdicts = {"error_rate": passed(NOON), "flag_ramp": Evaluation(NOON, Verdict.FAIL, value=3.0)}
    assert one(RAMPING, rule, verdicts=verdicts).control.desired == Exposure(75.0)


def test_an_objective_with_cohorts_blocks_by_fail_and_by_unknown_but_low_traffic() -> None:
    rule = rollout(split(), ramp=PLAN, cohorts=COHORTS)
    for evaluation, rises in (
        (passed(NOON), True),
        (unknown(NOON, Reason.LOW_TRAFFIC), True),
        (failed(NOON), False),
        (unknown(NOON, Reason.MANY_SERIES), False),
    ):
        decision = one(RAMPING, rule, verdicts={"exposed_errors": evaluation})
        assert (decision.control.desired == Exposure(75.0)) is rises


def test_at_the_last_exposure_the_rollout_soaks_once_the_flag_reads_it() -> None:
    last = one(replace(RAMPING, desired=Exposure(75.0)), reading=reads(75.0))
    assert (last.control.desired, last.control.phase) == (Exposure(100.0), Phase.RAMPING)
    confirmed = settle(RULE, last.control, seen(reading=reads(100.0)))
    assert confirmed.control.phase is Phase.SOAKING
    assert confirmed.exposures == ((NOON, "confirmed", Exposure(100.0)),)


# --- holding --------------------------------------------------------------------------------------------------------


def test_a_hold_needs_a_person_and_only_resume_ends_it() -> None:
    held = one(RAMPING, commands=(command("hold", "a look at the logs"),)).control
    assert held.hold == Hold("operator", "ada", NOON + 30.25, "a look at the logs")
    for hour in range(1, 5):
        decision = one(held, at=NOON + hour * HOUR)
        assert decision.control.desired == Exposure(50.0)
        assert "a look at the logs" in decision.why
    resumed = one(held, at=NOON + HOUR, commands=(command("resume", "nothing there"),))
    assert resumed.control.hold is None
    assert resumed.resumed
    assert resumed.control.desired == Exposure(75.0)
    assert "nothing there" in resumed.why


def test_a_second_hold_and_a_resume_of_nothing_are_refused_with_a_sentence() -> None:
    for control, verb in ((HELD, "hold"), (RAMPING, "resume"), (PENDING, "hold"), (SOAKING, "fly")):
        decision = one(control, commands=(command(verb),))
        assert kinds(decision)[0] == "refused"
        assert "refused" in decision.done[0][1]


def test_three_internal_errors_hold_as_such() -> None:
    told = Command(1, "hold", "watchdog", "three ticks failed", NOON)
    held = one(RAMPING, commands=(told,)).control.hold
    assert held is not None
    assert held.cause == "internal_error"


def test_a_step_asked_for_before_a_hold_and_not_seen_yet_is_not_pushed_during_it() -> None:
    unseen = replace(HELD, confirmed=False)
    assert one(unseen, reading=reads(25.0)).write is None
    assert one(unseen, reading=reads(60.0)).write == "set"  # lowering is never held
    assert one(unseen, reading=reads(25.0), commands=(command("resume"),)).write == "set"


# --- breaches -------------------------------------------------------------------------------------------------------


def test_a_breach_takes_the_flag_back_at_once() -> None:
    decision = one(RAMPING, opened=((breach(), False),))
    assert decision.control.phase is Phase.ROLLING_BACK
    assert decision.control.desired == Exposure(0.0)
    assert decision.write == "kill"
    assert kinds(decision) == ["breach", "rollback"]
    assert pages(decision) == [("rollback", "critical")]
    assert decision.took_back == breach()
    assert decision.control.cause == ("error_rate", NOON)
    assert "1% bad" in decision.why
    assert "from 50% to 0%" in decision.why


def test_a_breach_does_what_its_objective_asks_for() -> None:
    held = one(RAMPING, opened=((breach("latency_p95"), False),))
    assert held.control.hold is not None
    assert held.control.hold.cause == "breach"
    assert held.control.desired == Exposure(50.0)
    paged = one(RAMPING, opened=((breach("noise"), False),), verdicts=verdicts_but("noise", failed(NOON)))
    assert (paged.control.hold, paged.control.phase) == (None, Phase.RAMPING)
    assert pages(paged) == [("breach", "critical")]


def test_no_hold_delays_a_rollback() -> None:
    for facts in ({"opened": ((breach(), False),)}, {"commands": (command("rollback"),)}):
        decision = one(HELD, **facts)
        assert decision.control.phase is Phase.ROLLING_BACK
        assert decision.control.hold is None


def test_at_zero_exposure_a_breach_holds_because_there_is_nothing_to_take_back() -> None:
    nobody = replace(RAMPING, desired=Exposure(0.0))
    held = one(nobody, reading=reads(0.0), opened=((breach(), False),))
    assert (held.control.phase, held.write) == (Phase.RAMPING, None)
    assert held.control.hold is not None
    assert "nobody is exposed" in held.why
    assert pages(held) == [("hold", "critical")]


@pytest.mark.parametrize(
    ("desired", "confirmed", "reading"),
    [
        (Exposure(0.0, cohort=True), True, reads(0.0, cohort=True)),  # a canary cohort is exposure
        (Exposure(25.0), False, reads(0.0)),  # asked for, perhaps there
        (Exposure(0.0), True, reads(10.0)),  # somebody raised it
        (Exposure(1.0), True, None),
    ],
)
def test_who_may_be_exposed_is_taken_back(desired: Exposure, reading: FlagReading | None, *, confirmed: bool) -> None:
    control = replace(RAMPING, desired=desired, confirmed=confirmed)
    decision = one(control, reading=reading, opened=((breach(), False),))
    assert decision.control.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK)
    assert decision.control.desired.none


def test_a_breach_found_late_rolls_back_now_unless_the_rule_says_hold() -> None:
    old = breach(at=NOON - 3 * HOUR)
    acted = one(RAMPING, opened=((old, True),))
    assert acted.control.phase is Phase.ROLLING_BACK
    assert "found late" in acted.why
    assert acted.control.rollback is not None
    assert (acted.control.cause, acted.control.rollback.detected_at) == (("error_rate", old.at), NOON + 30.25)
    patient = rollout(event(), ramp=PLAN, late_breach="hold")
    held = one(RAMPING, patient, opened=((old, True),))
    assert held.control.phase is Phase.RAMPING
    assert held.control.hold is not None
    assert one(RAMPING, patient, opened=((breach(), False),)).control.phase is Phase.ROLLING_BACK


def test_a_breach_during_a_hold_is_heard_of() -> None:
    for found in (breach("latency_p95"), breach("noise")):
        decision = one(HELD, opened=((found, False),))
        assert pages(decision) == [("breach", "critical")]
        assert decision.control.hold == HELD.hold
    nobody = replace(HELD, desired=Exposure(0.0))
    assert pages(one(nobody, reading=reads(0.0), opened=((breach(), False),))) == [("breach", "critical")]


def test_a_breach_after_the_sign_off_pages_and_amends_the_report() -> None:
    decision = one(replace(SOAKING, phase=Phase.SIGNED_OFF), reading=reads(100.0), opened=((breach(), True),))
    assert decision.control.phase is Phase.SIGNED_OFF
    assert decision.write is None
    assert kinds(decision) == ["breach", "amended"]
    assert pages(decision) == [("breach", "critical")]
    assert decision.reports == ("final",)


def test_an_observation_records_a_rollback_and_tells_nobody() -> None:
    watching = rollout(event(), ramp=PLAN, mode="observe")
    open_now = frozenset({"error_rate"})
    decision = one(RAMPING, watching, opened=((breach(), False),), open_objectives=open_now, reading=reads(0.0))
    assert decision.control.phase is Phase.ROLLED_BACK  # the simulated flag follows at once
    assert kinds(decision) == ["breach", "rollback", "rolled_back"]
    assert (decision.notifications, decision.write) == ((), None)


# --- the flag -------------------------------------------------------------------------------------------------------


def test_a_flag_that_reads_higher_is_set_back_at_once_and_paged_once_an_episode() -> None:
    first = one(SOAKING, reading=reads(100.0))
    assert (first.write, kinds(first)) == (None, [])
    high = one(RAMPING, reading=reads(80.0), live=False)
    assert high.write == "set"
    assert kinds(high)[0] == "drift"
    assert ("drift", "critical") in pages(high)
    assert high.control.desired == Exposure(50.0)
    still = one(high.control, at=NOON + 30, reading=reads(80.0), live=False)
    assert still.write == "set"
    assert "drift" not in kinds(still)
    back = one(still.control, at=NOON + 60, reading=reads(50.0), live=False)
    assert back.write is None
    another = one(back.control, at=NOON + 90, reading=reads(90.0), live=False)
    assert "drift" in kinds(another)


def test_a_flag_set_higher_than_a_step_that_was_not_seen_yet_is_drift_too() -> None:
    decision = one(replace(RAMPING, confirmed=False), reading=reads(90.0))
    assert decision.write == "set"
    assert ("drift", "critical") in pages(decision)


def test_the_time_at_a_higher_exposure_is_not_at_a_confirmed_one() -> None:
    timeline = Timeline()
    timeline.add(NOON - HOUR, "confirmed", Exposure(50.0))
    high = one(RAMPING, at=NOON + 600, reading=reads(80.0), live=False)
    back = one(high.control, at=NOON + 630, reading=reads(50.0), live=False)
    for entry in (*high.exposures, *back.exposures):
        timeline.add(*entry)
    assert timeline.over(NOON - HOUR, NOON) == Exposure(50.0)
    assert timeline.over(NOON, NOON + HOUR) is None
    assert timeline.over(NOON + HOUR, NOON + 2 * HOUR) == Exposure(50.0)


def test_a_flag_that_somebody_lowered_stays_lowered_and_holds() -> None:
    decision = one(RAMPING, reading=reads(10.0))
    assert decision.control.desired == Exposure(10.0)
    assert decision.write is None
    assert decision.control.hold is not None
    assert decision.control.hold.cause == "drift"
    assert pages(decision) == [("hold", "critical")]
    for hour in (1, 2, 3):  # metrics are fine again: the flag stays
        quiet = one(decision.control, at=NOON + hour * HOUR, reading=reads(10.0))
        assert (quiet.control.desired, quiet.write) == (Exposure(10.0), None)
    resumed = one(decision.control, at=NOON + 4 * HOUR, reading=reads(10.0), commands=(command("resume"),))
    assert resumed.control.desired == Exposure(25.0)  # the first planned percentage above the reading


def test_lower_before_it_was_seen_is_asked_for_again() -> None:
    decision = one(replace(RAMPING, confirmed=False), reading=reads(10.0))
    assert (decision.control.desired, decision.control.hold, decision.write) == (Exposure(50.0), None, "set")


def test_a_soaking_rollout_that_was_lowered_ramps_again_once_resumed() -> None:
    lowered = one(SOAKING, reading=reads(40.0))
    assert lowered.control.phase is Phase.RAMPING
    assert lowered.control.hold is not None
    resumed = one(lowered.control, at=NOON + 30, reading=reads(40.0), commands=(command("resume"),))
    assert resumed.control.desired == Exposure(50.0)


def test_a_rollout_lowered_in_the_slot_of_its_sign_off_is_not_signed_off() -> None:
    done = Window(48, 48, 48, NOON)
    lowered = one(SOAKING, reading=reads(40.0), final=done)
    assert lowered.control.phase is Phase.RAMPING
    resumed = one(lowered.control, at=NOON + 30, reading=reads(40.0), final=done, commands=(command("resume"),))
    assert resumed.control.phase is Phase.RAMPING


def test_a_difference_smaller_than_the_services_step_is_none() -> None:
    decision = one(replace(RAMPING, desired=Exposure(50.4)), reading=reads(50.0), smallest_step=1.0, live=False)
    assert (decision.write, decision.control.hold) == (None, None)
    assert decision.control.desired == Exposure(50.4)


def test_an_unreadable_flag_changes_nothing_but_is_killed_blindly_in_a_rollback() -> None:
    blind = {"reading": None, "reading_error": "connection refused"}
    assert one(SOAKING, **blind).write is None
    assert one(RAMPING, opened=((breach(), False),), **blind).write == "kill"


# --- rolling back ---------------------------------------------------------------------------------------------------


def rolling_back(now: float = NOON) -> Control:
    return replace(
        RAMPING,
        phase=Phase.ROLLING_BACK,
        desired=Exposure(0.0),
        confirmed=False,
        rollback=Rollback("1% bad", now, now + 0.5),
        cause=("error_rate", NOON),
    )


def test_a_rollback_is_confirmed_by_reading_the_flag() -> None:
    after = settle(RULE, rolling_back(), seen(now=NOON + 31.0, reading=reads(0.0)))
    assert after.control.phase is Phase.ROLLED_BACK
    assert after.control.rollback is not None
    assert after.control.rollback.confirmed_at == NOON + 31.0
    assert kinds(after) == ["rolled_back"]
    assert "31.0 s after detection" in after.why


def test_a_rollback_that_finds_the_flag_off_leaves_its_latch_all_the_same() -> None:
    assert one(rolling_back(), reading=reads(0.0)).write == "kill"
    assert one(rolling_back(), reading=reads(0.0, latch="checkout-2")).write is None


def test_until_it_is_confirmed_every_higher_reading_is_set_back() -> None:
    control = rolling_back()
    for count in range(5):
        decision = one(control, at=NOON + 30 * count, reading=reads(50.0 + count))
        assert decision.write == "kill"
        assert decision.control.phase is Phase.ROLLING_BACK
        control = decision.control


def test_a_rollback_that_is_not_confirmed_pages_again_at_a_minute_and_at_its_deadline() -> None:
    control, told = rolling_back(), []
    for second in range(0, 1800, 30):
        decision = one(control, at=NOON + second, now=float(NOON + second), reading=None, reading_error="read-only")
        told += [(kind, second) for kind, severity in pages(decision) if severity == "critical"]
        assert decision.write == "kill"
        control = decision.control
    assert told == [("rollback_unconfirmed", 90), ("rollback_late", 900)]


def test_a_person_who_lowered_further_than_the_rollback_keeps_it() -> None:
    rule = rollout(
        event(),
        ramp="{strategy: progressive, from: 10, to: 100, over: 9h, every: 1h}",
        rollback="{to: 10, within: 15m, verify: 30m}",
    )
    control = replace(rolling_back(), desired=Exposure(10.0))
    decision = one(control, rule, reading=reads(3.0))
    assert (decision.control.phase, decision.control.desired) == (Phase.ROLLED_BACK, Exposure(3.0))
    assert decision.write is None


def test_an_operators_rollback_before_the_start_goes_to_where_the_rule_says() -> None:
    rule = rollout(
        event(),
        ramp="{strategy: progressive, from: 10, to: 100, over: 9h, every: 1h}",
        rollback="{to: 10, within: 15m, verify: 30m}",
    )
    high = one(PENDING, rule, reading=reads(40.0), commands=(command("rollback"),))
    assert (high.control.phase, high.control.desired, high.write) == (Phase.ROLLING_BACK, Exposure(10.0), "set")
    low = one(PENDING, rule, reading=reads(4.0), commands=(command("rollback"),))
    assert (low.control.desired, low.write) == (Exposure(4.0), None)


@pytest.mark.parametrize("phase", list(Phase))
def test_an_operators_rollback_is_accepted_in_every_phase(phase: Phase) -> None:
    control = rolling_back() if phase is Phase.ROLLING_BACK else replace(RAMPING, phase=phase)
    decision = one(control, reading=reads(50.0), commands=(command("rollback", "orders fail"),))
    assert decision.control.phase is Phase.ROLLING_BACK
    assert decision.write == "kill"
    assert "refused" not in decision.done[0][1]
    if phase is not Phase.ROLLING_BACK:
        assert "orders fail" in decision.why
        assert pages(decision)[0] == ("rollback", "info"), "whoever ordered it knows"


def rolled_back() -> Control:
    rollback = Rollback("1% bad", NOON, NOON + 0.5, NOON + 0.6, float(NOON))
    return replace(rolling_back(), phase=Phase.ROLLED_BACK, confirmed=True, rollback=rollback)


def test_after_a_rollback_the_flag_is_written_no_more_and_a_change_is_told_once() -> None:
    changed = one(rolled_back(), reading=reads(30.0), open_objectives=frozenset({"error_rate"}))
    assert (changed.write, changed.control.desired) == (None, Exposure(0.0))
    assert pages(changed) == [("external_change", "critical")]
    again = one(changed.control, reading=reads(60.0, version="9"), open_objectives=frozenset({"error_rate"}))
    assert (again.write, again.notifications) == (None, ())


def test_recovery_is_stamped_when_the_breach_closes() -> None:
    burning = one(rolled_back(), reading=reads(0.0), open_objectives=frozenset({"error_rate"}))
    assert burning.control.rollback is not None
    assert burning.control.rollback.recovered_at is None
    over = one(burning.control, at=NOON + 600, reading=reads(0.0))
    assert over.control.rollback is not None
    assert over.control.rollback.recovered_at == NOON + 630.25
    assert kinds(over) == ["recovered"]
    assert one(over.control, at=NOON + 630, reading=reads(0.0)).transitions == ()


def test_the_recovery_of_a_cohort_says_that_nobody_is_exposed() -> None:
    rule = rollout(split(), ramp=PLAN, cohorts=COHORTS)
    control = replace(rolled_back(), cause=("exposed_errors", NOON))
    assert "nobody is exposed" in one(control, rule, reading=reads(0.0)).why


@pytest.mark.parametrize(
    ("newest", "words"),
    [(failed(NOON), "errors continue"), (unknown(NOON, Reason.UNREACHABLE), "cannot see whether errors stopped")],
)
def test_errors_that_go_on_escalate_once_after_verify(newest: Evaluation, words: str) -> None:
    control, told = rolled_back(), []
    for second in range(0, 2400, 30):
        decision = one(
            control,
            at=NOON + second,
            now=float(NOON + second),
            reading=reads(0.0),
            open_objectives=frozenset({"error_rate"}),
            verdicts={"error_rate": newest},
        )
        told += [(second, transition.why) for transition in decision.transitions]
        control = decision.control
    ((at, why),) = told
    assert at == 1800
    assert words in why


# --- stop -----------------------------------------------------------------------------------------------------------


def test_stop_leaves_the_flag_as_it_is() -> None:
    for control in (RAMPING, SOAKING, HELD):
        decision = one(control, reading=reads(control.desired.percent), commands=(command("stop", "abandoned"),))
        assert (decision.control.phase, decision.write) == (Phase.STOPPED, None)
        assert decision.control.desired == control.desired
        assert "abandoned" in decision.why
    assert one(PENDING, reading=reads(0.0), commands=(command("stop"),)).control.phase is Phase.STOPPED


@pytest.mark.parametrize("phase", [Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.SIGNED_OFF, Phase.STOPPED])
def test_what_has_ended_cannot_be_stopped(phase: Phase) -> None:
    control = rolling_back() if phase is Phase.ROLLING_BACK else replace(RAMPING, phase=phase)
    assert "refused" in kinds(one(control, commands=(command("stop"),)))


@pytest.mark.parametrize("phase", [Phase.SIGNED_OFF, Phase.STOPPED])
def test_a_flag_whose_rollout_has_ended_is_not_steered(phase: Phase) -> None:
    for percent in (0.0, 20.0, 80.0):
        assert one(replace(RAMPING, phase=phase), reading=reads(percent)).write is None


# --- windows, sign-offs and blindness -------------------------------------------------------------------------------


def test_both_sign_offs_and_what_they_say() -> None:
    done = Window(48, 48, 48, NOON)
    interim = one(RAMPING, interim=done)
    assert (interim.control.interim_at, interim.reports) == (NOON, ("interim",))
    assert "interim sign-off: 48 consecutive good slices at 50%" in interim.why
    assert one(interim.control, interim=done, at=NOON + 30).reports == ()
    final = one(SOAKING, reading=reads(100.0), interim=done, final=done)
    assert final.control.phase is Phase.SIGNED_OFF
    assert final.reports == ("interim", "final")
    assert "signed off" in final.why


def test_a_reset_is_told_once_and_its_withdrawal_too() -> None:
    reset = Reset(NOON, "error_rate", "0.2% bad")
    told = one(SOAKING, reading=reads(100.0), interim=Window(48, resets=(reset,)))
    assert kinds(told) == ["reset"]
    assert "0.2% bad" in told.why
    assert one(told.control, reading=reads(100.0), interim=Window(48, resets=(reset,))).transitions == ()
    assert kinds(one(told.control, reading=reads(100.0))) == ["reset_withdrawn"]


@pytest.mark.parametrize(("since", "paged"), [(570, False), (600, True)])
def test_unknown_for_blind_after_pages_once_and_says_when_it_sees_again(since: int, *, paged: bool) -> None:
    facts: dict[str, Any] = {
        "unknown_since": {"error_rate": NOON - since},
        "verdicts": verdicts_but("error_rate", unknown(NOON, Reason.UNREACHABLE)),
    }
    first = one(RAMPING, **facts)
    assert (("blind", "critical") in pages(first)) is paged
    assert ("blind" in kinds(first)) is paged
    second = one(first.control, **facts)
    assert "blind" not in kinds(second)
    assert ("sighted" in kinds(one(second.control))) is paged


def test_the_control_state_survives_the_ledger() -> None:
    for control in (
        RAMPING,
        HELD,
        rolled_back(),
        replace(RAMPING, blind=("a",), resets=((NOON, "a"),), waiting=("b",)),
    ):
        assert Control.from_dict(control.to_dict()) == control


def test_the_timeline_knows_only_what_was_confirmed_throughout() -> None:
    timeline = Timeline()
    timeline.add(NOON, "confirmed", Exposure(0.0))
    timeline.add(NOON + HOUR, "desired", Exposure(25.0))
    timeline.add(NOON + HOUR + 30, "confirmed", Exposure(25.0))
    assert timeline.over(NOON, NOON + HOUR) == Exposure(0.0)
    assert timeline.over(NOON + HOUR, NOON + 2 * HOUR) is None  # confirmed 30 s into it
    assert timeline.over(NOON + 2 * HOUR, NOON + 3 * HOUR) == Exposure(25.0)
    assert timeline.over(NOON - HOUR, NOON) is None
    assert timeline.confirmed() == [(NOON, Exposure(0.0)), (NOON + HOUR + 30, Exposure(25.0))]
