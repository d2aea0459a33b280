"""Deeds: flags of other services that go with a rollback, and emergency flags that a breach switches on.

They are decided here and so recorded with the decision; `watchdog.deeds` does them and stamps them. One that is not
confirmed pages at a minute and at the deadline, as the rollback itself does. An observation decides none.
"""

from __future__ import annotations

from dataclasses import replace

from watchdog.decide.draft import UNCONFIRMED_AFTER, Draft
from watchdog.model import Breach, Deed, Phase, Severity

EMERGENCY = "emergency"
"""Name of the emergency set, where a secondary service has a name."""
TOLD = "told"
"""Mark of a confirmed deed that has been told."""


def kill_along(draft: Draft, why: str) -> None:
    """Decide the kills of the other services' flags that go with a rollback."""
    if draft.acts:
        for place in draft.rollout.also:
            deed = _decide(draft, Deed("kill", place.service, place.flag, why, draft.seen.now), None)
            if deed is not None:
                page_deed(draft, deed, told=True)


def switch_on(draft: Draft, breach: Breach, words: str, *, late: bool) -> Deed | None:
    """Decide to switch on the emergency flag of the breached objective, if it has one; the deed, for `page_deed`."""
    flag = draft.rollout.objective(breach.objective).emergency
    if flag is None or not draft.acts or not _guards(draft):
        return None
    if late and breach.objective not in draft.seen.open_objectives:
        why = f"{flag} stays as it is: the breach of {breach.objective} was found late and is over"
        draft.tell("deed", why, objective=breach.objective)
        return None
    return _decide(draft, Deed("emergency", EMERGENCY, flag, words, draft.seen.now), breach.objective)


def _guards(draft: Draft) -> bool:
    """Whether the rollout still speaks for its service: while it is active, and while its rollback is watched."""
    phase, rollback = draft.control.phase, draft.control.rollback
    if phase is not Phase.ROLLED_BACK or rollback is None or rollback.confirmed_at is None:
        return phase.active
    return draft.seen.now < rollback.confirmed_at + draft.rollout.rollback.verify


def _decide(draft: Draft, deed: Deed, objective: str | None) -> Deed | None:
    """Add the deed in the place of an earlier one of the same flag; one that is under way does for both: None."""
    alike = [one for one in draft.control.deeds if _target(one) == _target(deed)]
    if any(one.confirmed_at is None for one in alike):
        return None
    others = tuple(one for one in draft.control.deeds if _target(one) != _target(deed))
    draft.change(deeds=(*others, deed))
    draft.tell("deed", f"{_what(deed)}: {deed.why}", objective=objective)
    return deed


def page_deed(draft: Draft, deed: Deed, *, told: bool, objective: str | None = None) -> None:
    """Tell that a deed was decided; quietly where people were `told` in the same breath of what it was decided for."""
    severity = Severity.INFO if told else Severity.CRITICAL
    summary = f"{draft.rollout.name}: {_what(deed)}: {deed.why}"
    draft.page("deed", _key(deed, "decided"), severity, summary, objective=objective, **_details(draft, deed))


def tell_deeds(draft: Draft) -> None:
    """Tell each confirmed deed once; page an unconfirmed one at a minute and at the deadline."""
    if draft.control.deeds:
        draft.change(deeds=tuple(_told(draft, deed) for deed in draft.control.deeds))


def _told(draft: Draft, deed: Deed) -> Deed:
    if deed.confirmed_at is not None:
        return deed if TOLD in deed.escalated else _tell_done(draft, deed, deed.confirmed_at)
    for name, after in (("unconfirmed", UNCONFIRMED_AFTER), ("late", draft.rollout.rollback.within)):
        since = draft.seen.now - deed.decided_at
        if since >= after and name not in deed.escalated:
            deed = replace(deed, escalated=(*deed.escalated, name))
            todo = "turn it off by hand" if deed.kind == "kill" else "switch it on by hand"
            found = deed.error or "it does not read so yet"
            why = f"not confirmed {since:.0f} s after it was decided: {found}; {todo}"
            summary = f"{draft.rollout.name}: {_what(deed)}: {why}"
            draft.page(f"deed_{name}", _key(deed, name), Severity.CRITICAL, summary, **_details(draft, deed))
    return deed


def _tell_done(draft: Draft, deed: Deed, confirmed_at: float) -> Deed:
    took = confirmed_at - deed.decided_at
    reads = "is off" if deed.kind == "kill" else "is on"
    why = f"{_name(deed)} {reads}, {took:.1f} s after it was decided"
    draft.tell("deed_done", why)
    summary = f"{draft.rollout.name}: {why}"
    draft.page("deed_done", _key(deed, "done"), Severity.INFO, summary, **_details(draft, deed))
    return replace(deed, escalated=(*deed.escalated, TOLD))


def _details(draft: Draft, deed: Deed) -> dict[str, object]:
    return {
        "service": deed.service,
        "flag": deed.flag,
        "deed": _what(deed),
        "reason": deed.why,
        "error": deed.error,
        "decided_at": deed.decided_at,
        "acted_at": deed.acted_at,
        "confirmed_at": deed.confirmed_at,
        "deadline": deed.decided_at + draft.rollout.rollback.within,
    }


def _target(deed: Deed) -> tuple[str, str, str]:
    return deed.kind, deed.service, deed.flag


def _key(deed: Deed, stage: str) -> str:
    return f"deed:{':'.join(_target(deed))}:{deed.decided_at:.0f}:{stage}"


def _name(deed: Deed) -> str:
    return f"flag {deed.flag} of {deed.service}" if deed.kind == "kill" else f"emergency flag {deed.flag}"


def _what(deed: Deed) -> str:
    return f"{_name(deed)} is {'killed too' if deed.kind == 'kill' else 'switched on'}"
