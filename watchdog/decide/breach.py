"""What a breach does: take the flag back, hold, or tell."""

from __future__ import annotations

from watchdog.decide.deeds import page_deed, switch_on
from watchdog.decide.details import of_objective
from watchdog.decide.draft import Draft
from watchdog.decide.rollback import put_on_hold, take_back
from watchdog.decide.shared import SHARED_CAUSE, is_shared, keep_watching
from watchdog.model import (
    Breach,
    Exposure,
    OnBreach,
    Phase,
    Severity,
)
from watchdog.ramp import above


def take_breaches(draft: Draft) -> None:
    """Record every breach found since the last tick, and do what its objective asks for."""
    for breach, late in draft.seen.opened:
        objective = draft.rollout.objective(breach.objective)
        words = f"{breach.objective} breached{' (found late)' if late else ''}: {breach.why}"
        draft.tell("breach", words, objective=breach.objective)
        deed, told = switch_on(draft, breach, words, late=late), len(draft.notifications)
        if draft.control.phase in (Phase.RAMPING, Phase.SOAKING):
            if objective.on_breach is OnBreach.ROLLBACK:
                _breach_takes_back(draft, breach, words, late=late)
            elif objective.on_breach is OnBreach.HOLD:
                _hold_for(draft, breach, words)
            else:
                _page_breach(draft, breach, words)
        elif draft.control.phase is Phase.SIGNED_OFF:
            draft.tell("amended", f"after the sign-off: {words}", objective=breach.objective)
            draft.reports.append("final")
            _page_breach(draft, breach, f"after its sign-off: {words}")
        elif draft.control.phase is not Phase.STOPPED and objective.on_breach is not OnBreach.ROLLBACK:
            _page_breach(draft, breach, words)
        if deed is not None:
            page_deed(draft, deed, told=len(draft.notifications) > told, objective=breach.objective)


def _page_breach(draft: Draft, breach: Breach, words: str) -> None:
    key, details = f"breach:{breach.objective}:{breach.at}", of_objective(draft, breach.objective, breach)
    draft.page("breach", key, Severity.CRITICAL, f"{draft.rollout.name}: {words}", **details)
    if draft.acts and draft.control.phase is not Phase.SIGNED_OFF:  # after which nobody watches it any more
        draft.change(breached=tuple(sorted({*draft.control.breached, breach.objective})))


def tell_recovered(draft: Draft) -> None:
    """Tell of each breach that was paged for itself that it is over."""
    burning = draft.seen.open_objectives | {breach.objective for breach, _ in draft.seen.opened}
    over = [name for name in draft.control.breached if name not in burning]
    for name in over:
        why = f"{draft.rollout.name}: the breach of {name} is over"
        details = of_objective(draft, name)
        draft.page("recovered", f"recovered:{name}:{draft.at}", Severity.INFO, why, **details)
    if over:
        draft.change(breached=tuple(name for name in draft.control.breached if name not in over))


def _hold_for(draft: Draft, breach: Breach, words: str, cause: str = "breach") -> None:
    """Hold for a breach; where a hold stands already, somebody must still hear of the breach."""
    if draft.control.hold is not None:
        _page_breach(draft, breach, words)
    else:
        put_on_hold(draft, cause, "watchdog", words, breach)


def _breach_takes_back(draft: Draft, breach: Breach, words: str, *, late: bool) -> None:
    if not _exposed(draft):
        nobody = f"{words}; nobody is exposed beyond {draft.rollout.rollback.to:g}%, so there is nothing to take back"
        _hold_for(draft, breach, nobody)
    elif late and draft.rollout.late_breach is OnBreach.HOLD:
        _hold_for(draft, breach, words)
    elif is_shared(draft, breach):
        why = f"{words}; {draft.seen.compared[breach.objective, breach.at].why}"
        _hold_for(draft, breach, why, SHARED_CAUSE)
        keep_watching(draft, breach)
    else:
        detected, found = draft.seen.now, draft.seen.compared.get((breach.objective, breach.at))
        why = words if found is None else f"{words}; {found.why}"
        take_back(draft, why, "watchdog", detected, breach)


def _exposed(draft: Draft) -> bool:
    """Whether anybody has, or may have, more than a rollback would leave; a doubt counts as yes."""
    floor = Exposure(draft.rollout.rollback.to)
    step = draft.seen.smallest_step
    if above(draft.control.desired, floor, step) or not draft.control.confirmed:
        return True
    return draft.acts and draft.seen.reading is not None and above(draft.seen.reading.exposure, floor, step)
