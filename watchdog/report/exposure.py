"""The exposure chart as inline SVG: what was planned, what there was, and every wait and hold with its number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from watchdog.report.drawing import Plot, badge, box, frame, half, line, path, shade, short, text, time_axis
from watchdog.report.words import counted, instant, listed, percent

Json = dict[str, Any]


def exposure_chart(report: Json) -> str:
    """Exposure planned and had over the watch, every wait and hold shaded and numbered."""
    watch = report["watch"]
    if not watch["from"]:
        return ""
    start, end = instant(watch["from"]), instant(watch["to"])
    plot = Plot(40, 752, 30, 146, start, max(end, start + 1))
    body = [box((40, 30), 712, 116, "pane"), *time_axis(plot, 11)]
    for value in (0, 25, 50, 75, 100):
        y = plot.y(value / 100)
        body += [line(40, y, 752, y, "grid"), text(36, y + 3, percent(value), "tick", "end")]
    for wait in report["waits"]:
        x0, x1 = plot.x(instant(wait["from"])), plot.x(instant(wait["to"]))
        body.append(shade(x0, x1, plot, "held" if wait["kind"] == "hold" else "waited"))
    body += _exposures(report, plot)
    body += _events(report, plot)
    body += _numbers(report["waits"], plot)
    return frame("exposure", (760, 163), "Exposure, planned and actual", _described(report), body)


def _exposures(report: Json, plot: Plot) -> list[str]:
    records = report["exposure_recorded"]
    lines = [("planned", report["exposure_planned"])]
    lines += [(kind, [r for r in records if r["kind"] == kind]) for kind in ("real", "desired", "actual")]
    found = []
    for kind, points in lines:
        seen = [point for point in points if instant(point["at"]) <= plot.end]
        steps = [(plot.x(instant(point["at"])), plot.y(point["percent"] / 100)) for point in seen]
        if not steps:
            continue
        (x0, y0), rest = steps[0], steps[1:]
        shape = f"M{short(x0)} {short(y0)}" + "".join(f"H{short(x)}V{short(y)}" for x, y in rest)
        shape += f"H{short(plot.right)}"
        if kind == "actual":
            found.append(path(f"{shape}V{short(plot.bottom)}H{short(x0)}Z", "area"))
        found.append(path(shape, kind))
    return found + _cohort(records, plot)


def _cohort(records: Sequence[Json], plot: Plot) -> list[str]:
    """A bar along the bottom for as long as the canary cohort, or an audience, had the feature."""
    found, since = [], None
    for record in [*(r for r in records if r["kind"] == "actual"), {"at": None, "cohort": False, "audiences": []}]:
        at = plot.right if record["at"] is None else plot.x(instant(record["at"]))
        besides = record["cohort"] or record["audiences"]
        if besides and since is None:
            since = at
        elif not besides and since is not None:
            found.append(line(since, plot.bottom - 2, at, plot.bottom - 2, "cohort"))
            since = None
    return found


def _events(report: Json, plot: Plot) -> list[str]:
    """Sign-offs and breaches as named or numbered verticals."""
    found = []
    marks = [(name, (report["windows"].get(name) or {}).get("to")) for name in ("interim", "final")]
    if marks[0][1] == marks[1][1]:
        marks = marks[1:]
    for name, at in marks:
        if at and plot.start <= instant(at) <= plot.end + 1:
            x = plot.x(instant(at))
            aside, anchor = (-4, "end") if x > plot.right - 60 else (4, "start")
            found.append(line(x, plot.top - 4, x, plot.bottom, "signed"))
            found.append(text(x + aside, plot.bottom - 6, name, "note strong", anchor))
    for breach in report["breaches"]:
        x = plot.x(instant(breach["at"]))
        found += [line(x, plot.top, x, plot.bottom, "event"), badge(x, 8, str(breach["number"]), "breach")]
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
        found.append(badge(_middle(own, plot), 22, _numbered(own), kind))
    return found


def _middle(own: list[Json], plot: Plot) -> float:
    middle = (plot.x(instant(own[0]["from"])) + plot.x(instant(own[-1]["to"]))) / 2
    wide = half(_numbered(own))
    return min(max(middle, plot.left + wide), plot.right + 8 - wide)


def _numbered(own: list[Json]) -> str:
    first, last = own[0]["number"], own[-1]["number"]
    return str(first) if first == last else f"{first}\N{EN DASH}{last}"


def _touch(left: list[Json], right: list[Json], plot: Plot) -> bool:
    apart = _middle(right, plot) - _middle(left, plot)
    return apart < half(_numbered(left)) + half(_numbered(right)) + 1.5


def _described(report: Json) -> str:
    actual = [record for record in report["exposure_recorded"] if record["kind"] == "actual"]
    last = percent(actual[-1]["percent"]) if actual else "not read"
    causes = listed([f"{item['number']}: {item['why']}" for item in report["waits"][:8]])
    ramp = report["ramp"]
    return (
        f"Planned from {percent(ramp['from'])} to {percent(ramp['to'])}; last actual reading {last}. "
        f"{counted(len(report['waits']), 'wait or hold', 'waits and holds')}. {causes}"
    )
