"""The flag file on disk: read whole, replaced whole, one writer at a time, with the last known good bytes beside it.

Writers take turns by a lock, except for those who must not wait (a kill): they go on without it when its holder does
not move. So holding the lock proves nothing, and every replacement says which content it is meant to replace. That is
compared right before the file is exchanged, and again with what the exchange brought out; something else is put back,
with a newer time, and the writer gets a FlagConflict. A holder that wakes up in the middle of its write therefore
learns of a kill and does not undo it. What remains: a writer stopped (or ended) between the exchange and putting back,
some microseconds, after it had already been stopped between comparing and exchanging; and file systems without the
exchange, where only the comparison is left. Then the next look at the flag finds it too high and sets it back.

Both flagd and its Python provider look for a *newer modification time* and for nothing else: a change with an older or
equal one is never noticed. So every replacement gets a time newer than any that this file is known to have had, in the
future or not, and the copy beside the file carries the newest one across restarts and deletions.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from watchdog.errors import FlagConflict, FlagServiceError
from watchdog.flags.flagd_disk import (
    Snapshot,
    beside,
    content_of,
    exchange,
    read_whole,
    replace_file,
    status_of,
    sync_directory,
    written,
)

NEWER_NS = 1_000_000
"""Step between two modification times, in nanoseconds: well above the precision at which readers compare."""

POLL = 0.01
"""Seconds between two tries for the lock."""

URGENT = 0.25
"""Seconds that a kill waits for the lock: a write takes some milliseconds, so longer means that its holder stands."""

TRIES = 10
"""How often a file is put back, or a kill decided again, when others write at the same time."""

NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""What file systems without hard links answer."""

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
            return read_whole(self.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failed("cannot be read", error) from error

    def load_copy(self) -> bytes | None:
        """The last known good bytes, as some process kept them; None when there are none to be had."""
        copied = self._copied()
        return copied.raw if copied is not None else None

    @contextlib.contextmanager
    def locked(self, timeout: float | None = None, *, insist: bool = False) -> Iterator[bool]:
        """Hold the lock that all writers of this file take, in any process and thread. Not reentrant.

        Yields whether it is held: with `insist` the wait is short and ends without it. `timeout` in seconds.
        """
        patience = self._timeout if timeout is None else timeout
        target = self._target()
        lock = None
        try:
            try:
                name = target.with_name(f".{target.name}.lock")
                lock = os.open(name, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
                self._acquire(lock, min(patience, URGENT) if insist else patience)
            except FlagServiceError:
                if not insist:
                    raise
                alone = False
            except OSError as error:
                if not insist:
                    raise self._failed("cannot be locked", error) from error
                alone = False
            else:
                alone = True
            yield alone
        finally:
            if lock is not None:
                os.close(lock)

    def replace(self, raw: bytes, over: Snapshot | None, *, alone: bool, urgent: bool = False) -> None:
        """Put `raw` in place of the file that reads `over` (None: of no file), at once, durably, with a newer time.

        Raises FlagConflict when something else is there: that stays. `alone` says whether the lock is held. What is
        `urgent` is in place before it is on the disk, where a flush may wait for others; it is there on return.
        """
        target = self._target()
        temporary = beside(target, alone=alone)
        newest = max(time.time_ns(), self._known_ns(target) + NEWER_NS)
        try:
            like = status_of(target) or status_of(self.copy)
            with written(temporary, raw, newest, like, flush_last=urgent):
                self._compare(over)
                self._put(temporary, target, raw, over)
            sync_directory(target.parent)
        except FileExistsError as error:
            raise self._changed() from error
        except OSError as error:
            raise self._failed("cannot be written", error) from error
        self._newest_ns = newest

    def keep(self, snapshot: Snapshot, *, alone: bool = True) -> None:
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
                replace_file(self.copy, snapshot.raw, newest, status_of(target), alone=alone)
        except OSError as error:
            raise self._failed("its last known good copy cannot be kept", error) from error

    def set_aside(self, raw: bytes, *, alone: bool = True) -> None:
        """Save bytes that are about to be replaced without having been understood, as far as possible."""
        with contextlib.suppress(OSError):
            replace_file(self.rejected, raw, time.time_ns(), status_of(self._target()), alone=alone)

    def make_directory(self) -> None:
        """Create the directory of the file."""
        try:
            self._target().parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._failed("its directory cannot be created", error) from error

    def _compare(self, over: Snapshot | None) -> None:
        """That nobody wrote since; by content, because the same content under another name or time loses nothing."""
        found = self.load()
        if (found and found.raw) != (over and over.raw):
            raise self._changed()

    def _put(self, temporary: Path, target: Path, raw: bytes, over: Snapshot | None) -> None:
        if over is None:
            try:
                target.hardlink_to(temporary)
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                temporary.replace(target)
        elif not self._exchanged(temporary, target):
            temporary.replace(target)
        elif content_of(temporary) != over.raw:
            self._put_back(temporary, target, raw)
            raise self._changed()

    def _exchanged(self, temporary: Path, target: Path) -> bool:
        try:
            return exchange(temporary, target)
        except FileNotFoundError as error:
            raise self._changed() from error

    def _put_back(self, temporary: Path, target: Path, raw: bytes) -> None:
        """Undo an exchange that brought out something else than expected; so again, if that was wrong by then."""
        for _ in range(TRIES):
            back = content_of(temporary)
            newest = max(time.time_ns(), self._known_ns(target, temporary) + NEWER_NS)
            os.utime(temporary, ns=(newest, newest))
            exchange(temporary, target)
            self._newest_ns = newest
            if content_of(temporary) == raw:
                return
            raw = back

    def _changed(self) -> FlagConflict:
        message = (
            f"{self.path}: somebody else wrote it while a change was being written; expected one writer at a time; "
            "what they wrote stays, and it is read and decided again."
        )
        return FlagConflict(message)

    def _copied(self) -> Snapshot | None:
        try:
            return read_whole(self.copy)
        except OSError:
            return None

    def _target(self) -> Path:
        return Path(os.path.realpath(self.path))

    def _known_ns(self, *paths: Path) -> int:
        """The newest modification time that this file is known to have had."""
        found = [status.st_mtime_ns for path in (*paths, self.copy) if (status := status_of(path))]
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
