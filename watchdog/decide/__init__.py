"""Facts in, decision out. Pure: no clock, no I/O, every outcome with its sentence (semantics 5, 7 and 8).

Exposure rises in one place only, `step_if_due`, and only when everything it asks for holds. It falls by a rollback, or
because a person lowered the flag, which is respected. `decide` takes one tick's facts; `settle` takes what the flag
read right after it was written.
"""

from __future__ import annotations

import math

from watchdog.control import Control
from watchdog.decide.breach import take_breaches, tell_recovered
from watchdog.decide.causes import tell_contributors
from watchdog.decide.commands import COMMANDS, refuse_unknown
from watchdog.decide.deeds import tell_deeds
from watchdog.decide.draft import Decision, Draft, Emergency, Seen
from watchdog.decide.emergency import obey
from watchdog.decide.flag import compare_flag, watch_reading
from watchdog.decide.progress import judge_windows, soak_if_ramped, step_if_due, tell_blindness
from watchdog.decide.rollback import escalate, verify
from watchdog.decide.shared import follow
from watchdog.decide.start import start_if_due, tell_waiver_ended
from watchdog.model import Phase, Rollout
from watchdog.ramp import next_step


def decide(rollout: Rollout, control: Control, seen: Seen) -> Decision:
    """One tick's decision."""
    draft = Draft(rollout, control, seen)
    for command in seen.commands:
        COMMANDS.get(command.verb, refuse_unknown)(draft, command)
    if draft.control.phase is Phase.PENDING:
        start_if_due(draft)
    if draft.control.started_at is not None:
        take_breaches(draft)
        follow(draft)
        obey(draft)
        compare_flag(draft)
        watch_reading(draft)
        escalate(draft)
        verify(draft)
        tell_recovered(draft)
        tell_blindness(draft)
        judge_windows(draft)
        tell_waiver_ended(draft)
        step_if_due(draft)
    elif draft.control.phase is Phase.ROLLING_BACK:
        compare_flag(draft)
        escalate(draft)
    tell_deeds(draft)
    tell_contributors(draft)
    return draft.decision()


def settle(rollout: Rollout, control: Control, seen: Seen) -> Decision:
    """What the flag read right after it was written, or in a replay: what was asked for is there."""
    draft = Draft(rollout, control, seen)
    compare_flag(draft)
    soak_if_ramped(draft)
    tell_deeds(draft)
    return draft.decision()


def asleep_until(rollout: Rollout, control: Control) -> float:
    """The slot before which only news (a breach, a slice, an unknown slot, a command) can change anything.

    A replay need not ask for a decision at the slots before it. Minus infinity: always ask.
    """
    if control.phase not in (Phase.RAMPING, Phase.SOAKING) or not control.confirmed or control.started_at is None:
        return -math.inf
    if control.waiting or control.blind or control.drifting or control.breached or control.shared:
        return -math.inf
    if control.phase is Phase.SOAKING or control.hold is not None:
        return math.inf
    step = next_step(rollout.ramp, control.desired)
    if step is None:
        return -math.inf
    return (control.last_step_at if control.last_step_at is not None else control.started_at) + step.after


__all__ = ["Decision", "Emergency", "Seen", "asleep_until", "decide", "settle"]
