"""Does a number look like what its target is written in? Heuristics over figures and names. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from watchdog.model import Comparison, Objective
from watchdog.online.promql import functions
from watchdog.quantities import format_number

_MILLISECONDS = re.compile(r"(^|_)(ms|msec|millis|milliseconds?)(_|$)")
_SECONDS = re.compile(r"(^|_)(s|sec|seconds?)(_|$)")
_TIMES = re.compile(r"duration|latency|time|seconds|delay")
_SHARES = re.compile(r"ratio|rate|percent|share|fraction|pass|success|avail|usage|utili[sz]ation")
FAR = 50.0
"""A latency so many times its limit, or a limit so many times the latency, is in another unit."""


def of_value(objective: Objective, value: float, metrics: Iterable[str]) -> str | None:
    """What looks wrong between the value of a value objective and its limit; `metrics` are the names it selects."""
    limit, names = objective.target.limit, list(metrics)
    shown = f"the value is {format_number(value)} and the limit {format_number(limit)}"
    upward = objective.target.comparison in (Comparison.ABOVE, Comparison.AT_LEAST)
    timed = any(_TIMES.search(name) or _MILLISECONDS.search(name) for name in [*names, objective.name])
    if timed and not upward:
        return _of_time(value, limit, names, shown)
    shared = any(_SHARES.search(name) for name in [*names, objective.name])
    if 0 < limit <= 1 < value <= 100 and (shared or upward):
        return (
            f"{shown}: that looks like percent against a share; divide the query by 100, or write the limit in percent "
            f"points as a plain number ({format_number(limit * 100)})"
        )
    if upward and shared and 1 < limit <= 100 and 0 <= value <= 1:
        return f"{shown}: that looks like a share against percent; write {format_number(limit)}% for the limit"
    return None


def _of_time(value: float, limit: float, names: list[str], shown: str) -> str | None:
    named_ms = any(_MILLISECONDS.search(name) for name in names)
    named_s = any(_SECONDS.search(name) for name in names)
    scaled = "durations in a rollout are seconds (200ms = 0.2)"
    if value > FAR * limit > 0 and not named_s:
        return f"{shown}: that looks like milliseconds, and {scaled}; divide the query by 1000"
    if named_ms and limit < 1 < value:
        return f"{shown}, and the metric is named for milliseconds while {scaled}; divide the query by 1000"
    if named_s and value > 0 and limit > FAR * value and limit >= 10:
        return f"{shown} seconds: if {format_number(limit)} milliseconds are meant, write {format_number(limit)}ms"
    return None


def of_counts(objective: Objective, bad: float | None, total: float) -> Iterator[tuple[str, bool, str]]:
    """What is wrong with the counts of an event objective: (role, whether it is an error, sentence)."""
    for role, count in (("total", total), ("bad", bad or 0.0)):
        if count < 0:
            yield role, True, f"is {format_number(count)}: a count of events is never negative; correct the query"
    if bad is not None and 0 <= total * 1.05 < bad:
        share = f", a share of {format_number(bad / total)}" if total else ""
        found = f"is {format_number(bad)} of {format_number(total)}{share}"
        why = "a share above 1 suggests percent, or series that total leaves out"
        yield "bad", False, f"{found}: more bad events than events; {why}"
    for role, query in (("bad", objective.bad), ("total", objective.total)):
        called = functions(query or "")
        if "increase" not in called and called & {"rate", "irate"}:
            found = f"counts by {min(called & {'rate', 'irate'})}(), which is per second"
            need = "min_events, slices and the detector need events; use increase()"
            yield role, False, f"{found} ({format_number(total)} in total now): {need}"
