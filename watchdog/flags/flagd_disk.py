"""What a file system does for the flag file: read it whole, write one that lasts, exchange two in one step.

A plain rename destroys what was there unseen; an exchange brings it out, so that a writer also learns what it replaced.
It is Linux' renameat2 with RENAME_EXCHANGE; where system or file system have none (NFS, some container policies),
`exchange` says so and the caller renames. Everything here raises OSError.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = -100
"""AT_FDCWD: paths are taken as they are."""
EXCHANGE = 2
UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM}
"""EPERM too: container policies that do not know the call answer so. A real one comes again from the rename."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole file at one moment. `mtime_ns` is its modification time in nanoseconds since the epoch."""

    raw: bytes
    mtime_ns: int


def exchange(one: Path, other: Path) -> bool:
    """Let two files of one file system trade names at once; False where that cannot be done. Raises OSError."""
    call = _renameat2()
    if call is None:
        return False
    if call(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(other))


@cache
def _renameat2() -> Callable[..., int] | None:
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    call.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    call.restype = ctypes.c_int
    found: Callable[..., int] = call
    return found


def read_whole(path: Path) -> Snapshot:
    """Bytes and time of a regular file, from one open file."""
    # Non-blocking, so that a pipe in the file's place is an error and no endless wait.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return Snapshot(file.read(), status.st_mtime_ns)


def status_of(path: Path) -> os.stat_result | None:
    """What the system says of a file; None when it has none."""
    try:
        return path.stat()
    except OSError:
        return None


def content_of(path: Path) -> bytes:
    """The bytes of a regular file."""
    return read_whole(path).raw


def beside(target: Path, *, alone: bool) -> Path:
    """A name for what is about to be renamed: one for the holder of the lock, one of its own for everybody else."""
    return target.with_name(f".{target.name}.tmp" if alone else f".{target.name}.{os.getpid()}-{time.time_ns()}.tmp")


def replace_file(target: Path, raw: bytes, mtime_ns: int, like: os.stat_result | None, *, alone: bool) -> None:
    """Write beside, flush, then rename over: a reader sees the old bytes or the new ones, and so does a power cut."""
    with written(temporary := beside(target, alone=alone), raw, mtime_ns, like):
        temporary.replace(target)
    sync_directory(target.parent)


@contextlib.contextmanager
def written(
    temporary: Path, raw: bytes, mtime_ns: int, like: os.stat_result | None, *, flush_last: bool = False
) -> Iterator[None]:
    """A file with these bytes, on the disk; what is called so afterwards is removed.

    With `flush_last` it is on the disk only when the block has ended, for what must be seen at once.
    """
    temporary.unlink(missing_ok=True)  # left by a process that died while it held the lock
    try:
        with temporary.open("xb") as file:
            file.write(raw)
            file.flush()
            _make_like(file.fileno(), like)
            os.utime(file.fileno(), ns=(mtime_ns, mtime_ns))
            if not flush_last:
                os.fsync(file.fileno())
            yield
            if flush_last:
                os.fsync(file.fileno())
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Make renames in a directory last."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
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
