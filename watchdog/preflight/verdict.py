"""The result of a preflight: checks in their areas, a score, and what it says of each rule. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from watchdog.flags.base import Check

WEIGHTS = {
    "configuration": 8,
    "rules": 8,
    "ledger": 10,
    "prometheus": 10,
    "alerting": 10,
    "objectives": 14,
    "feasibility": 6,
    "flag services": 12,
    "emergency flags": 6,
    "worst case": 4,
    "notifications": 6,
    "drill": 4,
    "builds": 2,
}
"""What each area counts for in the score, of 100. docs/preflight.md shows them, and a test holds the two together."""
OWN = "preflight"
"""The name under which a rule's author excuses checks that are about it."""


class Level(StrEnum):
    """Whether a check that fails stands in the way."""

    BLOCKER = "blocker"
    WARNING = "warning"


COUNTS = {Level.BLOCKER: 3, Level.WARNING: 1}
"""What a check counts for within its area."""


@dataclass(frozen=True, slots=True)
class Found:
    """One check in its area. `waived` says why it need not hold, `waiver` under which name that was given."""

    area: str
    check: Check
    rollout: str | None = None
    waived: str | None = None
    level: Level = Level.BLOCKER
    waiver: str = OWN

    @property
    def holds(self) -> bool:
        """Whether it stands in nobody's way."""
        return self.check.ok or self.waived is not None or self.level is Level.WARNING

    @property
    def excused(self) -> bool:
        """Whether it would stand in the way, but for the rule's own `waive.preflight`."""
        blocks = not self.check.ok and self.level is Level.BLOCKER
        return blocks and self.waived is not None and self.waiver == OWN

    @property
    def name(self) -> str:
        """The check's name, after that of its rollout where it has one."""
        return f"{self.rollout}: {self.check.name}" if self.rollout else self.check.name

    @property
    def outcome(self) -> str:
        """In a word: ok, waived, warning or failed."""
        if self.check.ok:
            return "ok"
        if self.waived is not None:
            return "waived"
        return "warning" if self.level is Level.WARNING else "failed"

    def as_data(self) -> dict[str, Any]:
        """The check as plain data."""
        told = {"area": self.area, "name": self.name, "rollout": self.rollout, "level": self.level.value}
        said = {"ok": self.check.ok, "outcome": self.outcome, "found": self.check.found, "todo": self.check.todo}
        return {**told, **said, "waived": self.waived}


@dataclass(frozen=True, slots=True)
class Build:
    """Something of which it is recorded which one it was: a program, an image, a commit."""

    what: str
    value: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that was looked at: its rollout's name and its sha256."""

    rollout: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Preflight:
    """Every check that was made, the builds that were found, and the rules that it is about."""

    found: Sequence[Found]
    builds: Sequence[Build] = field(default=())
    rules: Sequence[Rule] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether nothing stands in the way; nothing looked at is no pass."""
        return bool(self.found) and all(one.holds for one in self.found)

    @property
    def areas(self) -> list[str]:
        """The areas that were looked at, in order."""
        return list(dict.fromkeys(one.area for one in self.found))

    def of(self, area: str) -> list[Found]:
        """The checks of an area."""
        return [one for one in self.found if one.area == area]

    @property
    def score(self) -> int:
        """Percent of what counts that is as it should be, rounded down. It never overrules a blocker."""
        return score(self.found)

    def about(self, rollout: str) -> list[Found]:
        """The checks that concern a rollout: its own, and those of everything."""
        return [one for one in self.found if one.rollout in (None, rollout)]

    def as_data(self) -> dict[str, Any]:
        """The object of `preflight --json`."""
        return {
            "passed": self.passed,
            "score": self.score,
            "failed": sum(not one.holds for one in self.found),
            "warnings": sum(one.outcome == "warning" for one in self.found),
            "waived": sum(one.outcome == "waived" for one in self.found),
            "areas": [self._area(area) for area in self.areas],
            "checks": [one.as_data() for one in self.found],
            "rollouts": [self._rule(rule) for rule in self.rules],
            "builds": [{"what": one.what, "value": one.value} for one in self.builds],
        }

    def _area(self, area: str) -> dict[str, Any]:
        checks = self.of(area)
        told = {"area": area, "weight": WEIGHTS.get(area, 1), "score": score(checks), "checks": len(checks)}
        return {**told, **{name: sum(one.outcome == name for one in checks) for name in ("failed", "warning")}}

    def _rule(self, rule: Rule) -> dict[str, Any]:
        checks = self.about(rule.rollout)
        failed, excused = sum(not one.holds for one in checks), sum(one.excused for one in checks)
        told = {"rollout": rule.rollout, "rule": rule.sha256, "held": not failed and not excused}
        return {**told, "failed": failed, "waived": excused, "score": score(checks)}


def score(found: Iterable[Found]) -> int:
    """The weighted share of checks that hold, of each area, and of the areas together; percent, rounded down."""
    areas: dict[str, list[Found]] = {}
    for one in found:
        areas.setdefault(one.area, []).append(one)
    whole = sum(WEIGHTS.get(area, 1) for area in areas)
    if not whole:
        return 0
    good = sum(WEIGHTS.get(area, 1) * _share(checks) for area, checks in areas.items())
    return math.floor(100 * good / whole + 1e-9)


def _share(checks: Sequence[Found]) -> float:
    return sum(COUNTS[one.level] for one in checks if one.check.ok) / sum(COUNTS[one.level] for one in checks)
