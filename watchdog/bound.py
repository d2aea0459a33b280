"""What is judged of a rollout before it runs: the worst case until flag off, who sees a dead service. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from watchdog.detect import NEVER, reach
from watchdog.errors import Problem
from watchdog.model import STANDARD_OBJECTIVES, Kind, Objective, OnBreach, Rollout, Sequential
from watchdog.quantities import format_duration, format_number, format_share

WAIVERS = ("dead_service", "pooled_exposure", "rollback_bound", "feasibility", "preflight", "late_start")
"""The names that `waive:` knows. The first three are needed or idle at load; the others show when they are met."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The longest from the onset of a total failure to flag off, term by term. All in seconds.

    `steps` is the detector's reach when every event is bad. `holds_from` is the least number of events a detector step
    (per step, not per second) for which the sum is as short as this; `lowest_traffic` the least for which it stays
    within `within`, None when no traffic does it. Both are 0 for objectives that count no events.
    """

    objective: str
    steps: int
    parts: tuple[tuple[str, float], ...]
    total: float
    within: float
    holds_from: int = 0
    lowest_traffic: int | None = 0

    @property
    def holds(self) -> bool:
        """Whether the sum is within the limit."""
        return self.total <= self.within

    @property
    def spelled_out(self) -> str:
        """The sum with its terms: `15s scrape_interval + ... = 5m30s`."""
        terms = " + ".join(f"{format_duration(seconds)} {name}" for name, seconds in self.parts)
        return f"{terms} = {format_duration(self.total)}"


@dataclass(frozen=True, slots=True)
class Judgement:
    """Everything that loading a rollout concludes. Places are paths inside its file."""

    refusals: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    waived: dict[str, str] = field(default_factory=dict)
    """Waivers that were needed, with the reason their author gave."""
    bounds: tuple[Bound, ...] = ()
    """One for each objective that rolls back."""
    not_controlled: tuple[str, ...] = ()
    """Objectives that roll back without a guaranteed rate of false rollbacks."""
    missing: tuple[str, ...] = ()
    """Which of the seven standard objectives this rollout does not judge."""


def worst_case(rollout: Rollout, objective: Objective) -> Bound:
    """The sum of semantics 5 for one objective. The defaults make 330 s at an allowed share of 0.1 %."""
    steps = _reach(rollout, objective)
    every = objective.detector.every
    parts = [
        ("scrape_interval", rollout.scrape_interval),
        (f"({steps} + 1) detector steps", float((steps + 1) * every)),
        ("interval", float(rollout.interval)),
        ("delay", rollout.delay),
        ("tick_deadline", rollout.tick_deadline),
        ("flag write timeout", rollout.write_timeout),
        ("propagation", rollout.propagation),
    ]
    if objective.silence_fails:
        # Silence counts only once the two ranges before it are looked at; the newest sample stays visible for one.
        parts.append(("range until silence shows", rollout.step_range(objective.detector)))
    total = math.fsum(seconds for _, seconds in parts)
    within = rollout.rollback.within
    spare = steps + math.floor((within - total) / every + 1e-9)
    lowest = _least_events(rollout, objective, spare) if total <= within else None
    return Bound(
        objective.name, steps, tuple(parts), total, within, _least_events(rollout, objective, steps) or 0, lowest
    )


def _reach(rollout: Rollout, objective: Objective, events: float | None = None) -> int:
    detector = objective.detector
    return reach(detector, objective.allowed, rollout.alpha, rollout.planned_steps(detector), events)


def _least_events(rollout: Rollout, objective: Objective, steps: int) -> int | None:
    """The fewest events a step with which a total failure alarms within `steps`; more events never take longer."""
    if not isinstance(objective.detector, Sequential):
        return 0
    low, high = 1, math.ceil(0.3 / (objective.detector.rollback_above * objective.allowed))
    if _reach(rollout, objective, high) > steps:
        return None
    while low < high:
        middle = (low + high) // 2
        if _reach(rollout, objective, middle) <= steps:
            high = middle
        else:
            low = middle + 1
    return low


def judge(rollout: Rollout) -> Judgement:
    """Refusals, warnings and notes of a rollout that is well formed; waivers already taken into account."""
    judgement = Judgement(
        bounds=tuple(worst_case(rollout, objective) for objective in _rolling_back(rollout)),
        not_controlled=tuple(o.name for o in _rolling_back(rollout) if not _controlled(o)),
        missing=tuple(name for name in STANDARD_OBJECTIVES if name not in {o.name for o in rollout.objectives}),
    )
    needed = {
        "rollback_bound": _late(rollout, judgement.bounds),
        "dead_service": _blind_to_death(rollout),
    }
    for waiver, problems in needed.items():
        _settle(rollout, judgement, waiver, problems, judgement.refusals)
    _settle(rollout, judgement, "pooled_exposure", _pooled(rollout), judgement.warnings)
    judgement.warnings.extend(_thin_ranges(rollout))
    judgement.notes.extend(_notes(rollout, judgement))
    return judgement


def _settle(
    rollout: Rollout, judgement: Judgement, waiver: str, problems: list[Problem], unless_waived: list[Problem]
) -> None:
    """Put what was found where it belongs: waived by name, or among what refuses or warns."""
    reason = rollout.waive.get(waiver)
    if reason is None:
        unless_waived.extend(problems)
    elif problems:
        judgement.waived[waiver] = reason
        judgement.notes.extend(f"waived ({waiver}, {reason!r}): {problem}" for problem in problems)
    else:
        judgement.notes.append(f"waive.{waiver} is idle: nothing here needs it")


def _rolling_back(rollout: Rollout) -> list[Objective]:
    return [objective for objective in rollout.objectives if objective.on_breach is OnBreach.ROLLBACK]


def _place(rollout: Rollout, objective: Objective) -> str:
    return f"objectives[{rollout.objectives.index(objective)}]"


def _controlled(objective: Objective) -> bool:
    """Whether false rollbacks have a guaranteed rate: only disjoint counts in `sequential` do."""
    return isinstance(objective.detector, Sequential) and objective.uses_range


def _late(rollout: Rollout, bounds: tuple[Bound, ...]) -> list[Problem]:
    problems = []
    for objective, bound in zip(_rolling_back(rollout), bounds, strict=True):
        if bound.holds:
            continue
        steps = "no number of" if bound.steps >= NEVER else str(bound.steps)
        traffic = f", from {bound.holds_from} events a step on (fewer take longer)" if bound.holds_from else ""
        problems.append(
            Problem(
                _place(rollout, objective),
                f"{objective.name} would take the flag off {format_duration(bound.total)} after a total failure, later "
                f"than rollback.within, {format_duration(bound.within)}: {bound.spelled_out}; its detector needs "
                f"{steps} steps when every event is bad{traffic}. Write a shorter every or a shorter scrape interval, "
                "a larger rollback.within, or waive: {rollback_bound: reason}",
            )
        )
    return problems


def _blind_to_death(rollout: Rollout) -> list[Problem]:
    seeing = [o for o in _rolling_back(rollout) if o.kind is not Kind.INTERNAL and (o.silence_fails or o.outside)]
    if seeing:
        return []
    return [
        Problem(
            "objectives",
            "no objective that rolls back would see it if every process of the service died: its series would end, and "
            "no data is never failure by itself. Give one of them no_data: fail, or outside: true if it is measured at "
            "a probe or load balancer (use: availability is one), or waive: {dead_service: reason}",
        )
    ]


def _pooled(rollout: Rollout) -> list[Problem]:
    low = [step.exposure for step in rollout.ramp.steps if step.exposure.percent < 50 and not step.exposure.none]
    measured = [o for o in _rolling_back(rollout) if o.kind is not Kind.INTERNAL]
    if not low or not measured or any(o.uses_cohort for o in measured):
        return []
    names = ", ".join(o.name for o in measured)
    return [
        Problem(
            "objectives",
            f"{names} pool everybody, and this ramp exposes as few as {low[0]}: errors of the few drown in the many. "
            "Where the metric has a label for it, split one with $cohort and cohorts:, or waive: "
            "{pooled_exposure: reason}",
        )
    ]


def _thin_ranges(rollout: Rollout) -> list[Problem]:
    least = 2 * rollout.scrape_interval
    return [
        Problem(
            f"{_place(rollout, o)}.range",
            f"is {format_duration(o.range)}, shorter than 2 scrape intervals ({format_duration(least)}): increase() "
            "and rate() over it are empty; write a longer range",
        )
        for o in rollout.objectives
        if o.uses_range and o.range < least
    ]


def _notes(rollout: Rollout, judgement: Judgement) -> list[str]:
    notes = [_bound_note(rollout, bound) for bound in judgement.bounds if bound.holds]
    notes.extend(
        f"{name} has no guaranteed rate of false rollbacks: {_why_not_controlled(rollout.objective(name))}"
        for name in judgement.not_controlled
    )
    notes.extend(_idle_note(rollout, o) for o in rollout.objectives if o.kind is Kind.EVENT)
    if judgement.missing:
        judged = len(STANDARD_OBJECTIVES) - len(judgement.missing)
        total = len(STANDARD_OBJECTIVES)
        notes.append(f"{judged} of the {total} standard objectives are judged; missing: {', '.join(judgement.missing)}")
    return notes


def _bound_note(rollout: Rollout, bound: Bound) -> str:
    said = f"{bound.objective}: flag off at most {format_duration(bound.total)} after a total failure"
    if not bound.lowest_traffic:
        return said
    every = format_duration(rollout.objective(bound.objective).detector.every)
    return (
        f"{said}, from {bound.holds_from} events per {every} on; within {format_duration(bound.within)} down to "
        f"{bound.lowest_traffic} per {every}"
    )


def _why_not_controlled(objective: Objective) -> str:
    if isinstance(objective.detector, Sequential):
        return "its queries do not use $range, so its steps overlap"
    return f"confirm, {objective.detector.fails} of {objective.detector.of}, counts failing steps"


def _idle_note(rollout: Rollout, objective: Objective) -> str:
    seconds = rollout.window.seconds if objective.pool_window else rollout.window.slice
    span = "window" if objective.pool_window else "slice"
    rate = format_number(objective.min_slice_events / seconds)
    advice = "" if objective.pool_window else "; with less traffic write a longer window.slice or pool: window"
    return (
        f"{objective.name}: a {span} of {format_duration(seconds)} counts from "
        f"{format_number(objective.min_slice_events)} events, {rate} a second{advice} "
        f"(allowed share {format_share(objective.allowed)})"
    )
