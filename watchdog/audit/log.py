"""The log of flag changes: in the ledger's chain; while the ledger fails, in a journal beside it until it is back.

Nothing is lost on the way: an entry is in the ledger, else on the disk in the journal, else (no disk either) in memory
and in the program's log until one of the two takes it. The order stays.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from watchdog.audit.anchor import Anchor, Head, shown_head, turn
from watchdog.errors import LedgerError
from watchdog.journal import Journal, journal_path
from watchdog.ledger import Finding, FlagChange, Ledger, StoredChange, findings

TURN = 5.0
"""Seconds to wait for another process that uses the journal."""
REST = 5.0
"""Seconds for which a ledger that just failed is not asked again to take what has the journal to go to."""
Tell = Callable[[str, Mapping[str, object]], None]
OpenLedger = Callable[[], Ledger]
"""Opens the ledger when it is first needed, or raises LedgerError: a kill must not wait for that."""


class Observer(Protocol):
    """Who counts; `Metrics` does. Nothing here may raise or wait."""

    def on_flag(self, service: str, flag: str, percent: float) -> None:
        """A flag was read or written and serves this percentage."""
        ...

    def on_flag_change(self, actor_kind: str, action: str, result: str) -> None:
        """Somebody changed a flag, or tried to."""
        ...

    def set_flag_journal(self, entries: int) -> None:
        """How many changes wait for the ledger."""
        ...


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found. `head` is the newest row, `anchors` what it was held against, `waiting` not yet chained."""

    rows: int
    head: Head | None
    anchors: tuple[Head, ...]
    findings: tuple[Finding, ...]
    waiting: int

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


class ChangeLog:
    """The log of one ledger; threads share it, and other processes may append at the same time.

    `beside` is the path that the journal (`.flags`) and the anchor (`.flags-head`) are named after. `tell` gets a line
    for every change.
    """

    def __init__(
        self,
        ledger: Ledger | OpenLedger,
        beside: Path,
        clock: Callable[[], float],
        *,
        observer: Observer | None = None,
        tell: Tell | None = None,
    ) -> None:
        self._ledger = ledger
        self.journal = Journal(beside.with_name(f"{beside.name}.flags"))
        self.anchor = Anchor(beside.with_name(f"{beside.name}.flags-head"))
        self.trouble = ""
        """Why the newest entry is not in the ledger; empty when it is."""
        self.observer = observer
        self._clock = clock
        self._tell = tell
        self._turns = beside.with_name(f"{beside.name}.flags.lock")
        self._lock = threading.RLock()
        self._memory: list[FlagChange] = []
        self._rest_until = 0.0
        self._said: set[str] = set()

    def prepare(self) -> None:
        """Set the journal's reserve aside and take in what an earlier process left. Raises LedgerError."""
        self.journal.prepare()
        self.flush()

    def commit(self, change: FlagChange) -> StoredChange:
        """Record this in the ledger, after all that waits, or raise LedgerError."""
        with self._lock:
            return self._record([change])[-1]

    def append(self, change: FlagChange) -> StoredChange | None:
        """Record this in the ledger; if that fails in the journal (None is returned, and `trouble` says why).

        Never raises: what it records has happened already.
        """
        with self._lock:
            if self._clock() < self._rest_until:
                self._keep(change)
                return None
            try:
                stored = self._record([change])[-1]
            except LedgerError as error:
                self._rest_until = self._clock() + REST
                self.trouble = str(error)
                self._keep(change)
                return None
            self.trouble = ""
            return stored

    def flush(self) -> None:
        """Bring what waits into the ledger; costs next to nothing when nothing does. Raises LedgerError."""
        if self._waits():
            with self._lock:
                self._record([])

    @property
    def waiting(self) -> int:
        """How many entries wait for the ledger. Raises LedgerError when the journal cannot be read."""
        return len(self.journal.entries()) + len(self._memory) if self._waits() else 0

    def reading(self) -> Ledger:
        """The ledger, to look something up in. Raises LedgerError when it cannot be opened."""
        if not isinstance(self._ledger, Ledger):
            with self._lock:
                return self._opened()
        return self._ledger

    def close(self) -> None:
        """Close the ledger, if it was opened."""
        if isinstance(self._ledger, Ledger):
            self._ledger.close()

    def verify(self, *kept: Head) -> Verification:
        """Recompute the whole chain and hold it against the anchor and against heads that somebody kept."""
        wrong: list[Finding] = []
        try:
            # Read before the rows: whatever it names is then among them.
            head = self.anchor.read()
        except LedgerError as error:
            head = None
            wrong.append(Finding(0, "", "", str(error)))
        ledger = self.reading()
        newest = ledger.flag_change_head()
        if head is None and not wrong and newest is not None and Path(ledger.place).exists():
            # A server's ledger may have its anchor on another host; a file's is beside it.
            missing = f"its anchor {self.anchor.path} is gone: whether the newest rows were cut off cannot be told"
            wrong.append(Finding(newest[0], "", "", missing))
        anchors = (*((head,) if head is not None else ()), *kept)
        with ledger.flag_change_rows() as rows:
            counted = _Counted(rows)
            wrong += findings(counted, anchors)
        return Verification(counted.number, counted.head, anchors, tuple(wrong), self.waiting)

    def _opened(self) -> Ledger:
        if isinstance(self._ledger, Ledger):
            return self._ledger
        if self._clock() < self._rest_until:
            raise LedgerError(self.trouble)
        try:
            self._ledger = opened = self._ledger()
        except LedgerError as error:
            self._rest_until, self.trouble = self._clock() + REST, str(error)
            raise
        return opened

    def _waits(self) -> bool:
        return bool(self._memory) or self.journal.path.exists()

    def _record(self, changes: list[FlagChange]) -> list[StoredChange]:
        """Record what waits, then these. Raises LedgerError; what was recorded by then stays recorded, and once."""
        ledger = self.reading()
        stored: list[StoredChange] = []
        if self._waits():
            with turn(self._turns, TURN):
                stored += [ledger.append_flag_change(change) for change in self._journaled()]
                self.journal.settle()
            while self._memory:
                stored.append(ledger.append_flag_change(self._memory[0]))
                del self._memory[0]
            self._count(0)
        stored += [ledger.append_flag_change(change) for change in changes]
        if stored:
            self._rest_until = 0.0
            for one in stored:
                self._say(one)
            self._keep_head(ledger, (stored[-1].id, stored[-1].hash))
        return stored

    def _journaled(self) -> list[FlagChange]:
        found = []
        for entry in self.journal.entries():
            try:
                found.append(FlagChange.from_dict(entry))
            except TypeError:
                self._warn(f"{self.journal.path}: an entry is not a flag change: {str(entry)[:200]}")
        if self.journal.torn is not None:
            self._warn(self.journal.torn)
        return found

    def _keep(self, change: FlagChange) -> None:
        try:
            with turn(self._turns, TURN):
                self.journal.append(change.to_dict())
        except LedgerError as error:
            self._memory.append(change)
            self._warn(f"a flag change is on no disk yet: {error}; it is {change.to_dict()}")
        if self._tell is not None:
            self._tell("flag change in the journal", {**_line(change), "why_not": self.trouble})
        try:
            self._count(self.waiting)
        except LedgerError as error:
            self._warn(str(error))

    def _keep_head(self, ledger: Ledger, head: Head) -> None:
        """Move the anchor on, but only along the chain: one that the ledger contradicts is evidence, and stays."""
        try:
            with turn(self._turns, TURN):
                kept = self.anchor.read()
                if kept is not None and ledger.flag_change_hash(kept[0]) != kept[1]:
                    self._warn(
                        f"anchor {self.anchor.path} names row {shown_head(kept)}, which the ledger does not have: rows "
                        "were cut off or rewritten, see `flags verify`; the anchor is left as it is"
                    )
                elif kept is None or kept[0] < head[0]:
                    self.anchor.write(head)
        except LedgerError as error:
            self._warn(str(error))

    def _say(self, stored: StoredChange) -> None:
        if self._tell is not None:
            place = {"id": stored.id, "hash": stored.hash, "version": stored.version}
            self._tell("flag change", {**_line(stored.change), **place})

    def _warn(self, sentence: str) -> None:
        if self._tell is not None and sentence not in self._said:
            self._said.add(sentence)
            self._tell("flag audit", {"problem": sentence})

    def _count(self, entries: int) -> None:
        if self.observer is not None:
            self.observer.set_flag_journal(entries)


class _Counted:
    """Rows on their way through, counted, with the newest one's number and hash."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._rows = rows
        self.number = 0
        self.head: Head | None = None

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for row in self._rows:
            self.number += 1
            self.head = (row["id"], str(row["hash"]))
            yield row


def open_changes(
    url: str,
    ledger: Ledger | OpenLedger,
    clock: Callable[[], float],
    *,
    observer: Observer | None = None,
    tell: Tell | None = None,
) -> ChangeLog:
    """The log of the ledger at an SQLAlchemy address; its files lie beside it, a server's in the working directory."""
    journal = journal_path(url)
    beside = journal.with_name(journal.name.removesuffix(".journal"))
    return ChangeLog(ledger, beside, clock, observer=observer, tell=tell)


def _line(change: FlagChange) -> dict[str, object]:
    said = ("service", "flag", "action", "result", "by", "why", "rollout", "idem", "after", "service_version", "error")
    return {name: value for name in said if (value := getattr(change, name)) not in (None, "")}
