"""The head of the chain, kept outside the ledger: without it nobody could tell that the newest rows were cut off."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from watchdog.errors import LedgerError

Head = tuple[int, str]
"""Number and hash of a row."""

_WRITTEN = re.compile(r"\s*(\d{1,18}):([0-9a-f]{64})\s*")
_LOOK_AGAIN = 0.01


class Anchor:
    """One small file with the newest row's number and hash, replaced as a whole. Methods raise LedgerError only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Head | None:
        """What was kept; None when nothing ever was."""
        try:
            written = self.path.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise self._refused(exc) from exc
        try:
            return parse_head(written)
        except ValueError as exc:
            raise LedgerError(f"anchor {self.path}: {exc}; somebody changed it, put a kept copy in its place") from exc

    def write(self, head: Head) -> None:
        """Keep this head; it is on the disk when this returns."""
        try:
            handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            try:
                with os.fdopen(handle, "w", encoding="ascii") as file:
                    file.write(f"{shown_head(head)}\n")
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).chmod(0o644)
                Path(temporary).replace(self.path)
            except OSError:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as exc:
            raise self._refused(exc) from exc

    def _refused(self, exc: OSError) -> LedgerError:
        return LedgerError(f"anchor {self.path}: {exc.strerror or exc}; give this user its directory to write in")


def parse_head(written: str) -> Head:
    """`ID:HASH` as it is kept and given to `flags verify --anchor`. Raises ValueError."""
    found = _WRITTEN.fullmatch(written)
    if found is None:
        raise ValueError(f"found {written.strip()[:80]!r}, expected NUMBER:HASH with 64 hexadecimal digits")
    return int(found[1]), found[2]


def shown_head(head: Head) -> str:
    """A head as people keep it."""
    return f"{head[0]}:{head[1]}"


@contextlib.contextmanager
def turn(path: Path, within: float) -> Iterator[None]:
    """Take turns with other processes, by a lock on `path`. LedgerError when it is not had in so many seconds."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as exc:
        raise LedgerError(f"lock {path}: {exc.strerror or exc}; give this user its directory to write in") from exc
    try:
        until = time.monotonic() + within
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise LedgerError(f"lock {path}: another program has held it for {within:g} s") from None
                time.sleep(_LOOK_AGAIN)
        yield
    finally:
        os.close(handle)
