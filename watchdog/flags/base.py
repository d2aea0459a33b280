"""The port to a flag service: three methods, level-triggered. Adapters raise `FlagServiceError` only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from watchdog.model import Exposure, FlagReading

Audiences = Mapping[str, Any]
"""Whom each audience means: name -> JsonLogic condition over the evaluation context, as flagd documents take it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a flag, with what an audit wants to know of it."""

    exposure: Exposure
    cohort: tuple[str, ...]
    by: str
    why: str
    rollout: str | None = None
    idem: str = ""
    """Idempotency key: the same key twice is the same change, done once. Kept in the flag where it can be."""
    expect: str | None = None
    """Version that `set` replaces; with any other it is a FlagConflict, and nothing is written. None: no compare."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a service can do. `smallest_step` is in percent, `propagation` (worst case until a reader sees it) in s."""

    smallest_step: float
    propagation: float
    compare_and_set: Literal["native", "emulated", "none"] = "none"
    """`emulated`: read, compare, write, read back; two writers at the same moment can still cross."""
    push: bool = False
    """Whether readers are told of a change, instead of asking now and then."""
    unconditional_kill: bool = True
    """Whether a kill wins whatever else is in flight; False where approvals or schedules can stand in its way."""
    readable: bool = True
    """Whether the service can say what a flag serves; False for one that can only be told (a webhook)."""
    cohort: bool = True
    """Whether single targeting keys can have the feature besides a percentage."""
    audiences: bool = False
    """Whether whole audiences can, by targeting rule."""
    latch: bool = False
    """Whether a kill can leave the rollout's name in the flag, for a ledger that gets lost."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a preflight looked at. A blocker makes a kill unsafe or a ramp wrong; `todo` says what to do."""

    name: str
    ok: bool
    found: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `init` did: the flags that it created, switched off, and where they are."""

    place: str
    created: tuple[str, ...] = field(default=())


class FlagService(Protocol):
    """A flag service as the watchdog needs it."""

    @property
    def capabilities(self) -> Capabilities:
        """What this service can do."""
        ...

    def read(self, flag: str) -> FlagReading:
        """What the flag serves now. Raises FlagServiceError when it cannot be read or does not exist."""
        ...

    def set(self, flag: str, change: Change) -> FlagReading:
        """Make the flag serve `change.exposure`; idempotent. Returns what it then reads.

        Raises FlagConflict when `change.expect` is given and is not the flag's version any more, else FlagServiceError.
        """
        ...

    def kill(self, flag: str, change: Change) -> FlagReading:
        """Take the feature from everybody, unconditionally, and leave the latch of `change.rollout`."""
        ...


@runtime_checkable
class Administered(Protocol):
    """What people and pipelines ask of a service besides; every service here has it."""

    def init(self, flags: Sequence[str], by: str) -> Prepared:
        """Create what is missing of `flags`, switched off and safe to kill. What exists is left alone. Idempotent."""
        ...

    def preflight(self, flag: str) -> tuple[Check, ...]:
        """Everything that would make a kill of this flag unsafe, with the production credentials; a no-op write too.

        Never raises: what cannot be looked at is a failed check.
        """
        ...


@runtime_checkable
class Documented(Protocol):
    """A service that holds a flagd document, in which each flag says who changed it by hand, and why."""

    def document(self) -> tuple[str, dict[str, Any]]:
        """Version and parsed document, which is shared: do not change it. Raises FlagServiceError."""
        ...


class ManagedFlagService(FlagService, Administered, Protocol):
    """A service as this package ships it."""
