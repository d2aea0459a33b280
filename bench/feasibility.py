"""Is what `feasibility` foretells true? Made services whose future is known, seven days of each at a time.

A service is a process that makes hours: good, bad, idle, or with a breach. Its truth is counted on ten years of it;
what is foretold comes from many weeks of it, each by itself. Regressions that are said to be found are made anew, by
numpy and over arrays. And the whole command is timed, on a real Prometheus.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from random import Random

import numpy as np

from bench import shop
from bench.detectors import Fold
from bench.figure import Figure, at_most, printed
from watchdog import detect
from watchdog.feasibility import feasibility
from watchdog.feasibility.chain import Chain
from watchdog.feasibility.detectable import Chances, Traffic, smallest, steps_within
from watchdog.feasibility.futures import spoilt, watches, window_chance
from watchdog.feasibility.judge import interval, share_interval
from watchdog.feasibility.past import PastSlice
from watchdog.feasibility.tallies import Slices
from watchdog.model import ObjectiveSlice, Rollout, Slice, SliceVerdict
from watchdog.prometheus import Prometheus
from watchdog.rolloutfile import DaemonFacts, parse_rollout

MOST_SECONDS = 10.0
RUNS = 3
SEED = 20_261_123
WEEK = 7 * 24
YEARS = 10 * 365 * 24
TRUE_WINDOWS = 4000
WEEKS = 200
ATTEMPTS = 1000
WATCHES = 200
FEWEST_HELD = 0.8
"""Of the 90 % intervals, this share must hold the truth, in each process."""
LEAST_FOUND, MOST_OF_LESS = 0.7, 0.8
"""What 80 % may turn out to be, and what a regression that is a fifth smaller must not exceed."""
REGRESSIONS = 2000
HEALTHY = 30
"""Steps before the onset."""
PASS, FAIL, IDLE = SliceVerdict.PASS, SliceVerdict.FAIL, SliceVerdict.IDLE
Hours = list[tuple[SliceVerdict, bool]]
"""Verdict of each hour, and whether a breach in it takes the flag back."""

RULE = """
rollout: bench
service: bench
version: "1"
flag: bench
interval: 30s
ramp: {{strategy: progressive, over: 7d, every: 1h}}
waive: {{dead_service: a figure, pooled_exposure: a figure, rollback_bound: a figure}}
objectives:
  - name: errors
    bad: bad[$range]
    total: total[$range]
    at_most: {allowed}
"""


def rule(allowed: float = 0.001) -> Rollout:
    """A rollout of one objective and the defaults of everything else."""
    return parse_rollout(RULE.format(allowed=allowed), "bench.yaml", DaemonFacts())


# --- services of which the future is known ----------------------------------------------------------------------------


def independent(random: Random, hours: int) -> Hours:
    """One hour in a hundred fails, whatever was before."""
    return [(PASS if random.random() < 0.99 else FAIL, False) for _ in range(hours)]


def clumped(random: Random, hours: int) -> Hours:
    """Trouble comes once in eight days and lasts four hours on average."""
    found, bad = [], False
    for _ in range(hours):
        bad = random.random() < (0.75 if bad else 1 / 190)
        found.append((FAIL if bad else PASS, False))
    return found


def bad_days(random: Random, hours: int) -> Hours:
    """One day in six is a bad one, in which one hour in six fails."""
    found: Hours = []
    while len(found) < hours:
        rate = 1 / 6 if random.random() < 1 / 6 else 0.001
        found += [(FAIL if random.random() < rate else PASS, False) for _ in range(24)]
    return found[:hours]


def bad_nights(random: Random, hours: int) -> Hours:
    """The hours from two to four fail one time in twenty, the others one in five hundred."""
    rates = [0.05 if 2 <= hour < 4 else 0.002 for hour in range(24)]
    return [(FAIL if random.random() < rates[hour % 24] else PASS, False) for hour in range(hours)]


def idle_nights(random: Random, hours: int) -> Hours:
    """From midnight to five there is too little traffic, mostly; an hour in three hundred fails."""
    return [
        (IDLE if hour % 24 < 5 and random.random() < 0.8 else FAIL if random.random() < 1 / 300 else PASS, False)
        for hour in range(hours)
    ]


def broken_now_and_then(random: Random, hours: int) -> Hours:
    """Once in ten days a breach that takes the flag back; an hour in three hundred fails without one."""
    found: Hours = []
    for _ in range(hours):
        chance = random.random()
        found.append((FAIL if chance < 1 / 240 + 1 / 300 else PASS, chance < 1 / 240))
    return found


PROCESSES: tuple[Callable[[Random, int], Hours], ...] = (
    independent,
    clumped,
    bad_days,
    bad_nights,
    idle_nights,
    broken_now_and_then,
)


class Straight(Chain):
    """Not drawn: what really came next."""

    def after(self, index: int) -> int:
        return (index + 1) % self._count


def _history(hours: Hours) -> list[PastSlice]:
    found = []
    for number, (verdict, broken) in enumerate(hours):
        end = shop.START + (number + 1) * shop.HOUR
        item = Slice(end, verdict, (ObjectiveSlice("errors", verdict, 120, 0, 120),))
        found.append(PastSlice(item, taken_back=60 if broken else None))
    return found


def _foretold(rollout: Rollout, hours: Hours, random: Random) -> tuple[float, ...]:
    """Chance of a window and share of watches that are signed off, each with its interval, from one history."""
    past = _history(hours)
    slices = Slices(rollout, [item.slice for item in past])
    chain = Chain(slices.ends, shop.HOUR, random)
    chance = window_chance(slices, chain, ATTEMPTS)
    window = interval(rollout.window, len(slices), chance, spoilt(slices))
    drawn = list(watches(rollout, past, slices, chain, WATCHES))
    share = sum(one.signed_off is not None for one in drawn) / len(drawn)
    return chance, *window, share, *share_interval(rollout, past, share)


def _true(rollout: Rollout, hours: Hours, random: Random) -> tuple[float, float]:
    past = _history(hours)
    slices = Slices(rollout, [item.slice for item in past])
    chain = Straight(slices.ends, shop.HOUR, random)
    drawn = list(watches(rollout, past, slices, chain, TRUE_WINDOWS // 4))
    share = sum(one.signed_off is not None for one in drawn) / len(drawn)
    return window_chance(slices, chain, TRUE_WINDOWS), share


def calibration(number: int, weeks: int) -> dict[str, float]:
    """One process: its truth, what was foretold of it on average, and how many intervals held the truth."""
    process, random, rollout = PROCESSES[number], Random(SEED + number), rule()
    chance, share = _true(rollout, process(random, YEARS), random)
    foretold = [_foretold(rollout, process(random, WEEK), random) for _ in range(weeks)]
    return {
        "chance": chance,
        "foretold": statistics.fmean(one[0] for one in foretold),
        "held": sum(one[1] <= chance <= one[2] for one in foretold) / weeks,
        "width": statistics.fmean(one[2] - one[1] for one in foretold),
        "signed_off": share,
        "signed_off_foretold": statistics.fmean(one[3] for one in foretold),
        "signed_off_held": sum(one[4] <= share <= one[5] for one in foretold) / weeks,
    }


def _calibrations(pool: ProcessPoolExecutor, weeks: int) -> Iterator[Figure]:
    found = pool.map(calibration, range(len(PROCESSES)), [weeks] * len(PROCESSES))
    for process, one in zip(PROCESSES, found, strict=True):
        name = process.__name__.replace("_", " ")
        text = (
            f"{one['held']:.0%} and {one['signed_off_held']:.0%} hold it; window: {one['foretold']:.1%} foretold, "
            f"{one['chance']:.1%} true; sign-off: {one['signed_off_foretold']:.1%}, {one['signed_off']:.1%}"
        )
        ok = min(one["held"], one["signed_off_held"]) >= FEWEST_HELD
        details: dict[str, object] = {**one, "weeks": weeks}
        yield Figure(
            f"feasibility: 90 % intervals of {name}", f">= {FEWEST_HELD:.0%} hold the truth", text, ok, details
        )


# --- regressions ------------------------------------------------------------------------------------------------------


def found_share(allowed: float, rate: float, seconds: float) -> tuple[float, float, float] | None:
    """The share that is said to be found within `seconds`, and how often arrays find it, and a fifth less of it."""
    rollout = rule(allowed)
    objective = rollout.objectives[0]
    events = rate * objective.detector.every
    steps = steps_within(rollout, objective, seconds)
    random = np.random.default_rng([SEED, round(1e6 * allowed), round(10 * rate), round(seconds)])
    totals = tuple(float(total) for total in random.poisson(events, 10_080))
    share = smallest(rollout, objective, Traffic(totals, allowed / 5), steps, Chances(Random(SEED)))
    if share is None:
        return None
    one, less = (_power(detect.tuning(rollout, objective), events, by * share, steps, random) for by in (1.0, 0.8))
    return share, one, less


def _power(tuning: detect.Tuning, events: float, share: float, steps: int, random: np.random.Generator) -> float:
    """How often a regression to `share` is found within so many steps, after half an hour of health."""
    fold, found = Fold(tuning, REGRESSIONS), np.zeros(REGRESSIONS, dtype=bool)
    usual = tuning.p / 1.5 / 5
    for step in range(HEALTHY + steps):
        total = random.poisson(events, REGRESSIONS)
        bad = random.binomial(total, share if step >= HEALTHY else usual).astype(float)
        over = fold.alarms(fold.step(bad, total.astype(float)))
        if step >= HEALTHY:
            found[over] = True
    return float(found.mean())


def _regressions(pool: ProcessPoolExecutor) -> Figure:
    cells = list(product((0.001, 0.02, 0.05), (0.2, 5.0, 50.0), (600.0, 3600.0)))
    shares = dict(zip(cells, pool.map(found_share, *zip(*cells, strict=True)), strict=True))
    print("\n  Smallest bad share that is said to be found in 80 % of the cases, and how often it is")
    print(f"  {'p0':>6} {'requests/s':>11} {'within':>8} {'bad share':>10} {'found':>8} {'0.8 of it':>10}")
    for (allowed, rate, seconds), told in shares.items():
        head = f"  {allowed:>6.1%} {rate:>11g} {seconds / 60:>6.0f} m "
        print(head + (f"{told[0]:>10.3%} {told[1]:>8.1%} {told[2]:>10.1%}" if told else "      none"))
    found = [told for told in shares.values() if told is not None]
    least, less = min(told[1] for told in found), max(told[2] for told in found)
    text = f"{least:.1%} in the worst of {len(found)} cells; 0.8 of the share in {less:.1%} at most"
    details: dict[str, object] = {str(cell): told for cell, told in shares.items()}
    name = "feasibility: regressions that are said to be found in 80 %"
    must = f">= {LEAST_FOUND:.0%}, and 0.8 of the share <= {MOST_OF_LESS:.0%}"
    return Figure(name, must, text, least >= LEAST_FOUND and less <= MOST_OF_LESS, details)


# --- the command ------------------------------------------------------------------------------------------------------


def _timed(days: int) -> Iterator[Figure]:
    rollout, end = shop.rollout(), shop.START + days * shop.DAY
    seconds, busy, found = [], [], None
    with shop.prometheus(days * shop.DAY) as server:
        for _ in range(RUNS):
            with Prometheus(server.url, judge_skew=False) as source:
                began, used = time.perf_counter(), time.process_time()
                found = feasibility(rollout, source, end + rollout.delay, days=float(days))
                seconds.append(time.perf_counter() - began)
                busy.append(time.process_time() - used)
    if found is None or not found.ok:
        raise RuntimeError(f"a healthy week was meant to be feasible: {found.found if found else 'nothing came of it'}")
    here = statistics.median(busy)
    note = f"{here:.1f} s on the CPU beside Prometheus; load {os.getloadavg()[0]:.1f}"
    name = f"feasibility from {days} d x 7 objectives at 30 s"
    yield at_most(name, statistics.median(seconds), MOST_SECONDS, " s", note)
    yield printed(f"{name}: what it says", found.found)


def figures(*, quick: bool) -> Iterator[Figure]:
    """The time of the command, the calibration of its intervals and of its regressions."""
    yield from _timed(1 if quick else 7)
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 8), mp_context=get_context("spawn")) as pool:
        yield from _calibrations(pool, WEEKS // 10 if quick else WEEKS)
        if not quick:
            yield _regressions(pool)
