"""Flags as plain data, for commands and the API: all of them, one with its rollout, and its history."""

from __future__ import annotations

from typing import Any

from watchdog.audit import AuditedFlags, Verification, exposure_in, shown_head
from watchdog.control import Control
from watchdog.errors import FlagServiceError, Refused
from watchdog.flagsystem import FlagSystem
from watchdog.ledger import Ledger, StoredChange, StoredRollout
from watchdog.model import EMERGENCY_FLAGS, Exposure, FlagReading, Phase, Rollout
from watchdog.quantities import rfc3339
from watchdog.ramp import next_step
from watchdog.rolloutfile import rollout_from_resolved

TAIL = 10
"""Changes that the view of one flag shows."""
Json = dict[str, Any]


def history_of(ledger: Ledger, place: AuditedFlags, flag: str, limit: int) -> list[Json]:
    """The newest changes of a flag, newest first. Refused when none was ever recorded."""
    found = ledger.flag_history(place.name, flag, limit)
    if not found:
        known = ", ".join(sorted({one.change.flag for one in ledger.flags_known()})) or "none yet"
        raise Refused(f"no change of flag {flag!r} of {place.name} is on record; there are changes of: {known}")
    return [change_view(one) for one in found]


def change_view(stored: StoredChange) -> Json:
    """One row of the log."""
    change = stored.change
    return {
        "id": stored.id,
        "version": stored.version,
        "at": rfc3339(change.at),
        "service": change.service,
        "flag": change.flag,
        "action": change.action,
        "result": change.result,
        "by": change.by,
        "why": change.why,
        "rollout": change.rollout,
        "before": None if change.before is None else dict(change.before),
        "after": None if change.after is None else dict(change.after),
        "service_version": change.service_version,
        "idem": change.idem,
        "error": change.error or None,
        "hash": stored.hash,
    }


def flags_list(system: FlagSystem, ledger: Ledger, *, ask: bool) -> list[Json]:
    """Every flag that is known: emergency flags, rollouts' flags, and whatever has a history.

    `ask` reads each from its service; else it is what this process last saw, or what was recorded.
    """
    last = {(one.change.service, one.change.flag): one for one in ledger.flags_known()}
    places = {(system.emergency.name, flag) for flag in EMERGENCY_FLAGS}
    places |= {(system.primary.name, stored.flag) for stored in ledger.rollouts()}
    places |= {place for place in last if place[0] in system.services}
    order = list(system.services)
    return [
        _listed(system, ledger, service, flag, last.get((service, flag)), ask=ask)
        for service, flag in sorted(places, key=lambda place: (order.index(place[0]), place[1]))
    ]


def flag_view(
    system: FlagSystem, ledger: Ledger, flag: str, service: str | None = None, *, known_only: bool = False
) -> Json:
    """One flag: what it serves, its rollout with step and next step, its newest changes. The service is asked.

    Refused for a flag that nobody knows; a service that does not answer is said in `error`. `known_only`: the service
    is not asked for a flag that is neither an emergency flag nor on record, nor some rollout's.
    """
    place = system.service_for(flag) if service is None else system.named(service)
    changes = ledger.flag_history(place.name, flag, TAIL)
    stored = _rollout_on(ledger, flag) if place is system.primary else None
    if known_only and not changes and stored is None and place is not system.emergency:
        raise Refused(f"no rollout steers flag {flag[:100]!r}, and no change of it is on record")
    reading, error = _read(place, flag, ask=True)
    if reading is None and not changes and stored is None:
        raise Refused(f"there is no flag {flag!r}: {error}")
    if reading is not None and not changes:
        changes = ledger.flag_history(place.name, flag, TAIL)  # its first reading made its first row
    return {
        "flag": flag,
        "service": place.name,
        **_content(reading, None),
        "members": list(reading.members) if reading is not None else [],
        "service_version": reading.version if reading is not None else None,
        "error": error,
        "rollout": None if stored is None else _rollout_view(stored),
        "history": [change_view(one) for one in changes],
    }


def verification_view(found: Verification) -> Json:
    """What verifying the chain found."""
    return {
        "ok": found.sound,
        "rows": found.rows,
        "head": None if found.head is None else shown_head(found.head),
        "anchors": [shown_head(one) for one in found.anchors],
        "waiting": found.waiting,
        "findings": [
            {"id": one.id, "service": one.service, "flag": one.flag, "what": one.what} for one in found.findings
        ],
    }


def _listed(
    system: FlagSystem, ledger: Ledger, service: str, flag: str, last: StoredChange | None, *, ask: bool
) -> Json:
    place = system.named(service)
    reading, error = _read(place, flag, ask=ask)
    if reading is None and last is None and error is None:
        error = "not read yet"
    owner = ledger.active_on(flag) if place is system.primary else None
    recorded = ledger.last_flag_content(service, flag) if reading is None and last is not None else None
    return {
        "flag": flag,
        "service": service,
        **_content(reading, recorded),
        "error": error,
        "last_change": None if last is None else _short(last),
        "owner": None if owner is None else owner.name,
    }


def _short(stored: StoredChange) -> Json:
    change = stored.change
    return {"at": rfc3339(change.at), "action": change.action, "result": change.result, "by": change.by}


def _read(place: AuditedFlags, flag: str, *, ask: bool) -> tuple[FlagReading | None, str | None]:
    if not ask:
        return place.last(flag), None
    try:
        return place.read_surely(flag), None
    except FlagServiceError as error:
        return None, str(error)


def _content(reading: FlagReading | None, recorded: StoredChange | None) -> Json:
    """Who has the feature, as read, else as recorded, else unknown."""
    exposure: Exposure | None = None
    latch = None
    if reading is not None:
        exposure, latch = reading.exposure, reading.latch
    elif recorded is not None:
        exposure, latch = exposure_in(recorded.change.after), (recorded.change.after or {}).get("latch")
    return {
        "percent": exposure.percent if exposure is not None else None,
        "cohort": exposure.cohort if exposure is not None else None,
        "audiences": list(exposure.audiences) if exposure is not None else [],
        "latch": latch,
    }


def _rollout_on(ledger: Ledger, flag: str) -> StoredRollout | None:
    """The rollout that owns the flag, else the newest one of it."""
    owner = ledger.active_on(flag)
    if owner is not None:
        return owner
    return next((stored for stored in reversed(ledger.rollouts()) if stored.flag == flag), None)


def _rollout_view(stored: StoredRollout) -> Json:
    rollout = rollout_from_resolved(stored.resolved, stored.text)
    control = Control.from_dict(dict(stored.control)) if stored.control else Control(phase=stored.phase)
    hold = control.hold
    return {
        "rollout": stored.name,
        "phase": control.phase.value,
        "mode": stored.mode.value,
        "strategy": rollout.ramp.strategy,
        "steps": len(rollout.ramp.steps),
        "step": _steps_taken(rollout, control),
        "desired": control.desired.percent,
        "confirmed": control.confirmed,
        "next": _next(rollout, control),
        "waiting": list(control.waiting),
        "hold": None
        if hold is None
        else {"cause": hold.cause, "by": hold.by, "since": rfc3339(hold.since), "why": hold.why},
    }


def _steps_taken(rollout: Rollout, control: Control) -> int:
    steps = rollout.ramp.steps
    coming = next_step(rollout.ramp, control.desired)
    return len(steps) if coming is None else steps.index(coming)


def _next(rollout: Rollout, control: Control) -> Json | None:
    """The next planned exposure, and the earliest time for it; None where none is planned."""
    coming = next_step(rollout.ramp, control.desired)
    if coming is None or control.phase not in (Phase.PENDING, Phase.RAMPING):
        return None
    began = control.last_step_at if control.last_step_at is not None else control.started_at
    due = None if began is None or control.hold is not None else rfc3339(began + coming.after)
    return {
        "percent": coming.exposure.percent,
        "cohort": coming.exposure.cohort,
        "audiences": list(coming.exposure.audiences),
        "not_before": due,
    }
