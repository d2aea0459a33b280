"""What one tick measures: the flag, the slots that are due, what is asked again; folded into the rollout's watch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from watchdog.errors import LedgerError
from watchdog.flags.base import FlagService
from watchdog.ledger import BreachFact, Drilled, Ledger
from watchdog.model import Breach, Evaluation, FlagReading, Kind, Measurement, Phase, Reason, Rollout, Verdict
from watchdog.observe import PROOF_LASTS, Ask, Facts, Source, asks, observe, rollback_capability, slots
from watchdog.ramp import same
from watchdog.reask import NOTHING_AGAIN, Key, again, forget, unsettled
from watchdog.recall import Recalled, checkpoint_text, excused, is_unanswered, newest_due, refold, simulated
from watchdog.watch import Found

BATCH = 2_000
"""Slots back-filled in one tick: about 17 hours at 30 s; the next tick follows at once."""


@dataclass(frozen=True, slots=True)
class Look:
    """The flag as this tick read it, or why it could not be read."""

    reading: FlagReading | None
    error: str = ""


@dataclass(slots=True)
class Batch:
    """What one tick measured and folded."""

    found: list[Found] = field(default_factory=list)
    facts: Facts = field(default_factory=Facts)
    changed: dict[Key, Measurement] = field(default_factory=dict)
    opened: list[tuple[Breach, bool]] = field(default_factory=list)
    closed: list[Breach] = field(default_factory=list)
    unconfirmed: list[BreachFact] = field(default_factory=list)
    checkpoint: tuple[int, str] | None = None
    behind: bool = False

    def measured(self, grid: str) -> list[tuple[str, Measurement]]:
        """Every new measurement of one grid, by objective."""
        fresh = [(name, m) for name, measured in self.facts.of(grid).items() for m in measured]
        return fresh + [(name, m) for (kind, name, _), m in self.changed.items() if kind == grid]


class Gather:
    """Gathers for one rollout, tick after tick."""

    def __init__(self, ledger: Ledger, source: Source, flags: FlagService) -> None:
        self.ledger = ledger
        self.source = source
        self.flags = flags

    def gather(self, memory: Recalled, now: float, look: Look, *, complete: bool) -> Batch:
        """Measure and fold everything that is due at `now`, oldest first.

        `complete` says that the ledger has all that was folded so far: only then can the past be folded again.
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
        batch.facts = observe(rollout, self.source, asks(rollout, watch.at, until), rollout.tick_deadline)
        recovered = self._remember_unanswered(memory, now, batch, silent)
        repeated = again(rollout, memory.unanswered, now, newest, recovered) if complete else NOTHING_AGAIN
        if repeated.asks:
            self._ask_again(memory, now, batch, list(repeated.asks), repeated.wanted)
        if batch.changed:
            self._refold(memory, batch)
        self._fold(memory, now, batch, until, look)
        forget(rollout, memory.unanswered, max(newest, watch.at))
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
        self, memory: Recalled, now: float, batch: Batch, repeated: list[Ask], wanted: frozenset[Key]
    ) -> None:
        facts = observe(memory.rollout, self.source, repeated, memory.rollout.tick_deadline)
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

        def internal(at: int) -> dict[str, Evaluation]:
            return {
                o.name: rollback_capability(o, drilled, at)
                if o.internal == "rollback_capability"
                else self._flag_ramp(memory, now, at, look, live=at == newest)
                for o in internals
            }

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
