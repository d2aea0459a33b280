"""The series of a suite in node exporter's textfile directory: read, added to and replaced under a lock.

Beside the file lies one hidden file for each run that is going on, locked as long as its process lives. One that nobody
holds any more was left by a run that died, and the next start counts it. The system lets go of the lock whatever ended
the process, so no process id has to be trusted.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from watchdog.errors import ConfigError, Problem
from watchdog.testresults.model import Run, Suite
from watchdog.testresults.series import NOTHING, State, added, begun, died, parsed, same, text

LOCK_WITHIN = 10.0
"""Seconds; a write takes milliseconds, so longer means that its holder stands still."""
POLL = 0.02
LARGEST = 1024 * 1024
"""Bytes of a file of ours; a real one has some three thousand."""


class Textfile:
    """The file of one suite in `directory`. Every method raises ConfigError; what they answer are notes for people."""

    def __init__(self, directory: Path, suite: Suite) -> None:
        self._labels = suite.all_labels
        digest = hashlib.sha256(json.dumps(self._labels, sort_keys=True).encode()).hexdigest()[:8]
        self._name = f"smoke_tests-{suite.name}-{digest}"
        self._directory = directory
        self.path = directory / f"{self._name}.prom"
        self._run: tuple[int, Path] | None = None
        if not directory.is_dir():
            raise self._error("is not a directory; name the one of node exporter's --collector.textfile.directory")

    @property
    def where(self) -> str:
        """What a person is told."""
        return str(self.path)

    def begin(self, at: float) -> list[str]:
        """Say that a run has started, and count those that started and died."""

        def change(state: State) -> tuple[State, list[str]]:
            notes = []
            for left in sorted(self._directory.glob(f".{self._name}.*.run")):
                collected = _left_by_the_dead(left)
                if collected is not None:
                    state = died(state, collected)
                    notes.append("a run before this one never ended; it counts as failed")
            self._hold(at)
            return begun(state, at), notes

        return self._change(change)

    def collected(self, tests: int) -> None:
        """Say how many tests the run that has begun will run, for the case that it dies."""
        if self._run is not None:
            with self._sentences():
                os.pwrite(self._run[0], f"{tests}\n".encode(), 0)

    def finish(self, run: Run) -> list[str]:
        """Add the run that `begin` has begun."""
        try:
            return self._change(lambda state: (added(state, run), []))
        finally:
            self._release()

    def add(self, run: Run) -> list[str]:
        """Add a run that ended elsewhere, unless it was the last one to be added already."""

        def change(state: State) -> tuple[State, list[str]]:
            if same(state, run):
                return state, ["these very results were added before; they are not counted again"]
            return added(state, run), []

        return self._change(change)

    def _change(self, change: Callable[[State], tuple[State, list[str]]]) -> list[str]:
        with self._sentences(), self._locked():
            state, notes = self._read()
            state, more = change(state)
            self._write(text(state, self._labels))
            return notes + more

    def _read(self) -> tuple[State, list[str]]:
        try:
            # Non-blocking, so that a pipe in the file's place is an error and no endless wait.
            with os.fdopen(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise OSError(errno.EINVAL, "it is not a regular file")
                return parsed(file.read(LARGEST).decode()), []
        except FileNotFoundError:
            return NOTHING, []
        except ValueError as error:
            return NOTHING, [f"{self.path} was not what this program writes ({error}); its counters begin at 0 again"]

    def _write(self, written: str) -> None:
        temporary = self._directory / f".{self._name}.tmp"
        with temporary.open("w", encoding="utf-8") as file:
            file.write(written)
            file.flush()
            # Node exporter is somebody else, and mostly not in our group.
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        temporary.replace(self.path)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        # A lock needs no right to write, so runs of several users may share the file.
        descriptor = os.open(self._directory / f".{self._name}.lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            until = time.monotonic() + LOCK_WITHIN
            while not _taken(descriptor):
                if time.monotonic() > until:
                    raise self._error(f"is locked by another run for {LOCK_WITHIN:g} s already; look what holds it")
                time.sleep(POLL)
            yield
        finally:
            os.close(descriptor)

    def _hold(self, at: float) -> None:
        path = self._directory / f".{self._name}.{os.getpid()}-{at:.6f}.run"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        _taken(descriptor)
        self._run = (descriptor, path)

    def _release(self) -> None:
        if self._run is not None:
            descriptor, path = self._run
            self._run = None
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            os.close(descriptor)

    @contextlib.contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            found = f"cannot be read or written ({error.strerror or error})"
            raise self._error(f"{found}; let this user write there, or choose another directory") from error

    def _error(self, found: str) -> ConfigError:
        return ConfigError([Problem(f"textfile {self._directory}", found)])


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _left_by_the_dead(path: Path) -> int | None:
    """How many tests the run of this file had collected if its process is gone, and the file with it; else None."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not _taken(descriptor):
            return None
        said = os.read(descriptor, 32).strip()
        path.unlink(missing_ok=True)
        return int(said) if said.isdigit() else 0
    finally:
        os.close(descriptor)
