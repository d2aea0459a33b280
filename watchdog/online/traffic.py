"""Whether there is enough traffic for a verdict, now and at the exposures of the ramp."""

from __future__ import annotations

from collections.abc import Iterator

from watchdog.model import Objective, Rollout
from watchdog.online.asked import Asked, Finding, Level, Stored
from watchdog.online.labels import why_empty
from watchdog.quantities import format_duration, format_number


def of_everybody(asked: Asked) -> Iterator[Finding]:
    """An event objective over all traffic: whether its slots and slices hold enough events at the present rate."""
    objective, total = asked.objective, asked.value("total")
    if total is None or total < 0:
        return
    range_ = format_duration(objective.range)
    if total <= 0 or total < objective.min_events:
        yield asked.found(
            "warning",
            f"{format_number(total)} events in {range_}, fewer than min_events, {format_number(objective.min_events)}: "
            "the slot is unknown (low_traffic) and holds the ramp; write a longer range or a smaller min_events",
            "min_events",
        )
    expected = _in_span(asked.rollout, objective, total)
    if expected is not None and expected < objective.min_slice_events:
        remedy = (
            "" if objective.pool_window else "; write a longer window.slice or pool: window, or a larger allowed share"
        )
        yield asked.found(
            "warning",
            f"at the present rate {_span(asked.rollout, objective)} holds {format_number(expected)} events, fewer "
            f"than min_slice_events, {format_number(objective.min_slice_events)}: it is idle and completes no "
            f"window{remedy}",
            "min_slice_events",
        )


def of_cohort(asked: Asked, stored: Stored) -> Iterator[Finding]:
    """A `$cohort` objective: whether its matcher finds anybody, and at which exposure there will be enough of them."""
    objective, rollout = asked.objective, asked.rollout
    role = "total" if objective.total is not None else "value"
    unseen = [one for one in asked.selected(role) if not stored.of(asked, one)]
    exposed = rollout.cohorts.exposed if rollout.cohorts is not None else ""
    if unseen:
        why = why_empty(asked, stored, unseen[0])
        yield asked.found("warning", f"no series has {exposed} yet: nobody is exposed, or the label differs. {why}")
    control = asked.selected(f"control {role}")
    if control and not any(stored.of(asked, one) for one in control) and rollout.cohorts is not None:
        why = why_empty(asked, stored, control[0])
        yield asked.found("warning", f"no series has {rollout.cohorts.control}, the control cohort. {why}")
    if objective.total is not None:
        yield from _exposures(asked)


def _exposures(asked: Asked) -> Iterator[Finding]:
    objective, rollout = asked.objective, asked.rollout
    everybody = asked.value("everybody total")
    if everybody is None:
        everybody = (asked.value("total") or 0.0) + (asked.value("control total") or 0.0)
    if not everybody > 0:
        yield asked.found("warning", "neither cohort has any traffic now, so nothing can be said of small exposures")
        return
    slot = 100 * objective.min_events / everybody
    parts = [f"min_events, {format_number(objective.min_events)}, from {_percent(slot)} exposure on"]
    most = slot
    pooled = _in_span(rollout, objective, everybody)
    if pooled:
        slice_ = 100 * objective.min_slice_events / pooled
        most = max(slot, slice_)
        parts.append(f"min_slice_events, {format_number(objective.min_slice_events)}, from {_percent(slice_)} on")
    level: Level = "ok" if most <= rollout.ramp.to else "warning"
    beyond = "" if level == "ok" else f"; the ramp ends at {rollout.ramp.to:g} %, so write smaller minima"
    yield asked.found(
        level,
        f"with {format_number(everybody)} events of both cohorts in {format_duration(objective.range)}, it reaches "
        f"{' and '.join(parts)}{beyond}",
    )


def _percent(share: float) -> str:
    """The least exposure, in two digits."""
    if share > 100:
        return "more than 100 %"
    return f"{max(share, 0.001):.2g} %"


def _in_span(rollout: Rollout, objective: Objective, events: float) -> float | None:
    """Events of a slice (of a window where those are pooled) when the range has `events`; None without `$range`."""
    if "$range" not in (objective.total or ""):
        return None
    seconds = rollout.window.seconds if objective.pool_window else rollout.window.slice
    return events / objective.range * seconds


def _span(rollout: Rollout, objective: Objective) -> str:
    name, seconds = ("window", rollout.window.seconds) if objective.pool_window else ("slice", rollout.window.slice)
    return f"a {name} of {format_duration(seconds)}"
