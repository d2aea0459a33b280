"""One line of the table that `make bench` prints."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure beside what was promised; `ok` is None where nothing was promised.

    `details` go to build/bench.json only: the numbers behind the text, for whoever compares two runs.
    """

    name: str
    must: str
    measured: str
    ok: bool | None
    details: dict[str, object] = field(default_factory=dict)


def at_most(name: str, measured: float, limit: float, unit: str = "", note: str = "") -> Figure:
    """A figure that holds when `measured` is at most `limit`, both in `unit`."""
    measured = float(measured)  # numpy's numbers are not JSON
    text = f"{measured:.4g}{unit}" + (f" ({note})" if note else "")
    return Figure(name, f"<= {limit:g}{unit}", text, measured <= limit, {"value": measured, "limit": limit})


def printed(name: str, measured: str, **details: object) -> Figure:
    """A figure without a promise."""
    return Figure(name, "printed", measured, None, details)
