"""What was asked of one objective, what came back, and what is found about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from watchdog.errors import SourceError
from watchdog.evaluate import NOTHING, Answers, measure
from watchdog.model import Measurement, Objective, Rollout, Series
from watchdog.online.promql import Selector, selectors
from watchdog.prometheus import Prometheus
from watchdog.queries import expand, expressions

Level = Literal["error", "warning", "ok"]
LOOKBACK = 300.0
"""Seconds for which Prometheus takes a series' newest sample for its present value."""
EVERYBODY = 'job=~".*"'
"""In place of `$cohort` where no control cohort is named: a matcher that every series meets."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of asking. An `error` means that the objective cannot be judged as it is written.

    `objective` is None where the finding is about the whole rollout or the server. `place` names the rollout and
    the key, `message` what was found, what was expected and what to do.
    """

    rollout: str
    objective: str | None
    level: Level
    place: str
    message: str
    topic: str = ""
    """What it is about, where others group by it: unit, bucket, fresh, spacing or retention."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One Prometheus objective with its queries as sent, by role, and their answers at the instant `at`."""

    rollout: Rollout
    objective: Objective
    at: int
    answers: dict[str, Series] = field(default_factory=dict)

    @property
    def texts(self) -> dict[str, str]:
        """Every query as sent: bad, total, value, fresh, present, and for `$cohort` those of the other cohort."""
        rollout, objective = self.rollout, self.objective
        found = expressions(rollout, objective, objective.range)
        if objective.silence_fails:
            found["present"] = objective.present
        if objective.uses_cohort and rollout.cohorts is not None:
            if rollout.cohorts.control:
                other = expressions(rollout, objective, objective.range, control=True)
                found |= {f"control {role}": text for role, text in other.items() if role != "fresh"}
            elif objective.total is not None:
                found["everybody total"] = expand(objective.total, objective.range, EVERYBODY)
        return found

    @property
    def seconds(self) -> float:
        """How far back a series may lie and still be part of an answer."""
        return max(self.objective.range, LOOKBACK)

    @property
    def measurement(self) -> Measurement:
        """The answers as the daemon would take them."""
        given = self.answers
        answers = Answers(
            given.get("bad", NOTHING), given.get("total", NOTHING), given.get("value", NOTHING), given.get("fresh")
        )
        return measure(self.objective, answers, [self.at])[0]

    def value(self, role: str) -> float | None:
        """The number that a query gave; None when it gave none, or was not asked."""
        return self.answers.get(role, NOTHING).values.get(self.at)

    def selected(self, *roles: str) -> list[Selector]:
        """The selectors of the queries of those roles, each once."""
        texts = self.texts
        return list(dict.fromkeys(one for role in roles if role in texts for one in selectors(texts[role])))

    def place(self, key: str = "") -> str:
        """The key's place: rollout, then path in its file."""
        path = f"objectives[{self.rollout.objectives.index(self.objective)}]"
        return f"{self.rollout.name}: {path}{'.' if key else ''}{key}"

    def found(self, level: Level, message: str, key: str = "") -> Finding:
        """A finding about this objective, or one key of it."""
        return Finding(self.rollout.name, self.objective.name, level, self.place(key), message)


def about(topic: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings, with their topic."""
    return (replace(one, topic=topic) for one in findings)


class Stored:
    """Which series Prometheus holds, each selector asked once."""

    def __init__(self, source: Prometheus) -> None:
        self._source = source
        self._known: dict[tuple[str, int, float], list[dict[str, str]]] = {}

    def series(self, selector: Selector, at: int, seconds: float) -> list[dict[str, str]]:
        """The label sets that match and have a sample in the `seconds` before `at`. Raises SourceError."""
        key = (str(selector), at, seconds)
        if key not in self._known:
            self._known[key] = self._source.series_of(str(selector), int(at - seconds), at)
        return self._known[key]

    def of(self, asked: Asked, selector: Selector) -> list[dict[str, str]]:
        """The label sets that could be part of an objective's answer. Raises SourceError."""
        return self.series(selector, asked.at, asked.seconds)


def or_warning(asked: Asked, what: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings; a SourceError on the way becomes a warning that `what` was not looked at."""
    try:
        yield from findings
    except SourceError as error:
        yield asked.found("warning", f"{what} was not looked at: {error}")
