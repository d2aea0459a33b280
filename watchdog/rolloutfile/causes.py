"""What a rule says of the causes of breaches: `on_shared_cause` and `explain_by`."""

from __future__ import annotations

from typing import Any

from watchdog.attribution import patience
from watchdog.model import Cohorts, OnBreach, Rollout
from watchdog.quantities import format_duration, shown
from watchdog.rolloutfile.fields import Section, listing, one_of
from watchdog.rolloutfile.standard import LABEL

MOST_LABELS = 6
"""Labels that a breach is explained by; each is two questions to Prometheus."""
SHARED = "on_shared_cause"


def explained_by(found: Any) -> tuple[str, ...]:
    """The labels of an `explain_by:`; ValueError when it is no such list."""
    labels = listing(found)
    for label in labels:
        if not isinstance(label, str) or not LABEL.fullmatch(label) or label.startswith("__"):
            raise ValueError(f"names the label {shown(label)}, expected letters, digits and underscores, such as route")
        if labels.count(label) > 1:
            raise ValueError(f"names the label {label} twice; name each once")
    if len(labels) > MOST_LABELS:
        raise ValueError(f"names {len(labels)} labels, expected at most {MOST_LABELS}: each is asked of Prometheus")
    return tuple(labels)


def read_shared(root: Section, cohorts: Cohorts | None) -> OnBreach:
    """What a breach does when the control cohort fails, too: hold by default where there is one."""
    control = cohorts is not None and cohorts.control is not None
    default = OnBreach.HOLD if control else OnBreach.ROLLBACK
    found = root.take(SHARED, one_of(OnBreach, (OnBreach.HOLD, OnBreach.ROLLBACK)), default)
    if root.has(SHARED) and not control and root.sound(SHARED, "cohorts"):
        root.problem(SHARED, "needs cohorts.control: who does not have the feature; write that too, or remove this")
    return found


def check_shared(root: Section, rollout: Rollout) -> None:
    """Refuse a hold that is asked for where `rollback.within` leaves no time to look at the control again."""
    if not root.has(SHARED) or rollout.on_shared_cause is not OnBreach.HOLD:
        return
    for objective in rollout.objectives:
        if rollout.compares(objective) and patience(rollout, objective.detector) == 0:
            within = format_duration(rollout.rollback.within)
            root.problem(
                SHARED,
                f"is hold, but rollback.within of {within} leaves no time to see the control of {objective.name} fail "
                "again before the flag must be off; write a larger rollback.within, or rollback here",
            )
            return
