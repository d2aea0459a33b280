"""Emergency flags and deeds: what a tick decides about them, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from tests.rollouts import COHORTS, HOUR, NOON, event, passed, rollout, split
from watchdog.control import Control
from watchdog.decide import Decision, Emergency, Seen, asleep_until, decide, settle
from watchdog.model import (
    EMERGENCY_FLAGS,
    Breach,
    Command,
    Deed,
    Exposure,
    FlagReading,
    Hold,
    Mode,
    Phase,
    Rollback,
    Rollout,
    Secondary,
)
from watchdog.ramp import above
from watchdog.window import Window

PLAN = "{strategy: progressive, from: 0, to: 100, over: 4h, every: 1h}"
OBJECTIVES = (event(), event("latency", "on_breach: hold"), event("noise", "on_breach: page"))
RULE = rollout(*OBJECTIVES, ramp=PLAN)
WATCHING = rollout(*OBJECTIVES, ramp=PLAN, mode="observe")
SHUTDOWN = Emergency("ops.shutdown", "ada", "the payment provider is down")
READ_ONLY = Emergency("ops.read-only", "ada", "a migration")
MAINTENANCE = Emergency("ops.maintenance", "bob", "a new disk")

RAMPING = Control(phase=Phase.RAMPING, started_at=NOON - 2 * HOUR, desired=Exposure(50.0), last_step_at=NOON - HOUR)
SOAKING = replace(RAMPING, phase=Phase.SOAKING, desired=Exposure(100.0))
ROLLED_BACK = replace(
    RAMPING,
    phase=Phase.ROLLED_BACK,
    desired=Exposure(0.0),
    rollback=Rollback("1% bad", NOON - 600.0, NOON - 600.0, NOON - 599.0, NOON - 599.0),
    cause=("error_rate", NOON - 600),
)


def also(rule: Rollout, *flags: str) -> Rollout:
    """The rule, with a flag of the service `search` for each name."""
    return replace(rule, also=tuple(Secondary("search", flag) for flag in flags))


def guarded(name: str, flag: str, rule: Rollout = RULE) -> Rollout:
    """The rule, where a breach of this objective switches an emergency flag on."""
    changed = tuple(replace(one, emergency=flag) if one.name == name else one for one in rule.objectives)
    return replace(rule, objectives=changed)


def seen(at: int = NOON, **facts: Any) -> Seen:
    given: dict[str, Any] = {
        "now": at + 30.25,
        "slot": at,
        "live": True,
        "interim": Window(48),
        "final": Window(48),
        "verdicts": {objective.name: passed(at) for objective in RULE.objectives},
        "reading": FlagReading(Exposure(50.0), "7"),
    }
    return Seen(**(given | facts))


def one(control: Control, rule: Rollout = RULE, **facts: Any) -> Decision:
    return decide(rule, control, seen(**facts))


def reads(percent: float) -> FlagReading:
    return FlagReading(Exposure(percent), "7")


def command(verb: str) -> Command:
    return Command(1, verb, "ada", "because", NOON + 20.0)


def breach(name: str = "error_rate") -> Breach:
    return Breach(name, NOON, "sequential", 500.0, 400.0, why="1% bad")


def kinds(decision: Decision) -> list[str]:
    return [transition.kind for transition in decision.transitions]


def pages(decision: Decision, kind: str = "") -> list[tuple[str, str]]:
    return [(page.kind, page.severity.value) for page in decision.notifications if kind in ("", page.kind)]


# --- shutdown -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("control", [RAMPING, SOAKING, replace(RAMPING, desired=Exposure(0.0))])
def test_a_shutdown_takes_the_feature_back_as_an_operator_would(control: Control) -> None:
    decision = one(control, reading=reads(control.desired.percent), emergency=(SHUTDOWN,))
    assert decision.control.desired.none
    assert decision.control.cause is None
    assert "rolled back by ops.shutdown: ops.shutdown is on (by ada: the payment provider is down)" in decision.why
    assert kinds(decision)[0] == "rollback"
    assert decision.transitions[0].by == "ada"
    assert pages(decision)[0] == ("rollback", "warning")
    if not control.desired.none:
        assert (decision.control.phase, decision.write) == (Phase.ROLLING_BACK, "kill")


def test_no_hold_delays_a_shutdown() -> None:
    held = replace(RAMPING, hold=Hold("emergency", "ada", NOON - 60.0, "ops.read-only is on"))
    decision = one(held, emergency=(SHUTDOWN, READ_ONLY))
    assert decision.control.phase is Phase.ROLLING_BACK
    assert decision.control.hold is None


def test_a_shutdown_rolls_back_once() -> None:
    control = one(RAMPING, emergency=(SHUTDOWN,)).control
    assert kinds(one(control, at=NOON + 30, emergency=(SHUTDOWN,))) == []
    done = settle(RULE, control, seen(reading=reads(0.0))).control
    assert done.phase is Phase.ROLLED_BACK
    later = one(done, at=NOON + 60, reading=reads(0.0), emergency=(SHUTDOWN,))
    assert (later.transitions, later.write) == ((), None)


@pytest.mark.parametrize("phase", [Phase.SIGNED_OFF, Phase.STOPPED, Phase.ROLLED_BACK])
def test_a_rollout_that_has_ended_is_no_longer_ours_to_take_back(phase: Phase) -> None:
    decision = one(replace(RAMPING, phase=phase), emergency=(SHUTDOWN, READ_ONLY))
    assert decision.control.phase is phase
    assert (decision.control.hold, decision.write) == (None, None)


def test_a_breach_beside_a_shutdown_stays_the_cause() -> None:
    decision = one(RAMPING, opened=((breach(), False),), emergency=(SHUTDOWN,))
    assert decision.control.cause == ("error_rate", NOON)
    assert kinds(decision).count("rollback") == 1


# --- read-only and maintenance --------------------------------------------------------------------------------------


@pytest.mark.parametrize("emergency", [READ_ONLY, MAINTENANCE])
@pytest.mark.parametrize("control", [RAMPING, SOAKING])
def test_read_only_and_maintenance_hold_until_a_person_resumes(control: Control, emergency: Emergency) -> None:
    flag = reads(control.desired.percent)
    held = one(control, reading=flag, emergency=(emergency,))
    assert held.control.hold == Hold("emergency", emergency.by, NOON + 30.25, str(emergency))
    assert held.control.desired == control.desired
    assert pages(held) == [("hold", "warning")]
    still = one(held.control, at=NOON + 30, reading=flag, emergency=(emergency,))
    assert still.transitions == ()
    off = one(still.control, at=NOON + HOUR, reading=flag)
    assert off.control.hold == held.control.hold
    resumed = one(off.control, at=NOON + HOUR + 30, reading=flag, commands=(command("resume"),))
    assert resumed.control.hold is None
    assert resumed.resumed


def test_nobody_resumes_while_the_flag_is_on() -> None:
    held = one(RAMPING, emergency=(READ_ONLY, MAINTENANCE)).control
    refused = one(held, at=NOON + 30, emergency=(READ_ONLY, MAINTENANCE), commands=(command("resume"),))
    assert refused.control.hold == held.hold
    assert not refused.resumed
    ((_, sentence),) = refused.done
    assert "resume by ada refused: ops.read-only is on (by ada: a migration)" in sentence
    assert "`slo-watchdog flags emergency ops.maintenance off`" in sentence


def test_another_hold_stays_what_it_is_and_is_not_resumed_either() -> None:
    held = replace(RAMPING, hold=Hold("operator", "bob", NOON - 60.0, "a look at the logs"))
    assert one(held, emergency=(READ_ONLY,)).control.hold == held.hold
    refused = one(held, emergency=(READ_ONLY,), commands=(command("resume"),))
    assert refused.control.hold == held.hold
    assert "refused" in refused.done[0][1]


def test_a_step_asked_for_before_and_not_seen_yet_is_not_pushed() -> None:
    unseen = replace(RAMPING, confirmed=False)
    assert one(unseen, reading=reads(25.0)).write == "set"
    assert one(unseen, reading=reads(25.0), emergency=(READ_ONLY,)).write is None
    assert one(unseen, reading=reads(25.0), emergency_unknown="no answer").write is None
    assert one(unseen, reading=reads(60.0), emergency=(READ_ONLY,)).write == "set"  # lowering is never held


# --- starting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [RULE, WATCHING])
@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"emergency": (SHUTDOWN,)}, "ops.shutdown is on (by ada"),
        ({"emergency": (MAINTENANCE,)}, "ops.maintenance is on (by bob: a new disk)"),
        ({"emergency_unknown": "connection refused"}, "the emergency flags cannot be read: connection refused"),
    ],
)
def test_nothing_starts_during_an_emergency(rule: Rollout, facts: dict[str, Any], words: str) -> None:
    waiting = one(Control(), rule, reading=reads(0.0), commands=(command("start"),), **facts)
    assert waiting.control.phase is Phase.PENDING
    assert words in waiting.why
    assert kinds(waiting) == ["waiting"]
    assert one(waiting.control, rule, reading=reads(0.0), **facts).transitions == ()
    assert one(waiting.control, rule, reading=reads(0.0)).control.phase is Phase.RAMPING


# --- a set that cannot be read --------------------------------------------------------------------------------------


def test_an_unreadable_set_keeps_the_step_waiting_and_does_nothing_else() -> None:
    waiting = one(RAMPING, emergency_unknown="ops.flagd.json: not JSON")
    assert waiting.control.desired == Exposure(50.0)
    assert (waiting.control.hold, waiting.control.phase, waiting.write) == (None, Phase.RAMPING, None)
    assert "the emergency flags cannot be read: ops.flagd.json: not JSON" in waiting.why
    assert waiting.notifications == ()
    assert one(waiting.control, at=NOON + 30).control.desired == Exposure(75.0)


def test_an_unreadable_set_keeps_no_person_from_resuming_and_no_breach_from_acting() -> None:
    held = replace(RAMPING, hold=Hold("emergency", "ada", NOON - 60.0, "ops.read-only is on"))
    resumed = one(held, emergency_unknown="no answer", commands=(command("resume"),))
    assert resumed.control.hold is None
    assert resumed.control.desired == Exposure(50.0)
    assert one(RAMPING, emergency_unknown="no answer", opened=((breach(), False),)).write == "kill"


def test_what_is_on_counts_also_when_another_flag_cannot_be_read() -> None:
    assert one(RAMPING, emergency=(SHUTDOWN,), emergency_unknown="ops.read-only").write == "kill"
    assert one(RAMPING, emergency=(READ_ONLY,), emergency_unknown="ops.shutdown").control.hold is not None


# --- observing ------------------------------------------------------------------------------------------------------


def test_an_observation_records_the_same_and_writes_nothing() -> None:
    held = one(RAMPING, WATCHING, emergency=(READ_ONLY,))
    assert held.control.hold is not None
    assert held.control.hold.cause == "emergency"
    back = one(RAMPING, WATCHING, emergency=(SHUTDOWN,))
    assert kinds(back) == ["rollback", "rolled_back"]
    for decision in (held, back):
        assert (decision.notifications, decision.write) == ((), None)


def test_an_observation_decides_no_deeds() -> None:
    rule = also(guarded("error_rate", "ops.read-only", WATCHING), "new-search")
    assert one(RAMPING, rule, opened=((breach(), False),)).control.deeds == ()


# --- every combination ----------------------------------------------------------------------------------------------


def emergencies() -> Iterator[dict[str, Any]]:
    on = [Emergency(flag) for flag in EMERGENCY_FLAGS]
    for number, unknown in product(range(1, 2 ** len(on)), ("", "no answer")):
        yield {
            "emergency": tuple(one for bit, one in enumerate(on) if number >> bit & 1),
            "emergency_unknown": unknown,
        }
    yield {"emergency_unknown": "no answer"}


def test_exposure_never_rises_during_an_emergency_whatever_else_is_so() -> None:
    rules = {mode: rollout(*OBJECTIVES, split(), ramp=PLAN, cohorts=COHORTS, mode=mode.value) for mode in Mode}
    readings = (None, reads(0.0), reads(25.0), reads(50.0), reads(100.0))
    hold = Hold("operator", "ada", NOON - 60.0, "a look at the logs")
    verbs = (None, "start", "hold", "resume", "rollback", "stop")
    checked = 0
    for facts, phase, confirmed, held, reading, verb, mode in product(
        emergencies(), Phase, (True, False), (None, hold), readings, verbs, Mode
    ):
        started = None if phase is Phase.PENDING else NOON - 5 * HOUR
        rolled = phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK)
        before = replace(RAMPING, phase=phase, started_at=started, confirmed=confirmed, hold=held)
        if rolled:
            before = replace(before, rollback=ROLLED_BACK.rollback)
        commands = () if verb is None else (command(verb),)
        verdicts = {objective.name: passed(NOON) for objective in rules[mode].objectives}
        decision = one(before, rules[mode], reading=reading, commands=commands, verdicts=verdicts, **facts)
        label = (facts, phase, confirmed, held, reading, verb, mode)
        assert not above(decision.control.desired, before.desired, 0.001), label
        if decision.write == "set":
            assert reading is not None, label
            assert not above(decision.control.desired, reading.exposure, 0.001), label
        if phase is Phase.PENDING:
            assert decision.control.started_at is None, label
        owned = phase in (Phase.RAMPING, Phase.SOAKING) and verb not in ("stop", "rollback")
        shut = any(one.flag == "ops.shutdown" for one in facts.get("emergency", ()))
        if owned and shut:
            assert decision.control.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK), label
        elif owned and "emergency" in facts:
            assert decision.control.hold is not None, label
        elif owned and verb is None:
            assert decision.control.phase is not Phase.ROLLING_BACK, label
        checked += 1
    assert checked == 15 * 7 * 2 * 2 * 5 * 6 * 2


# --- deeds ----------------------------------------------------------------------------------------------------------


def test_a_rollback_takes_the_other_services_flags_along_whatever_its_cause() -> None:
    rule = also(RULE, "new-search", "new-cart")
    for facts in (
        {"opened": ((breach(), False),)},
        {"commands": (command("rollback"),)},
        {"emergency": (SHUTDOWN,)},
    ):
        decision = one(RAMPING, rule, **facts)
        assert [(deed.kind, deed.service, deed.flag) for deed in decision.control.deeds] == [
            ("kill", "search", "new-search"),
            ("kill", "search", "new-cart"),
        ]
        assert {deed.decided_at for deed in decision.control.deeds} == {NOON + 30.25}
        assert kinds(decision).count("deed") == 2
        assert "flag new-search of search is killed too" in decision.why


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.ROLLING_BACK])
def test_an_operators_rollback_takes_them_along_in_every_phase(phase: Phase) -> None:
    decision = one(replace(RAMPING, phase=phase), also(RULE, "new-search"), commands=(command("rollback"),))
    assert [deed.flag for deed in decision.control.deeds] == ["new-search"]


@pytest.mark.parametrize("name", ["error_rate", "latency", "noise"])
@pytest.mark.parametrize("desired", [Exposure(50.0), Exposure(0.0)])
def test_a_breach_switches_its_objectives_emergency_flag_on_whatever_else_it_does(name: str, desired: Exposure) -> None:
    rule = guarded(name, "ops.read-only")
    control = replace(RAMPING, desired=desired)
    decision = one(control, rule, reading=reads(desired.percent), opened=((breach(name), False),))
    ((kind, service, flag, why),) = [(d.kind, d.service, d.flag, d.why) for d in decision.control.deeds]
    assert (kind, service, flag) == ("emergency", "emergency", "ops.read-only")
    assert why == f"{name} breached: 1% bad"
    assert pages(decision, "deed") == [("deed", "info")], "the breach itself wakes people: one event, one page"
    assert [severity for _, severity in pages(decision)].count("critical") == 1
    assert len(one(decision.control, rule, at=NOON + 30).control.deeds) == 1


def test_two_breaches_of_one_tick_switch_the_same_flag_on_once() -> None:
    rule = guarded("latency", "ops.read-only", guarded("noise", "ops.read-only"))
    decision = one(RAMPING, rule, opened=((breach("latency"), False), (breach("noise"), False)))
    assert [deed.flag for deed in decision.control.deeds] == ["ops.read-only"]


def test_the_next_episode_switches_it_on_again() -> None:
    rule = guarded("noise", "ops.read-only")
    done = replace(deed("emergency"), confirmed_at=NOON - 50.0, escalated=("told",))
    decision = one(replace(RAMPING, deeds=(done,)), rule, opened=((breach("noise"), False),))
    ((decided_at, confirmed_at),) = [(d.decided_at, d.confirmed_at) for d in decision.control.deeds]
    assert (decided_at, confirmed_at) == (NOON + 30.25, None)


def test_a_breach_found_late_and_over_switches_nothing_on_and_says_so() -> None:
    rule = guarded("noise", "ops.read-only")
    late = one(RAMPING, rule, opened=((breach("noise"), True),))
    assert late.control.deeds == ()
    assert "ops.read-only stays as it is" in late.why
    open_now = frozenset({"noise"})
    burning = one(RAMPING, rule, opened=((breach("noise"), True),), open_objectives=open_now)
    assert len(burning.control.deeds) == 1


@pytest.mark.parametrize(
    ("control", "after", "acts"),
    [
        (ROLLED_BACK, 0, True),  # its effect is still watched
        (ROLLED_BACK, 3600, False),
        (replace(SOAKING, phase=Phase.SIGNED_OFF), 0, False),
        (replace(SOAKING, phase=Phase.STOPPED), 0, False),
    ],
)
def test_an_ended_rollout_speaks_for_its_service_only_while_its_rollback_is_watched(
    control: Control, after: int, *, acts: bool
) -> None:
    rule = guarded("latency", "ops.maintenance")
    decision = one(control, rule, at=NOON + after, reading=reads(0.0), opened=((breach("latency"), False),))
    assert bool(decision.control.deeds) is acts


def deed(kind: str = "kill", decided_at: float = NOON, **facts: Any) -> Deed:
    place = ("search", "new-search") if kind == "kill" else ("emergency", "ops.read-only")
    return Deed(kind, *place, "1% bad", decided_at, **facts)


@pytest.mark.parametrize("kind", ["kill", "emergency"])
@pytest.mark.parametrize("phase", list(Phase))
def test_an_unconfirmed_deed_pages_at_a_minute_and_at_the_deadline(phase: Phase, kind: str) -> None:
    control, told, keys = replace(ROLLED_BACK, phase=phase, deeds=(deed(kind, error="connection refused"),)), [], set()
    for second in range(0, 1800, 30):
        decision = one(control, now=float(NOON + second), slot=None, reading=reads(0.0))
        for page in decision.notifications:
            if page.kind.startswith("deed_"):
                told.append((second, page.severity.value))
                keys.add(page.key)
                assert "connection refused" in page.summary
                assert "by hand" in page.summary
        control = decision.control
    assert told == [(60, "critical"), (900, "critical")]
    assert len(keys) == 2


def test_a_confirmed_deed_is_told_once() -> None:
    done = deed(acted_at=NOON + 1.5, confirmed_at=NOON + 2.0)
    first = settle(RULE, replace(ROLLED_BACK, deeds=(done,)), seen(reading=reads(0.0)))
    assert kinds(first) == ["deed_done"]
    assert pages(first) == [("deed_done", "info")]
    assert "flag new-search of search is off, 2.0 s after it was decided" in first.why
    again = one(first.control, at=NOON + 900, reading=reads(0.0))
    assert (pages(again, "deed"), pages(again, "deed_done")) == ([], [])


def test_deeds_survive_the_ledger() -> None:
    control = replace(RAMPING, deeds=(deed(), deed("emergency", acted_at=NOON + 1.0, escalated=("unconfirmed",))))
    assert Control.from_dict(control.to_dict()) == control


def test_a_replay_of_a_rollout_without_these_sleeps_as_long_as_before() -> None:
    assert asleep_until(RULE, RAMPING) == NOON
    assert asleep_until(guarded("noise", "ops.read-only"), RAMPING) == NOON
