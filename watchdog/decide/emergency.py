"""Emergency flags: what one that is on does to a rollout, and what an unreadable set keeps from happening.

Shutdown takes the feature back; read-only and maintenance hold the ramp until a person resumes it, which nobody can
while the flag is on. A set that cannot be read is neither on nor off: nothing starts, rises or is taken back for it.
"""

from __future__ import annotations

from watchdog.decide.draft import Draft
from watchdog.decide.rollback import put_on_hold, take_back
from watchdog.model import EMERGENCY_FLAGS, Phase, Severity

SHUTDOWN = EMERGENCY_FLAGS[0]


def obey(draft: Draft) -> None:
    """Do what the emergency flags that are on ask of a rollout that has its flag."""
    on = draft.seen.emergency
    if not on or draft.control.phase not in (Phase.RAMPING, Phase.SOAKING):
        return
    shutdown = next((emergency for emergency in on if emergency.flag == SHUTDOWN), None)
    if shutdown is not None:
        why = f"rolled back by {SHUTDOWN}: {shutdown}"
        take_back(draft, why, shutdown.by or SHUTDOWN, draft.seen.now, None, severity=Severity.WARNING)
    else:
        words = "; ".join(str(emergency) for emergency in on)
        put_on_hold(draft, "emergency", on[0].by or on[0].flag, words)


def in_the_way(draft: Draft) -> list[tuple[str, str]]:
    """What a start or a step waits for, as (name, sentence): the flags that are on, and a set that cannot be read."""
    reasons = [(emergency.flag, str(emergency)) for emergency in draft.seen.emergency]
    if draft.seen.emergency_unknown:
        reasons.append(("emergency", f"the emergency flags cannot be read: {draft.seen.emergency_unknown}"))
    return reasons


def still_on(draft: Draft) -> str:
    """Why nobody can resume now; empty when no emergency flag is on."""
    on = draft.seen.emergency
    if not on:
        return ""
    off = " and ".join(f"`slo-watchdog flags emergency {emergency.flag} off`" for emergency in on)
    return f"{'; '.join(str(emergency) for emergency in on)}; switch it off first: {off}"
