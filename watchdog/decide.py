"""Facts in, decision out. Pure: no clock, no I/O, every outcome with its sentence (semantics 5, 7 and 8).

Exposure rises in one place only, `_step`, and only when everything it asks for holds. It falls by a rollback, or
because a person lowered the flag, which is respected. `decide` takes one tick's facts; `settle` takes what the flag
read right after it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from watchdog.control import Control
from watchdog.evaluate import sentence
from watchdog.model import (
    ACTIVE,
    Breach,
    Command,
    Evaluation,
    Exposure,
    FlagReading,
    Hold,
    Mode,
    Notification,
    OnBreach,
    Phase,
    Reason,
    Rollback,
    Rollout,
    Severity,
    Transition,
    Verdict,
)
from watchdog.ramp import above, next_step, same
from watchdog.window import Window

UNCONFIRMED_AFTER = 60.0
"""Seconds after which an unconfirmed rollback is paged again (and once more at its deadline)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything one tick knows. `now` is wall time; `slot` the newest evaluated slot, None before the first."""

    now: float
    interim: Window
    final: Window
    slot: int | None = None
    live: bool = False
    verdicts: Mapping[str, Evaluation] = field(default_factory=dict)
    opened: tuple[tuple[Breach, bool], ...] = ()
    """Breaches found since the last tick, each with whether it was found late (in back-filled or settled data)."""
    open_objectives: frozenset[str] = frozenset()
    unsettled: bool = False
    """A slice of the window may still be turned by slots that will be asked again."""
    unknown_since: Mapping[str, int] = field(default_factory=dict)
    reading: FlagReading | None = None
    reading_error: str = ""
    smallest_step: float = 0.001
    taken_by: str | None = None
    """Another active rollout that owns this flag."""
    commands: tuple[Command, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be recorded, then done. `write` is None, `set` or `kill`, always towards `control.desired`."""

    control: Control
    why: str
    transitions: tuple[Transition, ...] = ()
    notifications: tuple[Notification, ...] = ()
    exposures: tuple[tuple[int, str, Exposure], ...] = ()
    done: tuple[tuple[int, str], ...] = ()
    """Commands carried out or refused, each with its sentence."""
    write: str | None = None
    resumed: bool = False
    took_back: Breach | None = None
    reports: tuple[str, ...] = ()


class _Draft:
    """A decision in the making."""

    def __init__(self, rollout: Rollout, control: Control, seen: Seen) -> None:
        self.rollout = rollout
        self.control = control
        self.seen = seen
        self.transitions: list[Transition] = []
        self.notifications: list[Notification] = []
        self.exposures: list[tuple[int, str, Exposure]] = []
        self.done: list[tuple[int, str]] = []
        self.resumed = False
        self.took_back: Breach | None = None
        self.reports: list[str] = []

    @property
    def acts(self) -> bool:
        return self.rollout.mode is Mode.ACT

    @property
    def at(self) -> int:
        """The instant on the grid that this tick's changes belong to."""
        return self.seen.slot if self.seen.slot is not None else int(self.seen.now)

    def change(self, **fields: object) -> None:
        self.control = replace(self.control, **fields)  # type: ignore[arg-type]

    def tell(
        self, kind: str, why: str, *, to: Phase | None = None, by: str = "watchdog", objective: str | None = None
    ) -> None:
        """Record a transition; `to` is the phase it leads to, when it changes."""
        source = self.control.phase
        if to is not None:
            self.change(phase=to)
        self.transitions.append(Transition(self.seen.now, kind, source, to or source, why, by, objective))

    def page(self, kind: str, key: str, severity: Severity, summary: str, **details: object) -> None:
        """Record a message. Observation tells nobody."""
        if self.acts:
            key = f"{self.rollout.name}:{key}"
            self.notifications.append(Notification(kind, key, severity, summary, self.seen.now, details))

    def desire(self, exposure: Exposure, *, confirmed: bool = False) -> None:
        """Ask for an exposure from this slot on."""
        self.change(desired=exposure, confirmed=confirmed)
        self.exposures.append((self.at, "confirmed" if confirmed else "desired", exposure))

    def decision(self) -> Decision:
        return Decision(
            self.control,
            f"{self.rollout.name}: {_why(self)}",
            tuple(self.transitions),
            tuple(self.notifications),
            tuple(self.exposures),
            tuple(self.done),
            _write(self),
            self.resumed,
            self.took_back,
            tuple(self.reports),
        )


def decide(rollout: Rollout, control: Control, seen: Seen) -> Decision:
    """One tick's decision."""
    draft = _Draft(rollout, control, seen)
    for command in seen.commands:
        _COMMANDS.get(command.verb, _unknown)(draft, command)
    if draft.control.phase is Phase.PENDING:
        _start(draft)
    if draft.control.started_at is not None:
        _breaches(draft)
        _flag(draft)
        _escalate(draft)
        _verify(draft)
        _blind(draft)
        _windows(draft)
        _step(draft)
    elif draft.control.phase is Phase.ROLLING_BACK:
        _flag(draft)
        _escalate(draft)
    return draft.decision()


def settle(rollout: Rollout, control: Control, seen: Seen) -> Decision:
    """What the flag read right after it was written, or in a replay: what was asked for is there."""
    draft = _Draft(rollout, control, seen)
    _flag(draft)
    _ramped(draft)
    return draft.decision()


# --- commands -----------------------------------------------------------------------------------------------------


def _hold(draft: _Draft, command: Command) -> None:
    if draft.control.phase not in (Phase.RAMPING, Phase.SOAKING):
        _refuse(draft, command, f"a rollout that is {draft.control.phase.value} has nothing to hold")
    elif draft.control.hold is not None:
        _refuse(draft, command, f"it is held already, since {draft.control.hold.why}")
    else:
        cause = "internal_error" if command.by == "watchdog" else "operator"
        _put_on_hold(draft, cause, command.by, command.reason)
        draft.done.append((command.id, "held"))


def _resume(draft: _Draft, command: Command) -> None:
    if draft.control.hold is None:
        _refuse(draft, command, "it is not held")
        return
    was = draft.control.hold
    draft.change(hold=None)
    draft.resumed = True
    draft.tell("resume", f"resumed by {command.by}: {command.reason} (was held: {was.why})", by=command.by)
    draft.page("resume", f"hold:{was.since:.0f}", Severity.INFO, f"{draft.rollout.name} resumed by {command.by}")
    draft.done.append((command.id, "resumed"))


def _rollback(draft: _Draft, command: Command) -> None:
    if draft.control.phase is Phase.ROLLING_BACK:
        _refuse(draft, command, "a rollback is under way already")
        return
    _take_back(draft, f"rolled back by {command.by}: {command.reason}", command.by, command.at, None)
    draft.done.append((command.id, "rolling back"))


def _stop(draft: _Draft, command: Command) -> None:
    if draft.control.phase not in (Phase.PENDING, Phase.RAMPING, Phase.SOAKING):
        _refuse(draft, command, f"a rollout that is {draft.control.phase.value} cannot be stopped")
        return
    kept = f"the flag stays at {draft.control.desired}"
    draft.change(hold=None, waiting=(), waiting_for=())
    draft.tell("stop", f"stopped by {command.by}: {command.reason}; {kept}", to=Phase.STOPPED, by=command.by)
    draft.page("stop", "stop", Severity.INFO, f"{draft.rollout.name} stopped by {command.by}; {kept}")
    draft.done.append((command.id, f"stopped; {kept}"))


def _start_command(draft: _Draft, command: Command) -> None:
    if draft.control.phase is not Phase.PENDING:
        _refuse(draft, command, f"it is {draft.control.phase.value}; a name starts once, use a new one")
        return
    adopt = command.verb == "adopt" or draft.control.adopt
    draft.change(start_by=command.by, start_why=command.reason, adopt=adopt)
    draft.done.append((command.id, "start accepted"))


def _refuse(draft: _Draft, command: Command, why: str) -> None:
    sentence = f"{command.verb} by {command.by} refused: {why}"
    draft.tell("refused", sentence, by=command.by)
    draft.done.append((command.id, sentence))


def _unknown(draft: _Draft, command: Command) -> None:
    _refuse(draft, command, f"no such command; there are {', '.join(sorted(_COMMANDS))}")


_COMMANDS: dict[str, Callable[[_Draft, Command], None]] = {
    "start": _start_command,
    "adopt": _start_command,
    "hold": _hold,
    "resume": _resume,
    "rollback": _rollback,
    "stop": _stop,
}


# --- start --------------------------------------------------------------------------------------------------------


def _start(draft: _Draft) -> None:
    rollout, control, seen = draft.rollout, draft.control, draft.seen
    since = _start_instant(draft)
    if since is None:
        return
    at, note = since
    reasons = _start_obstacles(draft)
    if reasons:
        _wait(draft, reasons)
        return
    exposure = Exposure(rollout.ramp.start)
    if draft.acts and control.adopt and seen.reading is not None:
        exposure = seen.reading.exposure
    by = control.start_by or "watchdog"
    draft.change(started_at=int(at), waiting=(), waiting_for=())
    draft.change(desired=exposure, confirmed=True)
    draft.exposures.append((int(at), "confirmed", exposure))
    why = f"started by {by} at {exposure}{note}"
    if control.start_why:
        why += f": {control.start_why}"
    draft.tell("start", why, to=Phase.RAMPING, by=by)
    draft.page("start", "start", Severity.INFO, f"{rollout.name} {why}")


def _start_instant(draft: _Draft) -> tuple[float, str] | None:
    """When the rollout starts, with a note on it; None when nobody asked for it yet."""
    rollout, control, now = draft.rollout, draft.control, draft.seen.now
    if rollout.start_at is not None and control.start_by is None:
        if now < rollout.start_at:
            return None
        late = now - rollout.start_at
        if late <= rollout.window.max_gap or "late_start" in rollout.waive:
            return rollout.start_at, ""
        return now, f" ({late:.0f} s after its start_at, more than max_gap: it starts now)"
    if control.start_by is not None or rollout.auto_start:
        return now, ""
    return None


def _start_obstacles(draft: _Draft) -> list[tuple[str, str]]:
    rollout, control, seen = draft.rollout, draft.control, draft.seen
    if not draft.acts:
        return []
    reasons = []
    if seen.taken_by is not None:
        reasons.append(("flag", f"flag {rollout.flag} is taken by the active rollout {seen.taken_by}"))
    if seen.reading is None:
        reasons.append(("flag", f"flag {rollout.flag} cannot be read: {seen.reading_error}"))
        return reasons
    if seen.reading.latch == rollout.name:
        reasons.append(
            ("latch", f"flag {rollout.flag} carries the latch of this rollout's own rollback; use a new rollout name")
        )
    wanted = Exposure(rollout.ramp.start)
    if not control.adopt and not same(seen.reading.exposure, wanted, seen.smallest_step):
        found = f"flag {rollout.flag} reads {seen.reading.exposure}, the plan starts at {wanted}"
        reasons.append(("flag", f"{found}: set it, or start with --adopt --reason to ramp on from there"))
    return reasons


# --- breaches and rollback ----------------------------------------------------------------------------------------


def _breaches(draft: _Draft) -> None:
    for breach, late in draft.seen.opened:
        objective = draft.rollout.objective(breach.objective)
        words = f"{breach.objective} breached{' (found late)' if late else ''}: {breach.why}"
        draft.tell("breach", words, objective=breach.objective)
        if draft.control.phase in (Phase.RAMPING, Phase.SOAKING):
            if objective.on_breach is OnBreach.ROLLBACK:
                _breach_takes_back(draft, breach, words, late=late)
            elif objective.on_breach is OnBreach.HOLD:
                _put_on_hold(draft, "breach", "watchdog", words)
            else:
                _page_breach(draft, breach, words)
        elif draft.control.phase is Phase.SIGNED_OFF:
            draft.tell("amended", f"after the sign-off: {words}", objective=breach.objective)
            draft.reports.append("final")
            _page_breach(draft, breach, f"after its sign-off: {words}")
        elif draft.control.phase is not Phase.STOPPED and objective.on_breach is not OnBreach.ROLLBACK:
            _page_breach(draft, breach, words)


def _page_breach(draft: _Draft, breach: Breach, words: str) -> None:
    key = f"breach:{breach.objective}:{breach.at}"
    draft.page("breach", key, Severity.CRITICAL, f"{draft.rollout.name}: {words}", objective=breach.objective)


def _breach_takes_back(draft: _Draft, breach: Breach, words: str, *, late: bool) -> None:
    if not _exposed(draft):
        nobody = f"{words}; nobody is exposed beyond {draft.rollout.rollback.to:g}%, so there is nothing to take back"
        _put_on_hold(draft, "breach", "watchdog", nobody)
    elif late and draft.rollout.late_breach is OnBreach.HOLD:
        _put_on_hold(draft, "breach", "watchdog", words)
    else:
        detected = draft.seen.now
        _take_back(draft, words, "watchdog", detected, breach)


def _exposed(draft: _Draft) -> bool:
    """Whether anybody has, or may have, more than a rollback would leave; a doubt counts as yes."""
    floor = Exposure(draft.rollout.rollback.to)
    step = draft.seen.smallest_step
    if above(draft.control.desired, floor, step) or not draft.control.confirmed:
        return True
    return draft.acts and draft.seen.reading is not None and above(draft.seen.reading.exposure, floor, step)


def _take_back(draft: _Draft, why: str, by: str, detected_at: float, breach: Breach | None) -> None:
    to = min(draft.rollout.rollback.to, draft.control.desired.percent)
    was = draft.control.desired
    if draft.seen.reading is not None and draft.acts:
        was = draft.seen.reading.exposure
    draft.change(
        hold=None,
        waiting=(),
        waiting_for=(),
        cause=(breach.objective, breach.at) if breach is not None else None,
        rollback=Rollback(why, detected_at, draft.seen.now),
    )
    draft.took_back = breach
    draft.desire(Exposure(to))
    draft.tell("rollback", f"{why}; flag from {was} to {to:g}%", to=Phase.ROLLING_BACK, by=by, objective=_name(breach))
    draft.page(
        "rollback",
        f"rollback:{draft.seen.now:.0f}" if breach is None else f"rollback:{breach.at}",
        Severity.CRITICAL,
        f"{draft.rollout.name} is being rolled back to {to:g}%: {why}",
        objective=_name(breach),
    )


def _name(breach: Breach | None) -> str | None:
    return breach.objective if breach is not None else None


def _put_on_hold(draft: _Draft, cause: str, by: str, why: str) -> None:
    if draft.control.hold is not None:
        return
    draft.change(hold=Hold(cause, by, draft.seen.now, why), waiting=(), waiting_for=())
    draft.tell("hold", f"held ({cause.replace('_', ' ')}) by {by}: {why}", by=by)
    severity = Severity.INFO if cause == "operator" else Severity.CRITICAL
    draft.page("hold", f"hold:{draft.seen.now:.0f}", severity, f"{draft.rollout.name} held: {why}", cause=cause)


def _escalate(draft: _Draft) -> None:
    """An unconfirmed rollback pages again: at one minute, and at the deadline."""
    rollback, now = draft.control.rollback, draft.seen.now
    if draft.control.phase is not Phase.ROLLING_BACK or rollback is None:
        return
    for name, due in (
        ("rollback_unconfirmed", rollback.decided_at + UNCONFIRMED_AFTER),
        ("rollback_late", rollback.detected_at + draft.rollout.rollback.within),
    ):
        if now >= due and name not in rollback.escalated:
            rollback = replace(rollback, escalated=(*rollback.escalated, name))
            draft.change(rollback=rollback)
            reads = draft.seen.reading.exposure if draft.seen.reading is not None else draft.seen.reading_error
            summary = (
                f"{draft.rollout.name}: the rollback decided {now - rollback.decided_at:.0f} s ago is not confirmed; "
                f"flag {draft.rollout.flag} reads {reads}: turn it off by hand"
            )
            draft.page(name, f"{name}:{rollback.decided_at:.0f}", Severity.CRITICAL, summary)


def _verify(draft: _Draft) -> None:
    """After the flag is off: did it help?"""
    rollback, cause, seen = draft.control.rollback, draft.control.cause, draft.seen
    if draft.control.phase is not Phase.ROLLED_BACK or rollback is None or cause is None:
        return
    if rollback.recovered_at is not None or "verified" in rollback.escalated or rollback.confirmed_at is None:
        return
    if cause[0] not in seen.open_objectives:
        draft.change(rollback=replace(rollback, recovered_at=seen.now))
        nobody = draft.rollout.objective(cause[0]).uses_cohort and draft.control.desired.none
        why = f"{cause[0]} recovered after the rollback" + (": nobody is exposed" if nobody else "")
        draft.tell("recovered", why, objective=cause[0])
        draft.page("recovered", f"recovered:{cause[1]}", Severity.INFO, f"{draft.rollout.name}: {why}")
        return
    if seen.now < rollback.confirmed_at + draft.rollout.rollback.verify:
        return
    draft.change(rollback=replace(rollback, escalated=(*rollback.escalated, "verified")))
    newest = seen.verdicts.get(cause[0])
    if newest is not None and newest.verdict is Verdict.UNKNOWN:
        why = f"the flag is off, but the watchdog cannot see whether errors stopped ({cause[0]}: {newest.detail})"
    else:
        why = f"the flag is off, errors continue: the cause of {cause[0]} is elsewhere"
    draft.tell("errors_continue", why, objective=cause[0])
    draft.page("errors_continue", f"continue:{cause[1]}", Severity.CRITICAL, f"{draft.rollout.name}: {why}")


# --- the flag -----------------------------------------------------------------------------------------------------


def _flag(draft: _Draft) -> None:
    """Hold what the flag reads against what was asked for."""
    control, seen = draft.control, draft.seen
    if not draft.acts:
        if not control.confirmed:
            _confirm(draft, control.desired)
        return
    if seen.reading is None:
        return
    if control.phase is Phase.ROLLED_BACK:
        _changed_after(draft, seen.reading)
        return
    if control.phase not in ACTIVE:
        return
    reads = seen.reading.exposure
    if same(reads, control.desired, seen.smallest_step):
        if control.drifting:
            draft.change(drifting=False)
            draft.exposures.append((draft.at, "confirmed", control.desired))
        if not control.confirmed:
            _confirm(draft, control.desired)
    elif above(reads, control.desired, seen.smallest_step):
        _reads_higher(draft, reads)
    elif control.phase is Phase.ROLLING_BACK:
        _confirm(draft, reads)
    elif control.confirmed:
        why = f"flag {draft.rollout.flag} was lowered to {reads} by somebody else (it had {control.desired})"
        draft.desire(reads, confirmed=True)
        draft.tell("drift", why)
        _put_on_hold(draft, "drift", "watchdog", why)


def _confirm(draft: _Draft, reads: Exposure) -> None:
    control = draft.control
    draft.change(desired=reads, confirmed=True, drifting=False)
    draft.exposures.append((draft.at, "confirmed", reads))
    rollback = control.rollback
    if control.phase is not Phase.ROLLING_BACK or rollback is None:
        return
    draft.change(rollback=replace(rollback, confirmed_at=draft.seen.now))
    took = draft.seen.now - rollback.detected_at
    why = f"flag {draft.rollout.flag} reads {reads}, {took:.1f} s after detection"
    draft.tell("rolled_back", why, to=Phase.ROLLED_BACK)
    draft.page("rolled_back", f"rolled_back:{rollback.decided_at:.0f}", Severity.INFO, f"{draft.rollout.name}: {why}")


def _reads_higher(draft: _Draft, reads: Exposure) -> None:
    control = draft.control
    if control.drifting or not control.confirmed:
        return
    why = f"flag {draft.rollout.flag} reads {reads}, more than the desired {control.desired}: it is set back"
    draft.change(drifting=True)
    draft.exposures.append((draft.at, "desired", control.desired))
    draft.tell("drift", why)
    draft.page("drift", f"drift:{draft.seen.now:.0f}", Severity.CRITICAL, f"{draft.rollout.name}: {why}")


def _changed_after(draft: _Draft, reading: FlagReading) -> None:
    """After its end the watchdog writes this flag no more; a change is told once."""
    control = draft.control
    if control.changed_after or draft.seen.taken_by is not None:
        return
    if same(reading.exposure, control.desired, draft.seen.smallest_step):
        return
    draft.change(changed_after=reading.version or "changed")
    why = f"flag {draft.rollout.flag} was changed to {reading.exposure} after the rollback; it is left as it is"
    draft.tell("external_change", why)
    draft.page("external_change", "external_change", Severity.CRITICAL, f"{draft.rollout.name}: {why}")


def _write(draft: _Draft) -> str | None:
    """What to do to the flag so that it serves what is desired: lowering also blindly, raising only on sight."""
    control, seen = draft.control, draft.seen
    if not draft.acts or control.phase not in ACTIVE:
        return None
    down = control.phase is Phase.ROLLING_BACK
    if seen.reading is None:
        return "kill" if down and control.desired.none else None
    if same(seen.reading.exposure, control.desired, seen.smallest_step):
        return None
    return "kill" if down and control.desired.none else "set"


# --- windows, blindness, steps ------------------------------------------------------------------------------------


def _blind(draft: _Draft) -> None:
    seen, known = draft.seen, set(draft.control.blind)
    if seen.slot is None or not seen.live or draft.control.phase.terminal:
        return
    blind = {n for n, since in seen.unknown_since.items() if seen.slot - since >= draft.rollout.blind_after}
    fresh = sorted(blind - known)
    if fresh:
        why = "; ".join(_said(draft, name) for name in fresh)
        draft.tell("blind", f"cannot see: {why}")
        key = f"blind:{min(seen.unknown_since[name] for name in fresh)}:{','.join(fresh)}"
        draft.page("blind", key, Severity.CRITICAL, f"{draft.rollout.name}: cannot see: {why}")
    again = sorted(name for name in known if name not in seen.unknown_since)
    if again:
        draft.tell("sighted", f"can see again: {', '.join(again)}")
    if fresh or again:
        draft.change(blind=tuple(sorted((known | blind) - set(again))))


def _said(draft: _Draft, name: str) -> str:
    evaluation = draft.seen.verdicts.get(name)
    return sentence(draft.rollout.objective(name), evaluation) if evaluation is not None else f"{name} was not judged"


def _windows(draft: _Draft) -> None:
    _resets(draft)
    control, seen = draft.control, draft.seen
    required = draft.rollout.window.slices
    if control.interim_at is None and seen.interim.completed_at is not None and not seen.unsettled:
        draft.change(interim_at=seen.interim.completed_at)
        why = f"interim sign-off: {required} consecutive good slices at {control.desired}"
        draft.tell("interim", why)
        draft.page("interim", "interim", Severity.INFO, f"{draft.rollout.name}: {why}")
        draft.reports.append("interim")
    if draft.control.phase is not Phase.SOAKING or seen.final.current < required:
        return
    if control.hold is not None or seen.unsettled:
        return
    draft.change(final_at=seen.final.completed_at)
    why = f"signed off: {required} consecutive good slices at {control.desired}"
    draft.tell("signed_off", why, to=Phase.SIGNED_OFF)
    draft.page("signed_off", "signed_off", Severity.INFO, f"{draft.rollout.name} {why}")
    draft.reports.append("final")


def _resets(draft: _Draft) -> None:
    told = draft.control.resets
    found = {(reset.at, reset.objective or ""): reset for reset in draft.seen.interim.resets}
    for key, reset in found.items():
        if key not in told:
            draft.tell("reset", f"window reset: {reset.why}", objective=reset.objective)
    for key in told:
        if key not in found:
            draft.tell("reset_withdrawn", "settled data took back the window reset of that time", objective=key[1])
    if tuple(found) != told:
        draft.change(resets=tuple(found))


def _ramped(draft: _Draft) -> None:
    """At the plan's end the rollout soaks."""
    control = draft.control
    if control.phase is Phase.RAMPING and control.confirmed and next_step(draft.rollout.ramp, control.desired) is None:
        draft.tell("step", f"at {control.desired}: soaking until the window is complete", to=Phase.SOAKING)


def _step(draft: _Draft) -> None:
    """The only place where exposure rises."""
    _ramped(draft)
    control, seen = draft.control, draft.seen
    step = next_step(draft.rollout.ramp, control.desired)
    if control.phase is not Phase.RAMPING or step is None or seen.slot is None or control.started_at is None:
        _wait(draft, [])
        return
    last = control.last_step_at if control.last_step_at is not None else control.started_at
    if control.hold is not None or seen.slot - last < step.after:
        _wait(draft, [])
        return
    if control.last_step_at is not None and seen.slot <= control.last_step_at:
        return
    reasons = _obstacles(draft)
    if reasons:
        _wait(draft, reasons)
        return
    was = control.desired
    draft.change(last_step_at=seen.slot, waiting=(), waiting_for=())
    draft.desire(step.exposure)
    draft.tell("step", f"exposure from {was} to {step.exposure}")
    draft.page("step", f"step:{seen.slot}", Severity.INFO, f"{draft.rollout.name}: exposure {was} to {step.exposure}")


def _obstacles(draft: _Draft) -> list[tuple[str, str]]:
    """Everything that a due step waits for, each with its sentence."""
    control, seen = draft.control, draft.seen
    reasons: list[tuple[str, str]] = []
    if not seen.live:
        reasons.append(("live", "the newest slot is too old to act on"))
    for objective in draft.rollout.objectives:
        if not objective.gates:
            continue
        evaluation = seen.verdicts.get(objective.name)
        if evaluation is None:
            reasons.append((objective.name, f"{objective.name} has no verdict yet"))
        elif evaluation.verdict is not Verdict.PASS:
            if objective.uses_cohort and evaluation.reason is Reason.LOW_TRAFFIC:
                continue
            reasons.append((objective.name, sentence(objective, evaluation)))
    if not control.confirmed:
        reads = seen.reading.exposure if seen.reading is not None else "nothing"
        reasons.append(("flag", f"the flag reads {reads}, asked was {control.desired}"))
    elif draft.acts and (seen.reading is None or not same(seen.reading.exposure, control.desired, seen.smallest_step)):
        found = seen.reading.exposure if seen.reading is not None else seen.reading_error
        reasons.append(("flag", f"the flag does not read {control.desired}: {found}"))
    return reasons


def _wait(draft: _Draft, reasons: list[tuple[str, str]]) -> None:
    names = tuple(dict.fromkeys(name for name, _ in reasons))
    if names and names != draft.control.waiting_for:
        draft.tell("waiting", "waiting: " + "; ".join(words for _, words in reasons))
    if names or draft.control.waiting:
        draft.change(waiting=tuple(words for _, words in reasons), waiting_for=names)


def _why(draft: _Draft) -> str:
    """The tick in one sentence."""
    if draft.transitions:
        return "; ".join(transition.why for transition in draft.transitions)
    control = draft.control
    if control.phase is Phase.PENDING:
        return "pending: " + ("; ".join(control.waiting) or "not started")
    text = f"{control.phase.value.replace('_', ' ')} at {control.desired}"
    if control.hold is not None:
        return f"{text}, held: {control.hold.why}"
    if control.waiting:
        return f"{text}, waiting: {'; '.join(control.waiting)}"
    window = draft.seen.final if control.phase is Phase.SOAKING else draft.seen.interim
    return f"{text}, {window.current} of {window.required} slices"
