"""One objective's part of the report: its rule, its exact queries, its figures and its chart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from watchdog.detect import tuning
from watchdog.evaluate import describe_target
from watchdog.model import (
    STANDARD_OBJECTIVES,
    Kind,
    Objective,
    ObjectiveSlice,
    Rollout,
    Sequential,
    Slice,
    SliceVerdict,
)
from watchdog.report.evidence import Evidence
from watchdog.report.series import Axis, Slots, chart, gather
from watchdog.report.words import lasted, share, stamp

Json = dict[str, Any]

Z95 = 1.959963984540054
"""Two-sided 95 % of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Basis:
    """The slices that a figure is drawn from: a complete window, the run under way, or the whole watch."""

    name: str
    slices: Sequence[Slice]


def standard_name(objective: Objective) -> str | None:
    """Which of the seven standard objectives this is, if any."""
    name = objective.internal or objective.name
    return name if name in STANDARD_OBJECTIVES else None


def describe(evidence: Evidence, objective: Objective, slots: Slots, axis: Axis, basis: Basis) -> Json:
    """Everything the report says of one objective, JSON-ready; its `status` entry is part of it."""
    told: list[Json] = list(evidence.status.get("objectives", ()))
    given = next((item for item in told if item.get("name") == objective.name), {})
    control = evidence.controls.get(objective.name)
    beside = gather(objective, control, axis) if control else None
    start = stamp(axis.origin) if evidence.started_at is not None else None
    whole = Basis("watch", evidence.slices)
    return {
        **given,
        "name": objective.name,
        "kind": objective.kind.value,
        "standard": standard_name(objective),
        "unit": "share" if objective.kind is Kind.EVENT else "number",
        "target": {
            "comparison": objective.target.comparison.value,
            "limit": objective.target.limit,
            "text": describe_target(objective),
            "good": objective.target.of_good,
        },
        "allowed": objective.allowed if objective.kind is Kind.EVENT else None,
        "gates_steps": objective.gates,
        "on_breach": objective.on_breach.value,
        "measured_outside": objective.outside,
        "silence_fails": objective.silence_fails,
        "pool": "window" if objective.pool_window else "slice",
        "min_events": objective.min_events,
        "min_slice_events": objective.min_slice_events,
        "detector": _detector(evidence, objective),
        "queries": _queries(evidence.rollout, objective),
        "slots": _counts(slots, axis),
        "slices": {
            verdict.value: sum(1 for _, item in _own(evidence.slices, objective) if item.verdict is verdict)
            for verdict in SliceVerdict
        },
        "figure": _figure(objective, basis),
        "watch_figure": _figure(objective, whole),
        "worst_slice": _worst(evidence.rollout, objective, basis),
        "worst_slice_of_watch": _worst(evidence.rollout, objective, whole),
        "bad_never_observed": objective.name in evidence.bad_never_observed,
        "breaches": [n for n, fact in enumerate(evidence.breaches, 1) if fact.breach.objective == objective.name],
        "control": None if beside is None else _counts(beside, axis) | {"mean_share": _mean_share(objective, beside)},
        "chart": chart(slots, start, axis, beside),
    }


def _detector(evidence: Evidence, objective: Objective) -> Json:
    rollout, detector = evidence.rollout, objective.detector
    every = f"every {lasted(detector.every)}"
    if isinstance(detector, Sequential):
        above = detector.rollback_above * objective.allowed
        guaranteed = objective.name not in evidence.not_controlled
        promise = (
            f"a false breach has probability at most {share(rollout.alpha)} in the whole watch"
            if guaranteed
            else "not controlled"
        )
        return {
            "name": detector.name,
            "every_s": detector.every,
            "rollback_above": detector.rollback_above,
            "share_above": above,
            "alpha": rollout.alpha,
            "threshold": tuning(rollout, objective).threshold,
            "planned_steps": rollout.planned_steps(detector),
            "controlled": guaranteed,
            "text": f"sequential, {every}: evidence that more than {share(above)} are bad; {promise}",
        }
    return {
        "name": detector.name,
        "every_s": detector.every,
        "fails": detector.fails,
        "of": detector.of,
        "controlled": False,
        "text": f"confirm, {detector.fails} of {detector.of} failing steps, {every}; no guaranteed rate",
    }


def _queries(rollout: Rollout, objective: Objective) -> Json:
    """The PromQL as written and as asked: `slot`, `step` and `slice` differ in `$range` only."""
    written = {
        role: query
        for role, query in (("bad", objective.bad), ("total", objective.total), ("value", objective.value))
        if query is not None
    }
    step, cohorts = rollout.step_range(objective.detector), rollout.cohorts
    exposed = cohorts.exposed if cohorts is not None else ""
    ranges = {"slot": objective.range, "step": step, "slice": float(rollout.window.slice)}
    asked = {
        grid: {role: _asked(query, seconds, exposed) for role, query in written.items()}
        for grid, seconds in ranges.items()
    }
    found: Json = {"as_written": written, "ranges_s": ranges, **asked}
    if cohorts is not None and cohorts.control and objective.uses_cohort:
        found["control"] = {role: _asked(query, objective.range, cohorts.control) for role, query in written.items()}
    if objective.fresh is not None:
        found["fresh"] = _asked(objective.fresh, objective.range, exposed)
        found["max_age_s"] = objective.max_age
    if objective.silence_fails:
        found["present"] = objective.present
    return found


def _asked(query: str, seconds: float, matcher: str) -> str:
    length = f"{seconds:.0f}s" if float(seconds).is_integer() else f"{round(seconds * 1000)}ms"
    return query.replace("$range", length).replace("$cohort", matcher)


def _counts(slots: Slots, axis: Axis) -> Json:
    return {
        "expected": axis.slots,
        "pass": slots.passed,
        "fail": slots.failed,
        "unknown": slots.unknown,
        "reasons": dict(sorted(slots.reasons.items())),
        "unrecorded": max(0, axis.slots - slots.known - slots.unknown),
    }


def _mean_share(objective: Objective, slots: Slots) -> float | None:
    if objective.kind is not Kind.EVENT or slots.total <= 0:
        return None
    bad = slots.bad / slots.total
    return 1.0 - bad if objective.target.of_good else bad


def _own(slices: Sequence[Slice], objective: Objective) -> list[tuple[Slice, ObjectiveSlice]]:
    return [(item, own) for item in slices for own in item.objectives if own.objective == objective.name]


def _figure(objective: Objective, basis: Basis) -> Json:
    """The figure over all slices of the basis: events pooled, values as their range, slots counted."""
    own = [item for _, item in _own(basis.slices, objective)]
    found: Json = {
        "basis": basis.name,
        "slices": len(own),
        "measured_slots": sum(item.measured for item in own),
        "failed_slots": sum(item.failed for item in own),
        "slots": sum(item.slots for item in own),
    }
    if objective.kind is Kind.EVENT:
        counted = [(item.bad or 0.0, item.total) for item in own if item.total]
        bad, total = math.fsum(item[0] for item in counted), math.fsum(item[1] for item in counted)
        found |= {"bad": bad if counted else None, "total": total if counted else None}
        found |= _pooled(objective, bad, total)
        return found
    values = [item.value for item in own if item.value is not None]
    found |= {
        "least": min(values, default=None),
        "greatest": max(values, default=None),
        "mean": math.fsum(values) / len(values) if values else None,
    }
    return found


def _pooled(objective: Objective, bad: float, total: float) -> Json:
    if total <= 0:
        return {"value": None, "interval_95": None, "budget_used": None}
    part = min(max(bad / total, 0.0), 1.0)
    low, high = _wilson(part, total)
    good = objective.target.of_good
    return {
        "value": 1.0 - part if good else part,
        "interval_95": [1.0 - high, 1.0 - low] if good else [low, high],
        "budget_used": part / objective.allowed if objective.allowed > 0 else None,
    }


def _wilson(part: float, total: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, for events that fail independently of each other."""
    square = Z95 * Z95
    middle = (part + square / (2 * total)) / (1 + square / total)
    half = Z95 / (1 + square / total) * math.sqrt(part * (1 - part) / total + square / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def _worst(rollout: Rollout, objective: Objective, basis: Basis) -> Json | None:
    """The judged slice of the basis that came nearest to missing the target, or missed it furthest."""
    judged = [
        (item, own)
        for item, own in _own(basis.slices, objective)
        if own.verdict in (SliceVerdict.PASS, SliceVerdict.FAIL)
    ]
    if not judged:
        return None
    item, own = max(judged, key=lambda pair: (*_badness(objective, pair[1]), -pair[0].end))
    value = own.value
    if objective.kind is Kind.EVENT:
        part = own.bad / own.total if own.bad is not None and own.total else None
        value = None if part is None else 1.0 - part if objective.target.of_good else part
    return {
        "from": stamp(item.end - rollout.window.slice),
        "to": stamp(item.end),
        "verdict": own.verdict.value,
        "value": value,
        "bad": own.bad,
        "total": own.total,
        "failed_slots": own.failed,
        "measured_slots": own.measured,
    }


def _badness(objective: Objective, own: ObjectiveSlice) -> tuple[float, float]:
    by_slots = own.failed / own.measured if own.measured else 0.0
    if objective.kind is Kind.EVENT:
        return ((own.bad or 0.0) / own.total if own.total else 0.0), by_slots
    if own.value is None:
        return -math.inf, by_slots
    return (-own.value if objective.target.of_good else own.value), by_slots
