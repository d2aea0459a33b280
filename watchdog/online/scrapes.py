"""How fresh the samples behind the objectives are, how far apart they lie, and how long they are kept."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from watchdog.errors import SourceError
from watchdog.model import Rollout
from watchdog.online.asked import LOOKBACK, Asked, Finding, Stored
from watchdog.online.promql import Selector
from watchdog.prometheus import Prometheus
from watchdog.quantities import UNITS, format_duration

OLDEST = 300.0
"""Seconds: a newest sample that is older means that nothing is being written."""
SCRAPES = 4.0
"""Scrapes that may be missed before a series counts as no longer scraped."""
SEARCHED = 6 * 3600
"""How far back the newest sample of stale series is looked for."""
TOLERANCE = 0.2
"""Lost scrapes make measured distances uncertain by so much."""
USUAL_RETENTION = 15 * 86400.0
"""What Prometheus keeps when its flags name neither time nor size."""


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says of itself: scrape interval by job, and retention; empty where it does not say."""

    intervals: dict[str, float]
    retention: float | None


def describe(source: Prometheus) -> Server:
    """Ask the server. Thanos, Mimir and others know no targets or flags: then nothing is known of them."""
    try:
        intervals = source.scrape_intervals()
    except SourceError:
        intervals = {}
    try:
        retention = _retention(source.runtime_flags())
    except SourceError:
        retention = None
    return Server(intervals, retention)


def freshness(source: Prometheus, asked: Sequence[Asked], deadline: float) -> Iterator[Finding]:
    """Objectives whose newest sample is older than five minutes. `fresh:` is judged where it is given instead."""
    wanted = {one.objective.name: _timed(one) for one in asked if one.objective.fresh is None}
    newest = _newest(source, asked, wanted, "max(timestamp({}))", deadline)
    for one in asked:
        name = one.objective.name
        if name not in wanted or not wanted[name] or _answered(one) is None:
            continue
        age = one.at - newest.get(name, -math.inf)
        if age <= OLDEST:
            continue
        if not math.isfinite(age):
            template = f"max(max_over_time(timestamp({{}})[{SEARCHED}s:60s]))"
            older = _newest(source, [one], {name: wanted[name]}, template, deadline)
            age = one.at - older.get(name, -math.inf)
        said = format_duration(round(age)) if math.isfinite(age) else f"more than {format_duration(SEARCHED)}"
        yield one.found(
            "error",
            f"the newest sample is {said} old, older than {format_duration(OLDEST)}: what the query answers is the "
            "past; see whether the target is being scraped",
        )


def ages(source: Prometheus, asked: Sequence[Asked], deadline: float) -> dict[str, tuple[float, float]]:
    """Age of the newest sample behind each objective and how old it may be, in seconds; infinite where there is none.

    The limit is four scrapes of its jobs, a minute at least; five minutes for what no target of the server exports, as
    recordings. Objectives with `fresh:` are not in it: they say themselves how old they may be. Raises SourceError.
    """
    wanted = {one.objective.name: _timed(one) for one in asked if one.objective.fresh is None}
    newest = _newest(source, asked, wanted, "max(timestamp({}))", deadline)
    intervals, stored = describe(source).intervals, Stored(source)
    found: dict[str, tuple[float, float]] = {}
    for one in asked:
        name = one.objective.name
        if not wanted.get(name):
            continue
        jobs = {labels.get("job", "") for sel in wanted[name] for labels in stored.of(one, sel)}
        known = [intervals[job] for job in jobs if job in intervals]
        limit = max(60.0, SCRAPES * max(known)) if known and len(known) == len(jobs) else OLDEST
        found[name] = (one.at - newest.get(name, -math.inf), limit)
    return found


def _answered(asked: Asked) -> float | None:
    total = asked.value("total")
    return total if total is not None else asked.value("value")


def _timed(asked: Asked) -> list[Selector]:
    return asked.selected("total", "value", "control total")


def _newest(
    source: Prometheus, asked: Sequence[Asked], wanted: dict[str, list[Selector]], template: str, deadline: float
) -> dict[str, float]:
    """Time of the newest sample, by objective; without those that have none."""
    pairs = [(one, template.format(sel)) for one in asked for sel in wanted.get(one.objective.name, ())]
    if not pairs:
        return {}
    at = pairs[0][0].at
    newest: dict[str, float] = {}
    for (one, _), answer in zip(pairs, source.instants([text for _, text in pairs], at, deadline), strict=True):
        found = answer.values.get(at)
        if found is not None and math.isfinite(found):
            newest[one.objective.name] = max(found, newest.get(one.objective.name, -math.inf))
    return newest


def spacing(
    source: Prometheus, server: Server, asked: Sequence[Asked], stored: Stored, deadline: float
) -> Iterator[Finding]:
    """The distance of the samples against prometheus.scrape_interval: as the targets say, else as measured."""
    jobs: set[str] = set()
    measured: list[Selector] = []
    for one in asked:
        for selector in _timed(one):
            own = {labels.get("job", "") for labels in stored.of(one, selector)}
            if own and (":" in selector.name or not own <= set(server.intervals)):
                measured.append(selector)
            else:
                jobs |= own
    if not asked:
        return
    rollout, wanted = asked[0].rollout, asked[0].rollout.scrape_interval
    known = {f"job {job!r}": server.intervals[job] for job in sorted(jobs)}
    longest = max(known, key=lambda name: known[name], default=None)
    if longest is not None and abs(known[longest] - wanted) > 0.001:
        yield _mismatch(rollout, f"{longest} is scraped every {format_duration(known[longest])}", known[longest])
        return
    found = _measured(source, list(dict.fromkeys(measured)), asked[0].at, wanted, deadline)
    if found is not None and abs(found[1] / wanted - 1) > TOLERANCE:
        seconds = float(round(found[1])) or found[1]
        yield _mismatch(
            rollout, f"the samples of {found[0]} are about {format_duration(round(found[1], 1))} apart", seconds
        )


def _measured(
    source: Prometheus, chosen: Sequence[Selector], at: int, wanted: float, deadline: float
) -> tuple[Selector, float] | None:
    """The selector whose samples lie farthest apart, and how far; None when there is too little to tell."""
    span = max(2 * LOOKBACK, 10 * wanted)
    answers = source.instants([f"max(count_over_time({one}[{span:.0f}s]))" for one in chosen], at, deadline)
    counts = [(one, answer.values.get(at)) for one, answer in zip(chosen, answers, strict=True)]
    distances = [(one, span / count) for one, count in counts if count is not None and count > 1]
    return max(distances, key=lambda pair: pair[1], default=None)


def _mismatch(rollout: Rollout, what: str, seconds: float) -> Finding:
    return Finding(
        rollout.name,
        None,
        "warning",
        "prometheus.scrape_interval",
        f"is {format_duration(rollout.scrape_interval)}, but {what}: a detector step would count over a range of the "
        f"wrong length; set prometheus.scrape_interval: {format_duration(seconds)}",
    )


def retention(server: Server, rollout: Rollout) -> Iterator[Finding]:
    """Whether the data outlives the watch: outages are back-filled and rollouts replayed from it."""
    kept, window = server.retention, float(rollout.window.seconds)
    if kept is None:
        return
    watch = rollout.ramp.seconds + window
    if kept < window:
        lack = f"less than the window of {format_duration(window)}: an outage in it could not be back-filled"
    elif kept < watch:
        lack = f"less than the whole watch of {format_duration(watch)}: it could not be replayed to its start"
    else:
        return
    yield Finding(
        rollout.name,
        None,
        "warning",
        f"{rollout.name}: window",
        f"Prometheus keeps {format_duration(kept)}, {lack}; start it with --storage.tsdb.retention.time="
        f"{math.ceil(watch / 86400)}d or longer",
    )


def _retention(flags: dict[str, str]) -> float | None:
    written = flags.get("storage.tsdb.retention.time")
    if written is None:
        return None
    units = {name: float(size) for name, size in UNITS.items()} | {"y": 365 * 86400.0}
    seconds = sum(float(n) * units[unit] for n, unit in re.findall(r"(\d+)(ms|[smhdwy])", written))
    if seconds:
        return seconds
    # Zero is "not given": then a size alone limits it, of which nobody knows how many days it holds.
    return USUAL_RETENTION if flags.get("storage.tsdb.retention.size", "0B") == "0B" else None
