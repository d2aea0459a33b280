"""What a reading says about who changed a flag: us, as recorded; us, but the record is missing; or somebody else.

A flag that has the version that was recorded last costs nothing. Another version is looked up in the ledger, because
another process may have recorded it. What nobody recorded is written down once: `seen` at first sight, `found` when the
flag carries the mark of a change of ours (somebody died between write and record), else `external`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from watchdog.audit.contents import content_of, mark_of, serves_alike, uid_of
from watchdog.audit.log import ChangeLog
from watchdog.errors import LedgerError
from watchdog.ledger import Content, FlagChange, Ledger, StoredChange
from watchdog.model import FlagReading

UNDER_WAY = 30.0
"""Seconds after which an intention without an outcome is no longer somebody's call under way."""
REST = 5.0
"""Seconds for which a ledger that just failed is not asked again who changed a flag."""
MOST_WAITING = 50
"""Readings of one flag that wait for the ledger; a flag that changes oftener while it is down loses the oldest."""


@dataclass(frozen=True, slots=True)
class Known:
    """A flag as it is accounted for: the service's version, and the row (0: on its way) that accounts for it."""

    mark: str
    row: int
    content: Content | None
    reading: FlagReading | None = None


@dataclass(slots=True)
class _Waiting:
    """A reading that nobody has accounted for yet; `looks` counts how often that was tried."""

    at: float
    reading: FlagReading
    looks: int = 0


class Sight:
    """What one service's flags were last seen and recorded to be. Threads share it."""

    def __init__(
        self, service: str, changes: ChangeLog, clock: Callable[[], float], counted: Callable[[FlagChange], None]
    ) -> None:
        self.service = service
        self.changes = changes
        self._clock = clock
        self._counted = counted
        self._lock = threading.Lock()
        self._counting = threading.Lock()  # never held while the ledger is asked: a kill counts before it acts
        self._rest_until = 0.0
        self._known: dict[str, Known] = {}
        self._waiting: dict[str, list[_Waiting]] = {}
        self._writes: dict[str, int] = {}
        self._writing: dict[str, int] = {}
        self._unreadable: set[str] = set()

    def known(self, flag: str) -> Known | None:
        """What this process last knew the flag to be."""
        return self._known.get(flag)

    def recorded(self, flag: str) -> Known | None:
        """Likewise, else what the ledger has of it. Raises LedgerError."""
        if (known := self._known.get(flag)) is not None:
            return known
        last = self.changes.reading().last_flag_content(self.service, flag)
        return None if last is None else Known(last.change.service_version, last.id, last.change.after)

    def undecided(self, flag: str) -> bool:
        """Whether a reading waits to be seen once more before anything is concluded."""
        return bool(self._waiting.get(flag))

    def writes(self, flag: str) -> int:
        """A number that changes while this process writes the flag: a reading taken meanwhile concludes nothing."""
        return self._writes.get(flag, 0)

    @contextmanager
    def writing(self, flag: str) -> Iterator[None]:
        """Around a write and its record."""
        self._count_write(flag, 1)
        try:
            yield
        finally:
            self._count_write(flag, -1)

    def learn(self, flag: str, reading: FlagReading, stored: StoredChange | None) -> None:
        """The flag is so by a change of ours, recorded in that row (None: on its way, through the journal)."""
        before = self._known.get(flag)
        row = stored.id if stored is not None else before.row if before is not None else 0
        self._known[flag] = Known(mark_of(reading), row, content_of(reading), reading)

    def look(self, flag: str, reading: FlagReading, writes: int) -> None:
        """Account for a reading, taken when `writes` was what it is still. Never raises: a later look goes on."""
        self._unreadable.discard(flag)
        known, waiting = self._known.get(flag), self._waiting.get(flag)
        if known is not None and known.mark == mark_of(reading) and not waiting:
            return
        if self._writing.get(flag) or writes != self.writes(flag):
            return
        with self._lock:
            queue = self._waiting.setdefault(flag, [])
            if not queue or mark_of(queue[-1].reading) != mark_of(reading):
                queue.append(_Waiting(self._clock(), reading))
                del queue[:-MOST_WAITING]
        self.settle(flag)

    def settle(self, flag: str, *, at_once: bool = False) -> None:
        """Account for the readings that wait, oldest first; `at_once` for those, too, that would wait to be seen again.

        Before a flag is written: what it was must be on record before what it will be.
        """
        with self._lock:
            queue = self._waiting.get(flag, [])
            if not queue or self._clock() < self._rest_until:
                return
            try:
                while queue:
                    first = queue[0]
                    first.looks += 1
                    overtaken = len(queue) > 1
                    sure = at_once or overtaken or first.looks > 1
                    if not self._conclude(flag, first, sure=sure, overtaken=overtaken):
                        return
                    del queue[0]
            except LedgerError:
                self._rest_until = self._clock() + REST
                return
            self._waiting.pop(flag, None)

    def unreadable(self, flag: str, error: str) -> None:
        """A flag that is known cannot be read any more, for good: that is recorded once, until it reads again."""
        if flag in self._unreadable or self._clock() < self._rest_until:
            return
        try:
            last = self.changes.reading().last_flag_change(self.service, flag)
            if last is not None and (last.change.action, last.change.result) != ("external", "failed"):
                why = "it cannot be read any more"
                uid = uid_of("unreadable", self.service, flag, str(last.id), error)
                found = FlagChange(uid, self._clock(), self.service, flag, *_OUTSIDE, why, "failed", error=error)
                self.changes.commit(found)
                self._counted(found)
        except LedgerError:
            self._rest_until = self._clock() + REST
            return
        self._unreadable.add(flag)

    def _count_write(self, flag: str, more: int) -> None:
        with self._counting:
            self._writes[flag] = self._writes.get(flag, 0) + 1
            self._writing[flag] = self._writing.get(flag, 0) + more

    def _conclude(self, flag: str, waiting: _Waiting, *, sure: bool, overtaken: bool) -> bool:
        """Account for one reading; False: seen once more first. Raises LedgerError."""
        reading, mark = waiting.reading, mark_of(waiting.reading)
        self.changes.flush()  # what waits there may be the very change
        ledger, known = self.changes.reading(), self._known.get(flag)
        last = ledger.last_flag_content(self.service, flag)
        if last is not None and last.change.service_version == mark:
            self._accept(flag, reading, last.id)
            return True
        recorded = ledger.flag_state_rows(self.service, flag).get(mark, 0)
        if known is not None and recorded > known.row:
            self._accept(flag, reading, recorded)
            return True
        if recorded and overtaken:
            return True  # an answer from the past, as a replica gives: the next one was newer
        ours, certain = self._mark_of_ours(ledger, flag, waiting, last)
        if not (sure or (certain and not recorded)):
            return False
        late = last is not None and last.change.at > waiting.at
        found = self._found(flag, waiting, last, ours, late=late)
        row = self.changes.commit(found).id
        self._counted(found)
        if not late:
            self._accept(flag, reading, row)
        return True

    def _mark_of_ours(
        self, ledger: Ledger, flag: str, waiting: _Waiting, last: StoredChange | None
    ) -> tuple[FlagChange | None, bool]:
        """The change of ours that the flag shows and that nobody recorded as done, if any; and whether that is certain.

        Not certain is what another process may be about to record.
        """
        idem, known = waiting.reading.idem, self._known.get(flag)
        if idem:
            rows = ledger.flag_changes_of_key(self.service, flag, idem)
            if any(row.change.result in ("applied", "found") for row in rows):
                return None, known is not None  # ours, but it was changed since, and kept our mark
            if rows:
                failed = rows[-1].change.result == "failed"
                return rows[-1].change, failed or waiting.at - rows[0].change.at > UNDER_WAY
            return (None if last is None else _unsigned(flag, idem)), last is None
        newest = ledger.last_flag_change(self.service, flag)
        tried = newest is not None and newest.change.result in ("intended", "failed")
        if newest is not None and tried and serves_alike(newest.change.after, content_of(waiting.reading)):
            return newest.change, waiting.at - newest.change.at > UNDER_WAY
        marked = known is not None and known.reading is not None and bool(known.reading.idem)
        return None, last is None or marked

    def _found(
        self, flag: str, waiting: _Waiting, last: StoredChange | None, ours: FlagChange | None, *, late: bool
    ) -> FlagChange:
        """The row for what nobody recorded. Two processes that see the same make the same row, so it is there once.

        A `late` one was overtaken by a change that is on record: it has no version, so as not to pass for the newest.
        """
        content, mark = content_of(waiting.reading), mark_of(waiting.reading)
        uid = uid_of("found", self.service, flag, str(last.id if last is not None else 0), mark)
        before = last.change.after if last is not None else None
        change = FlagChange(uid, waiting.at, self.service, flag, *_OUTSIDE, "changed outside", "found")
        if ours is not None:
            why = f"found in the flag, not recorded when it was done: {ours.why}"
            change = replace(change, action=ours.action, by=ours.by, why=why, rollout=ours.rollout)
        elif last is None:
            change = replace(change, action="seen", why="as it was when it was seen first")
        elif serves_alike(before, content):
            change = replace(change, why="changed outside, with the same people exposed", result="unchanged")
        if late:
            change = replace(change, why=f"{change.why}; recorded late, the service called it version {mark}")
        idem, version = waiting.reading.idem, "" if late else mark
        return replace(change, idem=idem, before=before, after=content, service_version=version)

    def _accept(self, flag: str, reading: FlagReading, row: int) -> None:
        self._known[flag] = Known(mark_of(reading), row, content_of(reading), reading)


_OUTSIDE = ("external", "unknown")
"""Action and author of what was not done through us."""


def _unsigned(flag: str, idem: str) -> FlagChange:
    """A change of ours of which nothing but the mark in the flag is left."""
    return FlagChange("", 0.0, "", flag, "set", "unknown", f"by the change {idem}", "intended", idem=idem)
