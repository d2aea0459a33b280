"""What the system tells of a process, and where scratch files go."""

from __future__ import annotations

import os
from pathlib import Path

DISK = Path("build/bench")


def rss(pid: int | None = None) -> int:
    """Resident bytes of a process, this one by default."""
    pages = int(Path(f"/proc/{pid or 'self'}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fast_directory() -> Path:
    """A directory in memory where fsync costs nothing; on a system without one, a directory on the disk."""
    memory = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in there
    return memory if os.access(memory, os.W_OK) else disk_directory()


def disk_directory() -> Path:
    """A directory on the disk that this repository lies on."""
    DISK.mkdir(parents=True, exist_ok=True)
    return DISK
