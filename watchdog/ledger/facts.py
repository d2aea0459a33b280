"""What goes into the ledger and comes out of it, where `model.py` has no noun for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from watchdog.model import (
    Breach,
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


@dataclass(frozen=True, slots=True)
class Unsent:
    """A message that one channel has not taken yet; `attempts` failed before."""

    id: int
    rollout: str
    channel: str
    notification: Notification
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one channel fares with one message. `given_up`: trying again cannot help; `error` is the last one."""

    channel: str
    attempts: int
    sent_at: float | None
    next_try_at: float | None
    given_up: bool
    error: str


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
