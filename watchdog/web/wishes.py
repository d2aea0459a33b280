"""Orders that say more than why: a waiver with its end, a drill with its flag and its runs."""

from __future__ import annotations

from dataclasses import dataclass

from watchdog.quantities import parse_duration, parse_time, rfc3339, shown
from watchdog.web.bodies import Order, is_number, object_of, order_in, text_in, whole_of
from watchdog.web.problems import Problem

LONGEST_FLAG = 200
MOST_RUNS = 10_000
LONGEST_WAIVER = 366 * 86_400.0
"""Seconds; what is waived for longer than a year is no exception any more."""
_UNTIL = "a time to come such as 2026-11-22T09:00:00Z, or a duration from now such as 48h"


@dataclass(frozen=True, slots=True)
class Waived:
    """An order that lets a rollout start without a preflight that held, until then (wall time)."""

    order: Order
    until: float


@dataclass(frozen=True, slots=True)
class DrillAsked:
    """An order for a drill; `flag` and `runs` where they are not those of the settings."""

    order: Order
    flag: str | None = None
    runs: int | None = None

    @property
    def options(self) -> list[str]:
        """The same on a command line."""
        found = [f"--by={self.order.by}", f"--reason={self.order.reason}"]
        found += [f"--flag={self.flag}"] if self.flag else []
        return [*found, f"--runs={self.runs}"] if self.runs else found


def waiver_of(content_type: str, body: bytes, now: float) -> Waived:
    """A waiver: `reason`, `until`, and `by` if given. 422 for an end that is over or too far away."""
    found = object_of(content_type, body)
    order = order_in({name: value for name, value in found.items() if name != "until"}, also="until")
    written = text_in(found, "until", 100)
    if written is None:
        raise Problem("bad-body", f"until is missing; expected {_UNTIL}")
    return Waived(order, until_of(written, now))


def until_of(written: str, now: float) -> float:
    """The end of a waiver as wall time, from a time or a duration. Raises Problem."""
    try:
        until = parse_time(written) if "T" in written or ":" in written else now + parse_duration(written)
    except ValueError as error:
        raise Problem("bad-body", f"until: {error}; expected {_UNTIL}") from error
    if until <= now:
        raise Problem("bad-body", f"until: {rfc3339(until)} is over; expected {_UNTIL}")
    if until > now + LONGEST_WAIVER:
        raise Problem("bad-body", f"until: {rfc3339(until)} is more than a year away; waive it for less")
    return until


def drill_of(content_type: str, body: bytes) -> DrillAsked:
    """A drill: `reason`, and `by`, `flag` and `runs` if given."""
    found = object_of(content_type, body)
    order = order_in({name: value for name, value in found.items() if name not in ("flag", "runs")}, also="flag, runs")
    runs = whole_of(found.get("runs"))
    whole = is_number(runs) and isinstance(runs, int) and 1 <= runs <= MOST_RUNS
    if "runs" in found and not whole:
        raise Problem("bad-body", f"runs is {shown(runs)}, expected a whole number from 1 to {MOST_RUNS}")
    return DrillAsked(order, text_in(found, "flag", LONGEST_FLAG), runs if isinstance(runs, int) else None)
