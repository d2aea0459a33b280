"""Every combination of what a tick can know: exposure rises under the conditions of the rule and never otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from tests.rollouts import COHORTS, HOUR, NOON, event, failed, internal, passed, rollout, split, unknown
from watchdog.control import Control
from watchdog.decide import Decision, Seen, decide, settle
from watchdog.messages.notices import BY_KIND, cause_of
from watchdog.model import (
    ACTIVE,
    Breach,
    Command,
    Evaluation,
    Exposure,
    FlagReading,
    Hold,
    Mode,
    OnBreach,
    Phase,
    Reason,
    Rollback,
    Rollout,
)
from watchdog.ramp import above, same
from watchdog.window import Window

STEP = 0.001
SLOT = NOON
STARTED = SLOT - 5 * HOUR
PLAN = "{strategy: progressive, from: 0, to: 100, over: 4h, every: 1h}"
NEXT = {0.0: 25.0, 25.0: 50.0, 50.0: 75.0, 75.0: 100.0}
OBJECTIVES = (
    event("error_rate"),
    split("exposed_errors"),
    event("latency", "on_breach: hold"),
    event("noise", "on_breach: page"),
    internal(),
)
RULES = {mode: rollout(*OBJECTIVES, ramp=PLAN, cohorts=COHORTS, mode=mode.value) for mode in Mode}

VERDICTS: dict[str, Evaluation | None] = {
    "pass": passed(SLOT),
    "fail": failed(SLOT),
    "no_data": unknown(SLOT),
    "low_traffic": unknown(SLOT, Reason.LOW_TRAFFIC),
    "none yet": None,
}
STATES = [(0.0, True), (50.0, True), (50.0, False), (100.0, True)]
READINGS = ["equal", "higher", "lower", "killed", "unreadable"]
NONE_SUCH = {(0.0, "lower"), (100.0, "higher")}
FLAGS = [pair for pair in product(STATES, READINGS) if (pair[0][0], pair[1]) not in NONE_SUCH]
"""What was asked for, whether it was seen since, and what the flag reads now."""
BREACHES = {
    None: None,
    "rollback": "error_rate",
    "late": "error_rate",
    "hold": "latency",
    "page": "noise",
}
VERBS = [None, "start", "adopt", "hold", "resume", "rollback", "stop"]
HELD = Hold("operator", "ada", STARTED, "a look at the logs")


def reading_of(kind: str, desired: float) -> FlagReading | None:
    percents = {"equal": desired, "higher": min(100.0, desired + 25.0), "lower": max(0.0, desired - 25.0)}
    if kind == "unreadable":
        return None
    if kind == "killed":
        return FlagReading(Exposure(0.0), "7", latch="checkout-1")
    return FlagReading(Exposure(percents[kind]), "7")


def control_of(phase: Phase, desired: tuple[float, bool], *, held: bool, due: bool = True) -> Control:
    rolled = phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK)
    last_step = SLOT - HOUR if due else SLOT - HOUR + 30
    return Control(
        phase=phase,
        started_at=None if phase is Phase.PENDING else STARTED,
        desired=Exposure(desired[0]),
        confirmed=desired[1],
        last_step_at=None if phase is Phase.PENDING else last_step,
        hold=HELD if held else None,
        rollback=Rollback("made up", STARTED, STARTED, confirmed_at=STARTED) if rolled else None,
        cause=("error_rate", STARTED) if rolled else None,
    )


def seen_of(
    verdicts: Sequence[str],
    reading: FlagReading | None,
    *,
    live: bool,
    breach: str | None = None,
    verb: str | None = None,
) -> Seen:
    names = ["error_rate", "exposed_errors", "latency", "noise", "flag_ramp"]
    judged = {name: VERDICTS[verdict] for name, verdict in zip(names, [*verdicts, *["pass"] * 5], strict=False)}
    name = BREACHES[breach]
    opened = (Breach(name, SLOT, "sequential", 500.0, 400.0, why="made up"),) if name is not None else ()
    return Seen(
        now=SLOT + 30.5,
        interim=Window(48, current=3),
        final=Window(48, current=3),
        slot=SLOT,
        live=live,
        verdicts={name: one for name, one in judged.items() if one is not None},
        opened=tuple((one, breach == "late") for one in opened),
        open_objectives=frozenset(one.objective for one in opened),
        reading=reading,
        reading_error="" if reading is not None else "connection refused",
        smallest_step=STEP,
        commands=() if verb is None else (Command(1, verb, "ada", "because", SLOT + 10.0),),
    )


def flag_is_as_asked(rule: Rollout, control: Control, reading: FlagReading | None) -> bool:
    if rule.mode is Mode.OBSERVE:
        return True
    return reading is not None and same(reading.exposure, control.desired, STEP)


def gates_pass(verdicts: Sequence[str]) -> bool:
    """`low_traffic` does not block in an objective with $cohort (the second one); everything else but pass does."""
    pooled, exposed = verdicts
    return pooled == "pass" and exposed in ("pass", "low_traffic")


def check_words(decision: Decision, rule: Rollout) -> None:
    """Every decision, transition, message, wait and hold has its sentence."""
    assert len(decision.why) > len(rule.name) + 3
    for transition in decision.transitions:
        assert len(transition.why) > 5, transition
        assert transition.by
    for message in decision.notifications:
        assert rule.name in message.summary
        assert message.kind in BY_KIND, "a row of docs/notifications.md"
        assert "unknown" not in cause_of(message.kind, message.details)
        assert len(message.summary) > len(rule.name) + 5
    for _, done in decision.done:
        assert done
    hold = decision.control.hold
    assert hold is None or (hold.why and hold.by)
    assert all(decision.control.waiting)
    if decision.transitions:
        assert decision.transitions[-1].target is decision.control.phase


def check_write(before: Control, decision: Decision, rule: Rollout, reading: FlagReading | None, label: object) -> None:
    """The flag is raised only to a step recorded now, or to one recorded before and not seen yet."""
    after = decision.control
    if decision.write is None:
        return
    assert rule.mode is Mode.ACT, label
    if decision.write == "kill" and "rolled_back" in [told.kind for told in decision.transitions]:
        assert after.desired.none, label  # it was off by itself when the rollback found it: the latch is left
        return
    assert after.phase in ACTIVE, label
    if reading is None:
        assert decision.write == "kill", label
        assert after.desired.none, label
    elif decision.write == "set" and above(after.desired, reading.exposure, STEP):
        assert after.phase in (Phase.RAMPING, Phase.SOAKING), label
        assert after.hold is None, label
        stepped = above(after.desired, before.desired, STEP)
        assert stepped or (not before.confirmed and after.desired == before.desired), label


def test_exposure_rises_exactly_when_every_condition_of_a_step_holds() -> None:
    raised = 0
    axes = product(product(VERDICTS, VERDICTS), Phase, (False, True), FLAGS, (False, True), Mode)
    for verdicts, phase, held, (desired, kind), live, mode in axes:
        for due in (False, True):
            rule, before = RULES[mode], control_of(phase, desired, held=held, due=due)
            reading = reading_of(kind, desired[0])
            decision = decide(rule, before, seen_of(verdicts, reading, live=live))
            label = (verdicts, phase, held, desired, kind, live, mode, due)
            may = (
                phase is Phase.RAMPING
                and not held
                and due
                and live
                and desired[0] in NEXT
                and gates_pass(verdicts)
                and flag_is_as_asked(rule, before, reading)
            )
            rose = above(decision.control.desired, before.desired, STEP)
            assert rose == may, label
            if may:
                assert decision.control.desired == Exposure(NEXT[desired[0]]), label
                assert decision.control.last_step_at == SLOT, label
                raised += 1
            check_write(before, decision, rule, reading, label)
            check_words(decision, rule)
    assert raised > 20


def combinations() -> Iterator[tuple[tuple[str, str], Phase, bool, tuple[float, bool], str, bool, Mode]]:
    """All but the verdicts, which are good here: nothing but the rest can keep exposure from rising."""
    for phase, held, (desired, kind), live, mode in product(Phase, (False, True), FLAGS, (False, True), Mode):
        yield ("pass", "pass"), phase, held, desired, kind, live, mode


def may_rise(
    verdicts: tuple[str, str],
    phase: Phase,
    desired: tuple[float, bool],
    *,
    as_asked: bool,
    live: bool,
) -> bool:
    return phase is Phase.RAMPING and live and gates_pass(verdicts) and as_asked and desired[0] in NEXT


def test_nothing_rises_on_a_breach_after_a_rollback_or_against_a_persons_word() -> None:
    checked = 0
    for verdicts, phase, held, desired, kind, live, mode in combinations():
        rule, before = RULES[mode], control_of(phase, desired, held=held)
        reading = reading_of(kind, desired[0])
        as_asked = flag_is_as_asked(rule, before, reading)
        free = may_rise(verdicts, phase, desired, as_asked=as_asked, live=live)
        for breach, verb in product(BREACHES, VERBS):
            label = (verdicts, phase, held, desired, kind, live, mode, breach, verb)
            seen = seen_of(verdicts, reading, live=live, breach=breach, verb=verb)
            decision = decide(rule, before, seen)
            stands = (held and verb != "resume") or verb == "hold"
            may = free and not stands and verb not in ("rollback", "stop") and breach in (None, "page")
            if phase is Phase.PENDING and verb == "adopt":
                assert decision.write in (None, "kill"), label
            else:
                assert above(decision.control.desired, before.desired, STEP) == may, label
            check_write(before, decision, rule, reading, label)
            check_words(decision, rule)
            check_breach(before, decision, rule, reading, breach, verb, label)
            checked += 1
    assert checked == 7 * 2 * len(FLAGS) * 2 * 2 * 5 * 7


def check_breach(
    before: Control,
    decision: Decision,
    rule: Rollout,
    reading: FlagReading | None,
    breach: str | None,
    verb: str | None,
    label: object,
) -> None:
    after, name = decision.control, BREACHES[breach]
    kinds = [transition.kind for transition in decision.transitions]
    started = before.started_at is not None or after.started_at is not None
    if name is not None and started:
        assert kinds.count("breach") == 1, label
    if verb == "rollback":
        # Accepted in every phase, and nothing delays it.
        assert after.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK), label
        assert before.phase is Phase.ROLLING_BACK or after.desired.percent <= rule.rollback.to, label
        assert "refused" not in kinds, label
        return
    if name is None or before.phase not in (Phase.RAMPING, Phase.SOAKING) or verb == "stop":
        return
    on_breach = rule.objective(name).on_breach
    real = reading is not None and rule.mode is Mode.ACT
    exposed = not before.desired.none or (real and not reading.exposure.none)  # type: ignore[union-attr]
    if on_breach is OnBreach.ROLLBACK and exposed:
        assert after.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK), label
        assert after.desired.none, label
        assert decision.took_back is not None, label
        assert after.hold is None, label
    elif on_breach in (OnBreach.ROLLBACK, OnBreach.HOLD):
        assert after.phase in (Phase.RAMPING, Phase.SOAKING), label
        assert after.hold is not None, label
    else:
        assert decision.took_back is None, label
    if rule.mode is Mode.ACT:
        assert any(message.severity == "critical" for message in decision.notifications), label
    else:
        assert decision.notifications == (), label


def test_the_flag_read_right_after_a_write_raises_nothing() -> None:
    for _, phase, held, desired, kind, live, mode in combinations():
        rule, before = RULES[mode], control_of(phase, desired, held=held)
        reading = reading_of(kind, desired[0])
        decision = settle(rule, before, seen_of(("pass", "pass"), reading, live=live))
        assert not above(decision.control.desired, before.desired, STEP)
        check_write(before, decision, rule, reading, (phase, held, desired, kind, live, mode))
        check_words(decision, rule)


def test_a_rollback_never_asks_for_more_than_somebody_had() -> None:
    """Also where `rollback.to` is not zero: what a person lowered further stays so."""
    partly = "{strategy: progressive, from: 10, to: 100, over: 9h, every: 1h}"
    rule = rollout(*OBJECTIVES, ramp=partly, cohorts=COHORTS, rollback="{to: 10, within: 15m, verify: 30m}")
    for phase, desired, percent, verb in product(
        Phase, [(10.0, True), (40.0, True), (40.0, False)], [None, 0.0, 5.0, 10.0, 40.0, 70.0], ["rollback", None]
    ):
        if phase is Phase.ROLLING_BACK and desired[0] > 10.0:
            continue  # it asks for no more than `rollback.to` already
        before = control_of(phase, desired, held=False)
        reading = None if percent is None else FlagReading(Exposure(percent), "7")
        seen = seen_of(("fail", "pass"), reading, live=True, breach="rollback", verb=verb)
        decision = decide(rule, before, seen)
        label = (phase, desired, percent, verb)
        if decision.control.phase is Phase.ROLLING_BACK:
            assert decision.control.desired.percent <= 10.0, label
        if decision.write is not None and reading is not None:
            raises = above(decision.control.desired, reading.exposure, STEP)
            assert not raises or not before.confirmed, label
            assert not (raises and decision.control.phase is Phase.ROLLING_BACK), label


def test_a_sign_off_waits_for_settled_slices_and_the_final_one_for_a_hold() -> None:
    done = Window(48, current=48, longest=48, completed_at=SLOT)
    for phase, held, unsettled, final, live, verdict, desired in product(
        Phase, (False, True), (False, True), (Window(48, current=47), done), (False, True), ("pass", "fail"), STATES
    ):
        before = control_of(phase, desired, held=held)
        seen = seen_of((verdict, "pass"), reading_of("equal", desired[0]), live=live)
        seen.final, seen.interim, seen.unsettled = final, final, unsettled
        decision = decide(RULES[Mode.ACT], before, seen)
        label = (phase, held, unsettled, final.current, live, verdict, desired)
        ready = final is done and not held and not unsettled
        signed = decision.control.phase is Phase.SIGNED_OFF and phase is not Phase.SIGNED_OFF
        assert signed == (ready and phase is Phase.SOAKING), label
        assert ("final" in decision.reports) == signed, label
        assert decision.control.final_at == (SLOT if signed else None), label
        interim = final is done and not unsettled and phase in (Phase.RAMPING, Phase.SOAKING)
        assert ("interim" in decision.reports) == interim, label
