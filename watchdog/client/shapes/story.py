"""Shapes of story: what the API takes and gives, written by `python scripts/client_shapes.py`."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from watchdog.client.shapes.preflights import Waiver
from watchdog.client.shapes.rollouts import Command


class Commands(TypedDict):
    """Orders to a rollout."""

    rollout: str
    """The rollout's name."""
    commands: list[Command]
    """Oldest first."""
    next: str | None
    """Where to go on; null on the last page."""


class Slices(TypedDict):
    """The slices of the window."""

    rollout: str
    """The rollout's name."""
    slices: list[Slice]
    """Oldest first."""
    next: str | None
    """Where to go on; null on the last page."""


Slice = TypedDict(
    "Slice",
    {
        "from": "str",
        "to": "str",
        "verdict": 'Literal["pass", "fail", "unknown", "idle"]',
        "why": "str",
        "final": "bool",
        "exposure": "Served | None",
        "unmeasured_s": "int",
        "objectives": "list[SliceObjective]",
    },
)
"""One slice, as the window judged it."""


class SliceObjective(TypedDict):
    """One objective over one slice."""

    name: str
    """Its name."""
    verdict: Literal["pass", "fail", "unknown", "idle"]
    """What it says; idle is looked at, with too little traffic."""
    why: str
    """In words."""
    value: float | None
    """The measured number."""
    bad: float | None
    """Bad events."""
    total: float | None
    """All events."""
    slots: int
    """Slots of the slice."""
    measured: int
    """Those that were measured."""
    failed: int
    """Those that failed."""


class Served(TypedDict):
    """Who has the feature."""

    percent: float
    """Percent of all."""
    cohort: bool
    """Whether the canary cohort has it besides."""
    audiences: list[str]
    """Audiences that have it besides."""
    words: str
    """The same in words."""


class Breaches(TypedDict):
    """Breaches."""

    rollout: str
    """The rollout's name."""
    breaches: list[Breach]
    """By their detector step, oldest first."""
    next: str | None
    """Where to go on; null on the last page."""


class Breach(TypedDict):
    """A detector's finding that an objective is broken."""

    objective: str
    """Which."""
    at: str
    """The detector step."""
    detected_at: str | None
    """When it was found."""
    closed_at: str | None
    """When it was over."""
    detector: str
    """Which detector."""
    statistic: float
    """What it found."""
    threshold: float
    """What was needed."""
    value: float | None
    """The measured number."""
    bad: float | None
    """Bad events."""
    total: float | None
    """All events."""
    why: str
    """In words."""
    late: bool
    """Whether it was found in data that came late."""
    unconfirmed: bool
    """Whether settled data no longer shows it."""


class Detectors(TypedDict):
    """Detectors as they stand."""

    rollout: str
    """The rollout's name."""
    detectors: list[Detector]
    """In the order of the rule."""
    next: str | None
    """Where to go on; null on the last page."""


class Detector(TypedDict):
    """One detector; a breach is called when the statistic reaches the threshold."""

    objective: str
    """Its objective."""
    detector: str
    """sequential or confirm."""
    at: str
    """As of which slot."""
    state: Literal["armed", "open", "blind"]
    """open during a breach; blind while it has nothing to judge."""
    statistic: float
    """Evidence, or failing steps."""
    threshold: float
    """What is needed."""
    of: int | None
    """confirm: among how many of the newest steps."""


class Notifications(TypedDict):
    """Messages to people."""

    rollout: str
    """The rollout's name."""
    notifications: list[Notification]
    """Oldest first."""
    next: str | None
    """Where to go on; null on the last page."""


class Notification(TypedDict):
    """One message."""

    id: int
    """Its number."""
    at: str
    """When."""
    kind: str
    """What it is about."""
    key: str
    """Names the event: a repeat is no second message."""
    severity: Literal["critical", "warning", "info"]
    """critical wakes somebody."""
    summary: str
    """What it says."""
    details: dict[str, Any]
    """The numbers behind it; instants are epoch seconds."""
    deliveries: list[Delivery]
    """How each channel fares; none where no channel has tried."""


class Delivery(TypedDict):
    """How one channel fares with one message."""

    channel: str
    """Which."""
    attempts: int
    """Tries."""
    sent_at: str | None
    """When it was sent."""
    next_try_at: str | None
    """When it is tried again."""
    given_up: bool
    """Whether trying again cannot help."""
    withheld: bool
    """Whether the rules keep it from this channel."""
    superseded_by: int | None
    """The newer message that stands for it."""
    error: str | None
    """The last error."""


class Waivers(TypedDict):
    """Waivers."""

    rollout: str
    """The rollout's name."""
    waivers: list[Waiver]
    """Oldest first."""
    next: str | None
    """Where to go on; null on the last page."""


class WaiveOrder(TypedDict):
    """Why, and until when."""

    reason: str
    """Recorded."""
    until: str
    """A time to come, at most a year away, or a duration from now such as 48h."""
    by: NotRequired[str]
    """Who; whoever has a name here already is named before it."""


class Explanation(TypedDict):
    """A rollout in plain words."""

    rollout: str
    """The rollout's name."""
    text: str
    """Lines for a person, as `explain` prints them."""


class EffectExposure(TypedDict):
    """Whom the flag serves; null where that cannot be read."""

    before: Served | None
    after: Served | None


class Effect(TypedDict):
    """What an order would do now."""

    rollout: str
    """The rollout's name."""
    verb: Literal["hold", "resume", "rollback", "stop", "start", "adopt", "waive"]
    """The order."""
    refused: str | None
    """Why it would not be carried out; null where it would."""
    sentences: list[str]
    """What would happen, in words."""
    exposure: EffectExposure
    """Whom the flag serves; null where that cannot be read."""
    window_lost: int
    """Consecutive good slices that would count for nothing."""
