"""Acting: the flag made what was decided, what goes with it done, and what the flag then reads recorded.

Raising exposure comes only after its record; lowering it never waits for one (semantics 7).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from threading import Thread

from watchdog.batch import Look
from watchdog.decide import Decision, Emergency, Seen, settle
from watchdog.decide.deeds import TOLD
from watchdog.deeds import drive, emergencies
from watchdog.errors import FlagConflict, FlagServiceError, LedgerConflict, LedgerError
from watchdog.flags.base import Change, FlagService
from watchdog.flagsystem import FlagSystem
from watchdog.lease.model import Grip
from watchdog.ledger import Record
from watchdog.model import FlagReading, Phase
from watchdog.ramp import above
from watchdog.recall import Recalled, simulated
from watchdog.rows import as_settled
from watchdog.unrecorded import DOWN, Unrecorded

ENGINE = "slo-watchdog"
PATIENCE = 1.0
"""Seconds that a tick waits for the emergency flags when it has everything else."""


class Hand:
    """What acts for one rollout. `system` holds the flags beside the rollout's own: None where there are none."""

    def __init__(
        self,
        flags: FlagService,
        system: FlagSystem | None,
        clock: Callable[[], float],
        unrecorded: Unrecorded,
    ) -> None:
        self.flags = flags
        self.system = system
        self.clock = clock
        self.grip: Callable[[], Grip] = lambda: Grip.ALL
        """What may be done to the flag at this moment; asked right before it is."""
        self.leased = False
        """Whether other processes stand in for this one."""
        self.overtaken = False
        """Whether somebody else has recorded for this rollout meanwhile: what is in memory is no longer so."""
        self._unrecorded = unrecorded
        self._asked: Future[tuple[tuple[Emergency, ...], str]] | None = None

    def ask(self, memory: Recalled) -> None:
        """Begin to read the emergency flags, beside the queries: a service that hangs must not hold up a rollback."""
        if self.system is None or memory.control.phase.terminal or self._asked is not None:
            return
        asked: Future[tuple[tuple[Emergency, ...], str]] = Future()
        self._asked = asked
        Thread(target=_answer, args=(asked, self.system.emergency), name="emergency", daemon=True).start()

    def emergency(self) -> tuple[tuple[Emergency, ...], str]:
        """Which emergency flags are on, as `ask` asked, and why that cannot be said; none where nothing was asked."""
        if self._asked is None:
            return (), ""
        try:
            found = self._asked.result(PATIENCE)
        except TimeoutError:
            return (), "their service has not answered yet"
        self._asked = None
        return found

    def act(self, memory: Recalled, seen: Seen, decision: Decision, *, recorded: bool = True) -> str | None:
        """Make the flag what was decided; returns what went wrong, None when nothing did."""
        control = memory.control
        if simulated(memory.rollout):
            if not control.confirmed:
                self._settle(memory, seen, seen.now, None, recorded=recorded)
            return None
        if decision.write is None:
            return None
        reading, failed = self._write(memory, decision.write, decision.why, seen.reading)
        if reading is None:
            return failed
        stamp = self.clock()
        rollback = control.rollback
        if rollback is not None and control.phase is Phase.ROLLING_BACK:
            rollback = replace(rollback, acted_at=rollback.acted_at or stamp)
        memory.control = replace(control, written_at=stamp, rollback=rollback)
        self._settle(memory, seen, stamp, reading, recorded=recorded)
        return None

    def _write(
        self, memory: Recalled, how: str, why: str, found: FlagReading | None
    ) -> tuple[FlagReading | None, str | None]:
        """Write the flag, which was `found` to read so (None: it could not be read)."""
        rollout, desired = memory.rollout, memory.control.desired
        step = self.flags.capabilities.smallest_step
        raises = found is None or above(desired, found.exposure, step)
        if (refused := self._refused(memory)) is not None:
            return None, refused
        change = Change(
            desired,
            rollout.ramp.cohort if desired.cohort else (),
            ENGINE,
            why,
            rollout.name,
            # The same change of the same state is the same change; a flag that was turned meanwhile needs a new one.
            idem=f"{rollout.name}:{how}:{desired}:{found.version if found is not None else f'{self.clock():.3f}'}",
            # Only a raise must not overwrite what somebody else wrote since: lowering wins. Under a lease a set must
            # not either: this process may have been stopped since it looked, and another one act by now.
            expect=found.version if found is not None and (raises or self.leased) and how != "kill" else None,
        )
        try:
            if how == "kill":
                return self.flags.kill(rollout.flag, change), None
            return self.flags.set(rollout.flag, change), None
        except FlagConflict as error:
            if found is not None and raises:
                self._contested(memory, found)
            return None, f"the flag was changed by somebody else: {error}"
        except FlagServiceError as error:
            return None, f"the flag could not be written: {error}"

    def _refused(self, memory: Recalled) -> str | None:
        """Why the flag must be left alone: another process acts for it, or may by now; None when it need not."""
        grip = self.grip()
        if grip is Grip.ALL or (grip is Grip.LOWER and memory.control.phase in DOWN):
            return None
        if grip is Grip.LOWER:
            return "the flag is left alone: the lease of this rollout is over, and the ledger cannot be asked for it"
        self.overtaken = True
        return "the flag is left alone: the lease of this rollout is over"

    def _contested(self, memory: Recalled, found: FlagReading) -> None:
        """Remember what the flag read before somebody turned it under us; a restart must know it, too."""
        memory.control = replace(memory.control, contested=found.exposure)
        record = Record(memory.stored.id, memory.stored.revision, control=memory.control.to_dict())
        try:
            self._unrecorded.record(memory, record)
        except LedgerConflict:
            self.overtaken = True
        except LedgerError:
            self._unrecorded.keep(memory, record)

    def drive(self, memory: Recalled) -> None:
        """What else was decided for safety, after the rollout's own flag: stamps are recorded by the next tick."""
        if self.system is None or simulated(memory.rollout) or not undone(memory) or self.grip() is Grip.NONE:
            return
        deeds = drive(memory.control, self.system, memory.rollout, self.clock)
        memory.control = replace(memory.control, deeds=deeds)

    def _settle(self, memory: Recalled, seen: Seen, now: float, reading: FlagReading | None, *, recorded: bool) -> None:
        """Record what the flag reads right after it was written (None: it is simulated, and follows at once)."""
        after = replace(seen, now=now, reading=reading or FlagReading(memory.control.desired), opened=(), commands=())
        decision = settle(memory.rollout, memory.control, after)
        record = as_settled(memory, now, Look(reading) if reading is not None else None, decision)
        try:
            if recorded:
                self._unrecorded.record(memory, record)
        except LedgerConflict:
            self.overtaken = True
            return
        except LedgerError:
            recorded = False
        if not recorded:
            self._unrecorded.keep(memory, record)
        memory.control = decision.control
        for at, kind, exposure in decision.exposures:
            memory.timeline.add(at, kind, exposure)


def _answer(asked: Future[tuple[tuple[Emergency, ...], str]], service: FlagService) -> None:
    found: tuple[tuple[Emergency, ...], str] = ((), "reading them failed inside the watchdog; its log says how")
    try:
        found = emergencies(service)
    finally:
        asked.set_result(found)  # else every later tick would wait for an answer that never comes


def undone(memory: Recalled) -> bool:
    """Whether something decided for safety beside the rollout's own flag is not confirmed, or not yet told to be."""
    return any(deed.confirmed_at is None or TOLD not in deed.escalated for deed in memory.control.deeds)
