"""The slots of one objective, condensed: counts, exact runs of slots without a pass, and columns for a chart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from watchdog.model import Evaluation, Kind, Objective, Reason, Verdict

COLUMNS = 400
"""At most this many columns a chart; each holds the least, greatest and mean value of its slots."""
DIGITS = 6
"""Significant digits of a charted value; figures elsewhere are not rounded."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The slots of the watch: `slots` of them, `interval` seconds each, in (origin, origin + slots * interval]."""

    origin: int
    interval: int
    slots: int

    @property
    def end(self) -> int:
        """The newest slot."""
        return self.origin + self.slots * self.interval

    @property
    def per_column(self) -> int:
        """Slots in one column of a chart."""
        return max(1, math.ceil(self.slots / COLUMNS))

    def index(self, at: int) -> int:
        """The place of a slot, 0 for the first; outside 0 .. slots - 1 when it is not of this watch."""
        return (at - self.origin) // self.interval - 1


@dataclass(slots=True)
class Slots:
    """What the slots of one objective say. `runs` are (first, count, what): `fail` or the reason for unknown."""

    passed: int = 0
    failed: int = 0
    unknown: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    runs: list[tuple[int, int, str]] = field(default_factory=list)
    bad: float = 0.0
    total: float = 0.0
    least: list[float] = field(default_factory=list)
    greatest: list[float] = field(default_factory=list)
    sums: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    @property
    def known(self) -> int:
        """Slots with a verdict."""
        return self.passed + self.failed


def reader(objective: Objective) -> Callable[[Evaluation], float | None]:
    """What is charted of an evaluation: the value, or the share in the sense of the target, of bad or good events."""
    if objective.kind is not Kind.EVENT:
        return lambda found: found.value
    good = objective.target.of_good

    def of_events(found: Evaluation) -> float | None:
        if found.bad is None or not found.total:
            return None
        return 1.0 - found.bad / found.total if good else found.bad / found.total

    return of_events


def gather(objective: Objective, evaluations: Sequence[Evaluation], axis: Axis) -> Slots:
    """One pass over the evaluations of an objective."""
    found, read, per = Slots(), reader(objective), axis.per_column
    width = math.ceil(axis.slots / per)
    found.least, found.greatest = [math.inf] * width, [-math.inf] * width
    found.sums, found.counts = [0.0] * width, [0] * width
    origin, interval, slots = axis.origin, axis.interval, axis.slots
    first, count, label = 0, 0, ""
    for item in evaluations:
        index = (item.at - origin) // interval - 1
        if not 0 <= index < slots:
            continue
        what = _what(item)
        if what == label and index == first + count:
            count += 1
        else:
            if label:
                found.runs.append((first, count, label))
            first, count, label = index, 1, what
        _count(found, item, what)
        if item.verdict is not Verdict.UNKNOWN:
            value = read(item)
            if value is not None:
                _column(found, index // per, value)
    if label:
        found.runs.append((first, count, label))
    return found


def _what(item: Evaluation) -> str:
    if item.verdict is Verdict.PASS:
        return ""
    if item.verdict is Verdict.FAIL:
        return "fail"
    return item.reason.value if item.reason is not None else "unknown"


def _count(found: Slots, item: Evaluation, what: str) -> None:
    if not what:
        found.passed += 1
    elif what == "fail":
        found.failed += 1
    else:
        found.unknown += 1
        found.reasons[what] = found.reasons.get(what, 0) + 1
    if item.bad is not None and item.total is not None:
        found.bad += item.bad
        found.total += item.total


def _column(found: Slots, column: int, value: float) -> None:
    found.least[column] = min(found.least[column], value)
    found.greatest[column] = max(found.greatest[column], value)
    found.sums[column] += value
    found.counts[column] += 1


def chart(found: Slots, start: str | None, axis: Axis, control: Slots | None) -> dict[str, Any]:
    """The condensed series, JSON-ready: null where a column has no known slot; runs are [first slot, count, reason]."""
    low = Reason.LOW_TRAFFIC.value
    return {
        "from": start,
        "slot_s": axis.interval,
        "slots": axis.slots,
        "slots_per_column": axis.per_column,
        "min": [_short(value) for value in found.least],
        "max": [_short(value) for value in found.greatest],
        "mean": _means(found),
        "control_mean": _means(control) if control is not None else None,
        "fail": [[first, count] for first, count, what in found.runs if what == "fail"],
        "unknown": [[first, count, what] for first, count, what in found.runs if what not in ("fail", low)],
        "low_traffic": [[first, count] for first, count, what in found.runs if what == low],
    }


def _means(found: Slots) -> list[float | None]:
    return [_short(total / count) if count else None for total, count in zip(found.sums, found.counts, strict=True)]


def _short(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
