"""Transitions as recorded notifications, for pipelines. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from watchdog.messages.notices import TRANSITION
from watchdog.model import Exposure, Mode, Notification, Severity, Transition


def of_transitions(rollout: str, transitions: Sequence[Transition], desired: Exposure) -> tuple[Notification, ...]:
    """One notification for each transition of a rollout that acts; `desired` is the exposure asked for after them."""
    return tuple(_of_transition(rollout, one, number, desired) for number, one in enumerate(transitions))


def _of_transition(rollout: str, one: Transition, number: int, desired: Exposure) -> Notification:
    details: dict[str, object] = {
        "mode": Mode.ACT.value,
        "kind": one.kind,
        "from": one.source.value,
        "to": one.target.value,
        "phase": one.target.value,
        "why": one.why,
        "by": one.by,
        "objective": one.objective,
        "exposure": {"percent": desired.percent, "cohort": desired.cohort, "audiences": list(desired.audiences)},
        "at": one.at,
    }
    # In one tick two may be of one kind and time.
    key = f"{rollout}:{TRANSITION}:{one.kind}:{one.at:.3f}:{number}"
    return Notification(TRANSITION, key, Severity.INFO, f"{rollout}: {one.kind}: {one.why}", one.at, details)
