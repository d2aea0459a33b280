"""How often the comparison of cohorts is wrong, simulated: a breach is waited for, then compared as the product does.

Each run is healthy for an hour (half of what is allowed), then fails from an onset on. The detector finds the breach in
the exposed cohort, `detect.evidence` says which steps it rests on, and `attribution.attribute` compares over those.
What happens in the hour after a shared cause follows `decide.shared`: each step a look, and an end to the patience.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context

import numpy as np

from bench.detectors import EVERY, SEED, tuning
from bench.figure import Figure, printed
from watchdog import detect
from watchdog.attribution import ALPHA, BETA, WORSE, attribute, patience
from watchdog.decide.shared import LEAST_STEPS
from watchdog.model import Blame, Counts, Ramp, RollbackRule, Rollout, Sequential, WindowRule

ALLOWED = 0.001
HEALTHY = 60
"""Steps before the onset."""
WAITED = 120
"""Steps after the onset at which a run that has not breached is given up."""
HOUR = 60
"""Steps that a shared cause goes on after its breach."""
RUNS = 1000
LEAST = 30
"""Breaches of a cell from which on their share is a rate."""
RATES = (5.0, 50.0, 500.0)
"""Requests a second of both cohorts together."""
EXPOSURES = (0.01, 0.1, 0.5)
SHARES = (0.01, 0.05, 0.5)
"""Bad share of the control from the onset on, where it fails."""
PATIENCE = patience(
    Rollout("b", "b", "1", "b", (), WindowRule(), Ramp("progressive", 0.0, 100.0, (), 0.0), RollbackRule()),
    Sequential(every=EVERY),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One simulated service. `worse` is how many times as often as the control the exposed fail.

    Where `alone` is set, the control stays healthy and the exposed have the bad share.
    """

    rate: float
    exposure: float
    share: float
    worse: float = 1.0
    alone: bool = False

    @property
    def shares(self) -> tuple[float, float]:
        """Bad shares of exposed and control after the onset."""
        if self.alone:
            return self.share, ALLOWED / 2
        return min(1.0, self.share * self.worse), self.share

    def __str__(self) -> str:
        return f"{self.rate:g}/s, {self.exposure:.0%} exposed, {self.share:.0%} bad"


@dataclass(slots=True)
class _Run:
    """Both cohorts' steps as (bad, total), drawn as they are needed."""

    cell: Cell
    random: np.random.Generator
    exposed: list[tuple[int, int]]
    control: list[tuple[int, int]]

    def draw(self, *, failing: bool) -> None:
        """One more step."""
        healthy = ALLOWED / 2
        shares = self.cell.shares if failing else (healthy, healthy)
        parts = (self.cell.exposure, 1.0 - self.cell.exposure)
        for kept, share, part in zip((self.exposed, self.control), shares, parts, strict=True):
            events = self.cell.rate * EVERY * part
            bad, good = self.random.poisson(events * share), self.random.poisson(events * (1.0 - share))
            kept.append((int(bad), int(bad + good)))


def outcomes(cell: Cell, seed: int, runs: int) -> Counter[str]:
    """How many runs had which verdict at the breach (`flag`, `shared`, `unknown`), or none; and of those `shared`
    how many were still `held` an hour later.
    """
    random, constants = np.random.default_rng([SEED, 4000 + seed]), tuning(ALLOWED)
    found: Counter[str] = Counter()
    for _ in range(runs):
        run = _Run(cell, random, [], [])
        breach = _breach(run, constants)
        if breach is None:
            found["none"] += 1
            continue
        steps = _evidence(run, constants)
        verdict = _compare(run, steps, 1) if steps else Blame.UNKNOWN
        found[verdict.value] += 1
        if verdict is Blame.SHARED:
            found["held"] += _held(run, len(steps))
    return found


def _breach(run: _Run, constants: detect.Tuning) -> int | None:
    """The step after the onset at which the detector breaches; None where it does not, or too early."""
    state = detect.State()
    for place in range(HEALTHY + WAITED):
        run.draw(failing=place >= HEALTHY)
        bad, total = run.exposed[-1]
        outcome = detect.fold(constants, state, detect.Step(place, failed=False, bad=bad, total=total))
        if outcome.alarm:
            return None if place < HEALTHY else place
        state = outcome.state
    return None


def _evidence(run: _Run, constants: detect.Tuning) -> tuple[int, ...]:
    steps = [detect.Step(k, failed=False, bad=bad, total=total) for k, (bad, total) in enumerate(run.exposed)]
    return detect.evidence(constants, steps)


def _compare(run: _Run, steps: Sequence[int], number: int) -> Blame:
    counts = [
        Counts(sum(kept[k][0] for k in steps), sum(kept[k][1] for k in steps)) for kept in (run.exposed, run.control)
    ]
    return attribute(
        *("bench", 0),
        number=number,
        first=steps[0],
        last=steps[-1],
        steps=len(steps),
        exposed=counts[0],
        control=counts[1],
        allowed=ALLOWED,
    ).verdict


def _held(run: _Run, steps: int) -> bool:
    """Whether a shared cause that goes on for an hour is believed all the time."""
    width, unseen = min(max(steps, LEAST_STEPS), PATIENCE), 0
    for number in range(2, HOUR + 2):
        run.draw(failing=True)
        last = len(run.exposed)
        verdict = _compare(run, range(last - width, last), number)
        unseen = 0 if verdict is Blame.SHARED else unseen + 1
        if verdict is Blame.FLAG or unseen >= PATIENCE:
            return False
    return True


def _rate(found: Counter[str], what: str) -> float:
    judged = found["flag"] + found["shared"] + found["unknown"]
    return found[what] / judged if judged else 0.0


def _table(title: str, found: dict[Cell, Counter[str]]) -> None:
    print(f"\n  {title}")
    head = ("flag", "shared", "unknown", "held 1 h", "no breach")
    print(f"  {'requests/s':>11} {'exposed':>8} {'bad':>6}" + "".join(f"{word:>11}" for word in head))
    for cell, counted in found.items():
        cells = [_rate(counted, word) for word in ("flag", "shared", "unknown")]
        cells += [counted["held"] / counted["shared"] if counted["shared"] else math.nan]
        cells += [counted["none"] / counted.total() if counted.total() else 0.0]
        shown = "".join(f"{'-' if math.isnan(one) else f'{one:.1%}':>11}" for one in cells)
        print(f"  {cell.rate:>11g} {cell.exposure:>8.0%} {cell.share:>6.0%}{shown}")
    print(flush=True)


def _worst(name: str, found: dict[Cell, Counter[str]], what: str, limit: float) -> Figure:
    """The largest share of breaches with the wrong verdict; it holds within three standard errors in each cell.

    A cell that hardly ever breaches is told apart: there a breach is the rare run in which chance has already put too
    many bad events among the exposed, and a few of those say nothing of a rate.
    """
    judged = {cell: sum(counted[word] for word in ("flag", "shared", "unknown")) for cell, counted in found.items()}
    rates = {cell: _rate(counted, what) for cell, counted in found.items() if judged[cell] >= LEAST}
    rare = [cell for cell in found if 0 < judged[cell] < LEAST]
    over = sum(rate > limit + 3 * math.sqrt(limit * (1 - limit) / judged[cell]) for cell, rate in rates.items())
    worst = max(rates, key=lambda cell: rates[cell])
    text = f"{over} of {len(rates)} cells above; worst {rates[worst]:.2%} ({worst})"
    if rare:
        wrong = sum(found[cell][what] for cell in rare)
        runs = sum(found[cell].total() for cell in rare)
        text += f"; {len(rare)} cells with fewer than {LEAST} breaches in {runs:,} runs: "
        text += f"{wrong} of {sum(judged[cell] for cell in rare)} breaches"
    details = {str(cell): dict(counted) for cell, counted in found.items()}
    return Figure(name, f"<= {limit:.1%} in each cell", text, over == 0, {"limit": limit, "cells": details})


def figures(*, quick: bool) -> Iterator[Figure]:
    """Every figure of attribution; `quick` has a tenth of the runs and half of the traffic."""
    runs, rates = (RUNS // 10, RATES[1:2]) if quick else (RUNS, RATES)
    combined = list(product(rates, EXPOSURES, SHARES))
    stories = {
        "flag": [Cell(*one, alone=True) for one in combined],
        "worse": [Cell(*one, worse=WORSE) for one in combined if one[2] * WORSE < 1.0],
        "shared": [Cell(*one) for one in combined],
    }
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 8), mp_context=get_context("spawn")) as pool:
        found = {}
        for number, (name, cells) in enumerate(stories.items()):
            seeds = range(100 * number, 100 * number + len(cells))
            found[name] = dict(zip(cells, pool.map(outcomes, cells, seeds, [runs] * len(cells)), strict=True))
    _table(f"Only the exposed fail, the control is healthy, {runs:,} runs a cell: `shared` is wrong", found["flag"])
    _table(f"The exposed fail {WORSE:g} times as often as a control that fails too: `shared` is wrong", found["worse"])
    _table("Both fail alike: `flag` is wrong, `unknown` takes the flag back as without a control", found["shared"])
    yield _worst("attribution: flag alone at fault, called shared", found["flag"], "shared", BETA)
    yield _worst(f"attribution: exposed {WORSE:g} times as bad, called shared", found["worse"], "shared", BETA)
    yield _worst("attribution: shared, called flag at the breach", found["shared"], "flag", 2 * ALPHA)
    decided = [counted for counted in found["shared"].values() if counted["shared"]]
    held = sum(counted["held"] for counted in decided) / max(1, sum(counted["shared"] for counted in decided))
    shared = [_rate(counted, "shared") for counted in found["shared"].values()]
    yield printed("attribution: shared, and known to be", f"{min(shared):.0%} to {max(shared):.0%} of runs, by traffic")
    yield printed(
        "attribution: shared for an hour, held all the time", f"{held:.1%} of those that were held", value=held
    )
