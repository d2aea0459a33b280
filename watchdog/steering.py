"""What a steering verb would do to a rollout now, in words and figures, before anybody confirms it. Pure.

It foretells what `decide` does with the command; a test holds the two together. It is worked out from the status alone,
so it can be told while Prometheus and the flag service are away. An emergency flag that came on since is not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from watchdog.model import Exposure, Mode, Phase, Rollout
from watchdog.quantities import format_duration
from watchdog.ramp import next_step

Status = Mapping[str, Any]
"""The object of `status --json`."""
_RUNNING = (Phase.RAMPING, Phase.SOAKING)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a verb would do. `refused` says why it would not be carried out, and then nothing changes; else None.

    Exposures are what the flag serves before and after; None where that cannot be read. `window_lost` counts the
    consecutive good slices that would count for nothing any more.
    """

    sentences: tuple[str, ...]
    exposure_before: Exposure | None
    exposure_after: Exposure | None
    window_lost: int = 0
    refused: str | None = None


def effect(status: Status, rollout: Rollout, verb: str) -> Effect:
    """The effect of a key of `VERBS` on the rollout of this status. KeyError for any other verb."""
    return VERBS[verb](status, rollout)


def _hold(status: Status, rollout: Rollout) -> Effect:
    phase, at = _phase(status), _served(status)
    if phase not in _RUNNING:
        return _refused(status, f"a rollout that is {_said(phase)} has nothing to hold")
    if status["hold"] is not None:
        return _refused(status, f"it is held already, since {status['hold']['since']}: {status['hold']['why']}")
    step = next_step(rollout.ramp, _desired(status))
    if phase is Phase.SOAKING or step is None:
        first = "Exposure stays as it is, and nothing is signed off until a person resumes it."
    else:
        first = f"The ramp stands still at {_desired(status)}; the next step, to {step.exposure}, waits for a resume."
    kept = f"Measuring goes on, good slices go on counting ({_progress(status)}), and a breach still does what it does."
    return Effect((first, kept), at, at)


def _resume(status: Status, rollout: Rollout) -> Effect:
    hold, at = status["hold"], _served(status)
    if hold is None:
        return _refused(status, "it is not held")
    said = [f"The hold by {hold['by']} ends, which is there since {hold['since']}: {hold['why']}."]
    if hold["cause"] == "emergency":
        said.append("It is refused as long as an emergency flag is on.")
    said.append(f"The detectors begin empty, so an open breach ends. The window goes on at {_progress(status)}.")
    step = next_step(rollout.ramp, _desired(status))
    if step is not None:
        said.append(f"The next step, to {step.exposure}, follows once it is due and nothing stands in its way.")
    said += [f"Look first: {one['why']}." for one in status["objectives"] if one["verdict"] == "fail"]
    return Effect(tuple(said), at, at)


def _rollback(status: Status, rollout: Rollout) -> Effect:
    phase, before = _phase(status), _served(status)
    if phase is Phase.ROLLING_BACK:
        return Effect(
            (f"It is being rolled back to {_desired(status)} already: nothing more happens.",), before, before
        )
    after = _taken_back(status, rollout)
    if rollout.mode is Mode.OBSERVE:
        said = [f"It only observes: flag {rollout.flag} is not written. The record says {after}."]
        return Effect((*said, *_ends(status, "rolled back", phase)), before, after, _good(status))
    said = [_written(status, rollout, before, after)]
    if rollout.also:
        beside = " and ".join(f"{place.flag} of {place.service}" for place in rollout.also)
        said.append(f"With it is killed {beside}.")
    said += _ends(status, "rolled back", phase)
    said.append("A rolled back name does not start again: the next try needs a new one.")
    return Effect(tuple(said), before, after, _good(status))


def _stop(status: Status, rollout: Rollout) -> Effect:
    phase, at = _phase(status), _served(status)
    if phase not in (Phase.PENDING, *_RUNNING):
        return _refused(status, f"a rollout that is {_said(phase)} cannot be stopped")
    left = f"Flag {rollout.flag} stays at {at if at is not None else 'what it serves'}."
    if phase is Phase.PENDING:
        return Effect((f"It does not start, now or later. {left}",), at, at)
    alone = "Nobody watches it from then on: no breach takes it back."
    return Effect((left, alone, *_ends(status, "stopped", phase)), at, at, _good(status))


def _start(status: Status, rollout: Rollout) -> Effect:
    return _begin(status, rollout, adopt=False)


def _adopt(status: Status, rollout: Rollout) -> Effect:
    return _begin(status, rollout, adopt=True)


def _begin(status: Status, rollout: Rollout, *, adopt: bool) -> Effect:
    phase, before = _phase(status), _served(status)
    if phase is not Phase.PENDING:
        return _refused(status, f"it is {_said(phase)}; a name starts once, use a new one")
    first, acts = Exposure(rollout.ramp.start), rollout.mode is Mode.ACT
    at = before if adopt and acts else first
    if adopt and acts and before is not None and before.percent > rollout.ramp.to:
        said = [f"It waits: the flag reads {before}, and the plan ends at {rollout.ramp.to:g}%. Lower the flag first."]
    elif not adopt and acts and before is not None and before != first:
        said = [f"It waits: the flag reads {before}, and the plan starts at {first}. Set the flag, or adopt it."]
    else:
        said = [f"It starts at {at if at is not None else 'what the flag reads'}, and flag {rollout.flag} is its own."]
    step = next_step(rollout.ramp, at) if at is not None else None
    if step is not None:
        due = f", {format_duration(step.after)} later at the earliest" if step.after > 0 else ""
        said.append(f"The first step is to {step.exposure}{due}.")
    said += [f"It waits now for this: {reason}." for reason in status["waiting"]]
    return Effect(tuple(said), before, at if before is not None or not acts else None)


def _waive(status: Status, rollout: Rollout) -> Effect:
    phase, at = _phase(status), _served(status)
    if phase is not Phase.PENDING:
        return _refused(status, f"it is {_said(phase)}: a waiver is for a rollout that has not started")
    if rollout.mode is Mode.OBSERVE:
        return _refused(status, "it only observes, and so needs no preflight")
    said = [
        "Until the waiver ends it may start without a preflight that held; who said so is in every report.",
        "It is not started by this: everything else that a start waits for stands.",
    ]
    return Effect(tuple(said), at, at)


VERBS: dict[str, Callable[[Status, Rollout], Effect]] = {
    "hold": _hold,
    "resume": _resume,
    "rollback": _rollback,
    "stop": _stop,
    "start": _start,
    "adopt": _adopt,
    "waive": _waive,
}
"""What can be done to a rollout, by the word for it."""


def _refused(status: Status, why: str) -> Effect:
    at = _served(status)
    return Effect((f"Nothing changes: {why}.",), at, at, 0, why)


def _phase(status: Status) -> Phase:
    return Phase(status["phase"])


def _said(phase: Phase) -> str:
    return phase.value.replace("_", " ")


def _desired(status: Status) -> Exposure:
    asked = status["exposure"]
    return Exposure(asked["desired"], asked["cohort"], tuple(asked["audiences"]))


def _served(status: Status) -> Exposure | None:
    """What the flag read last; the status tells of cohort and audiences as they were asked for."""
    actual = status["exposure"]["actual"]
    if actual is None:
        return None
    asked = _desired(status)
    return Exposure(actual, asked.cohort, asked.audiences)


def _taken_back(status: Status, rollout: Rollout) -> Exposure:
    to = rollout.rollback.to
    if status["started_at"] is not None:
        to = min(to, _desired(status).percent)
    served = _served(status)
    return Exposure(to if served is None else min(to, served.percent))


def _written(status: Status, rollout: Rollout, before: Exposure | None, after: Exposure) -> str:
    within = format_duration(rollout.rollback.within)
    if before is None:
        error = status["exposure"]["error"] or "it was not read yet"
        how = "it is written all the same" if after.none else "it is written once it can be read"
        return f"What flag {rollout.flag} serves is not known ({error}): {how}, until it reads {after}."
    if before == after:
        return f"Flag {rollout.flag} serves {before} already, and is kept there."
    return f"Flag {rollout.flag} goes from {before} to {after} at once, and must read so within {within}."


def _ends(status: Status, how: str, phase: Phase) -> list[str]:
    """What becomes of the rollout and of its window."""
    if phase is Phase.SIGNED_OFF:
        return [f"It is {how} after its sign-off, whose report stays as it was."]
    if phase.terminal:
        return []
    lost = f" {_progress(status)} count for nothing." if _good(status) else ""
    return [f"The rollout ends as {how} and is not signed off.{lost}"]


def _good(status: Status) -> int:
    """The consecutive good slices that a rollout under way has gathered."""
    if _phase(status) not in _RUNNING:
        return 0
    window = status["window"]
    return int(window["final"]["current"] if _phase(status) is Phase.SOAKING else window["current"])


def _progress(status: Status) -> str:
    return f"{_good(status)} of {status['window']['required']} good slices"
