"""What the flag reads against what was asked for: drift both ways, confirmation, changes after the end."""

from __future__ import annotations

from dataclasses import replace

from watchdog.control import Control
from watchdog.decide.details import of_rollback
from watchdog.decide.draft import UNCONFIRMED_AFTER, Draft
from watchdog.decide.rollback import put_on_hold
from watchdog.model import (
    ACTIVE,
    Exposure,
    FlagReading,
    Phase,
    Severity,
)
from watchdog.ramp import above, next_step, same


def compare_flag(draft: Draft) -> None:
    """Hold what the flag reads against what was asked for."""
    control, seen = draft.control, draft.seen
    if not draft.acts:
        if not control.confirmed:
            _confirm(draft, control.desired)
        return
    if seen.reading is None:
        return
    if control.phase is Phase.ROLLED_BACK:
        _changed_after(draft, seen.reading)
        return
    if control.phase not in ACTIVE:
        return
    reads = seen.reading.exposure
    if same(reads, control.desired, seen.smallest_step):
        if control.drifting:
            draft.change(drifting=False)
            _drift_is_over(draft, reads)
            draft.exposures.append((draft.at, "confirmed", control.desired))
        if not control.confirmed:
            _confirm(draft, control.desired)
    elif above(reads, control.desired, seen.smallest_step) and not _lowered_with_cohort(draft, reads):
        _reads_higher(draft, reads)
    elif control.phase is Phase.ROLLING_BACK:
        _confirm(draft, reads)
    elif control.confirmed or _turned_meanwhile(control, reads, seen.smallest_step):
        why = f"flag {draft.rollout.flag} was lowered to {reads} by somebody else (it had {control.desired})"
        draft.desire(reads, confirmed=True)
        # Below its last exposure there is a ramp to go again, once a person resumed it.
        again = control.phase is Phase.SOAKING and next_step(draft.rollout.ramp, reads) is not None
        draft.tell("drift", why, to=Phase.RAMPING if again else None)
        put_on_hold(draft, "drift", "watchdog", why)


def _turned_meanwhile(control: Control, reads: Exposure, step: float) -> bool:
    """Whether somebody else turned the flag between our reading it and our writing it: that is theirs to decide."""
    return control.contested is not None and not same(reads, control.contested, step)


def _lowered_with_cohort(draft: Draft, reads: Exposure) -> bool:
    """Somebody lowered the percentage and let the cohort in: setting that back would raise exposure again."""
    return draft.control.phase is not Phase.ROLLING_BACK and reads.percent < draft.control.desired.percent


def _confirm(draft: Draft, reads: Exposure) -> None:
    control = draft.control
    draft.change(desired=reads, confirmed=True, drifting=False, contested=None)
    draft.exposures.append((draft.at, "confirmed", reads))
    rollback = control.rollback
    if control.phase is not Phase.ROLLING_BACK or rollback is None:
        return
    # Whoever died right after writing the flag left no stamp: it acted, at the latest, now.
    acted = rollback.acted_at if rollback.acted_at is not None else draft.seen.now
    draft.change(rollback=replace(rollback, acted_at=acted, confirmed_at=draft.seen.now))
    took = draft.seen.now - rollback.detected_at
    why = f"flag {draft.rollout.flag} reads {reads}, {took:.1f} s after detection"
    draft.tell("rolled_back", why, to=Phase.ROLLED_BACK)
    details = of_rollback(draft) | {"reads": str(reads)}
    key, summary = f"rolled_back:{rollback.decided_at:.0f}", f"{draft.rollout.name}: {why}"
    draft.page("rolled_back", key, Severity.INFO, summary, **details)


def _reads_higher(draft: Draft, reads: Exposure) -> None:
    control = draft.control
    if control.drifting or (control.phase is Phase.ROLLING_BACK and not control.confirmed):
        return  # told already; or the flag simply does not read the rollback yet
    why = f"flag {draft.rollout.flag} reads {reads}, more than the desired {control.desired}: it is set back"
    draft.change(drifting=True)
    draft.exposures.append((draft.at, "desired", control.desired))
    draft.tell("drift", why)
    summary = f"{draft.rollout.name}: {why}"
    draft.page("drift", f"drift:{draft.seen.now:.0f}", Severity.CRITICAL, summary, reads=str(reads))


def _drift_is_over(draft: Draft, reads: Exposure) -> None:
    summary = f"{draft.rollout.name}: flag {draft.rollout.flag} reads {reads} again, as was asked for"
    draft.page("drift_over", f"drift_over:{draft.seen.now:.0f}", Severity.INFO, summary, reads=str(reads))


def _changed_after(draft: Draft, reading: FlagReading) -> None:
    """After its end the watchdog writes this flag no more; a change is told once."""
    control = draft.control
    if control.changed_after or draft.seen.taken_by is not None:
        return
    if same(reading.exposure, control.desired, draft.seen.smallest_step):
        return
    draft.change(changed_after=reading.version or "changed")
    why = f"flag {draft.rollout.flag} was changed to {reading.exposure} after the rollback; it is left as it is"
    draft.tell("external_change", why)
    summary, reads = f"{draft.rollout.name}: {why}", str(reading.exposure)
    draft.page("external_change", "external_change", Severity.CRITICAL, summary, reads=reads)


def watch_reading(draft: Draft) -> None:
    """Page when the flag could not be read for a minute, and when it can be again.

    While a rollback is under way its own escalation says what the flag reads: one event, one page.
    """
    control, now = draft.control, draft.seen.now
    if not draft.acts or control.phase in (Phase.PENDING, Phase.SIGNED_OFF, Phase.STOPPED):
        return
    if draft.seen.reading is not None:
        if control.unread_told:
            summary = f"{draft.rollout.name}: flag {draft.rollout.flag} can be read again"
            reads = str(draft.seen.reading.exposure)
            draft.page("flag_readable", f"flag_readable:{now:.0f}", Severity.INFO, summary, reads=reads)
        if control.unread_since is not None:
            draft.change(unread_since=None, unread_told=False)
        return
    if control.phase is Phase.ROLLED_BACK:
        return  # nothing has to be written any more
    since = control.unread_since if control.unread_since is not None else now
    draft.change(unread_since=since)
    if now - since < UNCONFIRMED_AFTER or control.unread_told or control.phase is Phase.ROLLING_BACK:
        return
    draft.change(unread_told=True)
    error = draft.seen.reading_error
    why = f"flag {draft.rollout.flag} could not be read for {now - since:.0f} s: {error}"
    key, summary = f"flag_unreadable:{since:.0f}", f"{draft.rollout.name}: {why}"
    draft.page("flag_unreadable", key, Severity.CRITICAL, summary, since=since, error=error)
