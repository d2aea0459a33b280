"""False breaches and delays of the two detectors, simulated: many runs of one detector, folded side by side.

The fold here is the one of `watchdog.detect`, written over arrays; `same_fold` proves it on random counts before
anything is simulated. Steps are one minute, the watch is nine days (a ramp of seven and a window of two).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context

import numpy as np
import numpy.typing as npt

from bench.figure import Figure, at_most, printed
from watchdog import detect
from watchdog.model import (
    Comparison,
    Confirm,
    Kind,
    Objective,
    OnBreach,
    Ramp,
    RollbackRule,
    Rollout,
    Sequential,
    Target,
    WindowRule,
)

Array = npt.NDArray[np.float64]
Runs = npt.NDArray[np.intp]

EVERY = 60
DAY = 86_400
STEPS = 9 * DAY // EVERY
RUNS = 2000
BLOCK = 32
"""Steps drawn at once: large enough that drawing is cheap per call, small enough to stay in the cache."""
PART = 200
"""Runs of `confirm` held at once: nine days of them fit in memory."""
HEALTHY = 60
"""Steps before the onset when delays are measured."""
PATIENCE = 3000
"""Steps after the onset at which a run that has not breached is given up."""
SEED = 20261122


def tuning(allowed: float) -> detect.Tuning:
    """The detector's constants as the product sets them: one of four objectives that roll back, default settings."""
    objectives = tuple(
        Objective(
            name=name,
            kind=Kind.EVENT,
            target=Target(Comparison.AT_MOST, allowed),
            detector=Sequential(every=EVERY),
            on_breach=OnBreach.ROLLBACK,
            allowed=allowed,
        )
        for name in ("error_rate", "latency_p95", "availability", "test_pass_rate")
    )
    rollout = Rollout(
        name="bench",
        service="bench",
        version="1",
        flag="bench",
        objectives=objectives,
        window=WindowRule(),
        ramp=Ramp("progressive", 0.0, 100.0, (), 7.0 * DAY),
        rollback=RollbackRule(),
    )
    return detect.tuning(rollout, objectives[0])


ALPHA = 1.0 / tuning(0.001).threshold
LIMIT = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)
"""What a cell may show: alpha and three standard errors of a share seen in `RUNS` runs."""


class Fold:
    """The e-detector of semantics 5 over `runs` independent runs at once."""

    def __init__(self, constants: detect.Tuning, runs: int) -> None:
        self.constants = constants
        self.bets = np.array(constants.bets)[:, None]
        self.threshold = constants.threshold * len(constants.bets)  # of the sum over the bets, not the mean
        self.used = np.zeros(runs)
        self.wealth = np.zeros((len(constants.bets), runs))
        self._factor = np.empty_like(self.wealth)

    def step(self, bad: Array, total: Array) -> Array:
        """Fold one step of every run; returns the sum of the wealth over the bets. Runs without events skip it."""
        idle = (total <= 0.0).nonzero()[0]
        kept = self.wealth[:, idle]
        self.used += 1.0
        self.used[idle] -= 1.0
        after = self.used + self.constants.planned
        outcome = np.minimum(bad, total) - self.constants.p * total
        outcome /= np.maximum(total, self.constants.floor)
        np.multiply(self.bets, outcome, out=self._factor)
        self._factor += 1.0
        self.wealth += self.constants.planned / ((after - 1.0) * after)
        self.wealth *= self._factor
        self.wealth[:, idle] = kept
        return np.asarray(self.wealth.sum(axis=0))

    def alarms(self, evidence: Array) -> Runs:
        """The runs over the threshold. They go on with nothing gathered, as after a breach that closed."""
        if evidence.max() < self.threshold:
            return np.empty(0, dtype=np.intp)
        over = (evidence >= self.threshold).nonzero()[0]
        self.wealth[:, over] = 0.0
        return over


@dataclass(frozen=True, slots=True)
class Cell:
    """One simulated service: its allowed share, traffic (requests a second), true bad share and how failures arrive."""

    allowed: float
    rate: float
    share: float
    arrival: str

    def draw(self, random: np.random.Generator, steps: int, runs: int) -> tuple[Array, Array]:
        """(bad, total) of `steps` x `runs`. A thinned Poisson stream is two independent ones: good and bad."""
        size = (steps, runs)
        events = self.rate * EVERY
        share: Array | float = self.share
        if self.arrival == "bursty":  # every minute has a share of its own, of the same mean before it is capped
            share = np.minimum(1.0, self.share * random.gamma(0.2, 1 / 0.2, size))
        if self.arrival == "clumped":  # three requests fail together
            bad = 3.0 * random.poisson(events * self.share / 3, size)
        else:
            bad = random.poisson(events * share, size).astype(float)
        return np.asarray(bad), np.asarray(bad + random.poisson(events * (1.0 - share), size))

    def __str__(self) -> str:
        return f"p0 {self.allowed:.1%}, {self.rate:g}/s, share {self.share:.2%}, {self.arrival}"


ALLOWED = (0.001, 0.02, 0.05)
RATES = (0.2, 5.0, 50.0)
ARRIVALS = ("steady", "bursty", "clumped")


def cells(*of_allowed: float) -> tuple[Cell, ...]:
    """Every combination of allowed share, traffic and arrival, at these fractions of the allowed share."""
    combined = product(ALLOWED, RATES, of_allowed, ARRIVALS)
    return tuple(Cell(allowed, rate, part * allowed, arrival) for allowed, rate, part, arrival in combined)


PROMISED = cells(0.5, 1.0)
EDGE = cells(Sequential(every=EVERY).rollback_above)
"""Share p itself, the largest for which the theorem holds: nothing is left of the slack that hides a mistake."""
QUICK = tuple(cell for cell in PROMISED if cell.rate == RATES[1] and cell.share == cell.allowed == ALLOWED[0])

ONSETS = {0.002: 100, 0.005: 18, 0.01: 12, 0.05: 6, 0.5: 4}
"""Bad share from the onset on -> promised median delay in minutes."""


def false_breaches(cell: Cell, seed: int) -> float:
    """Share of runs of nine days in which the detector breaches at all."""
    random = np.random.default_rng([SEED, seed])
    fold, breached = Fold(tuning(cell.allowed), RUNS), np.zeros(RUNS, dtype=bool)
    for first in range(0, STEPS, BLOCK):
        for bad, total in zip(*cell.draw(random, min(BLOCK, STEPS - first), RUNS), strict=True):
            breached[fold.alarms(fold.step(bad, total))] = True
    return float(breached.mean())


def delays(share: float, seed: int, allowed: float = 0.001, rate: float = 50.0) -> Array:
    """Minutes from the onset of `share` to the breach, of every run that did not breach in the healthy hour before."""
    random = np.random.default_rng([SEED, 1000 + seed])
    fold, delay, early = Fold(tuning(allowed), RUNS), np.full(RUNS, np.inf), np.zeros(RUNS, dtype=bool)
    for bad, total in zip(*Cell(allowed, rate, allowed / 2, "steady").draw(random, HEALTHY, RUNS), strict=True):
        early[fold.alarms(fold.step(bad, total))] = True
    broken = Cell(allowed, rate, share, "steady")
    for minute in range(1, PATIENCE + 1):
        bad, total = broken.draw(random, 1, RUNS)
        over = fold.alarms(fold.step(bad[0], total[0]))
        delay[over] = np.minimum(delay[over], minute)
        if np.isfinite(delay).all():
            break
    return delay[~early]


def confirm_breaches(rate: float, of_limit: float, sigma: float, seed: int) -> float:
    """Share of runs in which `confirm 3 of 5` breaches on a healthy p95 that is `of_limit` of its limit.

    Latencies are lognormal with `sigma`. The p95 of a step is at or above the limit exactly when at least 5 % of its
    requests are slower than the limit, so the count of those is all that has to be drawn.
    """
    random = np.random.default_rng([SEED, 2000 + seed])
    slower = 0.5 * math.erfc((1.6448536269514722 - math.log(of_limit) / sigma) / math.sqrt(2))
    service, rule, breached = Cell(0.05, rate, slower, "steady"), Confirm(every=EVERY), 0
    for _ in range(0, RUNS, PART):
        slow, total = service.draw(random, STEPS, PART)
        failing = ((slow >= 0.05 * total) & (total > 0)).astype(np.int8)
        newest = np.sum([failing[back : STEPS - rule.of + 1 + back] for back in range(rule.of)], axis=0)
        breached += int((newest >= rule.fails).any(axis=0).sum())
    return breached / RUNS


def same_fold(runs: int = 40, steps: int = 400) -> float:
    """Largest relative difference between this fold and `watchdog.detect`, on random counts that idle now and then."""
    worst = 0.0
    for number, allowed in enumerate(ALLOWED):
        random = np.random.default_rng([SEED, 3000 + number])
        total = np.floor(random.gamma(0.3, 200.0, (steps, runs)))
        bad = random.binomial(total.astype(np.int64), random.uniform(0.0, 1.4 * allowed, (steps, 1))).astype(float)
        constants = tuning(allowed)
        mine, states = Fold(constants, runs), [detect.State()] * runs
        for at in range(steps):
            sums = mine.step(bad[at], total[at])
            for run in range(runs):
                step = detect.Step(at * EVERY, failed=False, bad=bad[at, run], total=total[at, run])
                outcome = detect.fold(constants, states[run], step)
                states[run] = detect.emptied(outcome.state) if outcome.alarm else outcome.state
                expected = outcome.statistic * len(constants.bets)
                worst = max(worst, abs(sums[run] - expected) / max(expected, 1e-300))
            mine.alarms(sums)
    return worst


def _table(shares: dict[Cell, float]) -> None:
    print(f"\n  False breaches in nine days, {RUNS:,} runs a cell, alpha {ALPHA:.2%} (at most {LIMIT:.3%})")
    print(f"  {'p0':>6} {'requests/s':>11} {'bad share':>10}" + "".join(f"{arrival:>10}" for arrival in ARRIVALS))
    rows: dict[tuple[float, float, float], dict[str, float]] = {}
    for cell, share in shares.items():
        rows.setdefault((cell.allowed, cell.rate, cell.share), {})[cell.arrival] = share
    for (allowed, rate, true), row in rows.items():
        print(
            f"  {allowed:>6.1%} {rate:>11g} {true:>10.3%}" + "".join(f"{row[arrival]:>10.2%}" for arrival in ARRIVALS)
        )
    print(flush=True)


def _false_breach_figure(name: str, pool: ProcessPoolExecutor, chosen: tuple[Cell, ...], first_seed: int) -> Figure:
    seeds = range(first_seed, first_seed + len(chosen))
    shares = dict(zip(chosen, pool.map(false_breaches, chosen, seeds), strict=True))
    _table(shares)
    worst = max(shares, key=lambda cell: shares[cell])
    over = sum(share > LIMIT for share in shares.values())
    text = f"{over} of {len(chosen)} cells above; worst {shares[worst]:.2%} ({worst})"
    details = {str(cell): share for cell, share in shares.items()}
    return Figure(name, f"<= {LIMIT:.3%} in each cell", text, over == 0, {"limit": LIMIT, "cells": details})


def _delay_figure(share: float, minutes: Array, limit: float) -> Figure:
    median, slow = (float(np.quantile(minutes, q, method="higher")) for q in (0.5, 0.9))
    name = f"sequential: delay, onset {share:.1%} of 50/s, p0 0.1%"
    text = f"median {median:g} min, 90% {slow:g} min"
    details: dict[str, object] = {"median": median, "p90": slow, "runs": len(minutes), "limit": limit}
    return Figure(name, f"median <= {limit:g} min", text, median <= limit, details)


def figures(*, quick: bool) -> Iterator[Figure]:
    """Every figure of the detectors; `quick` simulates three cells of the false-breach table."""
    yield at_most("sequential: simulated fold against watchdog.detect", same_fold(), 1e-12, note="relative")
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 8), mp_context=get_context("spawn")) as pool:
        measured = pool.map(delays, ONSETS, range(len(ONSETS)))
        for (share, limit), minutes in zip(ONSETS.items(), measured, strict=True):
            yield _delay_figure(share, minutes, limit)
        promised = QUICK if quick else PROMISED
        yield _false_breach_figure("sequential: false breaches in 9 days", pool, promised, 0)
        if not quick:
            yield _false_breach_figure("sequential: the same at a bad share of p", pool, EDGE, len(PROMISED))
            yield from _confirm_figures(pool)


def _confirm_figures(pool: ProcessPoolExecutor) -> Iterator[Figure]:
    healthy = list(product((5.0, 50.0), (0.8, 0.9), (0.5, 1.0)))
    shares = pool.map(confirm_breaches, *zip(*healthy, strict=True), range(len(healthy)))
    for (rate, of_limit, sigma), share in zip(healthy, shares, strict=True):
        name = f"confirm 3 of 5: p95 at {of_limit:.0%} of its limit, {rate:g}/s, sigma {sigma:g}"
        yield printed(name, f"false breach in {share:.1%} of runs of 9 days", value=share)
