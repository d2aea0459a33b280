"""What the watchdog writes into a flag of Unleash: strategies, and in a title its marks. No calls here.

The marks are the rollout strategy's title: it lies beside the percentage, is written in one piece with it, stays when
the environment is switched off, and is not sent to readers.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from watchdog.errors import FlagServiceError
from watchdog.flags.base import Change

Json = dict[str, Any]

ROLLOUT = "flexibleRollout"
STICKY = "userId"
"""Who is dealt to percentages: the OpenFeature provider hands the targeting key over as this."""
ANYBODY = "default"
"""Stickiness that also takes callers without a `userId`: at 100 %, where it makes no difference to the others."""
OWN = "slo-watchdog"
COHORT = f"{OWN} cohort"
LONGEST = 300
"""Characters of a reason in a title."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What the watchdog leaves in a flag: who changed it, why, for which rollout, and the latch of a kill."""

    by: str = ""
    why: str = ""
    rollout: str = ""
    idem: str = ""
    latch: str = ""

    def title(self) -> str:
        """As the title of a strategy, fit for a person too."""
        told = {name: printable(text) for name, text in asdict(self).items() if text}
        return f"{OWN} {json.dumps(told, ensure_ascii=False)}"


@dataclass(frozen=True, slots=True)
class Percentage:
    """The rollout strategy: `percent` of the readers, dealt by `stickiness` and `group`."""

    id: str
    percent: int
    stickiness: str
    group: str
    title: str | None


@dataclass(frozen=True, slots=True)
class Cohort:
    """The cohort strategy of the watchdog."""

    id: str
    members: tuple[str, ...]


def asked(change: Change, place: str) -> tuple[int, tuple[str, ...]]:
    """Percentage, rounded down to a whole one, and cohort of a change. Raises FlagServiceError."""
    exposure = change.exposure
    members = tuple(dict.fromkeys(change.cohort)) if exposure.cohort else ()
    problem = ""
    if not (math.isfinite(exposure.percent) and 0 <= exposure.percent <= 100):
        problem = f"{exposure.percent} % was asked; expected 0 to 100"
    elif exposure.audiences:
        problem = f"audiences ({', '.join(exposure.audiences)}) were asked, which Unleash is not asked for here"
    elif exposure.cohort and not members:
        problem = "the cohort was asked, but it has no members; expected at least one targeting key"
    elif odd := [member for member in members if not member or member != member.strip()]:
        problem = f"the cohort has the member {odd[0]!r}; expected keys without blanks around them"
    if problem:
        raise FlagServiceError(f"{place}: {problem}; correct the ramp", permanent=True)
    return math.floor(exposure.percent + 1e-9), members


def marked(change: Change, latch: str | None) -> Marks:
    """The marks that a change leaves."""
    return Marks(change.by, change.why[:LONGEST], change.rollout or "", change.idem, latch or "")


def rolled(percent: int, marks: Marks) -> list[Json]:
    """JSON patch of the rollout strategy: percentage and marks in one write."""
    return [
        {"op": "add", "path": "/title", "value": marks.title()},
        {"op": "replace", "path": "/parameters/rollout", "value": str(percent)},
        {"op": "add", "path": "/parameters/stickiness", "value": ANYBODY if percent == 100 else STICKY},
    ]


def unchanged(found: Percentage) -> list[Json]:
    """Tests for a JSON patch: the strategy is still what was read, or the whole patch is refused."""
    tests: list[Json] = [
        {"op": "test", "path": "/parameters/rollout", "value": str(found.percent)},
        {"op": "test", "path": "/disabled", "value": False},
        {"op": "test", "path": "/constraints", "value": []},
    ]
    if found.title is not None:
        tests.insert(0, {"op": "test", "path": "/title", "value": found.title})
    return tests


def new_percentage(group: str, marks: Marks) -> Json:
    """A rollout strategy that serves nobody. `group` decides who is dealt to a percentage: a new flag's is its name."""
    parameters = {"rollout": "0", "stickiness": STICKY, "groupId": group}
    return {"name": ROLLOUT, "title": marks.title(), "constraints": [], "parameters": parameters}


def new_cohort(flag: str, members: tuple[str, ...]) -> Json:
    """The cohort strategy."""
    constraint = {"contextName": STICKY, "operator": "IN", "values": list(members)}
    parameters = {"rollout": "100", "stickiness": STICKY, "groupId": flag}
    return {"name": ROLLOUT, "title": COHORT, "constraints": [constraint], "parameters": parameters}


def marks_in(title: str | None) -> Marks:
    """The marks in a title; none when a person wrote another one."""
    if not is_own(title) or title is None:
        return Marks()
    try:
        told = json.loads(title.removeprefix(OWN))
    except (ValueError, RecursionError):
        return Marks()
    fields = Marks.__dataclass_fields__
    if not isinstance(told, dict):
        return Marks()
    return Marks(**{name: text for name, text in told.items() if name in fields and isinstance(text, str)})


def is_own(title: str | None) -> bool:
    """Whether a title holds the watchdog's marks."""
    return title is not None and title.startswith(f"{OWN} {{")


def printable(text: str) -> str:
    """The text without line breaks and the like."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
