"""The rollouts' jobs: one tick loop each, scheduled, woken, counted, held when it fails, retired when it is over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from watchdog.account import state
from watchdog.config.settings import Settings
from watchdog.connect import open_prometheus
from watchdog.errors import LedgerConflict, LedgerError
from watchdog.flagsystem import FlagSystem
from watchdog.freeze import freeze
from watchdog.journal import Journal
from watchdog.ledger import Ledger, StoredRollout
from watchdog.metrics import Metrics
from watchdog.model import Phase
from watchdog.prometheus import Prometheus
from watchdog.recall import Recalled
from watchdog.rolloutfile import rollout_from_resolved
from watchdog.schedule import SlotTrigger, offset
from watchdog.tick import RolloutTick

ERRORS_TO_HOLD = 3
AMENDED_FOR = 2 * 86400
"""How far back from its end a signed-off rollout is looked through for unanswered slots after a restart."""
log = structlog.get_logger()


@dataclass(slots=True)
class _Job:
    """One rollout's place in the schedule."""

    interval: int
    tick: RolloutTick
    source: Prometheus
    ticked_at: float
    """When a tick last went well; at first, when the job was made."""
    errors: int = 0
    flag_error: str = ""
    busy: bool = False


class Jobs:
    """Every rollout that is not over, each with its tick loop and its own Prometheus session."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        journal: Journal,
        flags: FlagSystem,
        metrics: Metrics,
        scheduler: BackgroundScheduler,
        clock: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.ledger = ledger
        self.journal = journal
        self.flags = flags
        self.metrics = metrics
        self.clock = clock
        self._scheduler = scheduler
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """The rollouts that tick now."""
        return sorted(self._jobs)

    def close(self) -> None:
        """Close the rollouts' connections to Prometheus."""
        for job in list(self._jobs.values()):
            job.source.close()

    def late(self) -> str | None:
        """Which rollout has not ticked for three intervals, in words; None when all have."""
        now = self.clock()
        for name, job in list(self._jobs.items()):
            if (since := now - job.ticked_at) > 3 * job.interval + self.settings.tick_deadline:
                return f"rollout {name} has not ticked for {since:.0f} s, more than three intervals"
        return None

    def schedule(self, stored: StoredRollout, *, once: bool = False) -> None:
        """Give a rollout its job, unless it has ended; `once` is for a command to one that has."""
        with self._lock:
            if stored.name in self._jobs:
                return
            if not once and self._ended(stored):
                return
            rollout = rollout_from_resolved(stored.resolved, stored.text)
            source = open_prometheus(self.settings.prometheus, tell=self.metrics.on_query)
            tick = RolloutTick(
                stored.name, self.ledger, source, self.flags.primary, self.clock, self.journal, self.flags
            )
            self._jobs[stored.name] = _Job(rollout.interval, tick, source, self.clock())
            trigger = SlotTrigger(rollout.interval, rollout.delay + offset(stored.name, rollout.interval))
            add = self._scheduler.add_job
            add(self._run, trigger, args=[stored.name], id=stored.name, next_run_time=datetime.now(UTC))

    def wake_all(self) -> None:
        """Tick every rollout now: something that concerns all of them has changed."""
        for name in self.names:
            self.wake(name)

    def _ended(self, stored: StoredRollout) -> bool:
        """Whether nothing is left to do: the report is written, and no answer that could amend it is waited for."""
        if _undone(stored):
            return False
        if stored.phase is Phase.SIGNED_OFF:
            written = any(report.kind == "final" for report in self.ledger.reports(stored.id))
            return written and not self.ledger.unknown_slots(stored.id, (stored.last_slot or 0) - AMENDED_FOR)
        return stored.phase is Phase.STOPPED

    # --- jobs -----------------------------------------------------------------------------------------------------

    def _run(self, name: str) -> None:
        """One tick of one rollout, and what follows from it."""
        job = self._jobs[name]
        job.busy = True
        try:
            self._tick(job, name)
        finally:
            job.busy = False

    def _tick(self, job: _Job, name: str) -> None:
        """The one place where anything unexpected is caught, counted and held."""
        now = self.clock()
        try:
            ticked = job.tick.tick(now)
        except LedgerConflict as error:
            log.warning("tick", rollout=name, why=f"somebody else recorded first: {error}")
            return
        except LedgerError as error:
            self.metrics.on_job_error(name, "ledger")
            log.warning("tick", rollout=name, why=str(error))
            return
        except Exception as error:  # noqa: BLE001 - the job wrapper
            self._failed(job, name, error)
            return
        job.errors, job.ticked_at = 0, self.clock()
        log.info("tick", rollout=name, why=ticked.sentence, seconds=round(self.clock() - now, 4))
        self._after(job, name, ticked.again_in, ticked.reports)

    def _failed(self, job: _Job, name: str, error: Exception) -> None:
        job.errors += 1
        job.tick.memory = None
        self.metrics.on_job_error(name, "internal")
        log.error("tick failed", rollout=name, times=job.errors, exc_info=error)
        if job.errors == ERRORS_TO_HOLD:
            why = f"{ERRORS_TO_HOLD} ticks in a row failed inside the watchdog: {type(error).__name__}: {error}"
            try:
                self.ledger.add_command(name, "hold", "watchdog", why, self.clock())
            except LedgerError as also:
                log.warning("hold not recorded", rollout=name, why=str(also))

    def _after(self, job: _Job, name: str, again_in: float | None, reports: tuple[str, ...]) -> None:
        memory = job.tick.memory
        for kind in reports:
            try:
                path = freeze(self.ledger, name, kind, self.settings.reports.dir, self.clock(), job.source.url)
                log.info("report", rollout=name, kind=kind, path=str(path))
            except (LedgerError, OSError) as error:
                log.warning("report not written, tried again", rollout=name, kind=kind, why=str(error))
                if memory is not None:
                    memory.reports.discard(kind)
        if memory is not None:
            self._count(job, name, memory)
            if job.tick.over and memory.reports.issuperset(reports):
                self._retire(name)
                return
        if again_in is not None:
            self._wake_at(name, again_in)

    def _count(self, job: _Job, name: str, memory: Recalled) -> None:
        """Tell the metrics of the tick from what it has in memory; only the outbox is read for it."""
        status = state(memory.rollout, memory.control, memory.watch, job.tick.actual)
        slot = memory.watch.at if memory.watch is not None else None
        unread = memory.last_reading.error if memory.last_reading is not None else ""
        if unread != job.flag_error:
            log.warning("flag", rollout=name, why=unread or "the flag can be read again")
            job.flag_error = unread
        self.metrics.on_tick(name, status, job.tick.evaluated, job.tick.backfilled, slot, list(memory.known_breaches))
        try:
            self.metrics.set_unsent(self.ledger.unsent_count(), self.ledger.oldest_unsent_age(self.clock()))
        except LedgerError as error:
            log.warning("metrics not updated", rollout=name, why=str(error))

    def _retire(self, name: str) -> None:
        """An ended rollout ticks no more; a command wakes it for one tick."""
        with self._lock:
            job = self._jobs.pop(name, None)
        if job is not None:
            job.source.close()
        with suppress(JobLookupError):
            self._scheduler.remove_job(name)

    def wake(self, name: str) -> None:
        """Tick this rollout now: somebody gave a command."""
        job = self._jobs.get(name)
        if job is None:
            if (stored := self.ledger.rollout(name)) is not None:
                self.schedule(stored, once=True)
        elif not job.busy:  # else the next look finds the command again
            self._wake_at(name, 0.0)

    def _wake_at(self, name: str, seconds: float) -> None:
        """Bring the next tick forward, never back; a running tick gets the moment that it needs to end."""
        at = datetime.now(UTC) + timedelta(seconds=max(seconds, 0.05))
        with suppress(JobLookupError):
            job = self._scheduler.get_job(name)
            if job is not None and job.next_run_time > at:
                job.modify(next_run_time=at)


def _undone(stored: StoredRollout) -> bool:
    """Whether an ended rollout has something to do yet beside its flag; a damaged row is its tick's to complain of."""
    deeds = stored.control.get("deeds")
    return stored.phase.terminal and isinstance(deeds, list) and any("told" not in deed["escalated"] for deed in deeds)
