"""One tick of one rollout: observe, evaluate, decide, record, act.

Raising exposure needs a committed record; lowering it never waits for the ledger (semantics 7). What could not be
recorded is carried in memory and in the emergency journal until the ledger is back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from watchdog.control import Control
from watchdog.decide import Decision, Seen, decide, settle
from watchdog.errors import FlagServiceError, LedgerConflict, LedgerError
from watchdog.flags.base import Change, FlagService
from watchdog.gather import Batch, Gather, Look
from watchdog.journal import Journal
from watchdog.ledger import BreachFact, ExposureFact, Ledger, ReadingFact, Record
from watchdog.model import (
    Breach,
    Command,
    FlagReading,
    Notification,
    Phase,
    Severity,
    Transition,
)
from watchdog.observe import Source
from watchdog.reask import unsettled
from watchdog.recall import Recalled, begin, recall, simulated
from watchdog.rows import as_record, exposure_facts

AGAIN_SOON = 2.0
"""Seconds until the next try when the flag could not be written."""
ENGINE = "slo-watchdog"


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a tick did, in words; in how many seconds the next is wanted (None: at its time); reports now due."""

    sentence: str
    again_in: float | None = None
    reports: tuple[str, ...] = ()
    phase: Phase = Phase.PENDING


class RolloutTick:
    """The tick loop of one rollout; `clock` is read only for the stamps of what was done after the decision."""

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        source: Source,
        flags: FlagService,
        clock: Callable[[], float],
        journal: Journal | None = None,
    ) -> None:
        self.name = name
        self.ledger = ledger
        self.source = source
        self.flags = flags
        self.clock = clock
        self.journal = journal
        self.memory: Recalled | None = None
        self._carried: list[tuple[Breach, bool]] = []
        """Breaches whose decision could not be recorded: decided again next time."""
        self._backlog: list[Record] = []
        """Facts that the ledger did not take: recorded with the next tick that it takes."""
        self._gather = Gather(ledger, source, flags)
        self.evaluated: list[tuple[str, str, str]] = []
        """The last tick's verdicts as (objective, verdict, reason), for the metrics."""
        self.backfilled = 0
        """How many slots of the last tick were too old to be acted on."""

    def tick(self, now: float) -> Ticked:
        """One tick at wall time `now`. Raises LedgerError only when there is nothing in memory to go on with."""
        memory = self._recall()
        look = self._read(memory)
        commands = self._commands(memory)
        batch = self._gather.gather(memory, now, look)
        self._account_for(memory, now, batch)
        seen = self._seen(memory, now, batch, look, commands)
        decision = decide(memory.rollout, memory.control, seen)
        return self._carry_out(memory, now, batch, seen, decision)

    # --- observe ------------------------------------------------------------------------------------------------

    def _recall(self) -> Recalled:
        if self.memory is None:
            self.memory = recall(self.ledger, self.name)
            self._gather.last_reading = self.ledger.latest_reading(self.memory.stored.id)
            self._replay_journal(self.memory)
        return self.memory

    def _read(self, memory: Recalled) -> Look:
        try:
            return Look(self.flags.read(memory.rollout.flag))
        except FlagServiceError as error:
            return Look(None, str(error))

    def _commands(self, memory: Recalled) -> tuple[Command, ...]:
        try:
            return tuple(self.ledger.pending_commands(memory.stored.id))
        except LedgerError:
            return ()  # they are rows: they wait for the ledger to come back

    def _account_for(self, memory: Recalled, now: float, batch: Batch) -> None:
        rollout = memory.rollout
        self.evaluated = [
            (name, e.verdict.value, e.reason.value if e.reason is not None else "")
            for found in batch.found
            for name, e in found.evaluations.items()
        ]
        limit = now - rollout.delay - rollout.live_within
        self.backfilled = sum(1 for found in batch.found if found.at < limit)

    # --- decide -------------------------------------------------------------------------------------------------

    def _seen(self, memory: Recalled, now: float, batch: Batch, look: Look, commands: tuple[Command, ...]) -> Seen:
        watch, rollout = memory.watch, memory.rollout
        if watch is None:
            watch = begin(rollout, memory.control)
            slot = None
        else:
            slot = watch.at if watch.latest else None
        interim, final = watch.windows.interim.window, watch.windows.final.window
        pending = unsettled(rollout, memory.unanswered, now, watch.at - rollout.window.seconds, watch.at)
        live = slot is not None and not batch.behind and now - (slot + rollout.delay) <= rollout.live_within
        return Seen(
            now=now,
            interim=interim,
            final=final,
            slot=slot,
            live=live,
            verdicts=watch.latest,
            opened=(*self._carried, *batch.opened),
            open_objectives=watch.open_objectives(),
            unsettled=pending,
            unknown_since=watch.unknown_since(),
            reading=FlagReading(memory.control.desired) if simulated(rollout) else look.reading,
            reading_error=look.error,
            smallest_step=self.flags.capabilities.smallest_step,
            taken_by=self._taken_by(memory),
            commands=commands,
        )

    def _taken_by(self, memory: Recalled) -> str | None:
        if memory.control.phase.active or simulated(memory.rollout):
            return None
        try:
            other = self.ledger.active_on(memory.rollout.flag)
        except LedgerError:
            return "a rollout that the unreadable ledger may hold"
        return other.name if other is not None and other.name != self.name else None

    # --- record and act -----------------------------------------------------------------------------------------

    def _carry_out(self, memory: Recalled, now: float, batch: Batch, seen: Seen, decision: Decision) -> Ticked:
        lowers = decision.control.phase is Phase.ROLLING_BACK
        try:
            self._record(memory, now, batch, seen, decision)
        except LedgerConflict:
            self.memory = None  # somebody else acts for this rollout: start again from what they recorded
            raise
        except LedgerError as error:
            return self._without_ledger(memory, now, batch, seen, decision, error, lowers=lowers)
        self._carried = []
        self._accept(memory, batch, decision, int(now))
        failed = self._act(memory, now, seen, decision)
        reports = self._reports(memory, decision)
        again_in = AGAIN_SOON if failed else (0.0 if batch.behind else None)
        sentence = f"{decision.why}{f' ({failed})' if failed else ''}"
        return Ticked(sentence, again_in, reports, memory.control.phase)

    def _record(self, memory: Recalled, now: float, batch: Batch, seen: Seen, decision: Decision) -> None:
        for record in list(self._backlog):
            revision = self.ledger.record(replace(record, revision=memory.stored.revision))
            memory.stored = replace(memory.stored, revision=revision)
            self._backlog.remove(record)
        record = self._as_record(memory, now, batch, seen, decision)
        revision = self.ledger.record(record)
        memory.stored = replace(memory.stored, revision=revision)
        if self.journal is not None and self.journal.entries():
            self.journal.settle()

    def _as_record(self, memory: Recalled, now: float, batch: Batch, seen: Seen, decision: Decision) -> Record:
        opened = (*self._carried, *batch.opened)
        return as_record(memory, now, batch, opened, self._reading_facts(now, seen), decision)

    def _reading_facts(self, now: float, seen: Seen) -> list[ReadingFact]:
        """The reading, when it differs from the last one recorded."""
        if seen.reading is None:
            fact = ReadingFact(now, error=seen.reading_error)
        else:
            fact = ReadingFact(now, seen.reading.exposure, seen.reading.version, seen.reading.latch)
        last = self._gather.last_reading
        if last is not None and replace(last, at=now) == fact:
            return []
        self._gather.last_reading = fact
        return [fact]

    def _accept(self, memory: Recalled, batch: Batch, decision: Decision, now: int) -> None:
        """The record is committed: what was decided is now so."""
        started = memory.control.started_at is None and decision.control.started_at is not None
        memory.control = decision.control
        for at, kind, exposure in decision.exposures:
            memory.timeline.add(at, kind, exposure)
        if started:
            memory.watch = begin(memory.rollout, decision.control)
        watch = memory.watch
        if watch is None:
            return
        for breach, late in batch.opened:
            memory.known_breaches[breach.objective, breach.at] = BreachFact(breach, float(now), late)
        if decision.took_back is not None:
            watch.windows.break_at(decision.took_back, rolled_back=True)
        for fact in batch.unconfirmed:
            memory.known_breaches[fact.breach.objective, fact.breach.at] = fact
        if decision.resumed:
            watch.resume(watch.at)

    def _act(self, memory: Recalled, now: float, seen: Seen, decision: Decision) -> str | None:
        """Make the flag what the ledger says; returns what went wrong, None when nothing did."""
        control = memory.control
        if simulated(memory.rollout):
            if not control.confirmed:
                self._settle(memory, now, seen, FlagReading(control.desired))
            return None
        if decision.write is None:
            return None
        reading, failed = self._write(memory, decision.write, decision.why)
        stamp = self.clock()
        changes: dict[str, object] = {"written_at": stamp}
        if control.rollback is not None and control.phase is Phase.ROLLING_BACK and failed is None:
            changes["rollback"] = replace(control.rollback, acted_at=control.rollback.acted_at or stamp)
        memory.control = replace(control, **changes)  # type: ignore[arg-type]
        if reading is not None:
            self._settle(memory, stamp, seen, reading)
        return failed

    def _write(self, memory: Recalled, how: str, why: str) -> tuple[FlagReading | None, str | None]:
        rollout, desired = memory.rollout, memory.control.desired
        cohort = rollout.ramp.cohort if desired.cohort else ()
        change = Change(desired, cohort, ENGINE, why, rollout.name)
        try:
            if how == "kill":
                return self.flags.kill(rollout.flag, change), None
            return self.flags.set(rollout.flag, change), None
        except FlagServiceError as error:
            return None, f"the flag could not be written: {error}"

    def _settle(self, memory: Recalled, now: float, seen: Seen, reading: FlagReading) -> None:
        """Record what the flag reads right after it was written; the next tick would find out too."""
        after = replace(seen, now=now, reading=reading, opened=(), commands=())
        decision = settle(memory.rollout, memory.control, after)
        record = Record(
            rollout_id=memory.stored.id,
            revision=memory.stored.revision,
            phase=decision.control.phase,
            control=decision.control.to_dict(),
            transitions=decision.transitions,
            exposures=exposure_facts(decision),
            readings=self._reading_facts(now, after),
            notifications=decision.notifications,
        )
        try:
            revision = self.ledger.record(record)
        except LedgerConflict:
            self.memory = None
            return
        except LedgerError:
            return  # the next tick reads the flag again and records it then
        memory.stored = replace(memory.stored, revision=revision)
        memory.control = decision.control
        for at, kind, exposure in decision.exposures:
            memory.timeline.add(at, kind, exposure)

    def _reports(self, memory: Recalled, decision: Decision) -> tuple[str, ...]:
        """Sign-off reports that are due and not frozen yet (a crash may have come between)."""
        due = set(decision.reports)
        if memory.control.interim_at is not None and "interim" not in memory.reports:
            due.add("interim")
        if memory.control.final_at is not None and "final" not in memory.reports:
            due.add("final")
        memory.reports |= due
        return tuple(sorted(due, reverse=True))

    # --- without a ledger ---------------------------------------------------------------------------------------

    def _without_ledger(
        self,
        memory: Recalled,
        now: float,
        batch: Batch,
        seen: Seen,
        decision: Decision,
        error: LedgerError,
        *,
        lowers: bool,
    ) -> Ticked:
        """The ledger took nothing. Lower exposure all the same, raise none, and keep the facts for later."""
        if lowers:
            if memory.control.phase is not Phase.ROLLING_BACK and self.journal is not None:
                self._journal(memory, now, decision)
            self._backlog.append(self._as_record(memory, now, batch, seen, decision))
            self._carried = []
            self._accept(memory, batch, decision, int(now))
            self._backlog = [replace(record, commands_done=()) for record in self._backlog]
            if decision.write is not None:
                _, failed = self._write(memory, decision.write, decision.why)
                acted = memory.control.rollback
                if failed is None and acted is not None:
                    memory.control = replace(memory.control, rollback=replace(acted, acted_at=self.clock()))
            return Ticked(f"{decision.why} (not recorded: {error})", AGAIN_SOON, (), memory.control.phase)
        held = replace(
            decision,
            control=memory.control,
            transitions=(),
            notifications=(),
            exposures=(),
            done=(),
            write=None,
            reports=(),
        )
        self._backlog.append(self._as_record(memory, now, batch, seen, held))
        self._carried = [*self._carried, *batch.opened]
        self._set_back(memory, seen)
        return Ticked(f"{self.name}: nothing is raised while the ledger fails: {error}", None, (), memory.control.phase)

    def _set_back(self, memory: Recalled, seen: Seen) -> None:
        """A flag above what was recorded is lowered, ledger or not."""
        control = memory.control
        if seen.reading is None or not control.phase.active or simulated(memory.rollout):
            return
        if seen.reading.exposure.percent > control.desired.percent:
            self._write(memory, "set", "the flag read more than was recorded")

    def _journal(self, memory: Recalled, now: float, decision: Decision) -> None:
        if self.journal is not None:
            self.journal.append(
                {
                    "rollout": self.name,
                    "at": now,
                    "control": decision.control.to_dict(),
                    "why": decision.why,
                    "phase": memory.control.phase.value,
                }
            )

    def _replay_journal(self, memory: Recalled) -> None:
        """A rollback that was carried out without a ledger is recorded before anything else."""
        if self.journal is None:
            return
        entries = [entry for entry in self.journal.entries() if entry.get("rollout") == self.name]
        if not entries or memory.control.phase is not Phase(str(entries[-1]["phase"])):
            return
        entry = entries[-1]
        control = Control.from_dict(dict(entry["control"]))
        why = f"recorded late, from the emergency journal: {entry['why']}"
        told = Transition(float(entry["at"]), "rollback", memory.control.phase, control.phase, why)
        page = Notification(
            "rollback", f"{self.name}:rollback:journal:{entry['at']}", Severity.CRITICAL, why, float(entry["at"])
        )
        record = Record(
            rollout_id=memory.stored.id,
            revision=memory.stored.revision,
            phase=control.phase,
            control=control.to_dict(),
            transitions=(told,),
            exposures=(ExposureFact(float(entry["at"]), "desired", control.desired),),
            notifications=(page,),
        )
        revision = self.ledger.record(record)
        memory.stored = replace(memory.stored, revision=revision)
        memory.control = control
        memory.timeline.add(int(float(entry["at"])), "desired", control.desired)
