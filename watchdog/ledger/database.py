"""The ledger's connections: how they are opened, one writer at a time, and what is said when they fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from watchdog.errors import LedgerConflict, LedgerError
from watchdog.ledger import tables

BUSY = 5.0
"""Seconds to wait for another writer, or for a free connection."""

_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={int(BUSY * 1000)}")
_ADVICE = (
    ("SQLITE_BUSY", f"is locked by another program for longer than {BUSY:g} s: end that program (`fuser` names it)"),
    ("SQLITE_LOCKED", "is locked by another connection of this program: try again"),
    ("SQLITE_FULL", "cannot grow, the disk is full: free space on its file system, nothing of this was kept"),
    ("SQLITE_READONLY", "cannot be written: give this user write permission on the file and on its directory"),
    ("SQLITE_PERM", "cannot be written: give this user write permission on the file and on its directory"),
    ("SQLITE_CANTOPEN", "cannot be opened: it must be a file, in a directory that exists and that this user may write"),
    ("SQLITE_NOTADB", "is not a ledger: name another file, or move this one away to start an empty ledger"),
    ("SQLITE_CORRUPT", "is damaged: stop the watchdog, move it away and put a backup in its place"),
    ("SQLITE_IOERR", "cannot be read or written, the disk refuses: look at its free space, quota and health"),
)
_SERVERS = (
    ("Connection refused", "start PostgreSQL, or write the host and port where it listens"),
    ("failed to resolve host", "write the name or address of the host that PostgreSQL runs on"),
    ("password authentication failed", "write the user and the password that PostgreSQL knows"),
    ("no password supplied", "write the user's password into the address, or into a file named by ledger_file"),
    ("no pg_hba.conf entry", "let this user in from this host, in pg_hba.conf"),
    ('" does not exist', "create it (createdb, createuser), or write the one that there is"),
    ("permission denied", "grant this user the right to create and write tables there"),
)
"""What a server says, and what to do: it has no codes for the refusal of a connection."""
_UNIQUE = ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "23505")


class Database:
    """One ledger's connections. Threads share it: each call takes its own connection from the pool."""

    def __init__(self, url: str) -> None:
        parsed = _parse(url)
        self.place = _place(parsed)
        """The ledger as a person knows it: its file, or its address without password."""
        self.shared = parsed.get_backend_name() != "sqlite"
        """Whether it is on a server, where processes on several hosts reach it."""
        self._engine = _engine(parsed, self.place)
        self._writing = self._engine.execution_options(writes=True)
        # SQLite has one writer; queueing here is at once, where its own waiting polls, up to 100 ms apart. On a
        # server it keeps two threads of ours from interning one sentence at once, which would cost one its tick.
        self._writer = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the ledger throughout. LedgerError when that fails."""
        with self._translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """As `reading`, also on a server: there each statement sees what was committed when it began, but not here."""
        engine = self._engine.execution_options(isolation_level="REPEATABLE READ") if self.shared else self._engine
        with self._translated(), engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that writes: all of it is kept, or after any error nothing. LedgerError when that fails."""
        with self._turn(), self._translated(), self._writing.begin() as connection:
            yield connection

    def ping(self) -> None:
        """Read one row from the ledger; LedgerError when that is not possible."""
        with self.reading() as connection:
            connection.execute(select(tables.ROLLOUTS.c.id).limit(1)).first()

    def close(self) -> None:
        """Close every idle connection. The ledger must not be used afterwards."""
        self._engine.dispose()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._writer.acquire(timeout=BUSY):
            raise LedgerError(f"ledger {self.place}: another thread has been writing for more than {BUSY:g} s")
        try:
            yield
        finally:
            self._writer.release()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError as exc:
            if _cause(exc) in _UNIQUE:
                raise LedgerConflict(
                    f"ledger {self.place}: another program recorded the same thing first; nothing of this was kept"
                ) from exc
            raise LedgerError(f"ledger {self.place} refused a row: {exc.orig}") from exc
        except SQLAlchemyError as exc:
            if _cause(exc).startswith("SQLITE_READONLY"):
                self._engine.dispose()  # connections opened while the disk could only be read stay so for ever
            raise LedgerError(explain(self.place, exc)) from exc


def explain(place: str, exc: SQLAlchemyError) -> str:
    """A database error as a sentence: which ledger, what is wrong and what to do."""
    cause = _cause(exc)
    for code, advice in _ADVICE:
        if cause.startswith(code):
            return f"ledger {place} {advice}"
    found = " ".join(str(exc.orig if isinstance(exc, DBAPIError) else exc).split())
    advice = next((f"; {advice}" for said, advice in _SERVERS if said in found), "")
    return f"ledger {place} cannot be used: {found.rstrip('.?')}{advice}"


def _cause(exc: SQLAlchemyError) -> str:
    original = exc.orig if isinstance(exc, DBAPIError) else None
    return str(getattr(original, "sqlite_errorname", None) or getattr(original, "sqlstate", None) or "")


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except ArgumentError as exc:
        # The text may hold a password, so it is not repeated.
        raise LedgerError(
            "ledger: the address is not understood; write sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
        ) from exc
    if backend not in ("sqlite", "postgresql"):
        raise LedgerError(f"ledger: {backend} is not supported; use sqlite:///FILE or postgresql+psycopg://...")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise LedgerError("ledger: one in memory forgets at the next start what it must never forget; name a file")
    return parsed


def _place(url: URL) -> str:
    return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)


def _engine(url: URL, place: str) -> Engine:
    sqlite = url.get_backend_name() == "sqlite"
    if sqlite and not Path(place).absolute().parent.is_dir():
        raise LedgerError(f"ledger {place}: the directory {Path(place).absolute().parent} does not exist; create it")
    # Without an isolation level sqlite3 begins no transactions by itself: _begin below does, of the kind needed.
    arguments = {"isolation_level": None, "timeout": BUSY} if sqlite else {"connect_timeout": int(BUSY)}
    try:
        engine = create_engine(url, connect_args=arguments, pool_timeout=BUSY, pool_pre_ping=not sqlite)
    except (ModuleNotFoundError, NoSuchModuleError) as exc:
        raise LedgerError(
            f"ledger {place}: the driver is missing ({exc}); install slo-watchdog[postgresql] "
            "and write postgresql+psycopg://..."
        ) from exc
    if sqlite:
        event.listen(engine, "connect", _set_up)
        event.listen(engine, "begin", _begin)
    else:
        event.listen(engine, "do_connect", _connect)
    return engine


def _connect(_dialect: object, _entry: object, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    from watchdog.ledger.patience import connect  # noqa: PLC0415 - with a server's ledger only

    return connect(*arguments, **named)


def _set_up(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    try:
        if cursor.execute("PRAGMA page_count").fetchone() == (0,):
            # For a new file only: what is in one already would be locked and written to.
            cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
        for pragma in _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
    finally:
        cursor.close()


def _begin(connection: Connection) -> None:
    # A writer that starts as a reader can be refused half-way (SQLITE_BUSY at once, without waiting).
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
