"""The strip of slices as a table: a row a day where slices fit one, each slice with its sign and its exposure."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from watchdog.report.words import NONE, instant, when

Json = dict[str, Any]

DAY = 86400
WIDTH = 24
"""Slices in a row that is not a day."""
WIDEST = 48
"""A day of more slices than this is not one row."""
SIGNS = {"pass": "\N{CHECK MARK}", "fail": "\N{MULTIPLICATION X}", "idle": "\N{EN DASH}", "unknown": "?"}
ROWS = 40
"""No more rows than this are drawn; the JSON report has every slice."""


def strip(report: Json) -> Json:
    """Column heads, rows of cells (None where the row has no slice) and how many early rows were left out."""
    slices = report["slices"]
    if not slices:
        return {"heads": [], "rows": [], "left_out": 0}
    length = int(report["window_rule"]["slice_s"])
    daily = DAY % length == 0 and DAY // length <= WIDEST and length >= DAY // WIDEST
    width = DAY // length if daily else WIDTH
    first = int(instant(slices[0]["from"]))
    origin = first // DAY * DAY if daily else first
    rows: dict[int, list[Json | None]] = {}
    for item in slices:
        place = (int(instant(item["from"])) - origin) // length
        rows.setdefault(place // width, [None] * width)[place % width] = _cell(item, report["verdict"]["basis"])
    heads = [_hour(place * length) if daily else str(place + 1) for place in range(width)]
    drawn = [
        {"label": _label(origin + row * width * length, width * length, daily=daily), "cells": cells}
        for row, cells in sorted(rows.items())
    ]
    return {"heads": heads, "rows": drawn[-ROWS:], "left_out": max(0, len(drawn) - ROWS), "daily": daily}


def _cell(item: Json, basis: str) -> Json:
    exposure = item["exposure"]
    if exposure is None:
        under, words = NONE, "exposure not read"
    else:
        more = exposure["highest"] > exposure["lowest"]
        under = f"{_down(exposure['lowest']):g}{'+' if more else ''}"
        words = f"exposure {exposure['lowest']:g} %" + (f" to {exposure['highest']:g} %" if more else "")
        words += " and the cohort" if exposure["cohort"] else ""
        words += "".join(f" and audience {name}" for name in exposure["audiences"])
    title = f"{when(item['from'])} to {when(item['to'])} UTC: {item['verdict']}, {words}"
    return {
        "kind": item["verdict"],
        "sign": SIGNS.get(item["verdict"], "?"),
        "under": under,
        "title": f"{title}. {item['why']}" if item["why"] else title,
        "counted": basis in item["windows"],
        "settled": item["final"],
    }


def _down(value: float) -> float:
    """Rounded down, to a tenth below ten: never more than there was."""
    return float(math.floor(value)) if value >= 10 else math.floor(value * 10) / 10


def _hour(seconds: int) -> str:
    return f"{seconds // 3600:02d}" if seconds % 3600 == 0 else f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}"


def _label(at: int, span: int, *, daily: bool) -> str:
    """The row's beginning, as short as its span (seconds) allows: it stands in a narrow column."""
    moment = datetime.fromtimestamp(at, UTC)
    if daily:
        return moment.strftime("%a %d %b")
    return moment.strftime("%H:%M:%S") if span < 3600 else moment.strftime("%d %b %H:%M")
