"""The emergency journal beside the ledger: what was done for safety while the ledger could not be written.

A rollback never waits for the ledger. When recording one fails, the flag is killed first, what was done is appended
here, and it is recorded when the ledger returns. One JSON object a line, on the disk when `append` returns.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
from collections.abc import Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from watchdog.errors import LedgerError

LISTED = 5
"""Numbers of unreadable lines that a sentence lists."""
RESERVE = 65_536
"""Bytes kept beside the journal, so that an entry can still be written when a full disk stopped the ledger."""


class Journal:
    """One emergency journal. Threads may share it. Every method raises LedgerError only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn: str | None = None
        """After `entries`: a sentence about lines that could not be read, or None."""
        self._reserve = path.with_name(path.name + ".reserve")
        self._read = 0
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Set the reserve aside, if it is not there; called when the program starts and after `settle`."""
        with self._lock, _translated(self.path):
            self._set_reserve_aside()

    def append(self, entry: Mapping[str, object]) -> None:
        """Add one entry (JSON values); it is on the disk when this returns. A full disk costs the reserve first."""
        line = json.dumps(dict(entry), separators=(",", ":")).encode() + b"\n"
        with self._lock, _translated(self.path):
            try:
                self._add(line)
            except OSError as exc:
                if exc.errno not in (errno.ENOSPC, errno.EDQUOT) or not self._reserve.exists():
                    raise
                self._reserve.unlink()
                self._add(line)

    def entries(self) -> list[dict[str, Any]]:
        """What was appended and is not settled, oldest first. Unreadable lines are left out, and `torn` says so."""
        with self._lock, _translated(self.path):
            data = self._data()
            self._read = len(data)
        found: list[dict[str, Any]] = []
        unreadable = []
        for number, line in enumerate(data.splitlines(), start=1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
            except (RecursionError, ValueError):
                entry = None
            if isinstance(entry, dict):
                found.append(entry)
            else:
                unreadable.append(number)
        self.torn = None
        if unreadable:
            lines = ", ".join(str(number) for number in unreadable[:LISTED])
            lines += f" and {len(unreadable) - LISTED} more" if len(unreadable) > LISTED else ""
            self.torn = (
                f"{self.path}: line {lines} cannot be read, the program died while writing; what was done then is in "
                f"the flag's own history, and the line is kept in {self._settled.name} when the journal is settled"
            )
        return found

    def settle(self) -> None:
        """Call after all that `entries` returned was recorded: it moves to `<journal>.settled`, what came since stays.

        A crash just before leaves the entries here, so whoever records them must be able to record them twice.
        """
        with self._lock, _translated(self.path):
            data = self._data()
            if not data:
                return
            _replace(self._settled, data[: self._read])
            if rest := data[self._read :]:
                _replace(self.path, rest)
            else:
                self.path.unlink()
                _sync_directory(self.path)
            self._read = 0
            # Without room for the reserve the journal still works: the next start tries again.
            with contextlib.suppress(OSError):
                self._set_reserve_aside()

    @property
    def _settled(self) -> Path:
        return self.path.with_name(self.path.name + ".settled")

    def _data(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""

    def _add(self, line: bytes) -> None:
        new = not self.path.exists()
        with self.path.open("ab+", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            if end:
                file.seek(end - 1)
                # A line torn by a crash must not swallow this one.
                line = line if file.read(1) == b"\n" else b"\n" + line
            try:
                _write_through(file, line)
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(end)
                raise
        if new:
            _sync_directory(self.path)

    def _set_reserve_aside(self) -> None:
        if not self._reserve.exists():
            # Random bytes: a file system that compresses would set nothing aside for zeros.
            _replace(self._reserve, os.urandom(RESERVE))


def journal_path(ledger_url: str) -> Path:
    """Where the journal of a ledger is: beside an SQLite file; for a server, in the working directory."""
    url = make_url(ledger_url)
    name = url.database or "watchdog"
    return Path(f"{name}.journal") if url.get_backend_name() == "sqlite" else Path(f"{Path(name).name}.journal")


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise LedgerError(
            f"emergency journal {path}: {exc.strerror or exc}; give this user a directory that can be written "
            "and has free space, until then a rollback is not recorded anywhere"
        ) from exc


def _write_through(file: FileIO, line: bytes) -> None:
    """All of the line on the disk, or OSError; a disk that is nearly full takes a part of it without complaint."""
    if file.write(line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(file.fileno())


def _replace(path: Path, data: bytes) -> None:
    """Write a whole file that is either the old or the new one, whatever happens."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_directory(path)


def _sync_directory(path: Path) -> None:
    directory = os.open(path.absolute().parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
