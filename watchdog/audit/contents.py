"""What a flag serves, as the audit writes it down and compares it. Pure."""

from __future__ import annotations

import hashlib
import json
import math

from watchdog.flags.base import Change
from watchdog.ledger import Content
from watchdog.model import Exposure, FlagReading
from watchdog.ramp import above, same_percent


def content_of(reading: FlagReading) -> Content:
    """What was read: percent, cohort with its members, audiences, latch."""
    return {**asked(reading.exposure, reading.members), "latch": reading.latch}


def asked(exposure: Exposure, members: tuple[str, ...]) -> Content:
    """What a change asks for."""
    return {
        "percent": float(exposure.percent),
        "cohort": exposure.cohort,
        "members": sorted(set(members)) if exposure.cohort else [],
        "audiences": sorted(exposure.audiences),
    }


def exposure_in(content: Content | None) -> Exposure | None:
    """The exposure of a recorded content; None when nobody knew it."""
    percent = (content or {}).get("percent")
    if content is None or isinstance(percent, bool) or not isinstance(percent, int | float):
        return None
    if not (math.isfinite(percent) and 0 <= percent <= 100):
        return None
    return Exposure(float(percent), bool(content.get("cohort")), tuple(sorted(content.get("audiences") or ())))


def members_in(content: Content | None) -> tuple[str, ...]:
    """The cohort's members in a recorded content."""
    return tuple(str(member) for member in (content or {}).get("members") or ())


def serves_alike(one: Content | None, other: Content | None) -> bool:
    """Whether two contents expose the same people; the latch exposes nobody."""
    keys = ("percent", "cohort", "members", "audiences")
    return one is not None and other is not None and all(one.get(key) == other.get(key) for key in keys)


def exposes_more(change: Change, now: FlagReading, step: float) -> bool:
    """Whether a change gives the feature to anybody who does not have it now; new members of a cohort count."""
    if above(change.exposure, now.exposure, step):
        return True
    if not change.exposure.cohort or same_percent(now.exposure.percent, 100.0, step):
        return False
    return not set(change.cohort) <= set(now.members)


def mark_of(reading: FlagReading) -> str:
    """The service's version of what was read; where it has none, a fingerprint of the content in its place."""
    if reading.version:
        return reading.version
    text = json.dumps(content_of(reading), sort_keys=True)
    return f"content-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def actor_kind(by: str, rollout: str | None, action: str) -> str:
    """Who, in as few words as a metric can bear: watchdog, operator or external."""
    if action in ("external", "seen"):
        return "external"
    return "watchdog" if rollout is not None or by in ("slo-watchdog", "watchdog") else "operator"


def uid_of(kind: str, *facts: str) -> str:
    """The same name for the same facts, whoever records them, and short enough for any database's index."""
    return f"{kind}-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:40]}"
