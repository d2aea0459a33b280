"""Drills by the clock, each in a process of its own: the clients of its readers would stay in the daemon's memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

import structlog

from watchdog.config.settings import Settings
from watchdog.drill.page import tell_unfinished
from watchdog.drill.plan import Plan
from watchdog.ledger import Ledger

BY = "watchdog"
REASON = "the daily proof that a rollback reaches readers"
UNHURRIED = 60.0
"""Seconds after the daemon's start before which no drill begins: the first ticks come first."""
RETRY = 3600.0
"""Seconds after which a drill that could not even begin is tried again."""
START_UP = 60.0
"""Seconds that the process may take besides its runs."""
KILL_AFTER = 30.0
"""Seconds between asking a drill that takes too long to end, and ending it."""
TAIL = 2000
log = structlog.get_logger()


def due(now: float, last_drill_at: float, every: float) -> bool:
    """Whether it is time for a drill: `every` seconds after the last one began (or the daemon started). 0: never."""
    return every > 0.0 and now - last_drill_at >= every


@dataclass(slots=True)
class _Child:
    """A drill under way, in a process group of its own."""

    process: subprocess.Popen[bytes]
    started: float
    longest: float
    errors: IO[bytes]

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


class DrillSchedule:
    """Starts a drill when one is due, at most one at a time. `look` is cheap and never waits; call it now and then.

    What a drill found is in the ledger, and who had to be told was told by its own process. This one only sees to it
    that it ends: one that takes too long is stopped, and one that died is recorded as failed.
    """

    def __init__(self, settings: Settings, ledger: Ledger, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self.ledger = ledger
        self.clock = clock
        self._started = clock()
        self._tried: float | None = None
        self._before = 0
        self._child: _Child | None = None

    @property
    def running(self) -> bool:
        """Whether a drill is under way."""
        return self._child is not None

    def look(self) -> str | None:
        """Start, watch or collect a drill; what was done in a sentence, None when there was nothing to do.

        Raises LedgerError when the ledger cannot be read or written: look again later.
        """
        if self._child is not None:
            return self._collect(self._child)
        every, now = self.settings.drill.every, self.clock()
        if every <= 0.0 or now - self._started < UNHURRIED:
            return None
        if self._tried is not None and not due(now, self._tried, min(every, RETRY)):
            return None
        last = self.ledger.last_drill()
        if not due(now, last.at if last is not None else self._started, every):
            return None
        self._tried, self._before = now, last.id if last is not None else 0
        return self._start()

    def stop(self, within: float) -> None:
        """End a drill that is under way, gently first: it switches its flag off. For the daemon's shutdown."""
        child, self._child = self._child, None
        if child is None:
            return
        child.signal(signal.SIGTERM)
        try:
            child.process.wait(max(0.0, within))
        except subprocess.TimeoutExpired:
            log.warning("drill killed, its flag may still be on", pid=child.process.pid, flag=self.settings.drill.flag)
            child.signal(signal.SIGKILL)
            child.process.wait()
        child.errors.close()

    def _start(self) -> str:
        drill = self.settings.drill
        plan = Plan(drill.flag, drill.runs, BY, REASON, propagation=self.settings.flags.worst_propagation)
        command = [sys.executable, "-m", "watchdog", "drill", "--json", "--by", BY, "--reason", REASON]
        if self.settings.path is not None:
            command += ["--config", str(self.settings.path)]
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - it is read when the child has ended
        try:
            process = subprocess.Popen(  # noqa: S603 - this program, with words of our own
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
            )
        except OSError as error:
            errors.close()
            log.warning("drill not started", why=str(error))
            return f"the drill could not be started: {error}"
        self._child = _Child(process, time.monotonic(), plan.runs * plan.longest_run + START_UP, errors)
        return f"drill started, {drill.runs} runs on {drill.flag}"

    def _collect(self, child: _Child) -> str | None:
        status = child.process.poll()
        late = time.monotonic() - child.started - child.longest
        if status is None:
            if late > 0.0:
                child.signal(signal.SIGKILL if late > KILL_AFTER else signal.SIGTERM)
                return "the drill takes too long and is being ended"
            return None
        self._child = None
        with child.errors as errors:
            errors.seek(0)
            said = errors.read()[-TAIL:].decode(errors="replace").strip()
        last = self.ledger.last_drill()
        died = last is not None and last.id != self._before and last.finished_at is None and last.by == BY
        if last is not None and died:
            tell_unfinished(self.ledger, last, self.clock())
        if status not in (0, 1) or died:
            log.warning("drill ended badly", status=status, said=said)
            return f"the drill ended with status {status}: {said or 'it said nothing'}"
        if last is None or last.id == self._before:
            log.warning("drill did not begin", status=status, said=said)
            return f"the drill did not begin: {said or 'it said nothing'}"
        return f"the drill {'passed' if last.passed else 'failed'}: {(last.report or {}).get('why', '')}"
