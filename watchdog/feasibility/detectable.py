"""The smallest regression that the rollout's own detector finds in time, at the traffic that the service had.

Regressions begin at instants spread over the whole history, so nights count for what they are. Requests fail
independently of each other; one that is served to an exposed user fails with the share that is looked for. Each
number of events is drawn from the same table of chances for every share, so that a larger one is never found later.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from watchdog import detect
from watchdog.model import Measurement, Objective, Rollout

POWER = 0.8
"""The share of regressions that must be found in time."""
RUNS = 80
"""Regressions that are tried for one share."""
WARM = 30
"""Healthy steps before the onset."""
CLOSE = 1.08
"""Shares are looked for to this factor."""
FEW = 30.0
"""A mean above which a number of events is drawn as a normal one."""

Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What an objective's detector saw: events of each known step (None: unknown), and the bad share of all of them."""

    totals: tuple[float | None, ...]
    share: float

    @property
    def typical(self) -> float:
        """The median number of events in a step."""
        known = sorted(total for total in self.totals if total is not None)
        return known[len(known) // 2] if known else 0.0


def traffic(steps: Sequence[Measurement]) -> Traffic:
    """The traffic of a history of detector steps."""
    totals = tuple(step.total if step.reason is None and not step.silent else None for step in steps)
    bad = math.fsum(step.bad or 0.0 for step in steps if step.total is not None)
    total = math.fsum(total for total in totals if total is not None)
    return Traffic(totals, bad / total if total > 0.0 else 0.0)


def steps_within(rollout: Rollout, objective: Objective, seconds: float) -> int:
    """Whole detector steps that are judged within `seconds` of an onset that falls just after a step."""
    left = seconds - rollout.delay - rollout.interval
    return max(0, math.floor(left / objective.detector.every + 1e-9) - 1)


class Chances:
    """The table of chances, one pair for each run and step; made once for all objectives."""

    def __init__(self, random: Random, runs: int = RUNS) -> None:
        self.runs = runs
        self._random = random
        self._rows: list[list[Pair]] = [[] for _ in range(runs)]

    def row(self, run: int, steps: int) -> list[Pair]:
        """Normal deviates for the bad and the good events of each step of one run."""
        row = self._rows[run]
        while len(row) < steps:
            row.append((self._random.gauss(0.0, 1.0), self._random.gauss(0.0, 1.0)))
        return row


def draw(mean: float, most: float, z: float) -> float:
    """A number of events out of `most`, of which `mean` are expected, at the normal deviate `z`: it rises with both."""
    if mean <= 0.0:
        return 0.0
    if mean >= most:
        return most
    share = mean / most
    if mean > FEW:
        return min(most, max(0.0, round(mean + z * math.sqrt(mean * (1.0 - share)))))
    # Binomial by inversion, continued to numbers that `increase()` did not leave whole.
    below, chance = 0.5 * math.erfc(-z / math.sqrt(2.0)), (1.0 - share) ** most
    count, odds, reached = 0, share / (1.0 - share), chance
    while reached < below and count < most:
        chance *= (most - count) / (count + 1) * odds
        count += 1
        reached += chance
        if chance <= 0.0:
            break
    return min(float(count), most)


@dataclass(frozen=True, slots=True)
class Onset:
    """A regression of `share` among the exposed, who are `exposure` of all and, when `split`, all that is looked at."""

    share: float
    exposure: float
    split: bool


def found_within(
    tuning: detect.Tuning, begun: detect.State, seen: Traffic, onset: Onset, steps: int, chances: Chances
) -> float:
    """The share of regressions that the detector finds within so many steps; stops as soon as POWER is decided."""
    runs, found, missed = chances.runs, 0, 0
    count = max(1, len(seen.totals) - steps)
    for run in range(runs):
        first = int((run + 0.5) * count / runs)
        if _finds(tuning, begun, seen, onset, seen.totals[first : first + steps], chances.row(run, steps)):
            found += 1
        else:
            missed += 1
        if found >= POWER * runs or missed > (1.0 - POWER) * runs:
            break
    return found / (found + missed) if missed > (1.0 - POWER) * runs else max(POWER, found / (found + missed))


def _finds(
    tuning: detect.Tuning,
    state: detect.State,
    seen: Traffic,
    onset: Onset,
    totals: Sequence[float | None],
    row: Sequence[Pair],
) -> bool:
    part = onset.exposure if onset.split else 1.0
    failing = onset.share if onset.split else seen.share + onset.exposure * (onset.share - seen.share)
    for total, (one, other) in zip(totals, row, strict=False):
        if not total:
            continue
        bad = draw(total * part * failing, total, one)
        good = draw(total * part * (1.0 - failing), total, other) if part < 1.0 else max(0.0, total - bad)
        outcome = detect.fold(tuning, state, detect.Step(0, False, bad, bad + good))  # noqa: FBT003
        if outcome.alarm:
            return True
        state = outcome.state
    return False


def smallest(
    rollout: Rollout,
    objective: Objective,
    seen: Traffic,
    steps: int,
    chances: Chances,
    *,
    exposure: float = 1.0,
    split: bool = False,
    after: float = 0.0,
) -> float | None:
    """The smallest bad share among the exposed that is found within `steps` in POWER of the cases; None if none is.

    `exposure` is a fraction; `after` are the seconds of the watch that are over by then. Pooled at another exposure
    than 1 follows from exposure 1, see `thinned`.
    """
    tuning = detect.tuning(rollout, objective)
    begun = _begun(tuning, objective, seen, exposure if split else 1.0, after)

    def finds(share: float) -> bool:
        onset = Onset(share, exposure, split)
        return found_within(tuning, begun, seen, onset, steps, chances) >= POWER

    if steps == 0 or not finds(1.0):
        return None
    low, high = max(seen.share, 0.01 * objective.allowed), 1.0
    while high / low > CLOSE:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if finds(middle) else (middle, high)
    return high


def _begun(tuning: detect.Tuning, objective: Objective, seen: Traffic, part: float, after: float) -> detect.State:
    """The detector's state at the onset: some healthy steps, so late in the watch."""
    total = seen.typical * part
    state = detect.State(used=max(0, round(after / objective.detector.every) - WARM))
    for _ in range(WARM):
        state = detect.fold(tuning, state, detect.Step(0, False, total * seen.share, total)).state  # noqa: FBT003
    return state


def thinned(share: float | None, usual: float, exposure: float) -> float | None:
    """The bad share among the exposed that makes everybody's `share`; None where even 1 does not."""
    if share is None or exposure <= 0.0:
        return None
    needed = usual + (share - usual) / exposure
    return needed if needed <= 1.0 else None
