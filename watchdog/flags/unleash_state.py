"""What a flag of Unleash serves in one environment. No calls here.

Strategies of a flag are alternatives: each of them alone can switch the feature on. Exposure is known only when there
is one `flexibleRollout` without constraints, whose `rollout` is a whole percentage, and besides it at most the
watchdog's own cohort strategy. Anything else is named, and makes exposure unknown unless the environment is off.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from watchdog.errors import FlagServiceError
from watchdog.flags.unleash_strategies import (
    COHORT,
    ROLLOUT,
    STICKY,
    Cohort,
    Json,
    Marks,
    Percentage,
    is_own,
    marks_in,
    printable,
)
from watchdog.model import NOBODY, Exposure, FlagReading

_WHOLE = re.compile(r"100|[1-9]?[0-9]")


@dataclass(frozen=True, slots=True)
class State:
    """A flag in one environment. `problems` say why its exposure cannot be told from its strategies."""

    enabled: bool
    version: str
    percentage: Percentage | None
    cohort: Cohort | None
    problems: tuple[str, ...]
    strategies: int
    """How many there are, those that are switched off included."""
    idle: int
    """How many of them are switched off: they serve nobody, until somebody switches them on."""
    owns: tuple[Percentage, ...] = ()
    """The rollout strategies that hold the watchdog's marks; a seal that was cut short leaves two."""

    @property
    def marks(self) -> Marks:
        """The watchdog's marks, empty when there are none or a person wrote over them."""
        return marks_in(self.percentage.title if self.percentage is not None else None)

    @property
    def beneath(self) -> Exposure:
        """What is served as long as the environment is switched on, leaving `problems` aside."""
        percent = self.percentage.percent if self.percentage is not None else 0
        return Exposure(float(percent), cohort=self.cohort is not None)

    @property
    def members(self) -> tuple[str, ...]:
        """The cohort's targeting keys, whether the environment is on or off."""
        return self.cohort.members if self.cohort is not None else ()

    def reading(self, place: str) -> FlagReading:
        """What readers get. Raises FlagServiceError when it is not known who does."""
        if self.enabled:
            self.known(place)
        exposure = self.beneath if self.enabled else NOBODY
        marks = self.marks
        members = self.members if exposure.cohort else ()
        return FlagReading(exposure, self.version, marks.latch or None, marks.idem, members)

    def known(self, place: str) -> Percentage:
        """The rollout strategy, if exposure follows from it and the cohort alone. Raises FlagServiceError."""
        if self.percentage is None or self.problems:
            found = "; ".join(self.problems)
            raise FlagServiceError(
                f"{place}: who has the feature is unknown: {found}; expected one flexibleRollout strategy without "
                "constraints; remove the rest in Unleash (a kill works all the same)",
                permanent=True,
            )
        return self.percentage

    @property
    def mine(self) -> tuple[Percentage, ...]:
        """The rollout strategies to change: not a person's beside others, that is not the watchdog's."""
        if self.percentage is not None and not self.problems:
            return (self.percentage,)
        return self.owns

    def seal(self, rollout: str | None) -> Percentage | None:
        """The strategy that serves nobody and holds the latch of `rollout`, where there is one."""
        latched = (one for one in self.mine if one.percent == 0 and rollout in (None, marks_in(one.title).latch))
        return next(latched, None)

    def sealed(self, rollout: str | None) -> bool:
        """Whether the watchdog's strategies expose nobody, also when switched on, and hold the latch of `rollout`."""
        if self.cohort is not None or len(self.mine) > 1:
            return False
        return not self.mine or self.seal(rollout) is not None


def parse(feature: object, environment: str, place: str) -> State:
    """The flag as Unleash tells it. Raises FlagServiceError for an answer or an environment that is not understood."""
    whole = _map(feature, place)
    environments = [_map(one, place) for one in _list(whole, "environments", place)]
    found = next((one for one in environments if one.get("name") == environment), None)
    if found is None:
        names = ", ".join(str(one.get("name")) for one in environments) or "none"
        message = f"{place}: the flag has no environment {environment!r}; it has {names}; correct flags.environment"
        raise FlagServiceError(message, permanent=True)
    enabled = found.get("enabled")
    if not isinstance(enabled, bool):
        raise _strange(place, f"enabled is {enabled!r}, expected true or false")
    strategies = [_map(one, place) for one in _list(found, "strategies", place)]
    decisive = {
        "enabled": enabled,
        "strategies": strategies,
        "archived": whole.get("archived"),
        **{name: [whole.get(name), found.get(name)] for name in _BESIDES},
    }
    version = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]
    return _state(enabled, version, strategies, _besides(whole, found))


_BESIDES = {
    "variants": "it has variants",
    "dependencies": "it depends on another flag",
    "releasePlans": "it follows a release plan",
}


def _besides(feature: Json, environment: Json) -> list[str]:
    """What decides exposure besides strategies, where there is any."""
    told = [text for name, text in _BESIDES.items() if feature.get(name) or environment.get(name)]
    return [*told, "it is archived"] if feature.get("archived") is True else told


def _state(enabled: bool, version: str, strategies: list[Json], problems: list[str]) -> State:  # noqa: FBT001
    active = [one for one in strategies if one.get("disabled") is not True]
    percentages: list[Percentage] = []
    cohorts: list[Cohort] = []
    for strategy in active:
        found = _cohort(strategy) if strategy.get("title") == COHORT else _percentage(strategy)
        if isinstance(found, Percentage):
            percentages.append(found)
        elif isinstance(found, Cohort):
            cohorts.append(found)
        else:
            problems.append(f"the strategy {_shown(strategy)} {found}")
    if len(percentages) > 1:
        problems.append(f"it has {len(percentages)} rollout strategies, which add up")
        percentages = [one for one in percentages if is_own(one.title)]
    elif not percentages:
        problems.append("no active rollout strategy is there, so switching it on may serve everybody")
    if len(cohorts) > 1:
        problems.append(f"it has {len(cohorts)} cohort strategies")
    percentage = percentages[0] if len(percentages) == 1 else None
    cohort = cohorts[0] if cohorts else None
    idle = len(strategies) - len(active)
    owns = tuple(one for one in percentages if is_own(one.title))
    return State(enabled, version, percentage, cohort, tuple(problems), len(strategies), idle, owns)


def _percentage(strategy: Json) -> Percentage | str:
    """The strategy as a plain percentage, or what it is instead."""
    if strategy.get("name") != ROLLOUT:
        return f"is not a {ROLLOUT}"
    for name in ("constraints", "segments", "variants"):
        if strategy.get(name):
            return f"has {name}"
    parameters = strategy.get("parameters")
    rollout = parameters.get("rollout") if isinstance(parameters, dict) else None
    if not (isinstance(parameters, dict) and isinstance(rollout, str) and _WHOLE.fullmatch(rollout)):
        return f"has the rollout {str(rollout)[:20]!r}, not a whole number from 0 to 100"
    if not isinstance(strategy.get("id"), str):
        return "has no id"
    title = strategy.get("title")
    stickiness, group = str(parameters.get("stickiness", "")), str(parameters.get("groupId", ""))
    return Percentage(strategy["id"], int(rollout), stickiness, group, title if isinstance(title, str) else None)


def _cohort(strategy: Json) -> Cohort | str:
    """The watchdog's own cohort strategy, as it wrote it, or what became of it."""
    constraints = strategy.get("constraints")
    constraint = constraints[0] if isinstance(constraints, list) and len(constraints) == 1 else None
    if not isinstance(constraint, dict) or constraint.get("inverted"):
        return "no longer names the members of the cohort"
    if (constraint.get("contextName"), constraint.get("operator")) != (STICKY, "IN"):
        return "no longer names the members of the cohort"
    members, parameters = constraint.get("values"), strategy.get("parameters")
    whole = isinstance(parameters, dict) and parameters.get("rollout") == "100"
    if not whole or strategy.get("name") != ROLLOUT or strategy.get("segments") or strategy.get("variants"):
        return "is no longer for the whole cohort"
    if not (isinstance(members, list) and members and all(isinstance(member, str) for member in members)):
        return "has no members"
    return Cohort(strategy["id"], tuple(members)) if isinstance(strategy.get("id"), str) else "has no id"


def _shown(strategy: Json) -> str:
    title = strategy.get("title")
    told = title if isinstance(title, str) and title else strategy.get("id")
    return repr(f"{strategy.get('name')}: {printable(str(told))[:60]}")


def _map(found: object, place: str) -> Json:
    if not isinstance(found, dict):
        raise _strange(place, f"{str(found)[:60]!r} stands where a map was expected")
    return found


def _list(found: Json, name: str, place: str) -> list[Any]:
    inner = found.get(name)
    if not isinstance(inner, list):
        raise _strange(place, f"{name} is {str(inner)[:60]!r}, expected a list")
    return inner


def _strange(place: str, found: str) -> FlagServiceError:
    return FlagServiceError(f"{place}: the answer is not understood: {found}; check url, it is asked again")
