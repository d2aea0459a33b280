"""What `explain_by:` of a rule cannot do, found before there is a breach. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from watchdog.errors import Problem
from watchdog.model import Kind, Objective, Rollout
from watchdog.queries import expressions
from watchdog.rulelint.splitting import CannotSplit, split_count, split_number


def refusals(rollout: Rollout, file: str) -> list[Problem]:
    """Each event objective whose bad events cannot be split by a label that it is to be explained by."""
    return [Problem(f"{file}: {place}", message) for place, message in _found(rollout, Kind.EVENT)]


def notes(rollout: Rollout) -> list[str]:
    """Each objective that is a number and cannot be told by a label; its breaches are then not explained by it."""
    return [f"{rollout.name}: {place}: {message}" for place, message in _found(rollout, Kind.VALUE)]


def _found(rollout: Rollout, kind: Kind) -> Iterator[tuple[str, str]]:
    for number, objective in enumerate(rollout.objectives):
        if objective.kind is not kind:
            continue
        for label in objective.explain_by:
            if why := _why(rollout, objective, label):
                yield f"objectives[{number}].explain_by", f"{objective.name} cannot be split by {label}: {why}"


def _why(rollout: Rollout, objective: Objective, label: str) -> str:
    queries = expressions(rollout, objective, objective.range)
    try:
        if objective.kind is Kind.EVENT:
            split_count(queries["bad"], label)
        else:
            split_number(queries["value"], label)
    except CannotSplit as error:
        return str(error)
    return ""
