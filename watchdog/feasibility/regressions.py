"""The smallest regression that would be found in time: each objective, each exposure of the ramp."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from watchdog.evaluate import missed
from watchdog.feasibility.confirming import smallest_failing
from watchdog.feasibility.detectable import Chances, Traffic, smallest, steps_within, thinned, traffic
from watchdog.feasibility.past import Past
from watchdog.feasibility.result import Confirmed, Detectable
from watchdog.model import Confirm, Objective, Rollout, Sequential
from watchdog.ramp import schedule

WITHIN = (600.0, 3600.0)
"""Seconds from the onset in which a regression is to be found."""
SHOWN = (1.0, 5.0, 10.0, 50.0)
"""Of a ramp with many steps, those nearest to these percentages are looked at, its last, and a small first one."""


def exposures(rollout: Rollout) -> list[tuple[float, float]]:
    """(percent, seconds from the start) of the steps that are looked at; a cohort alone is no percentage."""
    plan: dict[float, float] = {}
    for due, exposure in schedule(rollout.ramp):
        if exposure.percent > 0.0:
            plan.setdefault(exposure.percent, due)
    percents = sorted(plan)
    if len(percents) > len(SHOWN) + 1:
        near = {min(percents, key=lambda percent: abs(percent - shown)) for shown in SHOWN}
        small = [percent for percent in percents[:1] if percent < SHOWN[0] / 2.0]
        percents = sorted({*small, *near, percents[-1]})
    return [(percent, plan[percent]) for percent in percents]


def detectable(rollout: Rollout, past: Past, random: Random) -> Iterator[Detectable]:
    """Every event objective with `sequential`, at every exposure, within every time."""
    chances = Chances(random)
    for objective in past.rollout.objectives:
        if isinstance(objective.detector, Sequential):
            seen = traffic(past.steps.get(objective.name, ()))
            for within in WITHIN:
                yield from _of(rollout, past, objective, seen, within, chances)


def _of(
    rollout: Rollout, past: Past, objective: Objective, seen: Traffic, within: float, chances: Chances
) -> Iterator[Detectable]:
    rule, plan = past.rollout, exposures(rollout)
    steps = steps_within(rule, objective, within)
    everybody = smallest(rule, objective, seen, steps, chances)
    split: dict[float, float | None] = {}
    if rollout.cohorts is not None:
        for percent, due in plan:
            share = percent / 100.0
            split[percent] = (
                everybody
                if percent >= 100.0
                else smallest(rule, objective, seen, steps, chances, exposure=share, split=True, after=due)
            )
    for percent, _ in plan:
        pooled = thinned(everybody, seen.share, percent / 100.0)
        yield Detectable(
            objective.name, percent, within, seen.share, pooled, split.get(percent), splits=objective.uses_cohort
        )


def confirmed(past: Past) -> Iterator[Confirmed]:
    """Every objective with `confirm`."""
    for objective in past.rollout.objectives:
        rule = objective.detector
        if not isinstance(rule, Confirm):
            continue
        known = [step for step in past.steps.get(objective.name, ()) if step.reason is None and step.total != 0.0]
        usual = sum(missed(objective, step) for step in known) / len(known) if known else 0.0
        soonest = past.rollout.delay + past.rollout.interval + (rule.fails + 1) * rule.every
        for within in WITHIN:
            failing = smallest_failing(rule, steps_within(past.rollout, objective, within))
            yield Confirmed(objective.name, f"{rule.fails} of {rule.of}", soonest, within, failing, usual)
