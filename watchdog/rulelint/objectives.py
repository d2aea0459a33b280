"""Objectives -> expressions: those of rollouts as the engine sends them, standard ones without a service's labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from watchdog.model import Kind, Objective, Rollout
from watchdog.quantities import parse_duration
from watchdog.queries import expand, expressions
from watchdog.rolloutfile.fields import Findings, Section, text
from watchdog.rolloutfile.yamltext import load_mapping, read_text
from watchdog.rulebook.promql import outside_strings, unlabeled
from watchdog.rulelint.model import Expression

KEYS = ("bad", "total", "value", "fresh", "present")
RANGE = 300.0
"""Seconds that `$range` stands for in a standard objective that names none."""


def of_rollout(rollout: Rollout) -> list[Expression]:
    """Every query of a rollout's objectives, `$range` and `$cohort` filled in as for a slot."""
    return [
        Expression(place, "objective", query)
        for objective in rollout.objectives
        if objective.kind is not Kind.INTERNAL
        for place, query in _of_objective(rollout, objective)
    ]


def place_of(rollout: Rollout, objective: Objective, role: str) -> str:
    """Where a query of a rollout is written."""
    return f"rollout {rollout.name}: objective {objective.name}: {role}"


def _of_objective(rollout: Rollout, objective: Objective) -> Iterator[tuple[str, str]]:
    for role, query in expressions(rollout, objective, objective.range).items():
        yield place_of(rollout, objective, role), query
    if objective.silence_fails:
        yield place_of(rollout, objective, "present"), objective.present
    if objective.uses_cohort and rollout.cohorts is not None and rollout.cohorts.control:
        for role, query in expressions(rollout, objective, objective.range, control=True).items():
            yield place_of(rollout, objective, f"control {role}"), query


def read_standard(path: Path, findings: Findings) -> list[Expression]:
    """The queries of a standard objective's file, for every service; problems go to `findings`. Raises ConfigError."""
    data, duplicates = load_mapping(read_text(path), str(path))
    findings.problems += duplicates
    root = Section(data, "", findings)
    seconds = root.take("range", parse_duration, RANGE)
    written = {key: root.take(key, text, "") for key in KEYS}
    return [
        Expression(f"{path}: {key}", "objective", expand(_everybody(query), seconds, ""))
        for key, query in written.items()
        if query
    ]


def _everybody(query: str) -> str:
    return outside_strings(unlabeled(query), lambda part: part.replace("$cohort", ""))
