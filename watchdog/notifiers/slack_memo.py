"""What the Slack channel remembers of a rollout: its parent message, the newest message sent, the report on its way."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from watchdog.notifiers.base import Memo

Kept = TypeVar("Kept", "Parent", "Sent", "Upload")


@dataclass(frozen=True, slots=True)
class Parent:
    """The message that is edited, and to which all others are replies. Without `ts` there is none (any more)."""

    asked: str
    """The channel as it was configured: another one gets a parent of its own."""
    channel: str = ""
    """The channel's id."""
    ts: str = ""
    shown: str = ""
    """The digest of what it shows."""
    begun: float | None = None
    """When it was posted without our knowing yet what came of it, wall time."""
    lost: int = 0
    """How many before it were deleted."""
    fixed: bool = False
    """The workspace lets nobody edit it any more."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The newest message that Slack took."""

    key: str = ""
    ts: str = ""


@dataclass(frozen=True, slots=True)
class Upload:
    """A report between the disk and the thread; with `file` Slack has it, and it is to be shown."""

    key: str = ""
    file: str = ""
    tries: int = 0


def recall(memo: Memo, kept: type[Kept], empty: Kept) -> Kept:
    """What was kept of that kind; `empty` where nothing was, or nothing that this version can read."""
    text = memo.get(_name(kept))
    try:
        found: Any = json.loads(text) if text else None
    except ValueError:
        return empty
    names = {each.name for each in fields(kept)}
    if not isinstance(found, dict) or set(found) - names:
        return empty
    try:
        return kept(**found)
    except TypeError:
        return empty


def keep(memo: Memo, record: Parent | Sent | Upload) -> None:
    """Remember it; durable when this returns. Raises LedgerError."""
    memo.put(_name(type(record)), json.dumps(asdict(record)))


def _name(kept: type[Parent | Sent | Upload]) -> str:
    return kept.__name__.lower()
