"""The port to a flag service: three methods, level-triggered. Adapters raise `FlagServiceError` only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from watchdog.model import Exposure, FlagReading


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a flag, with what an audit wants to know of it."""

    exposure: Exposure
    cohort: tuple[str, ...]
    by: str
    why: str
    rollout: str | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a service can do: its smallest step in percent, the worst case until a reader sees a change in seconds."""

    smallest_step: float
    propagation: float


class FlagService(Protocol):
    """A flag service as the watchdog needs it."""

    capabilities: Capabilities

    def read(self, flag: str) -> FlagReading:
        """What the flag serves now. Raises FlagServiceError when it cannot be read or does not exist."""
        ...

    def set(self, flag: str, change: Change) -> FlagReading:
        """Make the flag serve `change.exposure`; idempotent. Returns what it then reads."""
        ...

    def kill(self, flag: str, change: Change) -> FlagReading:
        """Take the feature from everybody, unconditionally, and leave the latch of `change.rollout`."""
        ...
