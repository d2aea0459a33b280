"""Every change of a flag, numbered without gaps and chained by hashes. Rows are appended, never changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, insert, select

from watchdog.errors import LedgerConflict
from watchdog.ledger.chain import GENESIS, NUMBERED, FlagChange, StoredChange, row_of, stored_of
from watchdog.ledger.database import Database
from watchdog.ledger.tables import FLAG_CHANGES

TRIES = 100
"""How often an append is tried when others append too: each time one of them got through, so it ends."""
_COLUMNS = FLAG_CHANGES.c


class FlagChanges(Database):
    """The part of the ledger that knows who changed which flag."""

    def append_flag_change(self, change: FlagChange) -> StoredChange:
        """Add a change at the end of the chain; one whose `uid` is there already is not added again.

        Safe between threads and processes: the row that names the same predecessor first stands, the other tries again.
        """
        for _ in range(TRIES):
            try:
                with self.writing() as connection:
                    return _append(connection, change)
            except LedgerConflict:
                continue
        raise LedgerConflict(f"ledger {self.place}: others appended flag changes {TRIES} times before this one could")

    def flag_change_head(self) -> tuple[int, str] | None:
        """Number and hash of the newest row; None when there is none."""
        with self.reading() as connection:
            return _head(connection)

    def flag_change_hash(self, number: int) -> str | None:
        """The hash that row carries; None when there is no such row."""
        with self.reading() as connection:
            return connection.execute(select(_COLUMNS.hash).where(_COLUMNS.id == number)).scalar()

    def last_flag_content(self, service: str, flag: str) -> StoredChange | None:
        """The newest row after which the state of the flag was known."""
        known = _COLUMNS.result.in_(("applied", "unchanged", "found")) & (_COLUMNS.service_version != "")
        return self._first(_of(service, flag).where(known).order_by(_COLUMNS.id.desc()))

    def last_flag_change(self, service: str, flag: str) -> StoredChange | None:
        """The newest row of the flag, whatever it says."""
        return self._first(_of(service, flag).order_by(_COLUMNS.id.desc()))

    def flag_changes_of_key(self, service: str, flag: str, idem: str) -> list[StoredChange]:
        """The rows of one idempotency key, oldest first."""
        return self._all(_of(service, flag).where(_COLUMNS.idem == idem).order_by(_COLUMNS.id))

    def flag_state_rows(self, service: str, flag: str) -> dict[str, int]:
        """The service's versions that were ever recorded for the flag, each with its newest row."""
        known = _of(service, flag, _COLUMNS.service_version, func.max(_COLUMNS.id)).where(
            _COLUMNS.service_version != ""
        )
        with self.reading() as connection:
            return {version: row for version, row in connection.execute(known.group_by(_COLUMNS.service_version))}  # noqa: C416

    def flag_history(self, service: str, flag: str, limit: int) -> list[StoredChange]:
        """The newest rows of a flag, newest first."""
        return self._all(_of(service, flag).order_by(_COLUMNS.id.desc()).limit(limit))

    def flag_version(self, service: str, flag: str, version: int) -> StoredChange | None:
        """The row that gave the flag its content number `version`."""
        return self._first(_of(service, flag).where(_COLUMNS.version == version))

    def flags_known(self) -> list[StoredChange]:
        """The newest row of every flag that was ever recorded, by service and name."""
        newest = select(func.max(_COLUMNS.id)).group_by(_COLUMNS.service, _COLUMNS.flag)
        statement = select(FLAG_CHANGES).where(_COLUMNS.id.in_(newest))
        return self._all(statement.order_by(_COLUMNS.service, _COLUMNS.flag))

    @contextmanager
    def flag_change_rows(self) -> Iterator[Iterator[dict[str, Any]]]:
        """All rows as they are stored, by number, read as they are asked for; for those who look for tampering."""
        with self.reading() as connection:
            rows = connection.execution_options(yield_per=1000).execute(select(FLAG_CHANGES).order_by(_COLUMNS.id))
            yield (row._asdict() for row in rows)

    def _first(self, statement: Select[Any]) -> StoredChange | None:
        return next(iter(self._all(statement.limit(1))), None)

    def _all(self, statement: Select[Any]) -> list[StoredChange]:
        with self.reading() as connection:
            return [stored_of(row._asdict()) for row in connection.execute(statement)]


def _of(service: str, flag: str, *columns: ColumnElement[Any]) -> Select[Any]:
    chosen = columns or tuple(_COLUMNS)
    return select(*chosen).where(_COLUMNS.service == service, _COLUMNS.flag == flag)


def _head(connection: Connection) -> tuple[int, str] | None:
    row = connection.execute(select(_COLUMNS.id, _COLUMNS.hash).order_by(_COLUMNS.id.desc()).limit(1)).first()
    return None if row is None else (row.id, row.hash)


def _append(connection: Connection, change: FlagChange) -> StoredChange:
    there = connection.execute(select(FLAG_CHANGES).where(_COLUMNS.uid == change.uid)).first()
    if there is not None:
        return stored_of(there._asdict())
    last, prev = _head(connection) or (0, GENESIS)
    version = None
    if change.result in NUMBERED and change.after is not None:
        newest = _of(change.service, change.flag, func.max(_COLUMNS.version))
        version = (connection.execute(newest).scalar() or 0) + 1
    row = row_of(change, last + 1, version, prev)
    connection.execute(insert(FLAG_CHANGES).values(row))
    return stored_of(row)
