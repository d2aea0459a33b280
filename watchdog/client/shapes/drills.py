"""Shapes of drills: what the API takes and gives, written by `python scripts/client_shapes.py`."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class Drills(TypedDict):
    """Rollback drills, whoever held them."""

    running: DrillRunning | None
    trouble: str | None
    """Why the last one that was started here recorded no result."""
    drills: list[Drill]
    """Newest first."""
    next: str | None
    """Where to go on; null on the last page."""


class DrillRunning(TypedDict):
    """A drill that was started here and has not ended."""

    started_at: str
    """When."""
    deadline_at: str
    """When it is ended."""
    by: str
    """Who asked for it."""


class DrillStarted(TypedDict):
    """It is under way."""

    running: DrillRunning


class Drill(TypedDict):
    """One drill."""

    id: int
    """Its number."""
    at: str
    """When it began."""
    finished_at: str | None
    """When it ended; null while it runs, and for good when it died."""
    service: str
    """The flag service."""
    flag: str
    """The flag that was switched."""
    reader: str
    """Who was asked what the flag is."""
    by: str
    """Who asked for it."""
    reason: str
    """Why."""
    runs: int
    """Planned runs."""
    within_s: float
    """The bound of every run, in seconds."""
    passed: bool | None
    """Whether every run was within the bound."""
    worst_s: float | None
    """The longest run, in seconds."""
    why: str | None
    """What was found, in words."""


class DrillOrder(TypedDict):
    """Why, and with what."""

    reason: str
    """Recorded."""
    by: NotRequired[str]
    """Who; whoever has a name here already is named before it."""
    flag: NotRequired[str]
    """A flag that nothing uses; default drill.flag."""
    runs: NotRequired[int]
    """How many kills; default drill.runs."""


class DrillReport(TypedDict):
    """One drill with everything that was measured."""

    id: int
    """Its number."""
    at: str
    """When it began."""
    finished_at: str | None
    """When it ended; null while it runs, and for good when it died."""
    service: str
    """The flag service."""
    flag: str
    """The flag that was switched."""
    reader: str
    """Who was asked what the flag is."""
    by: str
    """Who asked for it."""
    reason: str
    """Why."""
    runs: int
    """Planned runs."""
    within_s: float
    """The bound of every run, in seconds."""
    passed: bool | None
    """Whether every run was within the bound."""
    worst_s: float | None
    """The longest run, in seconds."""
    why: str | None
    """What was found, in words."""
    report: dict[str, Any] | None
    """As `drill --json` gives it; null while it runs."""
