"""What one tick measures: the flag, the slots that are due, what is asked again; folded into the rollout's watch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from watchdog import cohorts
from watchdog.alarms import Alarms
from watchdog.batch import Batch, Look
from watchdog.errors import LedgerError
from watchdog.flags.base import FlagService
from watchdog.ledger import Drilled, Ledger
from watchdog.model import (
    Breach,
    Evaluation,
    Kind,
    Objective,
    Phase,
    Reason,
    Rollout,
    Series,
    Verdict,
)
from watchdog.noise.objective import while_down
from watchdog.observe import PROOF_LASTS, Ask, Progress, Source, asks, observe, rollback_capability, slots
from watchdog.prometheus import Range
from watchdog.ramp import same
from watchdog.reask import NOTHING_AGAIN, Key, again, forget, unsettled
from watchdog.recall import Recalled, checkpoint_text, excused, is_unanswered, newest_due, refold, simulated

BATCH = 2_000
"""Slots back-filled in one tick: about 17 hours at 30 s; the next tick follows at once."""


class Bounded:
    """A source for one tick: however many rounds of questions that takes, all of them have `seconds` together.

    The worst case that is proved before a start has room for one deadline a tick, not for one a round.
    """

    def __init__(self, source: Source, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._source, self._seconds, self._monotonic = source, seconds, monotonic
        self._expires = monotonic() + seconds

    @property
    def spent(self) -> bool:
        """Whether nothing more will be asked."""
        return self._left() <= 0

    def instants(self, expressions: Sequence[str], at: int, deadline: float | None = None) -> list[Series]:
        """As the source answers, in the time that is left."""
        if self.spent:
            return [self._unasked((at,)) for _ in expressions]
        return self._source.instants(expressions, at, self._within(deadline))

    def ranges(
        self, requests: Sequence[Range], deadline: float | None = None, on_progress: Progress | None = None
    ) -> list[Series]:
        """As the source answers, in the time that is left."""
        if self.spent:
            return [self._unasked(request.instants) for request in requests]
        return self._source.ranges(requests, self._within(deadline), on_progress)

    def _left(self) -> float:
        return self._expires - self._monotonic()

    def _within(self, deadline: float | None) -> float:
        left = math.ceil(10 * self._left()) / 10  # sentences name it
        return left if deadline is None else min(deadline, left)

    def _unasked(self, instants: Iterable[int]) -> Series:
        why = f"not asked: earlier answers took the {self._seconds:g} s that a tick has for all of them."
        return Series(problems=dict.fromkeys(instants, (Reason.UNREACHABLE, why)))


class Gather:
    """Gathers for one rollout, tick after tick."""

    def __init__(self, ledger: Ledger, source: Source, flags: FlagService) -> None:
        self.ledger = ledger
        self.source = source
        self.flags = flags
        self.alarms = Alarms()

    def gather(
        self, memory: Recalled, now: float, look: Look, *, complete: bool, carried: Sequence[tuple[Breach, bool]] = ()
    ) -> Batch:
        """Measure and fold everything that is due at `now`, oldest first.

        `complete` says that the ledger has all that was folded so far: only then can the past be folded again.
        `carried` are breaches of earlier ticks that are to be decided on now.
        """
        batch = Batch()
        watch, rollout = memory.watch, memory.rollout
        due = self._watched_until(memory, now)
        if watch is None or due is None:
            return batch
        until = min(due, watch.at + BATCH * rollout.interval)
        until = until // rollout.interval * rollout.interval
        batch.behind = until < due
        silent = {name for grid, name, at in memory.unanswered if (grid, at) == ("slot", watch.at)}
        newest = max(watch.at, newest_due(rollout, now)) if memory.control.phase.terminal else watch.at
        before = watch.at
        source = Bounded(self.source, rollout.tick_deadline)
        batch.facts = observe(rollout, source, asks(rollout, watch.at, until), rollout.tick_deadline)
        recovered = self._remember_unanswered(memory, now, batch, silent)
        repeated = again(rollout, memory.unanswered, now, newest, recovered) if complete else NOTHING_AGAIN
        if repeated.asks:
            self._ask_again(memory, now, batch, source, list(repeated.asks), repeated.wanted)
        if batch.changed:
            self._refold(memory, batch)
        self._fold(memory, now, batch, until, look)
        forget(rollout, memory.unanswered, max(newest, watch.at))
        opened = [breach for breach, _ in (*carried, *batch.opened)]
        questions = cohorts.fresh(rollout, watch, memory.timeline, opened)
        questions += cohorts.going_on(rollout, watch, memory.timeline, memory.control.shared, before)
        if questions:
            batch.compared = cohorts.compare(rollout, source, questions, rollout.tick_deadline)
        return batch

    def _watched_until(self, memory: Recalled, now: float) -> int | None:
        """The newest slot to be evaluated: all while active, then those that show the effect of a rollback.

        A signed-off rollout gets no new slots, but what was not answered is still asked for. None: nothing is watched.
        """
        control, rollout = memory.control, memory.rollout
        due = newest_due(rollout, now)
        if control.phase.active:
            return due
        rollback = control.rollback
        if control.phase is Phase.ROLLED_BACK and rollback is not None and rollback.confirmed_at is not None:
            verified = rollback.confirmed_at + rollout.rollback.verify + 2 * rollout.interval
            return min(due, int(verified // rollout.interval) * rollout.interval)
        if control.phase is Phase.SIGNED_OFF and memory.watch is not None and memory.unanswered:
            return memory.watch.at
        return None

    def _ask_again(
        self,
        memory: Recalled,
        now: float,
        batch: Batch,
        source: Bounded,
        repeated: list[Ask],
        wanted: frozenset[Key],
    ) -> None:
        if source.spent:
            return  # they are as due at the next tick
        facts = observe(memory.rollout, source, repeated, memory.rollout.tick_deadline)
        for grid in ("slot", "step", "slice"):
            for name, measured in facts.of(grid).items():
                for measurement in measured:
                    key = (grid, name, measurement.at)
                    if key not in wanted:
                        continue
                    if is_unanswered(measurement):
                        memory.unanswered[key] = now
                    else:
                        batch.changed[key] = measurement

    def _refold(self, memory: Recalled, batch: Batch) -> None:
        """Settled data came in: fold again from the checkpoint before it."""
        watch = memory.watch
        if watch is None:
            return
        earliest = min(at for _, _, at in batch.changed)
        start = (earliest - 1) // memory.rollout.window.slice * memory.rollout.window.slice
        try:
            folded = refold(self.ledger, memory, earliest, batch.changed)
        except LedgerError:
            batch.changed.clear()  # asked again when the ledger can be read
            return
        for cured in batch.changed:
            del memory.unanswered[cured]
        seen_again: set[tuple[str, int]] = set()
        for found in folded:
            batch.found.append(found)
            for breach in found.opened:
                seen_again.add((breach.objective, breach.at))
                if (breach.objective, breach.at) not in memory.known_breaches:
                    batch.opened.append((breach, True))
            batch.closed.extend(found.closed)
        for key, fact in memory.known_breaches.items():
            if start < key[1] <= watch.at and key not in seen_again and not fact.unconfirmed:
                batch.unconfirmed.append(replace(fact, unconfirmed=True))

    def _fold(self, memory: Recalled, now: float, batch: Batch, until: int, look: Look) -> None:
        watch, rollout = memory.watch, memory.rollout
        if watch is None:
            return
        internals = [o for o in rollout.objectives if o.kind is Kind.INTERNAL]
        newest = newest_due(rollout, now)

        drilled = self._drilled(rollout, watch.at, until)
        alarms = self.alarms.judge(self.ledger, rollout, watch.at, until)

        def judged(objective: Objective, at: int) -> Evaluation:
            if objective.internal == "rollback_capability":
                return rollback_capability(objective, drilled, at)
            if objective.internal == "alert_noise":
                late = now - (at + rollout.delay) > rollout.live_within
                return while_down(alarms(objective, at)) if late else alarms(objective, at)
            return self._flag_ramp(memory, now, at, look, live=at == newest)

        def internal(at: int) -> dict[str, Evaluation]:
            return {objective.name: judged(objective, at) for objective in internals}

        def excuse(at: int) -> frozenset[str]:
            return excused(internal(at), internals)

        first = watch.at
        for slot in slots(rollout, batch.facts, first, until, internal, excuse):
            ends = slot.at % rollout.window.slice == 0
            begun = slot.at - rollout.window.slice
            settled = not (ends and unsettled(rollout, memory.unanswered, now, begun, slot.at))
            found = watch.fold(slot, memory.timeline.over, settled=settled)
            late = now - (slot.at + rollout.delay) > rollout.live_within
            batch.found.append(found)
            for breach in found.opened:
                batch.opened.append((breach, late))
                watch.windows.break_at(breach, rolled_back=False)
            batch.closed.extend(found.closed)
            if ends:
                batch.checkpoint = (slot.at, checkpoint_text(watch.checkpoint()))

    def _remember_unanswered(self, memory: Recalled, now: float, batch: Batch, silent: set[str]) -> frozenset[str]:
        """Note what was not answered, and who begins to answer again; `silent` had no answer for the slot before."""
        recovered: set[str] = set()
        for grid in ("slot", "step", "slice"):
            for name, measured in batch.facts.of(grid).items():
                was_missing = grid == "slot" and name in silent
                for measurement in measured:
                    missing = is_unanswered(measurement)
                    if missing:
                        memory.unanswered[(grid, name, measurement.at)] = now
                    elif was_missing:
                        recovered.add(name)
                    was_missing = missing and grid == "slot"
        return frozenset(recovered)

    def _drilled(self, rollout: Rollout, after: int, until: int) -> list[Drilled] | None:
        """The drills that tell of the slots in (after, until]; None when the ledger cannot be read."""
        if after >= until or all(o.internal != "rollback_capability" for o in rollout.objectives):
            return []
        try:
            return self.ledger.drilled(after - PROOF_LASTS, until)
        except LedgerError:
            return None

    def _flag_ramp(self, memory: Recalled, now: float, at: int, look: Look, *, live: bool) -> Evaluation:
        """Whether the flag read what was desired at this slot; 0 is no deviation, else percent points."""
        control, step, reading = memory.control, self.flags.capabilities.smallest_step, look.reading
        if simulated(memory.rollout):
            return Evaluation(at, Verdict.PASS, value=0.0)
        if not live:
            before = memory.last_reading
            agree = (
                reading is not None
                and before is not None
                and before.exposure is not None
                and same(before.exposure, reading.exposure, step)
                and before.version == reading.version
            )
            if not agree or reading is None:
                return Evaluation(at, Verdict.UNKNOWN, Reason.NO_DATA, detail="nobody read the flag at that time")
        if reading is None:
            return Evaluation(at, Verdict.UNKNOWN, Reason.UNREACHABLE, detail=look.error)
        if same(reading.exposure, control.desired, step):
            return Evaluation(at, Verdict.PASS, value=0.0)
        if control.written_at is not None and now - control.written_at <= memory.rollout.propagation:
            return Evaluation(at, Verdict.PASS, value=0.0, detail="the newest change is still propagating")
        away = abs(reading.exposure.percent - control.desired.percent) or 100.0
        detail = f"the flag reads {reading.exposure}, desired is {control.desired}"
        return Evaluation(at, Verdict.FAIL, value=away, detail=detail)
