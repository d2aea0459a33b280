"""What lets a rollout start: a preflight of its rule that held and is fresh, or somebody's word; and a free flag."""

from __future__ import annotations

from dataclasses import dataclass

from watchdog.control import Control
from watchdog.errors import LedgerError
from watchdog.ledger import Ledger, StoredRollout
from watchdog.model import Mode, Phase, Proof, Waiver
from watchdog.quantities import format_duration, rfc3339

PREFLIGHT = "preflight"
"""What a waiver of a start is named after."""
INSTEAD = "or start it with --waive REASON --waive-until TIME"


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether a start needs a preflight, and how old that may be, in seconds."""

    required: bool = False
    max_age: float = 86_400.0


@dataclass(frozen=True, slots=True)
class Leave:
    """What the ledger has for a start. `unproven` says why it may not be; empty where it may.

    `waiver` is given only where it is needed: without a proof that holds.
    """

    proof: Proof | None = None
    waiver: Waiver | None = None
    unproven: str = ""


def leave_of(ledger: Ledger, gate: Gate, name: str, rule: str, rollout_id: int | None, now: float) -> Leave:
    """Whether a rollout may start by `gate`; `rule` is its sha256, `rollout_id` None before it is known.

    Raises LedgerError.
    """
    proof = ledger.proof(name, rule)
    lack = lacking(gate, proof, now)
    if not lack:
        return Leave(proof)
    given = [one for one in ledger.waivers(rollout_id) if one.name == PREFLIGHT] if rollout_id is not None else []
    standing = [one for one in given if one.until > now]
    if standing or not gate.required:
        return Leave(proof, standing[-1] if standing else None)
    ended = f"; the waiver by {given[-1].by} ended at {rfc3339(given[-1].until)}" if given else ""
    return Leave(proof, None, f"{lack}{ended}; {INSTEAD}")


def while_pending(ledger: Ledger, gate: Gate, stored: StoredRollout, now: float) -> Leave:
    """The same for a tick of a rollout that has not started; what cannot be read lets nothing start."""
    try:
        return leave_of(ledger, gate, stored.name, stored.sha256, stored.id, now)
    except LedgerError as error:
        return Leave(unproven=f"whether there was a preflight cannot be read: {error}" if gate.required else "")


def taken_by(ledger: Ledger, stored: StoredRollout, control: Control) -> str | None:
    """Which other rollout has the flag of one that is not under way, or started on it since; None when none has."""
    if control.phase.active:
        return None
    try:
        if control.phase is Phase.ROLLED_BACK:
            # Whoever started on the flag since may have changed it, and may have ended by now.
            same_flag = (other for other in ledger.rollouts() if other.flag == stored.flag)
            found = [other for other in same_flag if (other.started_at or 0) > (control.started_at or 0)]
        else:
            active = ledger.active_on(stored.flag)
            found = [active] if active is not None else []
    except LedgerError:
        return "a rollout that the unreadable ledger may hold"
    return next((other.name for other in found if other.mode is Mode.ACT and other.name != stored.name), None)


def lacking(gate: Gate, proof: Proof | None, now: float) -> str:
    """Why this proof does not do, in words with what to do; empty when it does."""
    again = "run `slo-watchdog preflight`"
    if proof is None:
        return f"no preflight of this rule is on record: {again}"
    told = f"its preflight {proof.id} of {rfc3339(proof.at)}"
    if proof.failed:
        blockers = "1 blocker does" if proof.failed == 1 else f"{proof.failed} blockers do"
        return f"{told} failed, {blockers} not hold (score {proof.score} %): correct them, then {again} again"
    if proof.waived:
        return f"{told} passed only by the file's waive.preflight, which nobody signed and which has no end"
    age = now - proof.at
    if age > gate.max_age:
        limit = format_duration(gate.max_age)
        return f"{told} is {format_duration(round(age))} old, preflight.max_age is {limit}: {again} again"
    return ""
