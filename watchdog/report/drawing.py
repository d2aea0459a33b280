"""The pieces of the report's drawings: a plot's rectangle, marks in it, and the frame that gives it a title."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

TICKS = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 2592000)
"""Seconds between two marks of the time axis; the first that gives few enough marks is taken."""

Point = tuple[float, float]


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

    @property
    def height(self) -> float:
        """From top to bottom."""
        return self.bottom - self.top

    def x(self, at: float) -> float:
        """Where an instant lies, kept inside the rectangle."""
        part = (at - self.start) / max(self.end - self.start, 1e-9)
        return self.left + min(max(part, 0.0), 1.0) * (self.right - self.left)

    def y(self, part: float) -> float:
        """Where a part of the height lies, 0 at the bottom."""
        low, high = self.bottom - self.inset, self.top + self.inset
        return low - min(max(part, 0.0), 1.0) * (low - high)


def short(value: float) -> str:
    """A coordinate with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")


def text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    """A label; `words` may come from anywhere and are escaped."""
    return f'<text x="{short(x)}" y="{short(y)}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def box(corner: Point, width: float, height: float, kind: str, extra: str = "") -> str:
    """A rectangle from its upper left corner."""
    place = f'x="{short(corner[0])}" y="{short(corner[1])}"'
    return f'<rect {place} width="{short(width)}" height="{short(height)}" class="{kind}"{extra}/>'


def shade(x0: float, x1: float, plot: Plot, kind: str) -> str:
    """A stretch of time over the plot's whole height, wide enough to be seen."""
    return box((x0, plot.top), max(x1 - x0, 1.2), plot.height, kind)


def corners(points: Sequence[Point]) -> str:
    """Points as the inside of a path that visits them in turn."""
    return "L".join(f"{short(x)} {short(y)}" for x, y in points)


def path(shape: str, kind: str) -> str:
    """A path; `shape` is its `d`."""
    return f'<path d="{shape}" class="{kind}"/>'


def line(x0: float, y0: float, x1: float, y1: float, kind: str) -> str:
    """A straight line."""
    return path(f"M{corners([(x0, y0), (x1, y1)])}", kind)


def frame(ident: str, size: Point, title: str, desc: str, body: Iterable[str]) -> str:
    """The drawing as an image with a name and a description for those who do not see it."""
    view = f'viewBox="0 0 {short(size[0])} {short(size[1])}"'
    return (
        f'<svg {view} role="img" aria-labelledby="{ident}-t {ident}-d">'
        f'<title id="{ident}-t">{escape(title)}</title><desc id="{ident}-d">{escape(desc)}</desc>'
        f"{''.join(body)}</svg>"
    )


def time_axis(plot: Plot, most: int) -> list[str]:
    """Marks at round instants, at most about `most` of them, with their date or time of day in UTC."""
    span = plot.end - plot.start
    step = next((tick for tick in TICKS if span / tick <= most), TICKS[-1])
    found, at = [], math.ceil(plot.start / step) * step
    while at <= plot.end:
        moment, x = datetime.fromtimestamp(at, UTC), plot.x(at)
        label = moment.strftime("%H:%M" if step >= 60 else "%H:%M:%S")
        if at % 86400 == 0 or step >= 86400:
            label = moment.strftime("%d %b")
        found.append(line(x, plot.top, x, plot.bottom + 3, "grid"))
        if plot.left + 8 <= x <= plot.right - 8:
            found.append(text(x, plot.bottom + 13, label, "tick", "middle"))
        at += step
    return found


def badge(x: float, y: float, words: str, kind: str) -> str:
    """A number in its sign: a pill for `waiting`, a dark box for `hold`, a diamond for `breach`."""
    wide = half(words)
    if kind == "breach":
        tip = wide + 2.5
        shape = path(f"M{corners([(x, y - 8), (x + tip, y), (x, y + 8), (x - tip, y)])}Z", "badge bad")
    elif kind == "hold":
        shape = box((x - wide, y - 6.5), 2 * wide, 13, "badge dark")
    else:
        shape = box((x - wide, y - 6.5), 2 * wide, 13, "badge", ' rx="6.5"')
    return shape + text(x, y + 3.2, words, "num" if kind == "waiting" else "num inverse", "middle")


def half(words: str) -> float:
    """Half the width of a badge."""
    return 5 + 3.2 * len(words)
