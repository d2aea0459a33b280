"""Shapes of rollouts: what the API takes and gives, written by `python scripts/client_shapes.py`."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from watchdog.client.shapes.preflights import Proof, Waiver


class Rollouts(TypedDict):
    """All rollouts."""

    rollouts: list[Status]
    """Oldest first."""
    next: str | None
    """Where to go on; null on the last page."""


class Status(TypedDict):
    """One rollout, as `status --json` gives it."""

    rollout: str
    """The rollout's name."""
    service: str
    """What is released."""
    version: str
    """Its version."""
    mode: Literal["act", "observe"]
    """Whether the flag is written."""
    flag: str
    """The flag that is steered."""
    phase: Literal["pending", "ramping", "soaking", "rolling_back", "rolled_back", "signed_off", "stopped"]
    """Where the rollout is."""
    started_at: str | None
    """When it started."""
    hold: Hold | None
    waiting: list[str]
    """What the next step waits for; it ends by itself."""
    exposure: Exposure
    window: Window
    objectives: list[ObjectiveStatus]
    """In the order of the rule."""
    rollback: Rollback | None
    also: list[Deed]
    """What else was decided for safety, each with stamps of its own."""
    preflight: Proof | None
    waiver: Waiver | None
    interim_at: str | None
    """The interim sign-off."""
    last_slot: str | None
    """The newest slot that was evaluated."""
    next_slot: str | None
    """The slot that comes next; null when it is not watched."""
    leader: str | None
    """Which process acts for it; null where none has to stand in for another."""


class Hold(TypedDict):
    """The ramp stands still until a person resumes it."""

    cause: str
    """operator, breach, shared_cause, drift, emergency or internal_error."""
    by: str
    """Who."""
    since: str
    """When."""
    why: str
    """Why."""


class Exposure(TypedDict):
    """Who has the feature."""

    desired: float
    """Percent that the ledger asks for."""
    actual: float | None
    """Percent that the flag last read."""
    cohort: bool
    """Whether the canary cohort is asked for besides."""
    audiences: list[str]
    """Audiences asked for besides."""
    confirmed: bool
    """Whether the flag has read what is asked for."""
    error: str | None
    """Why the flag cannot be read now; null while it can."""


class WindowFinal(TypedDict):
    """The window that ends in the final sign-off."""

    current: int
    """Consecutive good slices at full exposure."""
    completed_at: str | None
    """When it was complete."""


class Window(TypedDict):
    """Progress towards a complete window of good slices, at whatever exposure (`final`: at full exposure)."""

    required: int
    """Good slices of a complete window."""
    current: int
    """Consecutive good slices now."""
    longest: int
    """The most there ever were."""
    completed_at: str | None
    """When the first window was complete."""
    idle: int
    """Slices with too few events to judge, in this window."""
    unknown_s: float
    """Seconds that were not measured, in this window."""
    resets: list[Reset]
    """Oldest first."""
    final: WindowFinal
    """The window that ends in the final sign-off."""


class Reset(TypedDict):
    """A window that began anew."""

    at: str
    """When."""
    objective: str
    """Because of which objective."""
    why: str
    """Why."""


class ObjectiveStatus(TypedDict):
    """The newest verdict on one objective."""

    name: str
    """Its name."""
    verdict: Literal["pass", "fail", "unknown"] | None
    """What the slot says."""
    reason: str | None
    """Why it is unknown."""
    value: float | None
    """The number that is held against the target; the bad share of an event objective."""
    bad: float | None
    """Bad events."""
    total: float | None
    """All events."""
    at: str | None
    """The slot."""
    why: str
    """The evaluation in words."""


class Rollback(TypedDict):
    """The stamps of the rollback, in the order in which they come."""

    cause: str
    """In words."""
    detected_at: str
    """The breach was found."""
    decided_at: str
    """The rollback was decided."""
    acted_at: str | None
    """The flag was written."""
    confirmed_at: str | None
    """The flag read it."""
    recovered_at: str | None
    """The breach had closed."""


class Deed(TypedDict):
    """Something done for safety beside the rollout's own flag; it is tried until it is confirmed."""

    kind: str
    """kill: a flag of another service; emergency: an emergency flag that was switched on."""
    service: str
    """Name of the service."""
    flag: str
    """The flag there."""
    why: str
    """In words."""
    decided_at: str
    """It was decided."""
    acted_at: str | None
    """The service was told."""
    confirmed_at: str | None
    """The service read it."""
    error: str | None
    """Why the newest try failed."""


Evaluations = TypedDict(
    "Evaluations",
    {
        "rollout": "str",
        "from": "str",
        "to": "str",
        "evaluations": "list[Evaluation]",
        "next": "str | None",
    },
)
"""The evaluations of the slots in (from, to]."""


class Evaluation(TypedDict):
    """One objective in one slot."""

    objective: str
    """Its name."""
    verdict: Literal["pass", "fail", "unknown"]
    """What the slot says."""
    reason: str | None
    """Why it is unknown."""
    value: float | None
    """The number that is held against the target; the bad share of an event objective."""
    bad: float | None
    """Bad events."""
    total: float | None
    """All events."""
    at: str
    """The slot."""
    why: str
    """The evaluation in words."""


class Transitions(TypedDict):
    """What happened."""

    rollout: str
    """The rollout's name."""
    transitions: list[Transition]
    """In order."""
    next: str | None
    """Where to go on; null on the last page."""


Transition = TypedDict(
    "Transition",
    {
        "at": "str",
        "kind": "str",
        "from": 'Literal["pending", "ramping", "soaking", "rolling_back", "rolled_back", "signed_off", "stopped"]',
        "to": 'Literal["pending", "ramping", "soaking", "rolling_back", "rolled_back", "signed_off", "stopped"]',
        "why": "str",
        "by": "str",
        "objective": "str | None",
    },
)
"""Something that happened to the rollout."""


class Order(TypedDict):
    """Why a command is given."""

    reason: str
    """Recorded."""
    by: NotRequired[str]
    """Who; whoever has a name here already is named before it."""


class Command(TypedDict):
    """An operator's command."""

    rollout: str
    """The rollout's name."""
    command: int
    """Its number."""
    verb: str
    """hold, resume, rollback, stop, start or adopt."""
    by: str
    """Who gave it."""
    reason: str
    """Why."""
    at: str
    """When."""
    outcome: str | None
    """What came of it; null until a tick has carried it out."""
