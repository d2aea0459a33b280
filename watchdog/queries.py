"""An objective's queries as they are sent to Prometheus. Pure."""

from __future__ import annotations

from watchdog.model import Objective, Rollout
from watchdog.quantities import promql_duration


def expand(query: str, seconds: float, cohort: str | None) -> str:
    """The query as it is sent: `$range` in whole milliseconds at the finest, `$cohort` as a label matcher."""
    return query.replace("$range", promql_duration(seconds)).replace("$cohort", cohort or "")


def expressions(rollout: Rollout, objective: Objective, seconds: float, *, control: bool = False) -> dict[str, str]:
    """The objective's queries as sent, by role (bad, total, value, fresh)."""
    cohorts = rollout.cohorts
    cohort = None if cohorts is None else (cohorts.control if control else cohorts.exposed)
    roles = {"bad": objective.bad, "total": objective.total, "value": objective.value, "fresh": objective.fresh}
    return {role: expand(query, seconds, cohort) for role, query in roles.items() if query is not None}


def judged(rollout: Rollout, objective: Objective) -> str:
    """One expression for what is judged: the bad share of an event objective, else the number; empty if internal."""
    roles = expressions(rollout, objective, objective.range)
    if "bad" in roles and "total" in roles:
        return f"({roles['bad']}) / ({roles['total']})"
    return roles.get("value", "")
