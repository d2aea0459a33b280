"""Small drawings of a rollout as numbers for its template: the strip of slices, and a line of the last hour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from watchdog.model import Evaluation, Kind, Objective, Slice, SliceVerdict, Verdict, WindowRule
from watchdog.quantities import format_number, format_share, rfc3339

Json = dict[str, Any]

WIDTH, HEIGHT = 240, 44
"""The drawing's own units of a sparkline; the page scales it."""
FLOOR = 38
"""Where the least value lies; below it are the marks of slots that failed or were not known."""
SIGNS = {"pass": "✓", "fail": "✗", "unknown": "?", "idle": "–", "ahead": "·"}  # noqa: RUF001 - an en dash is meant
MEANING = {
    "pass": "every objective kept its target",
    "fail": "an objective missed its target: the window begins again",
    "unknown": "not enough was measured: no credit",
    "idle": "too little traffic to show anything: no credit",
    "ahead": "to come",
}
WIDEST = 96
"""Slices in one strip, the newest; the report has them all."""


def strip(slices: Sequence[Slice], rule: WindowRule, window: Json) -> Json:
    """The newest slices, up to one window of them, and as many empty places as are still to come.

    `missed` are those that did not pass, the newest first, with why.
    """
    room = min(rule.slices, WIDEST)
    shown = list(slices)[-room:]
    cells = [_cell(item, rule) for item in shown]
    ahead = room - len(cells)
    cells += [{"kind": "ahead", "sign": SIGNS["ahead"], "title": MEANING["ahead"], "at": None}] * ahead
    counts = {
        kind: sum(1 for item in shown if item.verdict.value == kind) for kind in ("pass", "fail", "unknown", "idle")
    }
    counted = ", ".join(f"{number} {kind}" for kind, number in counts.items() if number) or "none yet"
    return {
        "cells": cells,
        "missed": [_missed(item, rule) for item in reversed(shown) if item.verdict is not SliceVerdict.PASS],
        "said": f"The newest {len(shown)} slices: {counted}; {ahead} places of {room} are still empty."
        if shown
        else f"No slice is complete yet; {rule.slices} good ones in a row are needed.",
        "current": window["current"],
        "final": window["final"]["current"],
        "required": window["required"],
        "resets": list(window["resets"])[-3:],
    }


def _cell(item: Slice, rule: WindowRule) -> Json:
    kind = item.verdict.value
    begin = rfc3339(item.end - rule.slice)
    why = item.why or MEANING[kind]
    return {"kind": kind, "sign": SIGNS[kind], "title": f"{begin}: {kind}. {why}", "at": begin}


def _missed(item: Slice, rule: WindowRule) -> Json:
    """A slice that did not pass: its own reason, else that of each objective that did not."""
    whys = [own.why for own in item.objectives if own.verdict is not SliceVerdict.PASS and own.why]
    return {
        "from": rfc3339(item.end - rule.slice),
        "to": rfc3339(item.end),
        "kind": item.verdict.value,
        "sign": SIGNS[item.verdict.value],
        "why": "; ".join(dict.fromkeys(whys)) or item.why or MEANING[item.verdict.value],
        "settled": item.final,
    }


def number_of(objective: Objective, evaluation: Evaluation) -> float | None:
    """What is drawn of an evaluation: the bad share of events, else the number."""
    if objective.kind is Kind.EVENT:
        if evaluation.bad is None or not evaluation.total:
            return None
        return evaluation.bad / evaluation.total
    return evaluation.value


def sparkline(objective: Objective, column: Sequence[Evaluation], span: tuple[int, int]) -> Json | None:
    """A line through the slots in (first, last], with its limit; None where not one has a number."""
    points = [(one.at, number_of(objective, one)) for one in column]
    numbers = [number for _, number in points if number is not None]
    if not numbers:
        return None
    event = objective.kind is Kind.EVENT
    limit = objective.allowed if event else objective.target.limit
    low, high = _range([*numbers, limit])
    first, last = span

    def x(at: int) -> float:
        return round(WIDTH * (at - first) / max(1, last - first), 1)

    def y(value: float) -> float:
        return round(2 + (FLOOR - 2) * (high - value) / (high - low), 1)

    show = format_share if event else format_number
    failed = [x(one.at) for one in column if one.verdict is Verdict.FAIL]
    unknown = [x(one.at) for one in column if not one.measured]
    return {
        "path": _path([(x(at), None if value is None else y(value)) for at, value in points]),
        "limit": y(limit),
        "failed": failed,
        "unknown": unknown,
        "end": (x(points[-1][0]), y(points[-1][1])) if points[-1][1] is not None else None,
        "title": f"From {rfc3339(first)}: {show(min(numbers))} to {show(max(numbers))}{' bad' if event else ''}; "
        f"{len(failed)} of {len(column)} slots failed, {len(unknown)} unknown",
        "least": show(min(numbers)),
        "greatest": show(max(numbers)),
        "counts": {"slots": len(column), "failed": len(failed), "unknown": len(unknown)},
    }


def _range(numbers: Sequence[float]) -> tuple[float, float]:
    low, high = min(numbers), max(numbers)
    if low >= 0 and low < 0.7 * high:
        low = 0.0  # a line that begins at nothing shows how much there is
    pad = 0.08 * (high - low) or max(abs(high), 1e-9) * 0.1
    return (low if low == 0.0 else low - pad), high + pad


def _path(points: Sequence[tuple[float, float | None]]) -> str:
    """An SVG path that is broken where a slot has no number."""
    drawn, pen = [], "M"
    for across, down in points:
        if down is None:
            pen = "M"
            continue
        drawn.append(f"{pen}{across:g} {down:g}")
        pen = "L"
    return "".join(drawn)
