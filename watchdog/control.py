"""What a rollout is doing right now: the small state that decisions change, and its JSON form in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from watchdog.model import NOBODY, Deed, Exposure, Hold, Phase, Proof, Ramp, Rollback, SharedCause, Waiver
from watchdog.ramp import next_step

LEFT_ALONE_AFTER = 30 * 86400
"""Seconds after a rollback for which its flag is still read: whoever turns it on again by hand is told of."""


@dataclass(frozen=True, slots=True)
class Control:
    """One rollout's control state. Measurements are not in it: they are facts, this is what was decided on them."""

    phase: Phase = Phase.PENDING
    started_at: int | None = None
    desired: Exposure = NOBODY
    confirmed: bool = True
    """Whether the flag has read `desired` since it was last asked for."""
    last_step_at: int | None = None
    hold: Hold | None = None
    waiting: tuple[str, ...] = ()
    waiting_for: tuple[str, ...] = ()
    """What `waiting` waits for, as names: a new spell is recorded when these change."""
    rollback: Rollback | None = None
    cause: tuple[str, int] | None = None
    """The breach (objective, step) that took the flag back; None for an operator's rollback."""
    interim_at: int | None = None
    final_at: int | None = None
    start_by: str | None = None
    """Who asked for the start that has not happened yet."""
    start_why: str = ""
    adopt: bool = False
    written_at: float | None = None
    """When the flag was last written (for the propagation that `flag_ramp` excuses)."""
    drifting: bool = False
    contested: Exposure | None = None
    """What the flag read when somebody else changed it under a step of ours, which was not written for it."""
    changed_after: str = ""
    """Version of the flag that was told as changed after the rollback ended."""
    blind: tuple[str, ...] = ()
    resets: tuple[tuple[int, str], ...] = ()
    """Window resets already told, as (instant, objective)."""
    breached: tuple[str, ...] = ()
    """Objectives whose breach was paged for itself, and whose end is still to be told."""
    unread_since: float | None = None
    """Since when the flag could not be read; None while it can."""
    unread_told: bool = False
    """Whether people were told that it cannot be read."""
    deeds: tuple[Deed, ...] = ()
    """What else was decided for safety: flags of other services to kill, emergency flags to switch on."""
    proof: Proof | None = None
    """What the newest preflight of the rule said when the rollout started; None where there was none."""
    waiver: Waiver | None = None
    """Whose word it started on instead."""
    waiver_ended: bool = False
    """Whether people were told that the waiver has ended."""
    shared: tuple[SharedCause, ...] = ()
    """Breaches for which nothing was taken back because the control cohort fails, too."""

    def to_dict(self) -> dict[str, object]:
        """Plain data for the ledger."""
        data = asdict(self)
        if not self.shared:
            del data["shared"]  # nothing is said of cohorts where there are none
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Control:
        """What `to_dict` gave, back from JSON; unknown keys of another version are left out."""
        known: dict[str, Any] = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        for name, read in _READERS.items():
            if name in known:
                known[name] = read(known[name])
        return cls(**known)


def _exposure(data: Mapping[str, Any]) -> Exposure:
    return Exposure(**{**data, "audiences": tuple(data.get("audiences", ()))})


def _rollback(data: Mapping[str, Any] | None) -> Rollback | None:
    return None if data is None else Rollback(**{**data, "escalated": tuple(data["escalated"])})


_READERS: dict[str, Callable[[Any], Any]] = {
    "phase": Phase,
    "desired": _exposure,
    "contested": lambda data: None if data is None else _exposure(data),
    "hold": lambda data: None if data is None else Hold(**data),
    "rollback": _rollback,
    "cause": lambda data: None if data is None else (str(data[0]), int(data[1])),
    "waiting": tuple,
    "waiting_for": tuple,
    "blind": tuple,
    "breached": tuple,
    "deeds": lambda data: tuple(Deed(**{**deed, "escalated": tuple(deed["escalated"])}) for deed in data),
    "proof": lambda data: None if data is None else Proof(**data),
    "waiver": lambda data: None if data is None else Waiver(**data),
    "shared": lambda data: tuple(SharedCause(**cause) for cause in data),
    "resets": lambda data: tuple((int(at), str(name)) for at, name in data),
}


def overdue(ramp: Ramp, control: Control, slot: int | None) -> float:
    """For how many seconds the next step of the ramp has been due at `slot`; 0 while none is, and during a hold."""
    step = next_step(ramp, control.desired)
    if control.phase is not Phase.RAMPING or control.hold is not None or step is None or slot is None:
        return 0.0
    last = control.last_step_at if control.last_step_at is not None else control.started_at
    return max(0.0, slot - last - step.after) if last is not None else 0.0


def left_alone(control: Control, now: float) -> bool:
    """Whether the flag was taken back so long ago that it is looked at no more, and what came of it is told."""
    rollback = control.rollback
    if control.phase is not Phase.ROLLED_BACK or rollback is None or rollback.confirmed_at is None:
        return False
    told = control.cause is None or rollback.recovered_at is not None or "verified" in rollback.escalated
    return told and now - rollback.confirmed_at >= LEFT_ALONE_AFTER


class Timeline:
    """Which exposure was asked for and confirmed when, on the slot grid; append-only, oldest first."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, str, Exposure]] = []

    def add(self, at: int, kind: str, exposure: Exposure) -> None:
        """`kind` is `desired` (asked for, not yet seen) or `confirmed` (the flag read it)."""
        self.entries.append((at, kind, exposure))

    def over(self, start: int, end: int) -> Exposure | None:
        """The confirmed exposure throughout (start, end]; None when it changed inside or is not known."""
        holding: tuple[int, str, Exposure] | None = None
        for entry in self.entries:
            if entry[0] <= start:
                holding = entry
            elif entry[0] < end:
                return None
        if holding is None or holding[1] == "desired":
            return None
        return holding[2]

    def confirmed(self) -> list[tuple[int, Exposure]]:
        """The confirmed exposures, each from when it held; repeats left out."""
        points: list[tuple[int, Exposure]] = []
        for at, kind, exposure in self.entries:
            if kind != "desired" and (not points or points[-1][1] != exposure):
                if points and points[-1][0] == at:
                    points.pop()
                points.append((at, exposure))
        return points
