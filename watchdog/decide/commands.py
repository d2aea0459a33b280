"""What an operator asked for: carried out, or refused with a sentence."""

from __future__ import annotations

from collections.abc import Callable

from watchdog.decide.draft import Draft
from watchdog.decide.emergency import still_on
from watchdog.decide.rollback import put_on_hold, take_back
from watchdog.model import (
    Command,
    Phase,
    Severity,
)


def _hold(draft: Draft, command: Command) -> None:
    if draft.control.phase not in (Phase.RAMPING, Phase.SOAKING):
        _refuse(draft, command, f"a rollout that is {draft.control.phase.value} has nothing to hold")
    elif draft.control.hold is not None:
        _refuse(draft, command, f"it is held already, since {draft.control.hold.why}")
    else:
        cause = "internal_error" if command.by == "watchdog" else "operator"
        put_on_hold(draft, cause, command.by, command.reason)
        draft.done.append((command.id, "held"))


def _resume(draft: Draft, command: Command) -> None:
    if draft.control.hold is None:
        _refuse(draft, command, "it is not held")
        return
    if on := still_on(draft):
        _refuse(draft, command, on)
        return
    was = draft.control.hold
    draft.change(hold=None, shared=())
    draft.resumed = True
    draft.tell("resume", f"resumed by {command.by}: {command.reason} (was held: {was.why})", by=command.by)
    summary = f"{draft.rollout.name} resumed by {command.by}: {command.reason}"
    draft.page("resume", f"resume:{was.since:.0f}", Severity.INFO, summary, by=command.by, reason=command.reason)
    draft.done.append((command.id, "resumed"))


def _rollback(draft: Draft, command: Command) -> None:
    if draft.control.phase is Phase.ROLLING_BACK:
        draft.done.append((command.id, "rolling back already"))
        return
    # Whoever orders it knows of it: nobody is woken, unless it does not work.
    why = f"rolled back by {command.by}: {command.reason}"
    take_back(draft, why, command.by, command.at, None, severity=Severity.INFO)
    draft.done.append((command.id, "rolling back"))


def _stop(draft: Draft, command: Command) -> None:
    if draft.control.phase not in (Phase.PENDING, Phase.RAMPING, Phase.SOAKING):
        _refuse(draft, command, f"a rollout that is {draft.control.phase.value} cannot be stopped")
        return
    kept = f"the flag stays at {draft.control.desired}"
    draft.change(hold=None, waiting=(), waiting_for=(), breached=(), shared=())
    draft.tell("stop", f"stopped by {command.by}: {command.reason}; {kept}", to=Phase.STOPPED, by=command.by)
    summary = f"{draft.rollout.name} stopped by {command.by}: {command.reason}; {kept}"
    draft.page("stop", "stop", Severity.INFO, summary, by=command.by, reason=command.reason)
    draft.done.append((command.id, f"stopped; {kept}"))


def _start_command(draft: Draft, command: Command) -> None:
    if draft.control.phase is not Phase.PENDING:
        _refuse(draft, command, f"it is {draft.control.phase.value}; a name starts once, use a new one")
        return
    adopt = command.verb == "adopt" or draft.control.adopt
    draft.change(start_by=command.by, start_why=command.reason, adopt=adopt)
    draft.done.append((command.id, "start accepted"))


def _refuse(draft: Draft, command: Command, why: str) -> None:
    sentence = f"{command.verb} by {command.by} refused: {why}"
    draft.tell("refused", sentence, by=command.by)
    draft.done.append((command.id, sentence))


def refuse_unknown(draft: Draft, command: Command) -> None:
    """Refuse a verb that nobody knows."""
    _refuse(draft, command, f"no such command; there are {', '.join(sorted(COMMANDS))}")


COMMANDS: dict[str, Callable[[Draft, Command], None]] = {
    "start": _start_command,
    "adopt": _start_command,
    "hold": _hold,
    "resume": _resume,
    "rollback": _rollback,
    "stop": _stop,
}
