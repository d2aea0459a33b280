"""Stamps of what was done for a rollout, and what it started on, as plain data with RFC 3339 times. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from watchdog.model import Deed, Proof, Rollback, Transition, Waiver
from watchdog.quantities import rfc3339

ENGINE = "engine"
"""The kind of the transition with which another version of this program takes over."""
_BY = "slo-watchdog "


def by_engine(version: str) -> str:
    """Who takes over in such a transition."""
    return _BY + version


def engine_of(first: str, transitions: Sequence[Transition]) -> str:
    """The version that acted last: `first`, or the newest that took over since, by transitions in order."""
    return next((one.by.removeprefix(_BY) for one in reversed(transitions) if one.kind == ENGINE), first)


def told_engines(first: str, transitions: Sequence[Transition]) -> str:
    """Every version that acted and since when, in words: `0.1.0, from 2026-11-23T10:00:00Z 0.2.0`."""
    later = [f"from {rfc3339(one.at)} {one.by.removeprefix(_BY)}" for one in transitions if one.kind == ENGINE]
    return ", ".join([first, *later])


def time_of(at: float | None) -> str | None:
    """An instant; None stays None."""
    return rfc3339(at) if at is not None else None


def stamps(rollback: Rollback | None) -> dict[str, Any] | None:
    """The rollback's stamps as plain data; None when there was none."""
    if rollback is None:
        return None
    return {
        "cause": rollback.cause,
        "detected_at": time_of(rollback.detected_at),
        "decided_at": time_of(rollback.decided_at),
        "acted_at": time_of(rollback.acted_at),
        "confirmed_at": time_of(rollback.confirmed_at),
        "recovered_at": time_of(rollback.recovered_at),
    }


def deed_stamps(deed: Deed) -> dict[str, Any]:
    """What else was done for safety, as plain data."""
    return {
        "kind": deed.kind,
        "service": deed.service,
        "flag": deed.flag,
        "why": deed.why,
        "decided_at": time_of(deed.decided_at),
        "acted_at": time_of(deed.acted_at),
        "confirmed_at": time_of(deed.confirmed_at),
        "error": deed.error or None,
    }


def proved(proof: Proof | None) -> dict[str, Any] | None:
    """A preflight's verdict on the rule as plain data."""
    if proof is None:
        return None
    counted = {"failed": proof.failed, "waived": proof.waived, "score": proof.score}
    return {"id": proof.id, "at": rfc3339(proof.at), "held": proof.holds, **counted, "sha256": proof.sha256}


def waived(waiver: Waiver | None) -> dict[str, Any] | None:
    """A waiver as plain data; None when there is none."""
    if waiver is None:
        return None
    said = {"name": waiver.name, "by": waiver.by, "reason": waiver.why}
    return {**said, "at": rfc3339(waiver.at), "until": rfc3339(waiver.until)}
