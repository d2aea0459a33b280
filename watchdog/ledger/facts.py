"""What goes into the ledger and comes out of it, where `model.py` has no noun for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from watchdog.model import (
    Attribution,
    Breach,
    Contributors,
    Evaluation,
    Exposure,
    Measurement,
    Mode,
    Notification,
    Phase,
    Slice,
    Transition,
)


@dataclass(frozen=True, slots=True)
class StoredRollout:
    """A rollout as the ledger holds it: the frozen rule, and where it stands.

    `revision` counts the recorded ticks and guards the next one; `control` is the engine's own state (JSON values).
    `created_at` and `started_at` are wall time, `last_slot` a grid instant.
    """

    id: int
    name: str
    service: str
    version: str
    flag: str
    mode: Mode
    phase: Phase
    started_at: float | None
    created_at: float
    revision: int
    last_slot: int | None
    control: dict[str, object]
    text: str
    sha256: str
    resolved: str
    file: str
    engine: str


@dataclass(frozen=True, slots=True)
class BreachFact:
    """A breach with what the ledger adds to it.

    `detected_at` is wall time; `late` means found while back-filling; `unconfirmed` means that settled data no
    longer shows it. Recorded again, `closed_at` (when given) and `unconfirmed` replace what is stored.
    """

    breach: Breach
    detected_at: float | None = None
    late: bool = False
    unconfirmed: bool = False


@dataclass(frozen=True, slots=True)
class ExposureFact:
    """An exposure that was asked for, confirmed by a reading, or simulated; `at` is wall time."""

    at: float
    kind: Literal["desired", "confirmed", "simulated"]
    exposure: Exposure


@dataclass(frozen=True, slots=True)
class ReadingFact:
    """What the flag service answered at wall time `at`; without an exposure, `error` says why."""

    at: float
    exposure: Exposure | None = None
    version: str = ""
    latch: str | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Fence:
    """Under whose lease something is recorded, and under which token of it."""

    holder: str
    token: int


@dataclass(frozen=True, slots=True)
class Record:
    """All that one tick wants written, in one transaction. `revision` is the one it read; None changes nothing."""

    rollout_id: int
    revision: int
    phase: Phase | None = None
    started_at: float | None = None
    last_slot: int | None = None
    control: Mapping[str, object] | None = None
    evaluations: Sequence[tuple[str, Evaluation]] = ()
    controls: Sequence[tuple[str, Evaluation]] = ()
    steps: Sequence[tuple[str, Measurement]] = ()
    slice_measurements: Sequence[tuple[str, Measurement]] = ()
    slices: Sequence[Slice] = ()
    transitions: Sequence[Transition] = ()
    breaches: Sequence[BreachFact] = ()
    exposures: Sequence[ExposureFact] = ()
    readings: Sequence[ReadingFact] = ()
    notifications: Sequence[Notification] = ()
    commands_done: Sequence[tuple[int, str]] = ()
    checkpoint: tuple[int, str] | None = None
    attributions: Sequence[Attribution] = ()
    contributors: Sequence[Contributors] = ()
    caused_at: float = 0.0
    """When causes were found, by wall time."""
    fence: Fence | None = None
    """The lease that this needs; None where there are none."""


@dataclass(frozen=True, slots=True)
class Unsent:
    """A message that one channel has not settled; `attempts` failed before. Instants are wall time.

    `started_at` is when somebody began to send it; while `next_try_at` is None after that, nobody said how it ended.
    """

    id: int
    rollout_id: int
    rollout: str
    kind: str
    at: float
    attempts: int = 0
    next_try_at: float | None = None
    started_at: float | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What one channel has not settled, oldest first, and until when nothing may be sent to it.

    `newest` is the number of the newest message that is recorded at all.
    """

    waiting: tuple[Unsent, ...]
    paused_until: float | None
    newest: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Leave to send one message.

    `again`: an earlier attempt may have gone through. `earlier`: the numbers of the messages that this one stands for.
    """

    again: bool
    earlier: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one channel fares with one message. `given_up`: trying again cannot help; `error` is the last one.

    Given up without an attempt is what the rules do not tell this channel; `error` says why. `superseded_by` is the
    number of the newer message that stands for it.
    """

    channel: str
    attempts: int
    sent_at: float | None
    next_try_at: float | None
    given_up: bool
    error: str
    started_at: float | None = None
    superseded_by: int | None = None

    @property
    def withheld(self) -> bool:
        """Whether the rules kept it from this channel."""
        return self.given_up and self.attempts == 0


@dataclass(frozen=True, slots=True)
class StoredNotification:
    """A recorded message with its deliveries; none where no channel has tried yet."""

    id: int
    notification: Notification
    deliveries: tuple[Delivery, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredReport:
    """One report whose bytes were frozen at `path` at wall time `at`."""

    at: float
    kind: str
    format: str
    path: str
    sha256: str
