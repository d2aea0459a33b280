"""What a channel gets: one message for people, and the state of a rollout for what is kept up to date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from watchdog.model import NotifyRule, Severity


class Effect(StrEnum):
    """What a message does to the incident of its cause."""

    TELL = "tell"  # nothing: it is for the record
    OPEN = "open"  # an incident begins, or its facts change
    ESCALATE = "escalate"  # the same incident, and it got worse: wake people again
    RESOLVE = "resolve"  # it is over


@dataclass(frozen=True, slots=True)
class Link:
    """Where to read on."""

    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Message:
    """One recorded notification, ready for every channel. All texts are plain: channels escape and cut them.

    `key` is the same at every repeat, in every process. `incident` is the same for everything that is told of one
    cause in one rollout, empty where there is none to open; `closes` are further incidents that end with this message.
    `at` is wall time. `facts` are (name, value) pairs in the order in which people want them.
    """

    id: int
    """Its number in the ledger, in the order in which it was recorded; below 0 while it is not recorded yet."""
    key: str
    kind: str
    severity: Severity
    effect: Effect
    rollout: str
    service: str
    version: str
    flag: str
    at: float
    summary: str
    incident: str = ""
    closes: tuple[str, ...] = ()
    done: str = ""
    """What the watchdog did about it."""
    todo: str = ""
    """What a person must do; empty when there is nothing to be done."""
    facts: tuple[tuple[str, str], ...] = ()
    links: tuple[Link, ...] = ()
    broadcast: bool = False
    """Worth telling the whole channel, not only those who follow the thread."""
    change: bool = False
    """A change of production, worth a line in everybody's list of recent changes."""
    earlier: tuple[str, ...] = ()
    """Summaries of older messages that this one stands for, oldest first."""
    report: str = ""
    """Path of the frozen report that belongs to it."""
    rule: NotifyRule | None = None
    """What the rollout itself says about where and how loudly."""
    details: Mapping[str, object] = field(default_factory=dict)
    """The recorded details as they are, for machines."""


@dataclass(frozen=True, slots=True)
class View:
    """A rollout as it is now, for what is edited or repeated instead of sent. Instants are wall time, in seconds."""

    rollout: str
    service: str
    version: str
    flag: str
    phase: str
    at: float
    hold: str = ""
    waiting: tuple[str, ...] = ()
    desired: str = ""
    """Exposure asked for, in words, such as `25%`."""
    actual: str = ""
    required: int = 0
    """Good slices in a row that the window needs."""
    current: int = 0
    strip: tuple[str, ...] = ()
    """Verdicts of the newest slices, oldest first: pass, fail, unknown or idle."""
    verdicts: tuple[tuple[str, str, str], ...] = ()
    """(objective, verdict, sentence) of the newest slot."""
    links: tuple[Link, ...] = ()
    over: bool = False
    """Nothing will change any more."""
    open: tuple[Message, ...] = ()
    """The newest message of each incident that is open."""
    rule: NotifyRule | None = None
