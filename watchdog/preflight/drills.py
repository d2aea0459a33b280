"""The drill's part of a preflight: a proof that is fresh, or one that is made now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from watchdog.drill.holding import hold
from watchdog.drill.plan import Wish, bound_rollouts, smallest_within
from watchdog.flags.base import Check
from watchdog.model import Rollout
from watchdog.observe import PROOF_LASTS
from watchdog.preflight.ground import Ground
from watchdog.quantities import format_duration, rfc3339

NAME = "a rollback reaches its readers in time"
TODO = "run `slo-watchdog drill` and see what it says"


def drills(ground: Ground) -> Iterator[tuple[Rollout | None, Check]]:
    """Whether a drill passed in the last 7 days; without one, it is held now."""
    ledger, now = ground.ledger, ground.clock()
    within = smallest_within(bound_rollouts(ledger, ground.configured))
    ended = ledger.drilled(now - PROOF_LASTS, now)
    proofs = [drill for drill in ended if drill.passed and drill.worst is not None and drill.worst < within]
    if proofs:
        newest = proofs[-1]
        found = f"the drill that ended at {rfc3339(newest.finished_at)} passed, its worst run took {newest.worst:.3g} s"
        yield None, Check(NAME, ok=True, found=f"{found}; the bound is {format_duration(within)}")
        return
    if not ground.drills:
        found = f"no drill under {format_duration(within)} has passed in the last 7 days, and none was to be held"
        yield None, Check(NAME, ok=False, found=found, todo="leave out --no-drill, or run `slo-watchdog drill`")
        return
    wish = Wish(ground.by, "the first proof that a rollback reaches readers, by preflight")
    report = hold(ground.settings, ledger, ground.configured, wish, stop=ground.stop)
    yield None, Check(NAME, report.passed, report.why, "" if report.passed else TODO)
    yield from _propagation(report.notes, ground)


def _propagation(notes: Sequence[str], ground: Ground) -> Iterator[tuple[None, Check]]:
    """Whether readers were told as soon as the worst case of every rollout supposes."""
    declared = format_duration(ground.settings.flags.worst_propagation)
    found = "; ".join(notes) or f"no reader was told later than flags.propagation, {declared}, after the write"
    yield None, Check("propagation is as declared", not notes, found, "raise flags.propagation")
