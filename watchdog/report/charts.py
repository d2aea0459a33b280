"""An objective's chart as inline SVG, from the report's dict alone; shapes carry the meaning, not colour."""

from __future__ import annotations

import math
from typing import Any

from watchdog.report.drawing import Plot, badge, box, corners, frame, line, path, text, time_axis
from watchdog.report.scale import Scale, scale_of
from watchdog.report.words import counted, figure, instant

Json = dict[str, Any]


def objective_chart(report: Json, objective: Json, place: int) -> str:
    """Value against target over the watch, slots that failed or are not known shaded, breaches numbered."""
    data = objective["chart"]
    if not data["from"] or not data["slots"]:
        return ""
    start = instant(data["from"])
    plot = Plot(46, 394, 16, 112, start, start + data["slots"] * data["slot_s"], inset=4)
    scale = scale_of(objective)
    body = [box((46, 16), 348, 96, "pane"), *time_axis(plot, 7), *_shades(data, plot), *_band(data, plot, scale)]
    if data["control_mean"]:
        body.append(_curve(data, "control_mean", plot, scale, "control"))
    body.append(_curve(data, "mean", plot, scale, "mean"))
    body += _target(objective, plot, scale)
    body += _beyond(objective, plot, scale)
    for breach in report["breaches"]:
        if breach["objective"] == objective["name"]:
            x = plot.x(instant(breach["at"]))
            body += [line(x, plot.top, x, plot.bottom, "event"), badge(x, 8, str(breach["number"]), "breach")]
    return frame(f"o{place}", (400, 130), f"{objective['name']} over the watch", _described(objective), body)


def _described(objective: Json) -> str:
    slots, breaches = objective["slots"], len(objective["breaches"])
    return (
        f"Target {objective['target']['text']}. Slots: {slots['pass']} pass, {slots['fail']} fail, "
        f"{slots['unknown']} unknown. {counted(breaches, 'breach', 'breaches')}."
    )


def _shades(data: Json, plot: Plot) -> list[str]:
    """Slots that are not a pass, column by column, as high as their share of the column: all of them, all of it."""
    per, slots = data["slots_per_column"], data["slots"]
    stacked = [0.0] * len(data["mean"])
    found: list[str] = []
    for kind, runs in (("fail", data["fail"]), ("unknown", data["unknown"]), ("low", data["low_traffic"])):
        shares = [0.0] * len(stacked)
        for first, count, *_ in runs:
            for column in range(first // per, (first + count - 1) // per + 1):
                inside = min(first + count, (column + 1) * per) - max(first, column * per)
                shares[column] += inside / min(per, slots - column * per)
        found += _stack(stacked, shares, plot, kind)
        stacked = [below + own for below, own in zip(stacked, shares, strict=True)]
    return found


def _stack(below: list[float], shares: list[float], plot: Plot, kind: str) -> list[str]:
    """One rectangle for each run of columns of equal height and footing."""
    found, width, since = [], (plot.right - plot.left) / max(len(shares), 1), 0
    for column in range(1, len(shares) + 1):
        if column < len(shares) and (below[column], shares[column]) == (below[since], shares[since]):
            continue
        if shares[since] > 0:
            tall = max(shares[since] * plot.height, 2.0)
            y = max(plot.bottom - below[since] * plot.height - tall, plot.top)
            found.append(box((plot.left + since * width, y), max((column - since) * width, 0.8), tall, kind))
        since = column
    return found


def _band(data: Json, plot: Plot, scale: Scale) -> list[str]:
    """The area between least and greatest value, one shape for each stretch without a hole."""
    found, top, bottom = [], [], []
    for column, (low, high) in enumerate(zip([*data["min"], None], [*data["max"], None], strict=True)):
        if low is not None and high is not None:
            x = _column_x(data, column, plot)
            top.append((x, plot.y(scale.part(high))))
            bottom.append((x, plot.y(scale.part(low))))
        elif top:
            found.append(f"M{corners([*top, *reversed(bottom)])}Z")
            top, bottom = [], []
    return [path("".join(found), "band")] if found else []


def _column_x(data: Json, column: int, plot: Plot) -> float:
    slots = min((column + 0.5) * data["slots_per_column"], data["slots"])
    return plot.x(plot.start + slots * data["slot_s"])


def _curve(data: Json, name: str, plot: Plot, scale: Scale, kind: str) -> str:
    """The line through the known columns; a hole in the data is a hole in the line."""
    strokes: list[list[tuple[float, float]]] = [[]]
    for column, value in enumerate(data[name]):
        if value is not None:
            strokes[-1].append((_column_x(data, column, plot), plot.y(scale.part(value))))
        elif strokes[-1]:
            strokes.append([])
    return path("".join(f"M{corners(stroke)}{'h.8' if len(stroke) == 1 else ''}" for stroke in strokes if stroke), kind)


def _target(objective: Json, plot: Plot, scale: Scale) -> list[str]:
    limit, unit = objective["target"]["limit"], objective["unit"]
    y, x = plot.y(scale.part(limit)), plot.left - 4
    found = [line(plot.left, y, plot.right, y, "limit"), text(x, y + 3, figure(limit, unit), "tick strong", "end")]
    for part, value in ((0.0, scale.low), (1.0, scale.high)):
        if abs(plot.y(part) - y) > 11:
            found.append(text(x, plot.y(part) + 3, figure(scale.rounded(value), unit), "tick", "end"))
    return found


def _beyond(objective: Json, plot: Plot, scale: Scale) -> list[str]:
    """Arrowheads where values leave the scale, and how far the furthest goes."""
    data, found, last = objective["chart"], [], -99.0
    for column, (low, high) in enumerate(zip(data["min"], data["max"], strict=True)):
        over = high is not None and high > scale.high * (1 + 1e-9)
        under = low is not None and low < scale.low and not math.isclose(low, scale.low, rel_tol=1e-9)
        x = _column_x(data, column, plot)
        if (over or under) and x - last > 6:
            y, tip = (plot.top, -5) if over else (plot.bottom, 5)
            found.append(path(f"M{corners([(x - 3, y), (x + 3, y), (x, y + tip)])}Z", "over"))
            last = x
    if found:
        worst, up = scale.furthest, scale.furthest > scale.high
        words = f"{'to' if up else 'down to'} {figure(scale.rounded(worst), objective['unit'])}"
        right = last > plot.right - 80
        y = plot.top + 9 if up else plot.bottom - 4
        found.append(text(last + (-6 if right else 6), y, words, "note", "end" if right else "start"))
    return found
