"""A cause that both cohorts share: the ramp is held for it, and the flag taken back once that can no longer be said.

Nothing is taken back because it is *known* that the control fails, too. So it is looked again at each detector step,
and three things end it: the exposed cohort turns out worse, the control is not seen to fail for as long as
`rollback.within` has room for, or the breach is over. Unknown is neither good nor bad, and is given no more time.
"""

from __future__ import annotations

from dataclasses import replace

from watchdog.attribution import patience
from watchdog.decide.draft import Draft
from watchdog.decide.rollback import take_back
from watchdog.model import Attribution, Blame, Breach, OnBreach, Phase, SharedCause
from watchdog.quantities import format_duration

SHARED_CAUSE = "shared_cause"
"""The cause of such a hold."""
LEAST_STEPS = 5
"""The cohorts are compared again over so many steps at least, where there is time for them."""


def is_shared(draft: Draft, breach: Breach) -> bool:
    """Whether this breach holds instead: the control fails, too, the rule wants that, and there is time to look on."""
    found = draft.seen.compared.get((breach.objective, breach.at))
    return (
        draft.rollout.on_shared_cause is OnBreach.HOLD
        and found is not None
        and found.verdict is Blame.SHARED
        and _patience(draft, breach.objective) > 0
    )


def keep_watching(draft: Draft, breach: Breach) -> None:
    """Remember to look again whether the control still fails."""
    found = draft.seen.compared[breach.objective, breach.at]
    steps = min(max(found.steps, LEAST_STEPS), _patience(draft, breach.objective))
    cause = SharedCause(breach.objective, breach.at, steps, draft.at)
    draft.change(shared=(*(one for one in draft.control.shared if one.objective != breach.objective), cause))


def follow(draft: Draft) -> None:
    """Look on at the breaches that are held for a shared cause."""
    for cause in draft.control.shared:
        if draft.control.phase not in (Phase.RAMPING, Phase.SOAKING):
            return
        _follow(draft, cause)


def _follow(draft: Draft, cause: SharedCause) -> None:
    if any(breach.objective == cause.objective and breach.at == cause.at for breach, _ in draft.seen.opened):
        return  # it was held a moment ago
    breach = draft.seen.open_breaches.get(cause.objective)
    if breach is None or breach.at != cause.at:
        why = f"the breach of {cause.objective}, which both cohorts shared, is over; a person resumes the ramp"
        _replace(draft, cause, None)
        draft.tell("shared_cause_over", why, objective=cause.objective)
        return
    found = draft.seen.compared.get((cause.objective, cause.at))
    if found is not None and found.verdict is Blame.SHARED:
        _replace(draft, cause, replace(cause, seen_at=draft.at))
        return
    if found is not None and found.verdict is Blame.FLAG:
        _take_back(draft, breach, f"{cause.objective} goes on failing, and the cause is no longer shared: {found.why}")
        return
    unseen, most = draft.at - cause.seen_at, _patience(draft, cause.objective) * _every(draft, cause.objective)
    if unseen >= most:
        why = f"{cause.objective} goes on failing, and the control was not seen to fail for {format_duration(unseen)}"
        _take_back(draft, breach, f"{why}: {_said(found)}")


def _take_back(draft: Draft, breach: Breach, why: str) -> None:
    take_back(draft, why, "watchdog", draft.seen.now, breach)


def _said(found: Attribution | None) -> str:
    return found.why if found is not None else "no detector step has ended since"


def _replace(draft: Draft, cause: SharedCause, by: SharedCause | None) -> None:
    others = (by if one == cause else one for one in draft.control.shared)
    draft.change(shared=tuple(one for one in others if one is not None))


def _patience(draft: Draft, objective: str) -> int:
    return patience(draft.rollout, draft.rollout.objective(objective).detector)


def _every(draft: Draft, objective: str) -> int:
    return draft.rollout.objective(objective).detector.every
