"""A service whose requests are split by a flag: each cohort fails on its own, or both do.

shop = Shop(clock)
shop.fails(NOON + 600, share=0.05, name=EXPOSED)      # those who have the feature
shop.fails(NOON + 600, share=0.05, name=CONTROL)      # those who do not
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.rollouts import COHORTS, NOON, split
from tests.sources import Service
from tests.stage import Stage, a_rule
from watchdog.model import Attribution, Rollout, Series
from watchdog.prometheus import Range
from watchdog.replay import Replay

EXPOSED, CONTROL = "exposed_errors", "control_errors"


class Shop(Service):
    """Both cohorts have the same traffic; the control's is told under a name of its own."""

    def _series(self, request: Range) -> Series:
        expression = re.sub(r"^sum\(increase\((.*)\)\)$", r"\1", request.expression)
        if 'variant="off"' in expression:
            expression = expression.replace(EXPOSED, CONTROL)
        return super()._series(replace(request, expression=expression))


def a_split_rule(*more: str, **top: str) -> Rollout:
    """One objective, split by cohort, on a ramp that begins with half of everybody."""
    ramp = "{strategy: progressive, from: 50, to: 100, over: 10h, every: 5h}"
    return a_rule(split(EXPOSED, *more), **{"cohorts": COHORTS, "ramp": ramp, **top})


def a_summed_rule(labels: str) -> Rollout:
    """The same, in queries that a PromQL parser takes, with its breaches explained by these labels."""
    queries = [f"{role}: 'sum(increase({EXPOSED}_{role}{{$cohort}}[$range]))'" for role in ("bad", "total")]
    lines = "\n    ".join([f"  - name: {EXPOSED}", *queries, "at_most: 0.1%", f"explain_by: [{labels}]"])
    ramp = "{strategy: progressive, from: 50, to: 100, over: 10h, every: 5h}"
    return a_rule(lines, cohorts=COHORTS, ramp=ramp)


def staged(path: Path, rule: Rollout | None = None, **how: Any) -> Stage:
    """A stage whose source is a shop, with the flag where the ramp begins."""
    stage = Stage(path, rule or a_split_rule(), **how)
    stage.turned_to(50.0)
    stage.service = Shop(stage.clock)
    stage.start_up()
    return stage


def attributions(stage: Stage) -> list[Attribution]:
    return stage.ledger.attributions(stage.stored.id)


def replayed(stage: Stage, until: float, **how: Any) -> Replay:
    """The same time, replayed over what the shop says now."""
    started = stage.stored.started_at
    assert started is not None
    run = Replay(stage.rule, int(started), int(until), keep_going=True, **how)
    run.run(stage.service)
    return run


START = NOON
