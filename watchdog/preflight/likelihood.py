"""Whether a sign-off is likely at all, from the last days of the service."""

from __future__ import annotations

from watchdog.connect import open_prometheus
from watchdog.flags.base import Check
from watchdog.preflight.ground import Ground, Looked, Sight

DAY = 86_400.0
PATIENCE = 60.0
"""Seconds for one query over days."""
WAIVER = "feasibility"


def feasibility(ground: Ground) -> Looked:
    """Each rollout that has not started; those that have are in their own history."""
    from watchdog.feasibility import feasibility as judge  # noqa: PLC0415 - heavy

    pending = ground.pending
    if not pending:
        return
    ground.source.build_info()
    with open_prometheus(ground.settings.prometheus, judge_skew=False, timeout=PATIENCE) as source:
        for rollout in pending:
            found = judge(rollout, source, ground.clock(), days=ground.settings.preflight.history / DAY)
            check = Check("sign-off is possible", found.ok, found.found, found.todo)
            yield Sight(rollout, check, waived=found.waived, waiver=WAIVER)
