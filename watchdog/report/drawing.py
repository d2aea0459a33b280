"""The pieces of the report's drawings: a plot's rectangle, marks in it, and the frame that gives it a title."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

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


def coordinate(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    return f'<text x="{coordinate(x)}" y="{coordinate(y)}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def shade(x0: float, x1: float, plot: Plot, kind: str) -> str:
    width, height = max(x1 - x0, 1.2), plot.bottom - plot.top
    return f'<rect x="{coordinate(x0)}" y="{coordinate(plot.top)}" width="{coordinate(width)}" height="{coordinate(height)}" class="{kind}"/>'


def line(x0: float, y0: float, x1: float, y1: float, kind: str) -> str:
    return f'<path d="M{coordinate(x0)} {coordinate(y0)}L{coordinate(x1)} {coordinate(y1)}" class="{kind}"/>'


def frame(ident: str, size: tuple[float, float], title: str, desc: str, body: Iterable[str]) -> str:
    return (
        f'<svg viewBox="0 0 {coordinate(size[0])} {coordinate(size[1])}" role="img" aria-labelledby="{ident}-t {ident}-d">'
        f'<title id="{ident}-t">{escape(title)}</title><desc id="{ident}-d">{escape(desc)}</desc>'
        f"{''.join(body)}</svg>"
    )


def time_axis(plot: Plot, most: int) -> list[str]:
    span = plot.end - plot.start
    step = next((tick for tick in TICKS if span / tick <= most), TICKS[-1])
    found, at, day = [], math.ceil(plot.start / step) * step, ""
    while at <= plot.end:
        moment = datetime.fromtimestamp(at, UTC)
        date, x = moment.strftime("%d %b"), plot.x(at)
        label = date if step >= 86400 or (date != day and moment.hour == moment.minute == 0) else ""
        label = label or moment.strftime("%H:%M" if step >= 60 else "%H:%M:%S")
        found.append(line(x, plot.top, x, plot.bottom + 3, "grid"))
        if plot.left + 8 <= x <= plot.right - 8:
            found.append(text(x, plot.bottom + 13, label, "tick", "middle"))
        at, day = at + step, date
    return found


def badge(x: float, y: float, words: str, kind: str) -> str:
    wide = half(words)
    shape = {
        "hold": f'<rect x="{coordinate(x - wide)}" y="{coordinate(y - 6.5)}" width="{coordinate(2 * wide)}" height="13" class="badge dark"/>',
        "waiting": f'<rect x="{coordinate(x - wide)}" y="{coordinate(y - 6.5)}" width="{coordinate(2 * wide)}" height="13" rx="6.5" class="badge"/>',
        "cross": f'<path d="M{coordinate(x)} {coordinate(y - 8)}l{coordinate(wide + 2.5)} 8l{coordinate(-wide - 2.5)} 8l{coordinate(-wide - 2.5)} -8z" class="badge bad"/>',
    }
    inverse = "" if kind == "waiting" else " inverse"
    return shapes[kind] + text(x, y + 3.2, words, f"num{inverse}", "middle")


def half(words: str) -> float:
    """Half the width of a badge."""
    return 5 + 3.2 * len(words)
