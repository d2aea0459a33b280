"""When a pending rollout starts, what it waits for until then, and when what let it start has ended."""

from __future__ import annotations

from watchdog.decide.draft import Draft, wait
from watchdog.decide.emergency import in_the_way
from watchdog.model import (
    Exposure,
    Phase,
    Severity,
)
from watchdog.quantities import rfc3339
from watchdog.ramp import same


def start_if_due(draft: Draft) -> None:
    """Start when it is due and nothing stands in the way; else say what does."""
    rollout, control, seen = draft.rollout, draft.control, draft.seen
    since = _start_instant(draft)
    if since is None:
        return
    at, note = since
    reasons = _start_obstacles(draft)
    if reasons:
        wait(draft, reasons)
        return
    exposure = Exposure(rollout.ramp.start)
    if draft.acts and control.adopt and seen.reading is not None:
        exposure = seen.reading.exposure
    by = control.start_by or "watchdog"
    waiver = draft.seen.waiver if draft.acts else None
    draft.change(started_at=int(at), waiting=(), waiting_for=(), proof=draft.seen.proof, waiver=waiver)
    draft.change(desired=exposure, confirmed=True)
    draft.exposures.append((int(at), "confirmed", exposure))
    why = f"started by {by} at {exposure}{note}"
    if control.start_why:
        why += f": {control.start_why}"
    if waiver is not None:
        why += f"; {waiver.name} waived by {waiver.by} until {rfc3339(waiver.until)}: {waiver.why}"
    draft.tell("start", why, to=Phase.RAMPING, by=by)
    reason = control.start_why or None
    draft.page("start", "start", Severity.INFO, f"{rollout.name} {why}", by=by, reason=reason)


def _start_instant(draft: Draft) -> tuple[float, str] | None:
    """When the rollout starts, with a note on it; None when nobody asked for it yet."""
    rollout, control, now = draft.rollout, draft.control, draft.seen.now
    if rollout.start_at is not None and control.start_by is None:
        if now < rollout.start_at:
            return None
        late = now - rollout.start_at
        if late <= rollout.window.max_gap or "late_start" in rollout.waive:
            return rollout.start_at, ""
        return now, f" ({late:.0f} s after its start_at, more than max_gap: it starts now)"
    if control.start_by is not None or rollout.auto_start:
        return now, ""
    return None


def _start_obstacles(draft: Draft) -> list[tuple[str, str]]:
    rollout, control, seen = draft.rollout, draft.control, draft.seen
    reasons = in_the_way(draft)
    if not draft.acts:
        return reasons
    if seen.unproven:
        reasons.append(("preflight", seen.unproven))
    if seen.taken_by is not None:
        reasons.append(("flag", f"flag {rollout.flag} is taken by the active rollout {seen.taken_by}"))
    if seen.reading is None:
        reasons.append(("flag", f"flag {rollout.flag} cannot be read: {seen.reading_error}"))
        return reasons
    if seen.reading.latch == rollout.name:
        reasons.append(
            ("latch", f"flag {rollout.flag} carries the latch of this rollout's own rollback; use a new rollout name")
        )
    wanted = Exposure(rollout.ramp.start)
    if not control.adopt and not same(seen.reading.exposure, wanted, seen.smallest_step):
        found = f"flag {rollout.flag} reads {seen.reading.exposure}, the plan starts at {wanted}"
        reasons.append(("flag", f"{found}: set it, or start with --adopt --reason to ramp on from there"))
    elif seen.reading.exposure.percent > rollout.ramp.to:
        found = f"flag {rollout.flag} reads {seen.reading.exposure}, the plan ends at {rollout.ramp.to:g}%"
        reasons.append(("flag", f"{found}: there is nothing to ramp on from there, lower it first"))
    return reasons


def tell_waiver_ended(draft: Draft) -> None:
    """Say, once, that the waiver on which the rollout started has ended. The watch goes on: nothing got worse."""
    waiver = draft.control.waiver
    if waiver is None or draft.control.waiver_ended or draft.seen.now < waiver.until:
        return
    draft.change(waiver_ended=True)
    if not draft.control.phase.active:
        return
    why = f"the waiver of {waiver.name} by {waiver.by} has ended: {waiver.why}"
    draft.tell("waiver_ended", why)
    summary = f"{draft.rollout.name}: {why}"
    draft.page("waiver_ended", "waiver_ended", Severity.WARNING, summary, by=waiver.by, reason=waiver.why)
