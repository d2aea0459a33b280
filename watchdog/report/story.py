"""What happened, in order: exposure planned and had, waits and holds with their causes, gaps, the condensed history."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from watchdog.model import Evaluation, Exposure, Reason, Rollout, Slice, SliceVerdict, Transition
from watchdog.report.evidence import ACTUAL, Evidence
from watchdog.report.series import Axis, Slots
from watchdog.report.words import counted, instant, stamp

Json = dict[str, Any]

HELD_UNTIL = frozenset({"resume", "hold", "rollback", "stop", "signed_off"})
WAITED_UNTIL = HELD_UNTIL | {"step", "waiting", "start"}
ROUTINE = frozenset({"step", "waiting"})
"""Kinds of transitions of which a run is one line of the condensed history."""


class Timeline:
    """Exposure as it was read, at any instant."""

    def __init__(self, evidence: Evidence) -> None:
        records = [(at, exposure) for at, kind, exposure in evidence.exposures if kind == ACTUAL]
        self.instants = [at for at, _ in records]
        self.exposures = [exposure for _, exposure in records]

    def within(self, start: float, end: float) -> tuple[float, float, bool, list[str]] | None:
        """Least and greatest percentage in (start, end], whether a cohort had it, and which audiences.

        None when it was never read.
        """
        first = bisect_right(self.instants, start) - 1
        last = bisect_right(self.instants, end)
        found = self.exposures[max(first, 0) : last]
        if not found:
            return None
        percents = [exposure.percent for exposure in found]
        audiences = sorted({name for exposure in found for name in exposure.audiences})
        return min(percents), max(percents), any(exposure.cohort for exposure in found), audiences


def planned(rollout: Rollout, started_at: float | None) -> list[Json]:
    """The exposure that the plan would have given had nothing ever waited."""
    if started_at is None:
        return []
    at, points = started_at, [_point(started_at, Exposure(rollout.ramp.start))]
    for step in rollout.ramp.steps:
        at += step.after
        points.append(_point(at, step.exposure))
    return points


def recorded(evidence: Evidence) -> list[Json]:
    """Every recorded exposure: asked for (`desired`), read (`actual`) and, observing, the real flag's (`real`)."""
    return [{**_point(at, exposure), "kind": kind} for at, kind, exposure in evidence.exposures]


def _point(at: float, exposure: Exposure) -> Json:
    besides = {"cohort": exposure.cohort, "audiences": list(exposure.audiences)}
    return {"at": stamp(at), "percent": exposure.percent, **besides}


def waits(transitions: Sequence[Transition], end: float) -> list[Json]:
    """Every wait and hold, numbered in time order, with its cause, its author and how long it lasted."""
    found: list[Json] = []
    for place, transition in enumerate(transitions):
        if transition.kind not in ("waiting", "hold"):
            continue
        until = HELD_UNTIL if transition.kind == "hold" else WAITED_UNTIL
        closing = next((later for later in transitions[place + 1 :] if later.kind in until), None)
        last = closing.at if closing is not None else max(end, transition.at)
        found.append(
            {
                "number": len(found) + 1,
                "kind": transition.kind,
                "from": stamp(transition.at),
                "to": stamp(last),
                "seconds": last - transition.at,
                "open": closing is None,
                "why": transition.why.removeprefix("waiting: "),
                "by": transition.by,
                "objective": transition.objective,
                "ended_by": None if closing is None else {"kind": closing.kind, "by": closing.by, "why": closing.why},
            }
        )
    return found


def history(transitions: Sequence[Transition]) -> list[Json]:
    """All transitions, whole."""
    return [
        {
            "at": stamp(item.at),
            "kind": item.kind,
            "from": item.source.value,
            "to": item.target.value,
            "why": item.why,
            "by": item.by,
            "objective": item.objective,
        }
        for item in transitions
    ]


def condensed(transitions: Sequence[Transition]) -> list[Json]:
    """The history with each run of steps and waits drawn together into one line."""
    lines: list[Json] = []
    for item in transitions:
        routine = item.kind in ROUTINE and item.source is item.target
        if routine and lines and lines[-1]["routine"]:
            line = lines[-1]
            line["until"], line["last_why"] = stamp(item.at), item.why
            line["kinds"][item.kind] = line["kinds"].get(item.kind, 0) + 1
            continue
        lines.append(
            {
                "at": stamp(item.at),
                "until": stamp(item.at),
                "kinds": {item.kind: 1},
                "routine": routine,
                "from": item.source.value,
                "to": item.target.value,
                "why": _brief(item),
                "last_why": item.why,
                "by": item.by,
                "objective": item.objective,
            }
        )
    return lines


def _brief(item: Transition) -> str:
    """Why it happened; of a countersignature without what only a program reads, which the history has."""
    return item.why.partition(" (countersigned ")[0] if item.kind == "countersigned" else item.why


class Gaps:
    """Tells of a gap which objectives were not known in it, why, and what it did to the window."""

    def __init__(self, evidence: Evidence, slots: Mapping[str, Slots], axis: Axis, resets: Sequence[Json]) -> None:
        self.axis = axis
        self.slices = {item.end: item for item in evidence.slices}
        self.length = evidence.rollout.window.slice
        self.resets = {reset.get("at") for reset in resets}
        self.evaluations = evidence.evaluations
        self.runs: dict[str, list[tuple[int, int, str]]] = {}
        for name, found in slots.items():
            for first, count, reason in found.runs:
                start = axis.origin + (first + 1) * axis.interval
                self.runs.setdefault(reason, []).append((start, start + (count - 1) * axis.interval, name))
        for runs in self.runs.values():
            runs.sort()
        self.widest = {reason: max(last - first for first, last, _ in runs) for reason, runs in self.runs.items()}

    def describe(self, gap: Json) -> Json:
        """The gap of the figures, with its slots, objectives, cause and effect."""
        reason, start, end = str(gap["reason"]), instant(gap["from"]), instant(gap["to"])
        runs = self.runs.get(reason, [])
        low = bisect_right(runs, (int(start) - self.widest.get(reason, 0) - 1, 0, ""))
        high = bisect_right(runs, (int(end) + 1, 0, ""))
        inside = [run for run in runs[low:high] if run[0] <= end and run[1] >= start]
        first = min((run[0] for run in inside), default=int(start))
        last = max((run[1] for run in inside), default=int(end))
        first, last = max(first, int(start)), min(last, int(end))
        cause = self._cause(inside[0][2], inside[0][0]) if inside else ""
        return {
            **gap,
            "seconds": last - first + self.axis.interval,
            "objectives": sorted({name for _, _, name in inside}),
            "cause": cause,
            **self._effect(reason, first, last),
        }

    def _cause(self, objective: str, at: int) -> str:
        found: Sequence[Evaluation] = self.evaluations.get(objective, ())
        place = bisect_right(found, at, key=lambda item: item.at) - 1
        return found[place].detail if place >= 0 else ""

    def _effect(self, reason: str, first: int, last: int) -> Json:
        ends = range(-(-first // self.length) * self.length, -(-last // self.length) * self.length + 1, self.length)
        touched: list[Slice] = [self.slices[end] for end in ends if end in self.slices]
        unknown = sum(1 for item in touched if item.verdict is SliceVerdict.UNKNOWN)
        idle = sum(1 for item in touched if item.verdict is SliceVerdict.IDLE)
        reset = next((stamp(item.end) for item in touched if self._reset(item)), None)
        if reason != Reason.LOW_TRAFFIC.value and reset is not None:
            effect = "reset the window"
        elif reason != Reason.LOW_TRAFFIC.value and unknown:
            effect = f"{counted(unknown, 'unknown slice')}: no credit, no reset"
        elif idle:
            effect = f"{counted(idle, 'idle slice')}: no credit, no reset"
        elif reason == Reason.LOW_TRAFFIC.value:
            effect = "none: somebody looked, nobody came"
        elif touched:
            effect = "none: each slice was measured for 95 % or more"
        else:
            effect = "none: outside the slices that count"
        return {"effect": effect, "reset_at": reset}

    def _reset(self, item: Slice) -> bool:
        return item.verdict is SliceVerdict.UNKNOWN and stamp(item.end) in self.resets


def waivers(evidence: Evidence) -> list[Json]:
    """Those of the rule, which have no end, then those that somebody gave for the start."""
    nobody = {"by": None, "at": None, "until": None}
    written = [{"name": name, "reason": why, **nobody} for name, why in sorted(evidence.rollout.waive.items())]
    return written + [dict(one) for one in evidence.waivers]
