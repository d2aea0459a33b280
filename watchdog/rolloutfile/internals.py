"""Objectives that the watchdog measures itself: the flag, its drills, the alerts that it hears of."""

from __future__ import annotations

import dataclasses

from watchdog.model import INTERNAL_OBJECTIVES, Comparison, Kind, Objective, OnBreach, Target
from watchdog.rolloutfile.detectors import Surroundings, read_confirm
from watchdog.rolloutfile.fields import Section, text, unknown
from watchdog.rolloutfile.targets import COMPARISONS, refuse, value_target

PROMETHEUS_ONLY = ("range", "no_data", "present", "outside", "fresh", "max_age", "explain_by")
EVENTS_ONLY = ("min_events", "min_slice_events", "pool", "sequential")
ALARMS_A_DAY = Target(Comparison.BELOW, 5.0)
"""What `alert_noise` allows where the rule says nothing."""


def internal_objective(
    section: Section, name: str, on_breach: OnBreach | None, around: Surroundings
) -> Objective | None:
    """The objective of an `internal:`; None when that names none, which is a problem of the section then."""
    internal = section.take("internal", text, "")
    if not section.sound("internal"):
        return None
    if internal not in INTERNAL_OBJECTIVES:
        section.problem("internal", unknown("internal objective", internal, INTERNAL_OBJECTIVES))
        return None
    refuse(section, (*PROMETHEUS_ONLY, *EVENTS_ONLY), "an internal objective")
    detector = read_confirm(section, around, scraped=False)
    # Of the flag it is the distance between the reading and what is desired, in percent: none is wanted. The bound of
    # a drill follows further down the file (`bounded`).
    target = Target(Comparison.AT_MOST, 0.0)
    noise = None
    if internal == "alert_noise":
        target, noise = _alarms(section, around), around.noise
    else:
        refuse(section, COMPARISONS, "an internal objective")
    return Objective(name, Kind.INTERNAL, target, detector, on_breach or OnBreach.PAGE, internal=internal, noise=noise)


def _alarms(section: Section, around: Surroundings) -> Target:
    """How many false alarms a day the rule allows; who is told of no alert cannot count them."""
    if around.noise is None:
        section.problem(
            "internal",
            "alert_noise counts the alerts that Alertmanager sends here, and the receiver is closed: set "
            "alerts.token_file in watchdog.yaml (docs/noise.md), or leave the objective out",
        )
    refuse(section, ("above", "at_least"), "alert_noise, where fewer are better (below, at_most)")
    if not any(section.has(key) for key in ("below", "at_most")):
        return ALARMS_A_DAY
    target = value_target(section)
    if target is not None and target.limit < (1 if target.comparison is Comparison.BELOW else 0):
        section.problem(target.comparison.value, f"is {target.limit:g}, which no count of alarms can keep")
    return target or ALARMS_A_DAY


def bounded(objectives: tuple[Objective, ...], within: float) -> tuple[Objective, ...]:
    """The objectives, with the seconds in which a drill must have taken its flag back: those of a rollback."""
    target = Target(Comparison.BELOW, within)
    return tuple(
        dataclasses.replace(objective, target=target) if objective.internal == "rollback_capability" else objective
        for objective in objectives
    )
