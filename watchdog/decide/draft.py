"""A decision in the making: what one tick knows, what it will conclude, and the words for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from watchdog.control import Control
from watchdog.model import (
    ACTIVE,
    Attribution,
    Breach,
    Command,
    Contributors,
    Evaluation,
    Exposure,
    FlagReading,
    Mode,
    Notification,
    Phase,
    Proof,
    Rollout,
    Severity,
    Transition,
    Waiver,
)
from watchdog.ramp import above, same
from watchdog.window import Window

UNCONFIRMED_AFTER = 60.0
"""Seconds after which what is not confirmed yet is paged again (and once more at its deadline)."""


@dataclass(frozen=True, slots=True)
class Emergency:
    """An emergency flag that is on, by whom and why; both empty where its service does not say."""

    flag: str
    by: str = ""
    why: str = ""

    def __str__(self) -> str:
        author = f"by {self.by}" if self.by else ""
        said = ": ".join(part for part in (author, self.why) if part)
        return f"{self.flag} is on" + (f" ({said})" if said else "")


@dataclass(slots=True)
class Seen:
    """Everything one tick knows. `now` is wall time; `slot` the newest evaluated slot, None before the first.

    Read, never changed; not frozen because a replay makes one for each of its slots.
    """

    now: float
    interim: Window
    final: Window
    slot: int | None = None
    live: bool = False
    verdicts: Mapping[str, Evaluation] = field(default_factory=dict)
    opened: tuple[tuple[Breach, bool], ...] = ()
    """Breaches found since the last tick, each with whether it was found late (in back-filled or settled data)."""
    open_objectives: frozenset[str] = frozenset()
    open_breaches: Mapping[str, Breach] = field(default_factory=dict)
    """The open episodes, by objective; looked at while one is held for a shared cause."""
    compared: Mapping[tuple[str, int], Attribution] = field(default_factory=dict)
    """What the cohorts say, by breach (objective, step); nothing of a breach that has no control to ask."""
    contributed: tuple[Contributors, ...] = ()
    """Who contributed to breaches, as it has been answered since the last tick."""
    unsettled: bool = False
    """A slice of the window may still be turned by slots that will be asked again."""
    unknown_since: Mapping[str, int] = field(default_factory=dict)
    reading: FlagReading | None = None
    reading_error: str = ""
    smallest_step: float = 0.001
    taken_by: str | None = None
    """Another active rollout that owns this flag."""
    commands: tuple[Command, ...] = ()
    emergency: tuple[Emergency, ...] = ()
    """The emergency flags that are on now. A replay has none: it knows of no emergency."""
    emergency_unknown: str = ""
    """Why the emergency flags cannot be read; empty while they can. Unknown is neither on nor off."""
    proof: Proof | None = None
    """What the newest preflight of this rule said; looked at while the rollout is pending."""
    waiver: Waiver | None = None
    """Whose word stands in for it now; None where it is not needed, or nobody's does."""
    unproven: str = ""
    """Why it may not start for want of a preflight; empty where it may, and where none is required."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be recorded, then done. `write` is None, `set` or `kill`, always towards `control.desired`."""

    control: Control
    why: str
    transitions: tuple[Transition, ...] = ()
    notifications: tuple[Notification, ...] = ()
    exposures: tuple[tuple[int, str, Exposure], ...] = ()
    done: tuple[tuple[int, str], ...] = ()
    """Commands carried out or refused, each with its sentence."""
    write: str | None = None
    resumed: bool = False
    took_back: Breach | None = None
    reports: tuple[str, ...] = ()


class Draft:
    """A decision in the making."""

    def __init__(self, rollout: Rollout, control: Control, seen: Seen) -> None:
        self.rollout = rollout
        self.control = control
        self.seen = seen
        self.transitions: list[Transition] = []
        self.notifications: list[Notification] = []
        self.exposures: list[tuple[int, str, Exposure]] = []
        self.done: list[tuple[int, str]] = []
        self.resumed = False
        self.took_back: Breach | None = None
        self.reports: list[str] = []

    @property
    def acts(self) -> bool:
        """Whether this rollout writes its flag and pages (`mode: act`)."""
        return self.rollout.mode is Mode.ACT

    @property
    def at(self) -> int:
        """The instant on the grid that this tick's changes belong to."""
        return self.seen.slot if self.seen.slot is not None else int(self.seen.now)

    def change(self, **fields: object) -> None:
        """Replace fields of the control state."""
        self.control = replace(self.control, **fields)  # type: ignore[arg-type]

    def tell(
        self, kind: str, why: str, *, to: Phase | None = None, by: str = "watchdog", objective: str | None = None
    ) -> None:
        """Record a transition; `to` is the phase it leads to, when it changes."""
        source = self.control.phase
        if to is not None:
            self.change(phase=to)
        self.transitions.append(Transition(self.seen.now, kind, source, to or source, why, by, objective))

    def page(self, kind: str, key: str, severity: Severity, summary: str, **details: object) -> None:
        """Record a message, with those of its details that are known. Observation tells nobody."""
        if self.acts:
            key = f"{self.rollout.name}:{key}"
            known = {"exposure": str(self.control.desired), "window": progress(self), **details}
            told = {name: value for name, value in known.items() if value is not None and value != ""}
            self.notifications.append(Notification(kind, key, severity, summary, self.seen.now, told))

    def desire(self, exposure: Exposure, *, confirmed: bool = False) -> None:
        """Ask for an exposure from this slot on."""
        self.change(desired=exposure, confirmed=confirmed, contested=None)
        self.exposures.append((self.at, "confirmed" if confirmed else "desired", exposure))

    def decision(self) -> Decision:
        """What was drafted, finished."""
        return Decision(
            self.control,
            f"{self.rollout.name}: {in_words(self)}",
            tuple(self.transitions),
            tuple(self.notifications),
            tuple(self.exposures),
            tuple(self.done),
            flag_write(self),
            self.resumed,
            self.took_back,
            tuple(self.reports),
        )


def flag_write(draft: Draft) -> str | None:
    """What to do to the flag so that it serves what is desired: lowering also blindly, raising only on sight."""
    control, seen = draft.control, draft.seen
    if not draft.acts:
        return None
    if control.phase not in ACTIVE:
        return "kill" if _lacks_latch(draft) else None
    down = control.phase is Phase.ROLLING_BACK
    if seen.reading is None:
        return "kill" if down and control.desired.none else None
    if same(seen.reading.exposure, control.desired, seen.smallest_step):
        return None
    stands = control.hold is not None or seen.emergency or seen.emergency_unknown
    if stands and above(control.desired, seen.reading.exposure, seen.smallest_step):
        return None  # a step asked for before the hold and not seen yet: it waits for the person too
    return "kill" if down and control.desired.none else "set"


def _lacks_latch(draft: Draft) -> bool:
    """Whether a rollback that has just ended found the flag off by itself: its latch is left all the same."""
    reading, ended = draft.seen.reading, any(told.kind == "rolled_back" for told in draft.transitions)
    return ended and draft.control.desired.none and reading is not None and reading.latch != draft.rollout.name


def in_words(draft: Draft) -> str:
    """The tick in one sentence."""
    if draft.transitions:
        return "; ".join(transition.why for transition in draft.transitions)
    control = draft.control
    if control.phase is Phase.PENDING:
        return "pending: " + ("; ".join(control.waiting) or "not started")
    text = f"{control.phase.value.replace('_', ' ')} at {control.desired}"
    if control.hold is not None:
        return f"{text}, held: {control.hold.why}"
    if control.waiting:
        return f"{text}, waiting: {'; '.join(control.waiting)}"
    return f"{text}, {progress(draft)}"


def progress(draft: Draft) -> str:
    """How far the window is that the rollout waits for, in words."""
    window = draft.seen.final if draft.control.phase is Phase.SOAKING else draft.seen.interim
    return f"{window.current} of {window.required} slices"


def wait(draft: Draft, reasons: list[tuple[str, str]]) -> None:
    """Say what is waited for, as (name, sentence); an empty list ends the waiting."""
    names = tuple(dict.fromkeys(name for name, _ in reasons))
    if names and names != draft.control.waiting_for:
        draft.tell("waiting", "waiting: " + "; ".join(words for _, words in reasons))
    if names or draft.control.waiting:
        draft.change(waiting=tuple(words for _, words in reasons), waiting_for=names)
