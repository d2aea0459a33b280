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
from watchdog.control import overdue
from watchdog.deadman import DeadMan, cycle_of
from watchdog.ended import ended
from watchdog.errors import ConfigError, LedgerConflict, LedgerError
from watchdog.flagsystem import FlagSystem
from watchdog.freeze import freeze
from watchdog.journal import Journal
from watchdog.ledger import Ledger, StoredRollout
from watchdog.metrics import Metrics
from watchdog.model import Rollout
from watchdog.outage import Tell
from watchdog.prometheus import Prometheus
from watchdog.proof import Gate
from watchdog.recall import Recalled
from watchdog.rolloutfile import rollout_from_resolved
from watchdog.schedule import SlotTrigger, comes_within, offset
from watchdog.tick import RolloutTick

ABOUT = 0.1
"""Seconds before a tick for which nothing should begin that would still hold it up: as long as a page is drawn."""
ERRORS_TO_HOLD = 3
log = structlog.get_logger()


@dataclass(slots=True)
class _Job:
    """One rollout's place in the schedule."""

    interval: int
    after: float  # how long after each slot it ticks
    tick: RolloutTick
    source: Prometheus
    ticked_at: float  # when a tick last went well; at first, when the job was made
    ended_at: float  # when one last ended, well or not; at first likewise
    errors: int = 0
    flag_error: str = ""
    busy: bool = False
    dropped: bool = False  # whether another process acts for the rollout by now
    measured: int | None = None  # the newest slot at which any objective was measured


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
        tell: Tell | None = None,
    ) -> None:
        self.tell = tell
        self.deadman: DeadMan | None = None
        self.alone = True
        """Whether there are no leases, so that every rollout is this process's."""
        self.retired: Callable[[str], None] = lambda _: None
        self.settings = settings
        self.ledger = ledger
        self.journal = journal
        self.flags = flags
        self.metrics = metrics
        self.clock = clock
        self._scheduler = scheduler
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()
        self._began = threading.Event()

    @property
    def names(self) -> list[str]:
        """The rollouts that tick now."""
        return sorted(self._jobs)

    def ticking(self) -> bool:
        """Whether any rollout ticks at this moment, or is about to."""
        now, jobs = self.clock(), list(self._jobs.values())
        return any(job.busy or comes_within(ABOUT, job.interval, job.after, now) for job in jobs)

    def close(self) -> None:
        """Close the rollouts' connections to Prometheus."""
        for job in list(self._jobs.values()):
            job.source.close()

    def first_tick(self, within: float) -> None:
        """Wait until a rollout was ticked, well or not, but no longer than that (seconds); with none, not at all."""
        if self._jobs:
            self._began.wait(within)

    def late(self) -> str | None:
        """Which rollout has not ticked for three intervals, in words; None when all have."""
        found = ((name, self.clock() - job.ticked_at) for name, job in list(self._jobs.items()) if self.hangs(name))
        said = "rollout {} has not ticked for {:.0f} s, more than three intervals"
        return next((said.format(*one) for one in found), None)

    def stuck(self) -> str | None:
        """Which rollout's ticks do not even end, in words; None when all do, be it with an error."""
        now, most = self.clock(), self.settings.tick_deadline
        found = ((name, now - job.ended_at, 3 * job.interval + most) for name, job in list(self._jobs.items()))
        said = (f"no tick of rollout {name} has ended for {since:.0f} s" for name, since, most in found if since > most)
        return next((f"{one}, more than three intervals" for one in said), None)

    def hangs(self, name: str) -> bool:
        """Whether no tick of this rollout has gone well for three intervals: another process may do better."""
        job = self._jobs.get(name)
        return job is not None and self.clock() - job.ticked_at > 3 * job.interval + self.settings.tick_deadline

    def schedule(
        self, stored: StoredRollout, *, once: bool = False, lead: Callable[[RolloutTick], None] | None = None
    ) -> bool:
        """Give a rollout its job, unless it has ended; `once` is for a command to one that has. Whether it has one.

        `lead` gives the tick its lease, where there are leases.
        """
        with self._lock:
            if stored.name in self._jobs:
                return True
            if not once and ended(self.ledger, stored, self.clock()):
                return False
            if (rollout := self._rule(stored)) is None:
                return False
            self.metrics.set_rollout(stored.name, stored.service, stored.flag, stored.version)
            source = open_prometheus(self.settings.prometheus, tell=self.metrics.on_query)
            ports = (self.ledger, source, self.flags.primary, self.clock, self.journal, self.flags, self.tell)
            tick = RolloutTick(stored.name, *ports)
            tick.gate = Gate(self.settings.preflight.required, self.settings.preflight.max_age)
            if lead is not None:
                lead(tick)
            after = rollout.delay + offset(stored.name, rollout.interval)
            self._jobs[stored.name] = _Job(rollout.interval, after, tick, source, self.clock(), self.clock())
            trigger = SlotTrigger(rollout.interval, after)
            add = self._scheduler.add_job
            add(self._run, trigger, args=[stored.name], id=stored.name, next_run_time=datetime.now(UTC))
        return True

    def wake_all(self) -> None:
        """Tick every rollout now: something that concerns all of them has changed."""
        for name in self.names:
            self.wake(name)

    def _rule(self, stored: StoredRollout) -> Rollout | None:
        """Its frozen rule. None for a damaged row: that rollout alone is held back, and it is said at each look."""
        try:
            return rollout_from_resolved(stored.resolved, stored.text, stored.name)
        except ConfigError as error:
            self.metrics.on_job_error(stored.name, "damaged")
            log.error("rollout held back", rollout=stored.name, why=str(error))  # noqa: TRY400 - a sentence, no trace
            return None

    def _run(self, name: str) -> None:
        """One tick of one rollout, and what follows from it."""
        job = self._jobs.get(name)
        if job is None:
            return  # it was dropped a moment ago
        job.busy = True
        try:
            self._tick(job, name)
        finally:
            job.busy, job.ended_at = False, self.clock()
            self._began.set()
            if job.dropped:
                self._forget(job, name)

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
        if job.dropped:
            return
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
            if self.deadman is not None:
                self.deadman.ticked(name, cycle_of(memory, self.clock()), self.names)
            if job.tick.over and memory.reports.issuperset(reports):
                self._retire(name)
                return
        if again_in is not None:
            self._wake_at(name, again_in)

    def _count(self, job: _Job, name: str, memory: Recalled) -> None:
        """Tell the metrics of the tick from what it has in memory: nothing is read for it."""
        status = state(memory.rollout, memory.control, memory.watch, job.tick.actual)
        slot = memory.watch.at if memory.watch is not None else None
        unread = memory.last_reading.error if memory.last_reading is not None else ""
        if unread != job.flag_error:
            log.warning("flag", rollout=name, why=unread or "the flag can be read again")
            job.flag_error = unread
        self.metrics.on_tick(name, status, job.tick.evaluated, job.tick.backfilled, slot, list(memory.known_breaches))
        if memory.watch is not None and any(found.measured for found in memory.watch.latest.values()):
            job.measured = memory.watch.at
        if job.measured is not None:
            self.metrics.on_sample_age(name, self.clock() - job.measured)
        self.metrics.set_waiting(name, overdue(memory.rollout.ramp, memory.control, slot))

    def _retire(self, name: str) -> None:
        """An ended rollout ticks no more; a command wakes it for one tick."""
        with self._lock:
            job = self._jobs.pop(name, None)
        if job is not None:
            job.source.close()
        with suppress(JobLookupError):
            self._scheduler.remove_job(name)
        self.retired(name)

    def drop(self, name: str) -> None:
        """Another process acts for this rollout from now on: tick it no more, and show nothing of it."""
        with self._lock:
            job = self._jobs.pop(name, None)
            if job is None:
                return
            job.dropped = True
            with suppress(JobLookupError):
                self._scheduler.remove_job(name)
        if not job.busy:
            self._forget(job, name)

    def _forget(self, job: _Job, name: str) -> None:
        job.source.close()
        if name not in self._jobs:  # else it was taken again
            self.metrics.forget(name)

    def wake(self, name: str) -> None:
        """Tick this rollout now: somebody gave a command."""
        job = self._jobs.get(name)
        if job is None:  # with leases, whoever takes it now that a command waits finds the command
            if self.alone and (stored := self.ledger.rollout(name)) is not None:
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
