"""The numbers behind the charts of a rollout's pages, as columns for a plot: instants, then a column a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from watchdog.account import Account
from watchdog.evaluate import describe_target
from watchdog.model import Kind, Objective
from watchdog.ramp import schedule

Json = dict[str, Any]


def exposure_columns(account: Account, now: float) -> Json:
    """Planned, asked for and read back over the whole watch, in percent; waits and holds as bands."""
    from watchdog.report.story import waits  # noqa: PLC0415 - with the report comes a good deal

    control, stored = account.control, account.stored
    if control.started_at is None:
        return {"kind": "exposure", "at": [], "lines": [], "bands": [], "unit": "%"}
    end = float(stored.last_slot or now) if control.phase.terminal else now
    start = float(control.started_at)
    plan = [(start + after, one.percent) for after, one in schedule(account.rollout.ramp)]
    facts = account.ledger.exposures(stored.id)
    asked = [(fact.at, fact.exposure.percent) for fact in facts if fact.kind == "desired"]
    read = [(fact.at, fact.exposure.percent) for fact in facts if fact.kind != "desired"]
    last = max(end, plan[-1][0] if not control.phase.terminal else end)
    at = sorted({start, end, last, *(x for line in (plan, asked, read) for x, _ in line if x <= last)})
    lines = [
        {"name": "planned", "values": _held(plan, at, last)},
        {"name": "asked for", "values": _held(asked, at, end)},
        {"name": "read back", "values": _held(read, at, end)},
    ]
    bands = [
        {"kind": one["kind"], "from": _epoch(one["from"]), "to": _epoch(one["to"]), "why": one["why"]}
        for one in waits(account.ledger.transitions(stored.id), end)
    ]
    return {"kind": "exposure", "at": at, "lines": lines, "bands": bands, "unit": "%"}


def _epoch(stamp: str) -> float:
    from watchdog.report.words import instant  # noqa: PLC0415 - likewise

    return instant(stamp)


def _held(points: Sequence[tuple[float, float]], at: Sequence[float], end: float) -> list[float | None]:
    """The value that held at each instant, None before the first point and after the end."""
    found: list[float | None] = []
    place, value = 0, None
    for instant in at:
        while place < len(points) and points[place][0] <= instant:
            value = points[place][1]
            place += 1
        found.append(value if instant <= end else None)
    return found


def objective_columns(account: Account, objective: Objective) -> Json:
    """The mean and greatest (or least) value of every column of slots, with the limit and what was not known."""
    from watchdog.report.series import Axis, chart, gather  # noqa: PLC0415 - likewise
    from watchdog.report.words import stamp  # noqa: PLC0415

    stored, rollout = account.stored, account.rollout
    start = account.control.started_at
    unit = "share" if objective.kind is Kind.EVENT else "number"
    limit = objective.target.limit
    told = {
        "kind": "objective",
        "name": objective.name,
        "unit": unit,
        "limit": limit,
        "target": describe_target(objective),
    }
    if start is None or stored.last_slot is None:
        return {**told, "at": [], "lines": [], "bands": []}
    origin = int(start // rollout.interval) * rollout.interval
    axis = Axis(origin, rollout.interval, max(0, (stored.last_slot - origin) // rollout.interval))
    column = [one for _, one in account.ledger.evaluations(stored.id, objective.name, 0, stored.last_slot)]
    drawn = chart(gather(objective, column, axis), stamp(origin), axis, None)
    width = axis.per_column * axis.interval
    at = [origin + (place + 1) * width for place in range(len(drawn["mean"]))]
    good = objective.target.of_good
    worst = {"name": "least" if good else "greatest", "values": drawn["min" if good else "max"]}
    return {
        **told,
        "at": at,
        "lines": [{"name": "mean", "values": drawn["mean"]}, worst],
        "bands": [
            {"kind": kind, "from": _slot(axis, first), "to": _slot(axis, first + count), "why": why}
            for kind, runs in (("fail", drawn["fail"]), ("unknown", drawn["unknown"]), ("idle", drawn["low_traffic"]))
            for first, count, why in ((one[0], one[1], one[2] if len(one) > 2 else kind) for one in runs)
        ],
    }


def _slot(axis: Any, index: int) -> float:
    return float(axis.origin + index * axis.interval)
