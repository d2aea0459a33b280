"""A small disk of its own for a test: a tmpfs that can be full, or be mounted for reading only."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self


class Disk:
    """A file system of `kib` KiB at `path`, which is made. It is gone, with all that is on it, after the `with` block.

    Mounting needs root; without it the tests that use this fail, and say so.
    """

    def __init__(self, path: Path, kib: int) -> None:
        self.path = path
        self._kib = kib

    def fill(self) -> None:
        """Leave not a byte for anybody: the last ones go in small pieces."""
        with (self.path / "ballast").open("ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    continue

    def free(self) -> None:
        """Give the space back."""
        (self.path / "ballast").unlink()

    def writable(self, *, may: bool) -> None:
        """Mount it again, for reading and writing or for reading only."""
        _mount("-o", f"remount,{'rw' if may else 'ro'}", str(self.path))

    def __enter__(self) -> Self:
        self.path.mkdir()
        _mount("-t", "tmpfs", "-o", f"size={self._kib}k,mode=0755", "tmpfs", str(self.path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], capture_output=True, timeout=30, check=False)


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"a disk of its own needs the right to mount (root): {done.stderr}"
