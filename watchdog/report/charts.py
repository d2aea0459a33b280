"""The report's drawings as inline SVG, from the report's dict alone. Shapes and hatching carry the meaning, not colour."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

from watchdog.report.scale import Scale, scale_of
from watchdog.report.words import counted, figure, instant, listed, percent

Json = dict[str, Any]

TICKS = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 2592000)
"""Seconds between two marks of the time axis; the first that gives few enough marks is taken."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A rectangle of the drawing and the stretch of time that it shows. Lengths are user units."""

    left: float
    right: float
    top: float
    bottom: float
    start: float
    end: float
    inset: float = 0.0
    """Kept free above and below the curve, so that it does not run along the edge."""

    def x(self, at: float) -> float:
        """Where an instant lies, kept inside the rectangle."""
        part = (at - self.start) / max(self.end - self.start, 1e-9)
        return self.left + min(max(part, 0.0), 1.0) * (self.right - self.left)

    def y(self, part: float) -> float:
        """Where a part of the height lies, 0 at the bottom."""
        low, high = self.bottom - self.inset, self.top + self.inset
        return low - min(max(part, 0.0), 1.0) * (low - high)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    return f'<text x="{_n(x)}" y="{_n(y)}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def _rect(x0: float, x1: float, plot: Plot, kind: str) -> str:
    width, height = max(x1 - x0, 1.2), plot.bottom - plot.top
    return f'<rect x="{_n(x0)}" y="{_n(plot.top)}" width="{_n(width)}" height="{_n(height)}" class="{kind}"/>'


def _line(x0: float, y0: float, x1: float, y1: float, kind: str) -> str:
    return f'<path d="M{_n(x0)} {_n(y0)}L{_n(x1)} {_n(y1)}" class="{kind}"/>'


def _frame(ident: str, size: tuple[float, float], title: str, desc: str, body: Iterable[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_n(size[0])} {_n(size[1])}" role="img" aria-labelledby="{ident}-t {ident}-d">'
        f'<title id="{ident}-t">{escape(title)}</title><desc id="{ident}-d">{escape(desc)}</desc>'
        f"{''.join(body)}</svg>"
    )


def _time_axis(plot: Plot, most: int) -> list[str]:
    span = plot.end - plot.start
    step = next((tick for tick in TICKS if span / tick <= most), TICKS[-1])
    found, at, day = [], math.ceil(plot.start / step) * step, ""
    while at <= plot.end:
        moment = datetime.fromtimestamp(at, UTC)
        date, x = moment.strftime("%d %b"), plot.x(at)
        label = date if step >= 86400 or (date != day and moment.hour == moment.minute == 0) else ""
        label = label or moment.strftime("%H:%M" if step >= 60 else "%H:%M:%S")
        found.append(_line(x, plot.top, x, plot.bottom + 3, "grid"))
        if plot.left + 8 <= x <= plot.right - 8:
            found.append(_text(x, plot.bottom + 13, label, "tick", "middle"))
        at, day = at + step, date
    return found


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
    height = plot.bottom - plot.top
    for column in range(1, len(shares) + 1):
        same = column < len(shares) and (below[column], shares[column]) == (below[since], shares[since])
        if same:
            continue
        if shares[since] > 0:
            tall = max(shares[since] * height, 2.0)
            x, y = plot.left + since * width, plot.bottom - below[since] * height - tall
            wide = max((column - since) * width, 0.8)
            found.append(
                f'<rect x="{_n(x)}" y="{_n(max(y, plot.top))}" width="{_n(wide)}" height="{_n(tall)}" class="{kind}"/>'
            )
        since = column
    return found


def objective_chart(report: Json, objective: Json, place: int) -> str:
    """Value against target over the watch, slots that failed or are not known shaded, breaches numbered."""
    data = objective["chart"]
    if not data["from"] or not data["slots"]:
        return ""
    start = instant(data["from"])
    plot = Plot(46, 394, 16, 112, start, start + data["slots"] * data["slot_s"], inset=4)
    scale = scale_of(objective)
    body = [f'<rect x="46" y="16" width="348" height="96" class="pane"/>', *_time_axis(plot, 7)]
    body += _shades(data, plot)
    body += _band(data, plot, scale)
    if data["control_mean"]:
        body.append(_curve(data, "control_mean", plot, scale, "control"))
    body.append(_curve(data, "mean", plot, scale, "mean"))
    body += _target(objective, plot, scale)
    body += _beyond(objective, plot, scale)
    for breach in report["breaches"]:
        if breach["objective"] == objective["name"]:
            x = plot.x(instant(breach["at"]))
            body += [_line(x, plot.top, x, plot.bottom, "event"), _badge(x, 8, str(breach["number"]), "cross")]
    return _frame(f"o{place}", (400, 130), f"{objective['name']} over the watch", _described(objective), body)


def _described(objective: Json) -> str:
    slots, breaches = objective["slots"], len(objective["breaches"])
    return (
        f"Target {objective['target']['text']}. Slots: {slots['pass']} pass, {slots['fail']} fail, "
        f"{slots['unknown']} unknown. {counted(breaches, 'breach', 'breaches')}."
    )


def _band(data: Json, plot: Plot, scale: Scale) -> list[str]:
    """The area between least and greatest value, one shape for each stretch without a hole."""
    found, top, bottom = [], [], []
    for column, (low, high) in enumerate(zip([*data["min"], None], [*data["max"], None], strict=True)):
        if low is not None and high is not None:
            x = _column_x(data, column, plot)
            top.append(f"{_n(x)} {_n(plot.y(scale.part(high)))}")
            bottom.append(f"{_n(x)} {_n(plot.y(scale.part(low)))}")
        elif top:
            found.append(f"M{'L'.join(top)}L{'L'.join(reversed(bottom))}Z")
            top, bottom = [], []
    return [f'<path d="{"".join(found)}" class="band"/>'] if found else []


def _column_x(data: Json, column: int, plot: Plot) -> float:
    slots = min((column + 0.5) * data["slots_per_column"], data["slots"])
    return plot.x(plot.start + slots * data["slot_s"])


def _curve(data: Json, name: str, plot: Plot, scale: Scale, kind: str) -> str:
    path, pen = [], "M"
    for column, value in enumerate(data[name]):
        if value is None:
            pen = "M"
            continue
        path.append(f"{pen}{_n(_column_x(data, column, plot))} {_n(plot.y(scale.part(value)))}")
        pen = "L"
    return f'<path d="{"".join(path)}" class="{kind}"/>'


def _target(objective: Json, plot: Plot, scale: Scale) -> list[str]:
    limit, unit = objective["target"]["limit"], objective["unit"]
    y = plot.y(scale.part(limit))
    found = [_line(plot.left, y, plot.right, y, "limit"), _text(plot.left - 4, y + 3, figure(limit, unit), "tick strong", "end")]
    for part, value in ((0.0, scale.low), (1.0, scale.high)):
        if abs(plot.y(part) - y) > 11:
            found.append(_text(plot.left - 4, plot.y(part) + 3, figure(scale.rounded(value), unit), "tick", "end"))
    return found


def _beyond(objective: Json, plot: Plot, scale: Scale) -> list[str]:
    """Arrowheads where values leave the scale, and how far the furthest goes."""
    data, found, last = objective["chart"], [], -99.0
    for column, (low, high) in enumerate(zip(data["min"], data["max"], strict=True)):
        over = high is not None and high > scale.high * (1 + 1e-9)
        under = low is not None and low < scale.low and not math.isclose(low, scale.low, rel_tol=1e-9)
        x = _column_x(data, column, plot)
        if (over or under) and x - last > 6:
            y, tip = (plot.top, -1) if over else (plot.bottom, 1)
            found.append(f'<path d="M{_n(x - 3)} {_n(y)}h6l-3 {5 * tip}z" class="over"/>')
            last = x
    if found:
        worst = scale.furthest
        words = f"{'to' if worst > scale.high else 'down to'} {figure(scale.rounded(worst), objective['unit'])}"
        right = last > plot.right - 80
        y = plot.top + 9 if worst > scale.high else plot.bottom - 4
        found.append(_text(last + (-6 if right else 6), y, words, "note", "end" if right else "start"))
    return found


def _badge(x: float, y: float, words: str, kind: str) -> str:
    wide = _half(words)
    shapes = {
        "hold": f'<rect x="{_n(x - wide)}" y="{_n(y - 6.5)}" width="{_n(2 * wide)}" height="13" class="badge dark"/>',
        "waiting": f'<rect x="{_n(x - wide)}" y="{_n(y - 6.5)}" width="{_n(2 * wide)}" height="13" rx="6.5" class="badge"/>',
        "cross": f'<path d="M{_n(x)} {_n(y - 8)}l{_n(wide + 2.5)} 8l{_n(-wide - 2.5)} 8l{_n(-wide - 2.5)} -8z" class="badge bad"/>',
    }
    inverse = "" if kind == "waiting" else " inverse"
    return shapes[kind] + _text(x, y + 3.2, words, f"num{inverse}", "middle")


def exposure_chart(report: Json) -> str:
    """Exposure planned and had over the watch, every wait and hold shaded and numbered."""
    watch = report["watch"]
    if not watch["from"]:
        return ""
    start, end = instant(watch["from"]), instant(watch["to"])
    plot = Plot(40, 752, 30, 146, start, max(end, start + 1))
    body = ['<rect x="40" y="30" width="712" height="116" class="pane"/>', *_time_axis(plot, 11)]
    for value in (0, 25, 50, 75, 100):
        y = plot.y(value / 100)
        body += [_line(40, y, 752, y, "grid"), _text(36, y + 3, percent(value), "tick", "end")]
    for wait in report["waits"]:
        x0, x1 = plot.x(instant(wait["from"])), plot.x(instant(wait["to"]))
        body.append(_rect(x0, x1, plot, "held" if wait["kind"] == "hold" else "waited"))
    body += _exposures(report, plot)
    body += _events(report, plot)
    body += _numbers(report["waits"], plot)
    return _frame("exposure", (760, 163), "Exposure, planned and actual", _exposure_words(report), body)


def _exposures(report: Json, plot: Plot) -> list[str]:
    records = report["exposure_recorded"]
    lines = [("planned", report["exposure_planned"], "planned")]
    lines += [(kind, [r for r in records if r["kind"] == kind], kind) for kind in ("real", "desired", "actual")]
    found = []
    for kind, points, style in lines:
        steps = [(plot.x(instant(point["at"])), plot.y(point["percent"] / 100)) for point in points]
        if not steps:
            continue
        path = f"M{_n(steps[0][0])} {_n(steps[0][1])}" + "".join(f"H{_n(x)}V{_n(y)}" for x, y in steps[1:])
        if kind == "actual":
            found.append(f'<path d="{path}H{_n(plot.right)}V{_n(plot.bottom)}H{_n(steps[0][0])}Z" class="area"/>')
        found.append(f'<path d="{path}H{_n(plot.right)}" class="{style}"/>')
    return found + _cohort(records, plot)


def _cohort(records: Sequence[Json], plot: Plot) -> list[str]:
    found, since = [], None
    for record in [*(r for r in records if r["kind"] == "actual"), {"at": None, "cohort": False}]:
        at = plot.right if record["at"] is None else plot.x(instant(record["at"]))
        if record["cohort"] and since is None:
            since = at
        elif not record["cohort"] and since is not None:
            found += [_line(since, plot.bottom - 2, at, plot.bottom - 2, "cohort")]
            since = None
    return found


def _events(report: Json, plot: Plot) -> list[str]:
    """Sign-offs and breaches as numbered or named verticals."""
    found = []
    window = report.get("window") or {}
    marks = [("interim", window.get("completed_at")), ("final", (window.get("final") or {}).get("completed_at"))]
    if marks[0][1] == marks[1][1]:
        marks = marks[1:]
    for name, at in marks:
        if at and plot.start <= instant(at) <= plot.end + 1:
            x = plot.x(instant(at))
            right = x > plot.right - 60
            found.append(_line(x, plot.top - 4, x, plot.bottom, "signed"))
            found.append(_text(x + (-4 if right else 4), plot.bottom - 6, name, "note strong", "end" if right else "start"))
    for breach in report["breaches"]:
        x = plot.x(instant(breach["at"]))
        found += [_line(x, plot.top, x, plot.bottom, "event"), _badge(x, 8, str(breach["number"]), "cross")]
    return found


def _numbers(waits: Sequence[Json], plot: Plot) -> list[str]:
    """Badges above the chart; neighbours that would touch share one."""
    groups: list[list[Json]] = []
    for wait in waits:
        groups.append([wait])
        while len(groups) > 1 and _touch(groups[-2], groups[-1], plot):
            groups[-2:] = [[*groups[-2], *groups[-1]]]
    found = []
    for own in groups:
        kind = "hold" if any(item["kind"] == "hold" for item in own) else "waiting"
        found.append(_badge(_middle(own, plot), 22, _numbered(own), kind))
    return found


def _middle(own: list[Json], plot: Plot) -> float:
    return (plot.x(instant(own[0]["from"])) + plot.x(instant(own[-1]["to"]))) / 2


def _numbered(own: list[Json]) -> str:
    first, last = own[0]["number"], own[-1]["number"]
    return str(first) if first == last else f"{first}\N{EN DASH}{last}"


def _touch(left: list[Json], right: list[Json], plot: Plot) -> bool:
    apart = _middle(right, plot) - _middle(left, plot)
    return apart < _half(_numbered(left)) + _half(_numbered(right)) + 1.5


def _half(words: str) -> float:
    """Half the width of a badge."""
    return 5 + 3.2 * len(words)


def _exposure_words(report: Json) -> str:
    actual = [record for record in report["exposure_recorded"] if record["kind"] == "actual"]
    last = percent(actual[-1]["percent"]) if actual else "not read"
    causes = listed([f"{item['number']}: {item['why']}" for item in report["waits"][:8]])
    ramp = report["ramp"]
    return (
        f"Planned from {percent(ramp['from'])} to {percent(ramp['to'])}; last actual reading {last}. "
        f"{counted(len(report['waits']), 'wait or hold', 'waits and holds')}. {causes}"
    )
