"""A daemon among others on one ledger: which rollouts are its own, and what only one of them does.

Every one of them answers readers and takes commands, which are rows. Ticks, drills and messages are the leader's.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress

from watchdog.config.settings import Settings
from watchdog.errors import LedgerError
from watchdog.handover import Handover
from watchdog.jobs import Jobs
from watchdog.journal import Journal
from watchdog.lease.holding import Holding
from watchdog.lease.model import Grip
from watchdog.ledger import Fence, Ledger, StoredRollout
from watchdog.metrics import Metrics
from watchdog.tick import RolloutTick


class Replicas:
    """The leases of a daemon. `start` it when ticks may begin; `leave` when they have ended, and `stop` at the end."""

    def __init__(self, settings: Settings, ledger: Ledger, journal: Journal, jobs: Jobs, metrics: Metrics) -> None:
        lease = settings.replicas.lease
        if lease is None:
            raise ValueError("replicas.lease is not set")
        self._jobs = jobs
        self._journal = journal
        self._handover = Handover(journal, ledger)
        self._lock: int | None = None
        self.holding = Holding(
            ledger, lease, begin=self._begin, end=jobs.drop, hangs=jobs.hangs, tell=metrics.set_leader
        )
        metrics.set_leader(leader=False)
        jobs.alone, jobs.retired = False, self.holding.ended

    def start(self) -> None:
        """Take what nobody leads. Raises LedgerError when another process keeps its journal in this directory."""
        self._lock_journal()
        self.holding.start()

    def leads(self) -> bool:
        """Whether this one does what one of them does for all."""
        return self.holding.leads()

    def look(self) -> None:
        """Tell others of what was noted here and is theirs by now. Raises LedgerError."""
        self._handover.look(self.holding.held)

    def leave(self) -> None:
        """Give the rollouts back, and take none any more."""
        self.holding.leave()

    def stop(self) -> None:
        """Give the rest back."""
        self.holding.stop()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _begin(self, stored: StoredRollout, fence: Fence, grip: Callable[[], Grip], ordered: bool) -> bool:  # noqa: FBT001
        def lead(tick: RolloutTick) -> None:
            tick.lead(fence, grip)

        return self._jobs.schedule(stored, once=ordered, lead=lead)

    def _lock_journal(self) -> None:
        """The emergency journal is one process's: another would settle what it has not recorded."""
        path = self._journal.path.with_name(f"{self._journal.path.name}.lock")
        try:
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._unlock()
            raise LedgerError(
                f"emergency journal {self._journal.path}: another slo-watchdog on this host keeps its own there; "
                "start each one in a working directory of its own"
            ) from error
        except OSError as error:
            self._unlock()
            raise LedgerError(
                f"emergency journal {path}: {error.strerror or error}; start this one in a working directory that "
                "this user may write"
            ) from error

    def _unlock(self) -> None:
        if self._lock is not None:
            with suppress(OSError):
                os.close(self._lock)
            self._lock = None
