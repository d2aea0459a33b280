"""A source that answers at once, without Prometheus: what is measured beside it is the engine alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from watchdog.model import Objective, Rollout, Series
from watchdog.prometheus import Range
from watchdog.queries import expressions

NOISE = 997
"""How many random factors are drawn in advance; a prime, so that no grid sees the same ones again and again."""


class MadeSource:
    """Answers each of the rollout's expressions with a steady, noisy number, at every instant.

    Event objectives see 50 requests a second of which a fifth of the allowed share is bad, or all from the instant
    `broken_from` on; value objectives see half their limit.
    """

    def __init__(self, rollout: Rollout) -> None:
        self.broken_from: float = float("inf")
        self._means: dict[str, tuple[float, float]] = {}
        """Expression -> what it answers on a good and on a bad day."""
        chance = random.Random(20261122)
        self._noise = [chance.uniform(0.9, 1.1) for _ in range(NOISE)]
        for objective in rollout.objectives:
            for seconds in (objective.range, rollout.step_range(objective.detector), float(rollout.window.slice)):
                for role, text in expressions(rollout, objective, seconds).items():
                    self._means[text] = _means(objective, role, 50.0 * seconds)

    def instants(self, expressions: Sequence[str], at: int, deadline: float | None = None) -> list[Series]:  # noqa: ARG002
        """Each expression's answer at one instant."""
        return [Series({at: self._value(text, at)}) for text in expressions]

    def ranges(
        self,
        requests: Sequence[Range],
        deadline: float | None = None,  # noqa: ARG002
        on_progress: Callable[[int, int], None] | None = None,  # noqa: ARG002
    ) -> list[Series]:
        """Each request's answer over its stretch of the grid."""
        return [Series({at: self._value(one.expression, at) for at in one.instants}) for one in requests]

    def _value(self, expression: str, at: int) -> float:
        good, bad = self._means.get(expression, (1.0, 1.0))  # `present:` and the like answer one
        return (bad if at >= self.broken_from else good) * self._noise[(at // 30 + len(expression)) % NOISE]


def _means(objective: Objective, role: str, events: float) -> tuple[float, float]:
    if role == "bad":
        return events * objective.allowed / 5, events
    if role == "total":
        return events, events
    return objective.target.limit / 2, objective.target.limit / 2
