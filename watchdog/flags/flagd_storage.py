"""The flag file on disk: read whole, replaced whole, one writer at a time, with the last known good bytes beside it.

Both flagd and its Python provider look for a *newer modification time* and for nothing else: a change with an older or
equal one is never noticed. So every replacement gets a time newer than any that this file is known to have had, in the
future or not, and the copy beside the file carries the newest one across restarts and deletions.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from watchdog.errors import FlagServiceError

NEWER_NS = 1_000_000
"""Step between two modification times, in nanoseconds: well above the precision at which readers compare."""

POLL = 0.01
"""Seconds between two tries for the lock."""

HINTS = {
    errno.ENOSPC: "free some space on its file system",
    errno.EDQUOT: "free some space or raise the quota",
    errno.EROFS: "put the flag file on a file system that can be written",
    errno.EACCES: "let this user write its directory",
    errno.EPERM: "let this user write its directory",
    errno.ENOENT: "create its directory, then run `slo-watchdog flags init`",
    errno.ENOTDIR: "a part of its path is a file: correct flags.path",
    errno.EISDIR: "it is a directory: correct flags.path",
    errno.EBUSY: "mount its directory instead of the single file, which cannot be replaced",
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole file at one moment. `mtime_ns` is its modification time in nanoseconds since the epoch."""

    raw: bytes
    mtime_ns: int


class FlagdStorage:
    """The file at `path` (or the target, where that is a symbolic link), its lock and its last known good copy.

    All methods raise FlagServiceError only. `timeout` is in seconds and bounds the wait for the lock.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self.path = path
        self.copy = path.with_name(f".{path.name}.last-good")
        self.rejected = path.with_name(f".{path.name}.rejected")
        self._timeout = timeout
        self._newest_ns = 0

    def load(self) -> Snapshot | None:
        """The file's bytes and time, from one open file; None when there is no file."""
        try:
            return _read(self.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failed("cannot be read", error) from error

    def load_copy(self) -> bytes | None:
        """The last known good bytes, as some process kept them; None when there are none to be had."""
        copied = self._copied()
        return copied.raw if copied is not None else None

    @contextlib.contextmanager
    def locked(self, timeout: float | None = None) -> Iterator[None]:
        """Hold the lock that all writers of this file take, in any process and thread. Not reentrant."""
        target = self._target()
        try:
            lock = os.open(target.with_name(f".{target.name}.lock"), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise self._failed("cannot be locked", error) from error
        try:
            self._acquire(lock, self._timeout if timeout is None else timeout)
            yield
        finally:
            os.close(lock)

    def replace(self, raw: bytes) -> None:
        """Put `raw` in place of the file, at once and durably, with a newer time. Hold the lock."""
        target = self._target()
        like = _stat(target) or _stat(self.copy)
        newest = max(time.time_ns(), self._known_ns(target) + NEWER_NS)
        try:
            _replace(target, raw, newest, like)
        except OSError as error:
            raise self._failed("cannot be written", error) from error
        self._newest_ns = newest

    def keep(self, snapshot: Snapshot) -> None:
        """Keep these bytes as the last known good ones, and make sure that readers notice them. Hold the lock.

        An older file that a person moved into place has an older time: no reader looks at it before it gets a newer
        one. The content is theirs; only the time is touched.
        """
        kept = self._copied()
        changed = kept is None or kept.raw != snapshot.raw
        known, newest = self._known_ns(), snapshot.mtime_ns
        overlooked = newest < known or (newest == known and kept is not None and kept.mtime_ns == newest and changed)
        target = self._target()
        try:
            if overlooked:
                newest = max(time.time_ns(), known + NEWER_NS)
                os.utime(target, ns=(newest, newest))
            self._newest_ns = newest
            if overlooked or changed:
                _replace(self.copy, snapshot.raw, newest, _stat(target))
        except OSError as error:
            raise self._failed("its last known good copy cannot be kept", error) from error

    def set_aside(self, raw: bytes) -> None:
        """Save bytes that are about to be replaced without having been understood, as far as possible."""
        with contextlib.suppress(OSError):
            _replace(self.rejected, raw, time.time_ns(), _stat(self._target()))

    def make_directory(self) -> None:
        """Create the directory of the file."""
        try:
            self._target().parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._failed("its directory cannot be created", error) from error

    def _copied(self) -> Snapshot | None:
        try:
            return _read(self.copy)
        except OSError:
            return None

    def _target(self) -> Path:
        return Path(os.path.realpath(self.path))

    def _known_ns(self, *paths: Path) -> int:
        """The newest modification time that this file is known to have had."""
        found = [status.st_mtime_ns for path in (*paths, self.copy) if (status := _stat(path))]
        return max([self._newest_ns, *found])

    def _acquire(self, lock: int, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    message = (
                        f"{self.path}: another process has held its lock for {timeout:g} s; expected a write to take "
                        "milliseconds; find the process that holds it and end it. It is tried again."
                    )
                    raise FlagServiceError(message) from error
                time.sleep(POLL)
            except OSError as error:
                raise self._failed("cannot be locked", error) from error
            else:
                return

    def _failed(self, what: str, error: OSError) -> FlagServiceError:
        hint = HINTS.get(error.errno or 0, "look at the file and its directory")
        expected = "expected a regular file in a directory that this user may write"
        return FlagServiceError(f"{self.path}: {what} ({error.strerror or error}); {expected}; {hint}.")


def _read(path: Path) -> Snapshot:
    # Non-blocking, so that a pipe in the file's place is an error and no endless wait.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return Snapshot(file.read(), status.st_mtime_ns)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _replace(target: Path, raw: bytes, mtime_ns: int, like: os.stat_result | None) -> None:
    """Write beside, flush, then rename over: a reader sees the old bytes or the new ones, and so does a power cut."""
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        temporary.unlink(missing_ok=True)  # left by a process that died while it held the lock
        with temporary.open("xb") as file:
            file.write(raw)
            file.flush()
            _make_like(file.fileno(), like)
            os.utime(file.fileno(), ns=(mtime_ns, mtime_ns))
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _make_like(descriptor: int, like: os.stat_result | None) -> None:
    """Owner and mode of the file that is replaced; readable for everybody where there was none."""
    if like is None:
        os.fchmod(descriptor, 0o644)
        return
    # Only root may give files away. Anybody else still keeps the mode, which is what readers depend on.
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, like.st_uid, like.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
