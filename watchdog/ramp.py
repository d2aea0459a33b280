"""The ramp's arithmetic: which step is next, when it is due, and what was planned when. Pure."""

from __future__ import annotations

from bisect import bisect_left

from watchdog.model import Exposure, PlanStep, Ramp

FINEST = 3
"""Decimals of a percentage that a plan keeps: no flag service divides its users finer than 0.001 %."""


def same_percent(one: float, other: float, step: float) -> bool:
    """Whether two percentages are the same to a service whose smallest step is `step` percent."""
    return abs(round(one / step) - round(other / step)) == 0


def same(one: Exposure, other: Exposure, step: float) -> bool:
    """Whether two exposures are the same to the service; whoever has 100 % has cohort and audiences too."""
    if not same_percent(one.percent, other.percent, step):
        return False
    alike = one.cohort == other.cohort and set(one.audiences) == set(other.audiences)
    return alike or same_percent(one.percent, 100.0, step)


def above(one: Exposure, other: Exposure, step: float) -> bool:
    """Whether `one` exposes anybody that `other` does not."""
    if same(one, other, step):
        return False
    if same_percent(other.percent, 100.0, step):
        return False
    more = one.percent > other.percent and not same_percent(one.percent, other.percent, step)
    return more or _besides(one, other)


def _besides(one: Exposure, other: Exposure) -> bool:
    """Whether a cohort or an audience has the feature in `one` and not in `other`."""
    return (one.cohort and not other.cohort) or not set(one.audiences) <= set(other.audiences)


def next_step(ramp: Ramp, exposure: Exposure) -> PlanStep | None:
    """The first planned step above what is exposed now; None at the plan's end."""
    steps, percent = ramp.steps, exposure.percent
    at = bisect_left(steps, percent, key=_percent)
    for step in steps[at:]:
        if step.exposure.percent > percent or _besides(step.exposure, exposure):
            return step
    return None


def _percent(step: PlanStep) -> float:
    return step.exposure.percent


def planned(ramp: Ramp, elapsed: float) -> Exposure:
    """What the plan exposes `elapsed` seconds after the start, had nothing been waited for."""
    exposure, due = Exposure(ramp.start), 0.0
    for step in ramp.steps:
        due += step.after
        if elapsed < due:
            break
        exposure = step.exposure
    return exposure


def schedule(ramp: Ramp) -> list[tuple[float, Exposure]]:
    """The plan as (seconds after the start, exposure from then on)."""
    points, due = [(0.0, Exposure(ramp.start))], 0.0
    for step in ramp.steps:
        due += step.after
        points.append((due, step.exposure))
    return points
