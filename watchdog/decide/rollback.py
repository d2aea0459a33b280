"""Taking the feature back, holding the ramp, and seeing whether it helped."""

from __future__ import annotations

from dataclasses import replace

from watchdog.decide.deeds import kill_along
from watchdog.decide.details import of_objective, of_rollback, what_it_reads
from watchdog.decide.draft import UNCONFIRMED_AFTER, Draft
from watchdog.evaluate import sentence
from watchdog.model import (
    Breach,
    Exposure,
    Hold,
    Phase,
    Rollback,
    Severity,
    Verdict,
)


def take_back(
    draft: Draft,
    why: str,
    by: str,
    detected_at: float,
    breach: Breach | None,
    *,
    severity: Severity = Severity.CRITICAL,
) -> None:
    """Decide a rollback: the flag is made to serve `rollback.to`, or less if it serves less already."""
    to = draft.rollout.rollback.to
    if draft.control.started_at is not None:
        to = min(to, draft.control.desired.percent)
    was = draft.control.desired
    if draft.seen.reading is not None and draft.acts:
        was = draft.seen.reading.exposure
    draft.change(
        hold=None,
        waiting=(),
        waiting_for=(),
        cause=(breach.objective, breach.at) if breach is not None else None,
        rollback=Rollback(why, detected_at, draft.seen.now),
        # From here on the rollback tells of this breach.
        breached=tuple(name for name in draft.control.breached if name != objective_of(breach)),
        shared=(),
    )
    draft.took_back = breach
    draft.desire(Exposure(to))
    draft.tell(
        "rollback", f"{why}; flag from {was} to {to:g}%", to=Phase.ROLLING_BACK, by=by, objective=objective_of(breach)
    )
    details = (
        of_rollback(draft) if breach is None else of_objective(draft, breach.objective, breach) | of_rollback(draft)
    )
    details |= {"by": by, "exposure_before": str(was), "exposure_after": str(draft.control.desired)}
    draft.page(
        "rollback",
        f"rollback:{draft.seen.now:.0f}" if breach is None else f"rollback:{breach.at}",
        severity,
        f"{draft.rollout.name} is being rolled back to {to:g}%: {why}",
        **details,
    )
    kill_along(draft, why)


def put_on_hold(draft: Draft, cause: str, by: str, why: str, breach: Breach | None = None) -> None:
    """Hold the ramp until a person resumes it; a hold that is there already stays."""
    if draft.control.hold is not None:
        return
    draft.change(hold=Hold(cause, by, draft.seen.now, why), waiting=(), waiting_for=())
    draft.tell("hold", f"held ({cause.replace('_', ' ')}) by {by}: {why}", by=by)
    severity = {"operator": Severity.INFO, "emergency": Severity.WARNING}.get(cause, Severity.CRITICAL)
    details = {} if breach is None else of_objective(draft, breach.objective, breach)
    details |= {"cause": cause, "by": by, "reason": why}
    draft.page("hold", f"hold:{draft.seen.now:.0f}", severity, f"{draft.rollout.name} held: {why}", **details)


def objective_of(breach: Breach | None) -> str | None:
    """Name the breached objective; None where no breach was the cause."""
    return breach.objective if breach is not None else None


def escalate(draft: Draft) -> None:
    """An unconfirmed rollback pages again: at one minute, and at the deadline."""
    rollback, now = draft.control.rollback, draft.seen.now
    if draft.control.phase is not Phase.ROLLING_BACK or rollback is None:
        return
    for name, due in (
        ("rollback_unconfirmed", rollback.decided_at + UNCONFIRMED_AFTER),
        ("rollback_late", rollback.detected_at + draft.rollout.rollback.within),
    ):
        if now >= due and name not in rollback.escalated:
            rollback = replace(rollback, escalated=(*rollback.escalated, name))
            draft.change(rollback=rollback)
            reads = what_it_reads(draft)
            summary = (
                f"{draft.rollout.name}: the rollback decided {now - rollback.decided_at:.0f} s ago is not confirmed; "
                f"flag {draft.rollout.flag} reads {reads}: turn it off by hand"
            )
            details = of_rollback(draft) | {"reads": reads}
            draft.page(name, f"{name}:{rollback.decided_at:.0f}", Severity.CRITICAL, summary, **details)


def _pooled(draft: Draft) -> str:
    """The pooled objectives beside an empty cohort: an empty cohort alone shows nothing."""
    pooled = (o for o in draft.rollout.objectives if o.gates and not o.uses_cohort)
    said = [sentence(o, draft.seen.verdicts[o.name]) for o in pooled if o.name in draft.seen.verdicts]
    return f"; of everybody: {'; '.join(said)}" if said else ""


def verify(draft: Draft) -> None:
    """See whether it helped that the flag is off."""
    rollback, cause, seen = draft.control.rollback, draft.control.cause, draft.seen
    if draft.control.phase is not Phase.ROLLED_BACK or rollback is None or cause is None:
        return
    if rollback.recovered_at is not None or rollback.confirmed_at is None:
        return
    if cause[0] not in seen.open_objectives:
        draft.change(rollback=replace(rollback, recovered_at=seen.now))
        nobody = draft.rollout.objective(cause[0]).uses_cohort and draft.control.desired.none
        why = f"{cause[0]} recovered after the rollback" + (f": nobody is exposed{_pooled(draft)}" if nobody else "")
        draft.tell("recovered", why, objective=cause[0])
        details = of_objective(draft, cause[0]) | of_rollback(draft)
        draft.page("recovered", f"recovered:{cause[1]}", Severity.INFO, f"{draft.rollout.name}: {why}", **details)
        return
    if "verified" in rollback.escalated or seen.now < rollback.confirmed_at + draft.rollout.rollback.verify:
        return
    draft.change(rollback=replace(rollback, escalated=(*rollback.escalated, "verified")))
    newest = seen.verdicts.get(cause[0])
    blind = newest is not None and newest.verdict is Verdict.UNKNOWN
    if newest is not None and blind:
        why = f"the flag is off, but the watchdog cannot see whether errors stopped ({cause[0]}: {newest.detail})"
    else:
        why = f"the flag is off, errors continue: the cause of {cause[0]} is elsewhere"
    draft.tell("errors_continue", why, objective=cause[0])
    details = of_objective(draft, cause[0]) | of_rollback(draft) | {"blind": blind or None}
    draft.page("errors_continue", f"continue:{cause[1]}", Severity.CRITICAL, f"{draft.rollout.name}: {why}", **details)
