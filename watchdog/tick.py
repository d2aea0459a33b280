"""One tick of one rollout: observe, evaluate, decide, record, act.

Raising exposure needs a committed record; lowering it never waits for the ledger (semantics 7). What could not be
recorded waits in `unrecorded` until the ledger is back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from watchdog.act import Hand, undone
from watchdog.batch import Batch, Learnt, Look, learn
from watchdog.causes import Causes
from watchdog.control import left_alone
from watchdog.decide import Decision, Seen, decide
from watchdog.errors import FlagServiceError, LedgerConflict, LedgerError
from watchdog.flags.base import FlagService
from watchdog.flagsystem import FlagSystem
from watchdog.gather import Gather
from watchdog.journal import Journal
from watchdog.lease.model import Grip
from watchdog.ledger import Fence, Ledger, Record
from watchdog.model import Command, Exposure, FlagReading, Phase
from watchdog.observe import Source
from watchdog.outage import Tell
from watchdog.proof import Gate, Leave, taken_by, while_pending
from watchdog.reask import unsettled
from watchdog.recall import Recalled, begin, recall, simulated
from watchdog.rows import as_record
from watchdog.unrecorded import Unrecorded, lowers, may_go_on, undecided

AGAIN_SOON = 2.0
"""Seconds until the next try when the flag could not be written, or does not read a rollback yet."""


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
        system: FlagSystem | None = None,
        tell: Tell | None = None,
    ) -> None:
        self.name = name
        self.ledger = ledger
        self.source = source
        self.flags = flags
        self.clock = clock
        self.gate = Gate()
        """What a start asks for."""
        self.memory: Recalled | None = None
        self._unrecorded = Unrecorded(name, ledger, journal, tell)
        self._hand = Hand(flags, system, clock, self._unrecorded)
        self._gather = Gather(ledger, source, flags)
        self.causes = Causes(ledger, source)
        self.evaluated: list[tuple[str, str, str]] = []
        """The last tick's verdicts as (objective, verdict, reason), for the metrics."""
        self.backfilled = 0
        """How many slots of the last tick were too old to be acted on."""

    def lead(self, fence: Fence, grip: Callable[[], Grip]) -> None:
        """Act under a lease: `fence` goes with every record, `grip` is asked before the flag is touched."""
        self._unrecorded.fence = fence
        self._hand.grip, self._hand.leased = grip, True

    @property
    def over(self) -> bool:
        """Whether the rollout has ended, and nothing that could amend or follow it is still waited for."""
        memory = self.memory
        if memory is None or undone(memory) or self.causes.waiting:
            return False
        match memory.control.phase:
            case Phase.SIGNED_OFF:
                return not memory.unanswered
            case Phase.ROLLED_BACK:
                return left_alone(memory.control, self.clock())
            case phase:
                return phase is Phase.STOPPED

    @property
    def actual(self) -> Exposure | None:
        """The exposure that the flag last read; None while it cannot be read."""
        reading = self.memory.last_reading if self.memory is not None else None
        return reading.exposure if reading is not None else None

    def tick(self, now: float) -> Ticked:
        """One tick at wall time `now`. Raises LedgerError only when there is nothing in memory to go on with.

        LedgerConflict when somebody else acts for the rollout.
        """
        if self._hand.grip() is Grip.NONE:
            self.memory = None
            raise LedgerConflict(f"{self.name}: the lease is over, another process acts for this rollout or may")
        memory = self._recall()
        self._hand.ask(memory)
        look = self._read(memory)
        commands = self._commands(memory)
        complete, carried = not self._unrecorded.records, self._unrecorded.carried
        batch = self._gather.gather(memory, now, look, complete=complete, carried=carried)
        batch.contributed = self.causes.take()
        self._account_for(memory, now, batch)
        seen = self._seen(memory, now, batch, look, commands)
        decision = decide(memory.rollout, memory.control, seen)
        ticked = self._carry_out(memory, now, batch, look, seen, decision)
        self.causes.ask(memory, (breach for breach, _ in batch.opened), now)
        if self._hand.overtaken:
            self.memory, self._hand.overtaken = None, False
        return ticked

    # --- observe ------------------------------------------------------------------------------------------------

    def _recall(self) -> Recalled:
        if self.memory is None:
            # What waited in memory was folded from a state that is no more: it is measured and decided again.
            self._unrecorded.forget()
            memory = recall(self.ledger, self.name)
            self._unrecorded.replay(memory)
            self.memory = memory
        return self.memory

    def _read(self, memory: Recalled) -> Look:
        try:
            return Look(self.flags.read(memory.rollout.flag))
        except FlagServiceError as error:
            return Look(None, str(error))

    def _commands(self, memory: Recalled) -> tuple[Command, ...]:
        try:
            pending = self.ledger.pending_commands(memory.stored.id)
        except LedgerError:
            return ()  # they are rows: they wait for the ledger to come back
        done = self._unrecorded.commands_done()
        return tuple(command for command in pending if command.id not in done)

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
        if batch.behind:  # a resume empties the detectors at the newest slot: first be there
            commands = tuple(command for command in commands if command.verb != "resume")
        emergency, emergency_unknown = self._hand.emergency()
        pending_start = memory.control.phase is Phase.PENDING
        leave = while_pending(self.ledger, self.gate, memory.stored, now) if pending_start else Leave()
        return Seen(
            now=now,
            interim=interim,
            final=final,
            slot=slot,
            live=live,
            verdicts=watch.latest,
            opened=(*self._unrecorded.carried, *batch.opened),
            open_objectives=watch.open_objectives(),
            open_breaches=watch.open_breaches() if memory.control.shared else {},
            compared=batch.compared,
            contributed=tuple(batch.contributed),
            unsettled=pending,
            unknown_since=watch.unknown_since(),
            reading=FlagReading(memory.control.desired) if simulated(rollout) else look.reading,
            reading_error=look.error,
            smallest_step=self.flags.capabilities.smallest_step,
            taken_by=None if simulated(rollout) else taken_by(self.ledger, memory.stored, memory.control),
            commands=commands,
            emergency=emergency,
            emergency_unknown=emergency_unknown,
            proof=leave.proof,
            waiver=leave.waiver,
            unproven=leave.unproven,
        )

    # --- record and act -----------------------------------------------------------------------------------------

    def _carry_out(
        self, memory: Recalled, now: float, batch: Batch, look: Look, seen: Seen, decision: Decision
    ) -> Ticked:
        facts = Learnt(now, batch, look, seen.opened)
        try:
            self._unrecorded.catch_up(memory)
            record = self._as_record(memory, facts, decision)
            outage = self._unrecorded.outage.end(now)
            self._unrecorded.record(memory, replace(record, notifications=(*record.notifications, *outage)))
        except LedgerConflict:
            self.memory = None  # somebody else acts for this rollout: start again from what they recorded
            raise
        except LedgerError as error:
            return self._without_ledger(memory, facts, seen, decision, error)
        self._unrecorded.all_recorded()
        self._accept(memory, facts, decision)
        failed = self._hand.act(memory, seen, decision)
        self._hand.drive(memory)
        reports = self._reports(memory, decision)
        hurry = failed or _taking_back(memory) or undone(memory)
        again_in = AGAIN_SOON if hurry else (0.0 if batch.behind else None)
        sentence = f"{decision.why}{f' ({failed})' if failed else ''}"
        return Ticked(sentence, again_in, reports, memory.control.phase)

    def _without_ledger(
        self, memory: Recalled, facts: Learnt, seen: Seen, decision: Decision, error: LedgerError
    ) -> Ticked:
        """The ledger took nothing. Lower exposure all the same, raise none, and keep the facts for later."""
        before, outage = memory.control, self._unrecorded.outage
        outage.goes_on(memory.stored.id, memory.rollout, before, facts.now, error)
        if not may_go_on(before, decision, seen.smallest_step):
            self._unrecorded.keep(memory, self._as_record(memory, facts, undecided(before, decision)))
            self._unrecorded.carried = list(seen.opened)
            self._unrecorded.hand_over(memory)
            outage.note()
            learn(memory, facts)
            why = f"{self.name}: nothing is raised while the ledger fails: {error}"
            return Ticked(why, outage.due_in(facts.now), (), before.phase)
        self._unrecorded.keep(memory, self._as_record(memory, facts, decision))
        self._unrecorded.hand_over(memory)
        self._unrecorded.carried = []
        self._accept(memory, facts, decision)
        failed = self._hand.act(memory, seen, decision, recorded=False) if lowers(decision, seen) else None
        if decision.control.phase is Phase.ROLLING_BACK and before.phase is not Phase.ROLLING_BACK:
            failed = self._unrecorded.note(facts.now, before.phase, decision) or failed
        self._unrecorded.hand_over(memory)  # what the flag reads, too
        outage.note()
        self._hand.drive(memory)
        why = f"{decision.why} (not recorded: {error}{f'; {failed}' if failed else ''})"
        again_in = AGAIN_SOON if _taking_back(memory) or undone(memory) else outage.due_in(facts.now)
        return Ticked(why, again_in, (), memory.control.phase)

    def _as_record(self, memory: Recalled, facts: Learnt, decision: Decision) -> Record:
        return as_record(memory, facts.now, facts.batch, facts.opened, facts.look, decision)

    def _accept(self, memory: Recalled, facts: Learnt, decision: Decision) -> None:
        """What was decided is now so."""
        learn(memory, facts)
        started = memory.control.started_at is None and decision.control.started_at is not None
        memory.control = decision.control
        for at, kind, exposure in decision.exposures:
            memory.timeline.add(at, kind, exposure)
        if started:
            memory.watch = begin(memory.rollout, decision.control)
        watch = memory.watch
        if watch is None:
            return
        if decision.took_back is not None:
            watch.windows.break_at(decision.took_back, rolled_back=True)
        if decision.resumed:
            watch.resume(watch.at)

    def _reports(self, memory: Recalled, decision: Decision) -> tuple[str, ...]:
        """Sign-off reports that are due and not frozen yet (a crash may have come between)."""
        due = set(decision.reports)
        if memory.control.interim_at is not None and "interim" not in memory.reports:
            due.add("interim")
        if memory.control.final_at is not None and "final" not in memory.reports:
            due.add("final")
        memory.reports |= due
        return tuple(sorted(due, reverse=True))


def _taking_back(memory: Recalled) -> bool:
    """Whether a rollback is not seen in the flag yet."""
    return memory.control.phase is Phase.ROLLING_BACK
