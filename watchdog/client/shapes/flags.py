"""Shapes of flags: what the API takes and gives, written by `python scripts/client_shapes.py`."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from watchdog.client.shapes.rollouts import Hold


class Flags(TypedDict):
    """All flags that are known."""

    flags: list[ListedFlag]
    """By service, then by name."""
    next: str | None
    """Where to go on; null on the last page."""


class ListedFlag(TypedDict):
    """One flag, as it was last seen or recorded."""

    flag: str
    """The flag."""
    service: str
    """The flag service: flags, emergency, or a name in services."""
    percent: float | None
    """Percent of all who have the feature."""
    cohort: bool | None
    """Whether the canary cohort has it besides."""
    audiences: list[str]
    """Audiences that have it besides."""
    latch: str | None
    """The rollout whose rollback killed the flag."""
    error: str | None
    """Why the flag cannot be read now; null while it can."""
    last_change: LastChange | None
    owner: str | None
    """The active rollout that steers it."""


class LastChange(TypedDict):
    """The newest change."""

    at: str
    """When."""
    action: str
    """init, set, kill, revert, emergency, drill, external or seen."""
    result: Literal["intended", "applied", "unchanged", "failed", "found"]
    """What came of it."""
    by: str
    """Who; unknown for what was changed outside."""


class Flag(TypedDict):
    """One flag, as its service says at this moment."""

    flag: str
    """The flag."""
    service: str
    """The flag service: flags, emergency, or a name in services."""
    percent: float | None
    """Percent of all who have the feature."""
    cohort: bool | None
    """Whether the canary cohort has it besides."""
    audiences: list[str]
    """Audiences that have it besides."""
    latch: str | None
    """The rollout whose rollback killed the flag."""
    members: list[str]
    """The cohort."""
    service_version: str | None
    """The service's own word for this state."""
    error: str | None
    """Why the flag cannot be read now; null while it can."""
    rollout: FlagRollout | None
    history: list[FlagChange]
    """The newest changes, newest first."""


class FlagRollout(TypedDict):
    """The rollout that steers the flag, or the last one that did."""

    rollout: str
    """Its name."""
    phase: str
    """Where it is."""
    mode: str
    """act or observe."""
    strategy: str
    """How it ramps."""
    steps: int
    """Planned steps."""
    step: int
    """Steps taken."""
    desired: float
    """Percent of all who have the feature."""
    confirmed: bool
    """Whether the flag has read what is asked for."""
    next: NextStep | None
    waiting: list[str]
    """What the next step waits for; it ends by itself."""
    hold: Hold | None


class NextStep(TypedDict):
    """The next planned exposure."""

    percent: float
    """Percent of all who have the feature."""
    cohort: bool
    """Whether the cohort has it then."""
    audiences: list[str]
    """Audiences that have it then."""
    not_before: str | None
    """The earliest time; null before the start and during a hold."""


class FlagHistory(TypedDict):
    """The changes of one flag."""

    flag: str
    """The flag."""
    service: str
    """The flag service: flags, emergency, or a name in services."""
    history: list[FlagChange]
    """The newest first."""
    next: str | None
    """Where to go on; null on the last page."""


class FlagChange(TypedDict):
    """One change, tried or found."""

    id: int
    """Its number among all changes."""
    version: int | None
    """What `revert` takes; null where the flag got no new content."""
    at: str
    """When."""
    flag: str
    """The flag."""
    service: str
    """The flag service: flags, emergency, or a name in services."""
    action: str
    """init, set, kill, revert, emergency, drill, external or seen."""
    result: Literal["intended", "applied", "unchanged", "failed", "found"]
    """What came of it."""
    by: str
    """Who; unknown for what was changed outside."""
    why: str
    """Why."""
    rollout: str | None
    """The rollout that did it."""
    before: FlagContent | None
    after: FlagContent | None
    service_version: str
    """The service's own word for the state after it; empty where nobody saw it."""
    idem: str
    """Idempotency key."""
    error: str | None
    """Why it failed."""
    hash: str
    """Ties it to the change before."""


FlagContent = dict[str, Any]
"""What the flag serves; for what was intended or failed, what was asked for."""


class FlagAudit(TypedDict):
    """What verifying the chain of all changes found."""

    ok: bool
    """Whether nothing is wrong."""
    rows: int
    """Changes on record."""
    head: str | None
    """ID:HASH of the newest one; keep a copy elsewhere."""
    anchors: list[str]
    """Copies that the chain was held against."""
    waiting: int
    """Changes that wait for the ledger in its journal."""
    findings: list[AuditFinding]
    """What is wrong."""


class AuditFinding(TypedDict):
    """One thing that is wrong."""

    id: int
    """The change's number."""
    service: str
    """Its flag service."""
    flag: str
    """Its flag."""
    what: str
    """In words."""


class FlagChanged(TypedDict):
    """What the flag reads after a change."""

    flag: str
    """The flag."""
    service: str
    """The flag service: flags, emergency, or a name in services."""
    percent: float | None
    """Percent of all who have the feature."""
    cohort: bool | None
    """Whether the canary cohort has it besides."""
    audiences: list[str]
    """Audiences that have it besides."""
    latch: str | None
    """The rollout whose rollback killed the flag."""
    service_version: str
    """The service's own word for this state."""
    recorded: Literal["ledger", "journal"]
    """Where the change is on record: journal while the ledger fails."""


class SetFlag(TypedDict):
    """Why, and to what."""

    reason: str
    """Recorded."""
    percent: float
    """Percent of all who have the feature."""
    by: NotRequired[str]
    """Who; whoever has a name here already is named before it."""


class KillFlag(TypedDict):
    """Why."""

    reason: str
    """Recorded."""
    by: NotRequired[str]
    """Who; whoever has a name here already is named before it."""


class RevertFlag(TypedDict):
    """Why, and to what."""

    reason: str
    """Recorded."""
    version: int
    """A version of the history."""
    by: NotRequired[str]
    """Who; whoever has a name here already is named before it."""


class SwitchFlag(TypedDict):
    """Why, and to what."""

    reason: str
    """Recorded."""
    on: bool
    """For everybody."""
    by: NotRequired[str]
    """Who; whoever has a name here already is named before it."""
