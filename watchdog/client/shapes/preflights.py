"""Shapes of preflights: what the API takes and gives, written by `python scripts/client_shapes.py`."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict


class AskPreflight(TypedDict):
    """What is wanted of a preflight; the body may be left out."""

    by: NotRequired[str]
    """Who; whoever has a name here already is named before it."""
    drill: NotRequired[bool]
    """Whether a drill may be held; by default it may."""
    image: NotRequired[str]
    """The image that is released, with its digest."""
    commit: NotRequired[str]
    """The commit that is released."""


class PreflightStarted(TypedDict):
    """It is under way."""

    running: PreflightRunning


class PreflightRunning(TypedDict):
    """A preflight that was started here and has not ended."""

    started_at: str
    """When."""
    deadline_at: str
    """When it is ended."""
    by: str
    """Who asked for it."""


class Preflights(TypedDict):
    """The newest preflight, whoever made it."""

    running: PreflightRunning | None
    trouble: str | None
    """Why the last one that was started here recorded no result."""
    last: Preflight | None


class Preflight(TypedDict):
    """A result on record."""

    id: int
    """Its number."""
    sha256: str
    """That of the recorded text."""
    at: str
    """When it began."""
    finished_at: str
    """When it ended."""
    age_s: float
    """Seconds since then."""
    by: str
    """Who made it."""
    passed: bool
    """Whether nothing stands in the way."""
    score: int
    """Percent, rounded down; it overrules no blocker."""
    failed: int
    """Checks that stand in the way."""
    warnings: int
    """Warnings that do not hold."""
    waived: int
    """Checks that need not hold."""
    areas: list[PreflightArea]
    """In the order in which they were looked at."""
    checks: list[PreflightCheck]
    """Every check."""
    rollouts: list[PreflightRule]
    """What it says of each rule."""
    builds: list[PreflightBuild]
    """What was found, and what was said of the release."""


class PreflightArea(TypedDict):
    """An area."""

    area: str
    """Its name."""
    weight: int
    """What it counts for, of 100."""
    score: int
    """Percent, rounded down."""
    checks: int
    """How many there are."""
    failed: int
    """Those that stand in the way."""
    warning: int
    """Warnings that do not hold."""


class PreflightCheck(TypedDict):
    """One thing that was looked at."""

    area: str
    """Its area."""
    name: str
    """Its name, after that of its rollout."""
    rollout: str | None
    """The rollout that it is about; null for all."""
    level: Literal["blocker", "warning"]
    """What it counts for."""
    ok: bool
    """Whether it holds."""
    outcome: Literal["ok", "failed", "warning", "waived"]
    """What comes of that."""
    found: str
    """What was found."""
    todo: str
    """What to do."""
    waived: str | None
    """Why it need not hold."""


class PreflightRule(TypedDict):
    """What it says of one rule."""

    rollout: str
    """The rollout."""
    rule: str
    """The rule's sha256."""
    held: bool
    """Whether every blocker held, none of them waived by the rule."""
    failed: int
    """Blockers that do not hold."""
    waived: int
    """Blockers that only the rule's own waive.preflight excuses."""
    score: int
    """Percent, rounded down."""


class PreflightBuild(TypedDict):
    """A build."""

    what: str
    """Of what."""
    value: str
    """Which."""


class Proof(TypedDict):
    """The preflight on which a rollout started."""

    id: int
    """Its number."""
    at: str
    """When it ended."""
    held: bool
    """Whether every blocker held, none of them waived by the rule."""
    failed: int
    """Blockers that do not hold."""
    waived: int
    """Blockers that only the rule's own waive.preflight excuses."""
    score: int
    """Percent, rounded down."""
    sha256: str
    """That of the recorded result."""


class Waiver(TypedDict):
    """On whose word the rollout started."""

    name: str
    """What was waived."""
    by: str
    """Who."""
    reason: str
    """Why."""
    at: str
    """When it was given."""
    until: str
    """Its end."""
