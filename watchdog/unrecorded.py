"""What a tick did that the ledger has not taken yet: kept in memory, and rollbacks in the emergency journal.

Raising exposure needs a committed record; lowering it never does (semantics 7). So while the ledger fails, a tick goes
on with whatever raises nothing, and all of it is recorded, once and in order, when the ledger is back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from watchdog.control import Control
from watchdog.decide import Decision, Seen
from watchdog.errors import LedgerError
from watchdog.handover import hand_over
from watchdog.journal import Journal
from watchdog.ledger import ExposureFact, Fence, Ledger, Record
from watchdog.messages.transition import of_transitions
from watchdog.model import Breach, Notification, Phase, Severity, Transition
from watchdog.outage import Outage, Tell, told_in
from watchdog.ramp import above
from watchdog.recall import Recalled
from watchdog.stamps import engine_of

DOWN = (Phase.ROLLING_BACK, Phase.ROLLED_BACK)


class Unrecorded:
    """The records of one rollout that wait for the ledger, oldest first."""

    def __init__(self, name: str, ledger: Ledger, journal: Journal | None, tell: Tell | None = None) -> None:
        self.name = name
        self.ledger = ledger
        self.journal = journal
        self.records: list[Record] = []
        self.carried: list[tuple[Breach, bool]] = []
        """Breaches that are recorded or kept as facts, and on which nothing could be decided yet."""
        self.outage = Outage(name, tell, journal)
        self.fence: Fence | None = None
        """The lease that everything is recorded under; None where there are none."""

    def record(self, memory: Recalled, record: Record) -> None:
        """Record this now. Raises LedgerError."""
        memory.stored = replace(memory.stored, revision=self.ledger.record(replace(record, fence=self.fence)))
        _remember(memory, record)

    def keep(self, memory: Recalled, record: Record) -> None:
        """Record this later, after all that was kept before."""
        self.records.append(record)
        _remember(memory, record)

    def hand_over(self, memory: Recalled) -> None:
        """Have people told of what is kept, as far as they must be told at once."""
        for record in self.records:
            self.outage.hand_over(memory.stored.id, memory.rollout, record.notifications)

    def forget(self) -> None:
        """Drop what is kept: it followed from a state that somebody else has changed, or that is being rebuilt."""
        self.records.clear()
        self.carried = []

    def commands_done(self) -> frozenset[int]:
        """Commands that were carried out and wait to be marked so."""
        return frozenset(command for record in self.records for command, _ in record.commands_done)

    def catch_up(self, memory: Recalled) -> None:
        """Record what was kept. Raises LedgerError; what the ledger took by then is not recorded again."""
        while self.records:
            self.record(memory, replace(self.records[0], revision=memory.stored.revision))
            del self.records[0]

    def all_recorded(self) -> None:
        """The ledger has everything: the journal's entries are settled when that holds for every rollout in it."""
        self.carried = []
        self.outage.over()
        if self.journal is None:
            return
        try:
            if all(self._is_recorded(entry) for entry in self.journal.entries()):
                self.journal.settle()
        except LedgerError:
            return  # the entries stay; a later tick settles them

    def _is_recorded(self, entry: Mapping[str, Any]) -> bool:
        """Whether the ledger knows of what is in this entry, or was moved on by somebody since."""
        if entry.get("rollout") == self.name:
            return True
        stored = self.ledger.rollout(str(entry.get("rollout")))
        if stored is not None and "told" in entry:
            return told_in(entry).key in {known.key for _, known in self.ledger.recorded(stored.id)}
        return stored is None or stored.phase.value != entry.get("phase")

    def note(self, now: float, before: Phase, decision: Decision) -> str | None:
        """Note a rollback in the journal, once the flag was written; returns what went wrong.

        A restart finds it there. Without the note it would take the flag for one that a person lowered, and hold.
        """
        if self.journal is None:
            return None
        page = next((n for n in decision.notifications if n.kind == "rollback"), None)
        at = next((at for at, kind, _ in decision.exposures if kind == "desired"), int(now))
        entry = {
            "rollout": self.name,
            "at": now,
            "from": at,
            "control": decision.control.to_dict(),
            "why": decision.why,
            "phase": before.value,
            "page": page.key if page is not None else None,
            "severity": page.severity.value if page is not None else None,
            "details": page.details if page is not None else {},
            "token": self.fence.token if self.fence is not None else None,
        }
        try:
            self.journal.append(entry)
        except LedgerError as error:
            return str(error)
        return None

    def _is_ours(self, entry: Mapping[str, Any]) -> bool:
        """Whether nobody has led the rollout between the note and us: then what it says is still so."""
        token = entry.get("token")
        return token is None or self.fence is None or self.fence.token - int(token) <= 1

    def replay(self, memory: Recalled) -> None:
        """After a restart: a rollback that was carried out without a ledger goes on, and is recorded first of all.

        Raises LedgerError when the journal cannot be read: what it may hold must not be overlooked.
        """
        if self.journal is None:
            return
        mine = [entry for entry in self.journal.entries() if entry.get("rollout") == self.name]
        if told := self.outage.replayed(mine):
            self.keep(memory, Record(memory.stored.id, memory.stored.revision, notifications=told))
        entry = next((entry for entry in mine if entry.get("phase") == memory.control.phase.value), None)
        if entry is None:
            return
        if not self._is_ours(entry):
            hand_over(self.ledger, entry)
            return
        at, why = float(entry["at"]), f"recorded late, from the emergency journal: {entry['why']}"
        control = Control.from_dict(dict(entry["control"]))
        happened = Transition(at, "rollback", memory.control.phase, control.phase, why)
        pages = list(of_transitions(self.name, (happened,), control.desired))
        if entry["page"] is not None:
            severity = Severity(entry.get("severity") or Severity.CRITICAL)
            details = dict(entry.get("details") or {})
            pages.append(Notification("rollback", str(entry["page"]), severity, why, at, details))
        self.keep(
            memory,
            Record(
                rollout_id=memory.stored.id,
                revision=memory.stored.revision,
                phase=control.phase,
                control=control.to_dict(),
                transitions=(happened,),
                exposures=(ExposureFact(float(entry["from"]), "desired", control.desired),),
                notifications=pages,
            ),
        )
        memory.control = control
        memory.timeline.add(int(entry["from"]), "desired", control.desired)


def _remember(memory: Recalled, record: Record) -> None:
    if record.readings:
        memory.last_reading = record.readings[-1]
    memory.engine = engine_of(memory.engine, record.transitions)


def may_go_on(before: Control, decision: Decision, step: float) -> bool:
    """Whether a decision may be carried out before it is recorded: it starts, raises and ends nothing."""
    after = decision.control
    if after.phase in DOWN:
        return True
    return after.phase is before.phase and after.phase.active and not above(after.desired, before.desired, step)


def lowers(decision: Decision, seen: Seen) -> bool:
    """Whether the flag, as it was read, would expose fewer; a rollback lowers a flag that cannot be read, too."""
    control = decision.control
    if control.phase in DOWN:
        return True
    return seen.reading is not None and above(seen.reading.exposure, control.desired, seen.smallest_step)


def undecided(before: Control, decision: Decision) -> Decision:
    """The decision with everything left out that is to be decided again: its tick's facts alone are kept."""
    return replace(
        decision,
        control=before,
        transitions=(),
        notifications=(),
        exposures=(),
        done=(),
        write=None,
        resumed=False,
        took_back=None,
        reports=(),
    )
