"""The tokens file on the disk: read anew when it changes, and rewritten whole by commands."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import structlog

from watchdog.access.tokens import Token, parse_tokens, render
from watchdog.errors import ConfigError, Problem
from watchdog.rolloutfile.yamltext import read_text

MODE = 0o644
"""Of a new file: it holds hashes of random bytes, and whoever makes it is often not the daemon's user."""
log = structlog.get_logger()


class Told(Protocol):
    """Who wants to know whether the file can be read."""

    def __call__(self, *, ok: bool) -> None:
        """It was read, or could not be."""


class TokenFile:
    """What the file says now. A file that is broken or gone keeps what the last good one said, and says so once.

    Whoever wants nobody let in writes an empty list. Threads may share it.
    """

    def __init__(self, path: Path, tell: Told | None = None) -> None:
        self.path = path
        self._tell = tell
        self._lock = threading.Lock()
        self._seen: object = ()
        self._tokens: tuple[Token, ...] = ()
        self.trouble: str | None = None

    def tokens(self) -> tuple[Token, ...]:
        """The tokens of the newest good file; none when there never was one."""
        with self._lock:
            seen = _signature(self.path)
            if seen != self._seen:
                self._seen = seen
                self._read()
            return self._tokens

    def _read(self) -> None:
        try:
            self._tokens = read_tokens(self.path)
        except ConfigError as error:
            self.trouble = str(error)
            why = " ".join(self.trouble.split())
            log.error("tokens", why=why, kept="the last good one", tokens=len(self._tokens))  # noqa: TRY400 - all is said
        else:
            self.trouble = None
            log.info("tokens", path=str(self.path), tokens=len(self._tokens))
        if self._tell is not None:
            self._tell(ok=self.trouble is None)


def read_tokens(path: Path) -> tuple[Token, ...]:
    """The tokens in the file. Raises ConfigError, also for a file that everybody may write.

    That everybody may read it is no harm, see `MODE`; who may write it gives roles.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        hint = "`slo-watchdog tokens add NAME --role approver` makes it"
        raise ConfigError([Problem(str(path), f"cannot be read ({error.strerror}); {hint}")]) from error
    if mode & stat.S_IWOTH:
        message = f"has mode {stat.S_IMODE(mode):04o}: everybody on this host could give themselves a role; chmod o-w"
        raise ConfigError([Problem(str(path), message)])
    return parse_tokens(read_text(path), str(path))


def change_tokens(path: Path, change: Callable[[tuple[Token, ...]], Sequence[Token]]) -> None:
    """Rewrite the file: written beside, synced, renamed; one at a time. A file that is not there is made.

    Raises ConfigError, and what `change` raises; nothing is written then.
    """
    try:
        with _alone(path.parent):
            tokens = read_tokens(path) if path.exists() else ()
            _replace(path, render(change(tokens)))
    except OSError as error:
        message = f"cannot be written ({error.strerror}); run the command as a user who may, such as the daemon's"
        raise ConfigError([Problem(str(path), message)]) from error


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Nobody else changes the file meanwhile. The directory is locked: the file itself is replaced."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
        os.fsync(handle)
    finally:
        os.close(handle)


def _replace(path: Path, content: str) -> None:
    target = path.resolve()
    try:
        before = target.stat()
    except FileNotFoundError:
        before = None
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fchmod(handle, stat.S_IMODE(before.st_mode) if before is not None else MODE)
            if before is not None and os.geteuid() == 0:
                os.fchown(handle, before.st_uid, before.st_gid)
            os.fsync(handle)
        Path(name).replace(target)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _signature(path: Path) -> object:
    """What is different when the file is another one, or has other rights."""
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return found.st_ino, found.st_dev, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode
