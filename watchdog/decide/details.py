"""What a recorded message carries for people and machines: the numbers behind it, plain and small (JSON).

Instants are wall time or grid instants in epoch seconds; exposures, targets and windows are words.
"""

from __future__ import annotations

from watchdog.decide.draft import Draft
from watchdog.evaluate import describe_target
from watchdog.model import Breach, Evaluation
from watchdog.quantities import format_number
from watchdog.queries import judged

Details = dict[str, object]


def of_objective(draft: Draft, name: str, breach: Breach | None = None) -> Details:
    """An objective with its target, its query and what was found: by the breach, else at the newest slot."""
    objective = draft.rollout.objective(name)
    found: Details = {
        "objective": name,
        "target": describe_target(objective),
        "query": judged(draft.rollout, objective),
    }
    measured: Breach | Evaluation | None = breach if breach is not None else draft.seen.verdicts.get(name)
    if measured is not None:
        found |= {"at": measured.at, "bad": measured.bad, "total": measured.total, "value": measured.value}
    if breach is not None:
        statistic, needed = format_number(breach.statistic), format_number(breach.threshold)
        found |= {"detector": f"{breach.detector}: {statistic} of {needed}", "reason": breach.why}
        on = (d.flag for d in draft.control.deeds if d.kind == "emergency" and d.decided_at == draft.seen.now)
        found["emergency"] = next(on, None)
        compared = draft.seen.compared.get((name, breach.at))
        found["cohorts"] = compared.why if compared is not None else None
    return found


def of_rollback(draft: Draft) -> Details:
    """The rollback that is under way or done: its cause, its stamps, and by when the flag has to read it."""
    rollback, cause = draft.control.rollback, draft.control.cause
    if rollback is None:
        return {}
    return {
        "objective": cause[0] if cause is not None else None,
        "reason": rollback.cause,
        "detected_at": rollback.detected_at,
        "decided_at": rollback.decided_at,
        "acted_at": rollback.acted_at,
        "confirmed_at": rollback.confirmed_at,
        "deadline": rollback.detected_at + draft.rollout.rollback.within,
    }


def what_it_reads(draft: Draft) -> str:
    """What the flag reads, or why that cannot be said."""
    reading = draft.seen.reading
    return str(reading.exposure) if reading is not None else draft.seen.reading_error
