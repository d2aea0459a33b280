"""Nobody loses a feature while its percentage rises: 10,000 users over every step of a week's ramp, under both hashes.

Each step is written to a flag file as the daemon writes it, and its weights are dealt by our own hash. Once a day's
worth of steps, and at the last one, flagd's Python core evaluates the document for each user, and must say the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import shop
from bench.figure import Figure, at_most, printed
from watchdog.flags.base import Change
from watchdog.flags.flagd_buckets import ERAS, bucket
from watchdog.flags.flagd_evaluator import Evaluator
from watchdog.flags.flagd_file import FlagdFile

USERS = tuple(f"user-{number}" for number in range(10_000))
QUICK = 12
"""Every so many steps are taken in a quick run."""
IN_FULL = 24
"""Every so many steps each user is evaluated by the core."""


def figures(*, quick: bool = False) -> Iterator[Figure]:
    """Users lost on any upward step, for each hash; and how far the shares were off."""
    for era in ERAS:
        lost, steps, furthest = ramp(era, QUICK if quick else 1)
        note = f"{len(USERS)} users, {steps} steps"
        yield at_most(f"users lost on an upward step, {era}", lost, 0, "", note)
        yield printed(
            f"largest distance of the share from its percentage, {era}", f"{furthest:.2f} points", value=furthest
        )


def ramp(era: str, every: int) -> tuple[int, int, float]:
    """Users that had the feature and lost it, steps taken, and the largest distance of a share in percent points."""
    rollout = shop.rollout()
    had: set[str] = set()
    lost, furthest, taken = 0, 0.0, 0
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        file = FlagdFile(Path(name) / "flags.json", bucketing=era)
        file.init((rollout.flag,), "bench")
        for number, step in enumerate(rollout.ramp.steps, 1):
            if number % every and number != len(rollout.ramp.steps):
                continue
            taken += 1
            file.set(rollout.flag, Change(step.exposure, (), "bench", "a step", rollout.name))
            has = exposed(file.document()[1], rollout.flag, era, in_full=number % IN_FULL == 0)
            lost += len(had - has)
            furthest = max(furthest, abs(100 * len(has) / len(USERS) - step.exposure.percent))
            had = has
    return lost, taken, furthest


def exposed(document: dict[str, Any], flag: str, era: str, *, in_full: bool) -> set[str]:
    """Who has the feature; RuntimeError when the whole evaluation says otherwise than the weights."""
    (_, on), (_, off) = document["flags"][flag]["targeting"]["fractional"]
    has = {user for user in USERS if bucket(flag, user, era, on + off) < on}
    if in_full:
        evaluator = Evaluator(document, era)
        evaluated = {user for user in USERS if evaluator.evaluate(flag, {"targetingKey": user}).value is True}
        if evaluated != has:
            raise RuntimeError(f"{era}: weights and evaluation differ for {len(evaluated ^ has)} users")
    return has
