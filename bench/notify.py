"""Telling people: how soon, at no cost to a rollback, never earlier than allowed, and with nothing lost or doubled."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Sequence
from random import Random

from bench import drain, limited, paging
from bench.figure import Figure, at_most, printed
from bench.paging import Run

CYCLE = ("healthy", "refusing", "healthy", "hanging")
"""Sessions take turns, so that what the machine does besides falls on all of them."""
CYCLES, ROLLOUTS = 7, 8
MOST_PAGE = 250.0
RESAMPLES = 2000


def figures(*, quick: bool) -> Iterator[Figure]:
    """The daemon as a process first, while the machine is as it was found; then what needs no quiet."""
    before = os.getloadavg()[0]
    found = _sessions(1 if quick else CYCLES, 7 if quick else ROLLOUTS)
    yield from _soon(found, f"load {before:.1f} before, {os.getloadavg()[0]:.1f} after")
    yield from _undelayed(found)
    yield from limited.figures()
    yield from drain.figures(quick=quick)


Sessions = dict[str, list[list[Run]]]


def _sessions(cycles: int, rollouts: int) -> Sessions:
    """Mood of Slack -> its sessions; the order within a cycle changes from cycle to cycle."""
    random, found = Random(cycles), Sessions()
    for cycle in range(cycles):
        for mood in (*CYCLE[cycle % 4 :], *CYCLE[: cycle % 4]):
            found.setdefault(mood, []).append(paging.session(mood, rollouts, random))
    return found


def _soon(found: Sessions, load: str) -> Iterator[Figure]:
    took = [1000 * run.page for sessions in found.values() for runs in sessions for run in runs]
    note = f"{_spread(took)} of {len(took)}, {load}"
    yield at_most("breach recorded -> request at PagerDuty, p99", _p99(took), MOST_PAGE, " ms", note)
    for mood, sessions in found.items():
        some = [1000 * run.page for runs in sessions for run in runs]
        yield printed(f"the same, Slack {mood}", f"p99 {_p99(some):.0f} ms, {_spread(some)} of {len(some)}", runs=some)


def _undelayed(found: Sessions) -> Iterator[Figure]:
    """Medians, held against what lots of healthy sessions differ by among themselves."""
    off = {mood: [[1000 * run.off for run in runs] for runs in sessions] for mood, sessions in found.items()}
    healthy = off["healthy"]
    well = _median(healthy)
    yield printed("decided -> flag off, Slack healthy", _both(healthy), runs=healthy)
    for mood, sessions in off.items():
        if mood != "healthy":
            noise = _noise(healthy, len(sessions))
            added = _median(sessions) - well
            text = f"{added:+.1f} ms, noise {noise:.1f} ms ({_both(sessions)})"
            details: dict[str, object] = {"added": added, "noise": noise, "runs": sessions}
            yield Figure(
                f"decided -> flag off: added by a Slack that is {mood}", "within noise", text, added <= noise, details
            )


def _noise(healthy: Sequence[Sequence[float]], lot: int) -> float:
    """By how much the median of `lot` healthy sessions is above that of all of them, at most, in 99 of 100 draws.

    Whole sessions are drawn, not runs: what the machine does in a session falls on all its runs.
    """
    random = Random(lot)
    drawn = []
    for _ in range(RESAMPLES):
        one, other = random.choices(healthy, k=lot), random.choices(healthy, k=len(healthy))
        one = [random.choices(runs, k=len(runs)) for runs in one]
        other = [random.choices(runs, k=len(runs)) for runs in other]
        drawn.append(_median(one) - _median(other))
    return sorted(drawn)[int(0.99 * RESAMPLES)]


def _median(sessions: Sequence[Sequence[float]]) -> float:
    return statistics.median(value for runs in sessions for value in runs)


def _both(sessions: Sequence[Sequence[float]]) -> str:
    values = [value for runs in sessions for value in runs]
    return f"p50 {statistics.median(values):.1f} ms, p99 {_p99(values):.0f} ms of {len(values)}"


def _spread(values: Sequence[float]) -> str:
    return f"p50 {statistics.median(values):.0f} ms, max {max(values):.0f} ms"


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[int(0.99 * len(values))]
