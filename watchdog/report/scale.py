"""The vertical scale of an objective's chart: the limit always in sight, far outliers cut off and said."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

HEADROOM = 1.6
"""How far beyond the limit the scale reaches at least, as a multiple of the limit's distance from the ideal."""
FURTHEST = 4.0
"""And at most: what lies beyond is cut off and marked, so that a fire does not flatten the healthy part."""


@dataclass(frozen=True, slots=True)
class Scale:
    """From `low` at the bottom to `high` at the top; `furthest` is the value furthest on the bad side."""

    low: float
    high: float
    furthest: float

    def part(self, value: float) -> float:
        """The height of a value as a part of the whole; beyond the ends for what is cut off."""
        return (value - self.low) / (self.high - self.low)

    def rounded(self, value: float) -> float:
        """The value with three significant digits (of its distance from one, near one), for a label."""
        if 0.9 < value < 1.0:
            return 1.0 - float(f"{1.0 - value:.2g}")
        return float(f"{value:.3g}")


def scale_of(objective: dict[str, Any]) -> Scale:
    """The scale for an objective of the report's dict."""
    limit, good = float(objective["target"]["limit"]), bool(objective["target"]["good"])
    lows = [value for value in objective["chart"]["min"] if value is not None] or [limit]
    highs = [value for value in objective["chart"]["max"] if value is not None] or [limit]
    least, greatest = min(lows), max(highs)
    if not good:
        base = min(0.0, least)
        room = (limit - base) or greatest or 1.0
        high = base + max(HEADROOM * room, min((greatest - base) * 1.05, FURTHEST * room))
        return Scale(base, high, greatest)
    ideal = 1.0 if objective["unit"] == "share" else max(greatest, limit)
    room = (ideal - limit) or (ideal - least) or abs(ideal) or 1.0
    low = ideal - max(HEADROOM * room, min((ideal - least) * 1.05, FURTHEST * room))
    if limit >= 0:
        low = max(low, 0.0)
    return Scale(low, ideal if ideal > low else math.nextafter(low, math.inf), least)
