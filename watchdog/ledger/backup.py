"""Copies of a ledger: made while it is written to, examined before they count, and put back in its place.

For ledgers in a file. PostgreSQL has tools of its own, which a refusal names. Nothing is ever written over: a backup
needs a new name, and what a restore replaces is kept beside the ledger.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from watchdog.errors import LedgerError, Refused
from watchdog.ledger.database import BUSY, Database
from watchdog.migrations import STEPS

_ASIDE = ("-wal", "-shm")
"""Files that SQLite keeps beside a ledger; with another ledger they would ruin it."""
_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510
"""The bytes of a file that SQLite locks for as long as anybody has it open (sqlite.org/fileformat2.html)."""


@dataclass(frozen=True, slots=True)
class Held:
    """A rollout in a copy: its phase and its newest slot (epoch seconds, None before the first)."""

    name: str
    phase: str
    last_slot: int | None


@dataclass(frozen=True, slots=True)
class Copy:
    """A whole and sound copy of a ledger. `schema` is its newest schema step."""

    path: Path
    size: int
    sha256: str
    schema: str
    rollouts: tuple[Held, ...]


def back_up(url: str, target: Path) -> Copy:
    """Copy the ledger as it is at one moment into a new file; the daemon may go on writing. Raises LedgerError."""
    live = _file_of(url, "pg_dump --format=custom --file=FILE")
    if not live.is_file():
        raise LedgerError(f"ledger {live}: there is none yet, so there is nothing to back up")
    if target.exists():
        raise Refused(f"backup {target}: it exists, and a backup is never written over; name a new file")
    with new_file(target) as part:
        _copy(live, part)
        examine(part)
        part.replace(target)
    sync(target.parent)
    return examine(target)


def examine(path: Path) -> Copy:
    """What is in a file that should be a ledger. LedgerError when it is none, is damaged or is newer than we are."""
    if not path.is_file():
        raise LedgerError(f"backup {path}: there is no such file")
    with explained(f"backup {path}"), closing(opened(path, "ro")) as connection:
        (sound,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if sound != "ok":
            raise LedgerError(f"backup {path} is damaged ({sound}): use an older one")
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "schema_steps" not in tables:
            raise LedgerError(f"backup {path} is no ledger of slo-watchdog: name a file that `ledger backup` wrote")
        have = [name for (name,) in connection.execute("SELECT name FROM schema_steps ORDER BY position")]
        known = [step.name for step in STEPS]
        if have != known[: len(have)]:
            strangers = ", ".join(name for name in have if name not in known) or "in another order"
            raise LedgerError(
                f"backup {path} has schema steps that this program does not know ({strangers}): "
                "restore it with the newer slo-watchdog that wrote it"
            )
        rows = connection.execute(
            "SELECT name, phase, last_slot FROM rollouts JOIN heads ON heads.rollout = rollouts.id ORDER BY rollouts.id"
        ).fetchall()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Copy(path, path.stat().st_size, digest, have[-1] if have else "", tuple(Held(*row) for row in rows))


def restore(url: str, source: Path, aside: str) -> tuple[Copy, Path | None]:
    """Put a copy in the ledger's place; what was there is kept as `LEDGER.replaced-ASIDE`, None when nothing was.

    Refused while any program has the ledger open. Killed at any moment, it leaves the old ledger or the new one.
    """
    live = _file_of(url, "pg_restore --clean --if-exists --single-transaction --dbname=ADDRESS FILE")
    copy = examine(source)
    kept = live.with_name(f"{live.name}.replaced-{aside}")
    if kept.exists():
        raise Refused(f"restore {source}: {kept} exists, and nothing is written over; move it away")
    with new_file(live) as part:
        _copy(source, part)
        if not live.exists():
            part.replace(live)
            sync(live.parent)
            return copy, None
        _alone(live)
        was = live.stat()
        part.chmod(was.st_mode & 0o7777)
        if os.geteuid() == 0:
            os.chown(part, was.st_uid, was.st_gid)
        with explained(f"restore {source}"):
            for suffix in _ASIDE:
                beside = live.with_name(live.name + suffix)
                if beside.exists():
                    beside.replace(kept.with_name(kept.name + suffix))
            kept.hardlink_to(live)  # so that there is a ledger at every moment
            part.replace(live)
    sync(live.parent)
    return copy, kept


def _file_of(url: str, instead: str) -> Path:
    database = Database(url)
    try:
        if database.shared:
            raise LedgerError(f"ledger {database.place} is on a server, whose own tool does that: {instead}")
        return Path(database.place).absolute()
    finally:
        database.close()


def _alone(live: Path) -> None:
    """That no program has the ledger open; and its write-ahead log brought into it, if it is sound enough."""
    in_use = Refused(f"ledger {live} is in use: stop slo-watchdog and every command that works on it, then restore")
    with explained(f"ledger {live}"), live.open("rb+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _SHARED_SIZE, _SHARED_FIRST)
        except BlockingIOError:
            raise in_use from None
    try:
        with closing(opened(live, "rw")) as connection:
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise in_use from error
    except sqlite3.DatabaseError:
        return  # damaged: that is why it is being replaced, and it is kept as it is


def _copy(source: Path, target: Path) -> None:
    """One state of `source`: read in a single step, so that nobody who writes meanwhile is waited for, or waits."""
    with (
        explained(f"copying ledger {source} to {target.parent}"),
        closing(opened(source, "rw" if os.access(source.parent, os.W_OK) else "ro")) as here,
        closing(opened(target, "rw")) as there,
    ):
        here.backup(there)
        there.execute("PRAGMA journal_mode = DELETE")
    with target.open("rb") as file:
        os.fsync(file.fileno())


def opened(path: Path, mode: str) -> sqlite3.Connection:
    """SQLite's own connection to a file, `mode` ro or rw; it is never created."""
    address = f"file:{quote(str(path.absolute()))}?mode={mode}"
    return sqlite3.connect(address, uri=True, timeout=BUSY, isolation_level=None)


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """An empty file beside `target`, for its owner only; removed unless it was moved away."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with explained(f"{target}"):
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def sync(directory: Path) -> None:
    """That a new name in the directory outlives a crash."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Errors of SQLite and of the disk as sentences, which begin with `what`."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        advice = {
            "SQLITE_FULL": "the disk is full; free space or name another place",
            "SQLITE_NOTADB": "that is no ledger; name a file that `ledger backup` wrote",
            "SQLITE_CORRUPT": "it is damaged; use an older backup",
        }.get(getattr(error, "sqlite_errorname", None) or "", "see to the file, its directory and their permissions")
        raise LedgerError(f"{what}: {error}: {advice}") from error
    except OSError as error:
        raise LedgerError(
            f"{what}: {error.strerror}: see to the file, its directory, their permissions and free space"
        ) from error
