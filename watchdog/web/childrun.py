"""A command of this program in a process of its own, one at a time: no tick waits, and its memory goes with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

KILL_AFTER = 30.0
"""Seconds between asking one that takes too long to end, and ending it."""
TAIL = 2000
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Under:
    """One under way: since when, for whom, and when it is ended. Wall times."""

    started_at: float
    by: str
    deadline_at: float


class ChildRuns:
    """Starts a command, one at a time. What one finds it records in the ledger itself.

    `what` names it in the log; `config` is the configuration file, None for the usual one.
    """

    def __init__(self, what: str, config: Path | None, clock: Callable[[], float]) -> None:
        self._what = what
        self._config = config
        self._clock = clock
        self._lock = threading.Lock()
        self._under: Under | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._trouble = ""

    @property
    def under_way(self) -> Under | None:
        """The one that runs now."""
        with self._lock:
            return self._under

    @property
    def trouble(self) -> str:
        """Why the last one that was started here recorded no result; empty when it did, or none was started."""
        with self._lock:
            return self._trouble

    def run(self, options: Sequence[str], by: str, longest: float) -> Under | None:
        """Start one for `by` that is ended after `longest` seconds; None when one is under way already.

        Raises OSError when no process can be started.
        """
        with self._lock:
            if self._under is not None:
                return None
            now = self._clock()
            said = tempfile.TemporaryFile()  # noqa: SIM115 - it is read when the process has ended
            try:
                process = subprocess.Popen(  # noqa: S603 - this program, with words as arguments
                    self._command(options),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    start_new_session=True,
                )
            except OSError:
                said.close()
                raise
            self._process, self._trouble = process, ""
            self._under = Under(now, by, now + longest)

        def wait() -> None:
            with said:
                status = _end(process, longest)
                said.seek(0)
                told = said.read()[-TAIL:].decode(errors="replace").strip()
            with self._lock:
                self._under = self._process = None
                # 0 and 1 are verdicts; whoever says more on its way out could not record one.
                self._trouble = told or f"it ended with status {status}" if status not in (0, 1) else told
            log.info(self._what, status=status, by=by, said=told)

        threading.Thread(target=wait, name=self._what, daemon=True).start()
        return self._under

    def stop(self, within: float) -> None:
        """End the one under way, gently first: a drill switches its flag off. For the daemon's shutdown."""
        with self._lock:
            process = self._process
        if process is not None:
            _end(process, 0.0, within)

    def _command(self, options: Sequence[str]) -> list[str]:
        command = [sys.executable, "-m", "watchdog", self._what, "--json", *options]
        if self._config is not None:
            command += ["--config", str(self._config)]
        return command


def _end(process: subprocess.Popen[bytes], within: float, kill_after: float = KILL_AFTER) -> int:
    """Wait for its end; ask it to end when it takes longer than `within`, and end it when it does not."""
    for patience, number in ((within, signal.SIGTERM), (kill_after, signal.SIGKILL)):
        try:
            return process.wait(max(0.0, patience))
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
    return process.wait()
