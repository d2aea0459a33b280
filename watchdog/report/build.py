"""Evidence -> the report as a dict, a superset of `status --json` and `replay --json`; the rest are its views."""

from __future__ import annotations

import math
from typing import Any

from watchdog.model import Mode, Phase, Sequential, Slice, SliceVerdict
from watchdog.report.evidence import BreachFact, Evidence
from watchdog.report.objectives import Basis, describe
from watchdog.report.series import Axis, gather
from watchdog.report.story import Gaps, Timeline, condensed, history, planned, recorded, waits, waivers
from watchdog.report.verdict import amendments, coverage, verdict
from watchdog.report.words import listed, plain, share, stamp

Json = dict[str, Any]

SCHEMA = "slo-watchdog/report/1"
"""Changes when a field is renamed or changes its meaning; new fields do not change it."""


AFTERWARDS = frozenset({"recovered", "errors_continue", "blind", "sighted", "deed", "deed_done"})
"""Kinds of transitions that still belong to the watch when the rollout has ended: the rollback's effect is watched."""


def build(evidence: Evidence) -> Json:
    """The JSON report. Equal evidence gives equal reports, byte for byte once rendered.

    Where `status` and `figures` use one name for two things (`exposure`), the history of `figures` stands under it
    and today's value under `exposure_now`; the status object is there whole as `status`.
    """
    rollout, axis = evidence.rollout, _axis(evidence)
    slots = {o.name: gather(o, evidence.evaluations.get(o.name, ()), axis) for o in rollout.objectives}
    windows, timeline = _windows(evidence), Timeline(evidence)
    basis = _basis(evidence, windows)
    slices = [_slice(evidence, item, windows, timeline) for item in evidence.slices]
    ends = {item.end for item in basis.slices}
    held = [_least(item) for item, own in zip(slices, evidence.slices, strict=True) if own.end in ends]
    seven = coverage(evidence, {name: found.known for name, found in slots.items()})
    resets = (evidence.figures.get("window") or {}).get("resets") or []
    gaps = Gaps(evidence, slots, axis, resets)
    report: Json = {
        **evidence.status,
        **evidence.figures,
        **_facts(evidence, axis),
        "verdict": verdict(evidence, seven, basis, [value for value in held if value is not None]),
        "coverage": seven,
        "status": dict(evidence.status),
        "exposure": evidence.figures.get("exposure", []),
        "exposure_now": evidence.status.get("exposure"),
        "exposure_planned": planned(rollout, evidence.started_at),
        "exposure_recorded": recorded(evidence),
        "waits": waits(evidence.transitions, _watch_end(evidence, axis)),
        "objectives": [describe(evidence, o, slots[o.name], axis, basis) for o in rollout.objectives],
        "slices": slices,
        "windows": {name: _span(evidence, found) for name, found in windows.items()},
        "gaps": [gaps.describe(gap) for gap in evidence.figures.get("gaps", ())],
        "breaches": _breaches(evidence),
        "history": history(evidence.transitions),
        "timeline": condensed(evidence.transitions),
        "notifications": _notifications(evidence),
        "waivers": waivers(evidence),
        "preflight": None if evidence.preflight is None else dict(evidence.preflight),
        "deployment": None if evidence.deployment is None else dict(evidence.deployment),
        "not_controlled": list(evidence.not_controlled),
        "bad_never_observed": sorted(evidence.bad_never_observed),
        "rollback_stamps": _stamps(evidence.rollback),
        "also": list(evidence.status.get("also", ())),
        "noise": None if evidence.noise is None else dict(evidence.noise),
        "limits": _limits(evidence),
    }
    found: Json = plain(report)
    return found


def _facts(evidence: Evidence, axis: Axis) -> Json:
    rollout = evidence.rollout
    return {
        "schema": SCHEMA,
        "rollout": rollout.name,
        "service": rollout.service,
        "version": rollout.version,
        "flag": rollout.flag,
        "mode": rollout.mode.value,
        "phase": evidence.phase.value,
        "started_at": stamp(evidence.started_at),
        "as_of": stamp(evidence.as_of),
        "ended_at": stamp(_ended(evidence)),
        "watch": {"from": stamp(evidence.started_at), "to": stamp(_watch_end(evidence, axis))},
        "engine": evidence.engine,
        "prometheus": dict(evidence.prometheus),
        "interval_s": rollout.interval,
        "rule": {"text": rollout.text, "sha256": rollout.sha256, "resolved": rollout.resolved},
        "window_rule": {
            "slices": rollout.window.slices,
            "slice_s": rollout.window.slice,
            "max_gap_s": rollout.window.max_gap,
            "max_idle": rollout.window.max_idle,
        },
        "ramp": {
            "strategy": rollout.ramp.strategy,
            "from": rollout.ramp.start,
            "to": rollout.ramp.to,
            "steps": len(rollout.ramp.steps),
            "seconds": rollout.ramp.seconds,
            "cohort": list(rollout.ramp.cohort),
            "audiences": sorted({name for step in rollout.ramp.steps for name in step.exposure.audiences}),
        },
        "rollback_rule": {
            "to": rollout.rollback.to,
            "within_s": rollout.rollback.within,
            "verify_s": rollout.rollback.verify,
            "false_rollback": rollout.false_rollback,
        },
    }


def _ended(evidence: Evidence) -> float | None:
    if not evidence.phase.terminal:
        return None
    return next((item.at for item in evidence.transitions if item.target.terminal), None)


def _axis(evidence: Evidence) -> Axis:
    interval = evidence.rollout.interval
    start = evidence.started_at if evidence.started_at is not None else evidence.as_of
    origin = int(start // interval) * interval
    last = max((found[-1].at for found in evidence.evaluations.values() if found), default=origin)
    return Axis(origin, interval, max(0, (last - origin) // interval))


def _watch_end(evidence: Evidence, axis: Axis) -> float:
    ends = [item.at for item in evidence.transitions if not item.source.terminal or item.kind in AFTERWARDS]
    return min(max(axis.end, *ends, axis.end), max(evidence.as_of, axis.end))


def _windows(evidence: Evidence) -> dict[str, list[Slice]]:
    """The slices of the interim and the final window, where those are complete, and of the run under way."""
    window = evidence.figures.get("window") or {}
    required, slices = evidence.rollout.window.slices, list(evidence.slices)
    back = next((item.at for item in evidence.transitions if item.target is Phase.ROLLING_BACK), math.inf)
    found = {}
    for name, facts in (("interim", window), ("final", window.get("final") or {})):
        done = facts.get("completed_at")
        last = next((place for place, item in enumerate(slices) if stamp(item.end) == done), None) if done else None
        if last is not None and slices[last].end <= back:  # later hours show the effect of the rollback
            found[name] = _back(slices[: last + 1], required)
    if window.get("current"):
        found["current"] = _back(slices, int(window["current"]))
    return found


def _back(slices: list[Slice], passes: int) -> list[Slice]:
    """The newest slices that hold `passes` passing ones, from the first of those on."""
    for place in range(len(slices) - 1, -1, -1):
        passes -= slices[place].verdict is SliceVerdict.PASS
        if passes == 0:
            return slices[place:]
    return slices


def _basis(evidence: Evidence, windows: dict[str, list[Slice]]) -> Basis:
    """What the figures are drawn from: the window that the verdict stands on, else the whole watch."""
    if evidence.phase in (Phase.ROLLED_BACK, Phase.ROLLING_BACK, Phase.STOPPED):
        return Basis("watch", evidence.slices)
    for name in ("final", "interim", "current"):
        if windows.get(name):
            return Basis(name, windows[name])
    return Basis("watch", evidence.slices)


def _span(evidence: Evidence, slices: list[Slice]) -> Json | None:
    if not slices:
        return None
    return {"from": stamp(slices[0].end - evidence.rollout.window.slice), "to": stamp(slices[-1].end)}


def _slice(evidence: Evidence, item: Slice, windows: dict[str, list[Slice]], timeline: Timeline) -> Json:
    start = item.end - evidence.rollout.window.slice
    had = timeline.within(start, item.end)
    if item.exposure is not None:
        constant = item.exposure
        had = (constant.percent, constant.percent, constant.cohort, list(constant.audiences))
    exposure = None
    if had is not None:
        exposure = dict(zip(("lowest", "highest", "cohort", "audiences"), had, strict=True))
        exposure["constant"] = item.exposure is not None
    return {
        "from": stamp(start),
        "to": stamp(item.end),
        "verdict": item.verdict.value,
        "why": item.why,
        "final": item.final,
        "exposure": exposure,
        "windows": [name for name, own in windows.items() if own and own[0].end <= item.end <= own[-1].end],
        "unmeasured": [{"from": stamp(first), "to": stamp(last)} for first, last in item.unmeasured],
        "breaches": [{"objective": breach.objective, "at": stamp(breach.at)} for breach in item.breaches],
        "objectives": [
            {
                "name": own.objective,
                "verdict": own.verdict.value,
                "measured": own.measured,
                "failed": own.failed,
                "slots": own.slots,
                "value": own.value,
                "bad": own.bad,
                "total": own.total,
                "why": own.why,
            }
            for own in item.objectives
        ],
    }


def _least(item: Json) -> float | None:
    return None if item["exposure"] is None else float(item["exposure"]["lowest"])


def _breaches(evidence: Evidence) -> list[Json]:
    given = {(item.get("objective"), item.get("at")): item for item in evidence.figures.get("breaches", ())}
    amended = amendments(evidence)
    found = []
    for place, fact in enumerate(evidence.breaches, 1):
        breach = fact.breach
        found.append(
            {
                **given.get((breach.objective, stamp(breach.at)), {}),
                "number": place,
                "objective": breach.objective,
                "at": stamp(breach.at),
                "detected_at": stamp(fact.detected_at),
                "closed_at": stamp(breach.closed_at),
                "detector": breach.detector,
                "statistic": breach.statistic,
                "threshold": breach.threshold,
                "bad": breach.bad,
                "total": breach.total,
                "value": breach.value,
                "why": breach.why,
                "on_breach": _on_breach(evidence, fact),
                "late": fact.late,
                "unconfirmed": fact.unconfirmed,
                "after_sign_off": fact in amended,
                "rollback": _stamps(fact.stamps),
            }
        )
    return found


def _on_breach(evidence: Evidence, fact: BreachFact) -> str | None:
    return next((o.on_breach.value for o in evidence.rollout.objectives if o.name == fact.breach.objective), None)


def _stamps(rollback: Any) -> Json | None:
    if rollback is None:
        return None
    return {
        "cause": rollback.cause,
        "detected_at": stamp(rollback.detected_at),
        "decided_at": stamp(rollback.decided_at),
        "acted_at": stamp(rollback.acted_at),
        "confirmed_at": stamp(rollback.confirmed_at),
        "recovered_at": stamp(rollback.recovered_at),
        "escalated": list(rollback.escalated),
        "seconds": None if rollback.confirmed_at is None else rollback.confirmed_at - rollback.detected_at,
    }


def _notifications(evidence: Evidence) -> list[Json]:
    return [
        {
            "at": stamp(item.at),
            "kind": item.kind,
            "severity": item.severity.value,
            "summary": item.summary,
            "key": item.key,
        }
        for item in evidence.notifications
    ]


def _limits(evidence: Evidence) -> list[str]:
    """What the report does not prove; said where a reader would otherwise assume it."""
    rollout = evidence.rollout
    found = ["It says what the metrics said, not that the metrics are right."]
    if any(isinstance(o.detector, Sequential) for o in rollout.objectives):
        found.append(
            f"The chance of any false rollback by a controlled objective was held to {share(rollout.false_rollback)} "
            "in the whole watch, if events within the allowed share arrive as the rule assumes."
        )
    pooled = [o.name for o in rollout.objectives if o.gates and not o.uses_cohort]
    if pooled:
        found.append(
            f"Measured over all users, exposed or not: {listed(pooled)}. At low exposure such a figure hardly moves."
        )
    if rollout.mode is Mode.OBSERVE:
        found.append("The flag was simulated: who really had the feature may differ from the exposure shown.")
    found.append("Intervals of 95 % hold if events fail independently of each other; clumped failures widen them.")
    return found
