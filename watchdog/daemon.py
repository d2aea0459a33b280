"""The daemon: builds everything, schedules ticks, obeys signals, stops in reverse order. The wiring diagram."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from watchdog import __version__
from watchdog.account import state
from watchdog.config import revealed
from watchdog.config.settings import Settings
from watchdog.connect import open_prometheus
from watchdog.errors import LedgerConflict, LedgerError
from watchdog.flags import open_service
from watchdog.flags.base import FlagService
from watchdog.freeze import freeze
from watchdog.intake import Intake
from watchdog.journal import Journal, journal_path
from watchdog.ledger import Ledger, StoredRollout, open_ledger
from watchdog.metrics import Metrics
from watchdog.model import ACTIVE, Phase
from watchdog.notifiers.base import Notifier
from watchdog.notify import Sender
from watchdog.prometheus import Prometheus
from watchdog.recall import Recalled
from watchdog.rolloutfile import rollout_from_resolved
from watchdog.schedule import SlotTrigger, offset
from watchdog.tick import RolloutTick
from watchdog.web import Server, create_app

POLL = 1.0
"""Seconds between looks for operator commands and unsent messages."""
RESCAN = 30.0
"""Seconds between looks for new rollout files."""
ERRORS_TO_HOLD = 3
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
AMENDED_FOR = 2 * 86400
"""How far back from its end a signed-off rollout is looked through for unanswered slots after a restart."""
STOP_WITHIN = 15.0
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


class Daemon:
    """Everything that runs: `start` it, and `stop` it when somebody asks."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        flags: FlagService | None = None,
        notifiers: tuple[Notifier, ...] = (),
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.ledger: Ledger = open_ledger(settings.ledger)
        self.journal = Journal(journal_path(settings.ledger))
        self.flags = flags if flags is not None else open_service(settings.flags)
        self.metrics = Metrics()
        self.metrics.build(__version__)
        self.metrics.set_leader(leader=True)
        self.intake = Intake(settings, self.ledger, clock)
        self.sender = Sender(self.ledger, notifiers, clock, self.metrics)
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(16)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        self._scheduler.add_listener(self._job_event, EVENT_JOB_ERROR | EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
        app = create_app(
            ledger=self.ledger,
            metrics=self.metrics,
            token=revealed(settings.http.token),
            clock=clock,
            ready=self.ready,
            wake=self.wake,
        )
        self.web = Server(app, settings.http.listen.host, settings.http.listen.port)

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Prepare the journal, take in the rollouts and start ticking. Raises ConfigError, LedgerError."""
        self.journal.prepare()
        # A bad file refuses the start, but not while a rollout is under way: that one must not go unwatched for it.
        self.scan(strict=not self.ledger.rollouts(ACTIVE))
        for stored in self.ledger.rollouts():
            self._schedule(stored)
        now = datetime.now(UTC)
        add = self._scheduler.add_job
        add(self._look, "interval", seconds=POLL, id="commands", next_run_time=now + timedelta(seconds=POLL))
        add(self._send, "interval", seconds=POLL, id="notify", next_run_time=now)
        add(self.scan, "interval", seconds=RESCAN, id="files", next_run_time=now + timedelta(seconds=RESCAN))
        self.web.start()
        self._scheduler.start()
        http = f"{self.settings.http.listen.host}:{self.web.port}"
        log.info("started", version=__version__, http=http, rollouts=sorted(self._jobs))

    def stop(self) -> None:
        """Stop in reverse order, each part bounded, each said by name."""
        for name, end in (
            ("scheduler", lambda: self._scheduler.shutdown(wait=True) if self._scheduler.running else None),
            ("last messages", self._send),
            ("web", lambda: self.web.stop(STOP_WITHIN)),
            ("sources", self._close_sources),
            ("ledger", self.ledger.close),
        ):
            begun = time.monotonic()
            ender = threading.Thread(target=end, name=f"stop-{name}", daemon=True)
            ender.start()
            ender.join(STOP_WITHIN)
            if ender.is_alive():
                log.warning("not stopped in time, left behind", part=name, within_s=STOP_WITHIN)
            else:
                log.debug("stopped", part=name, seconds=round(time.monotonic() - begun, 3))
        log.info("stopped")

    def _close_sources(self) -> None:
        for job in self._jobs.values():
            job.source.close()

    def ready(self) -> tuple[bool, str]:
        """Whether the ledger answers and every rollout's last tick is younger than three intervals."""
        try:
            self.ledger.ping()
        except LedgerError as error:
            return False, str(error)
        now = self.clock()
        for name, job in list(self._jobs.items()):
            if (since := now - job.ticked_at) > 3 * job.interval + self.settings.tick_deadline:
                return False, f"rollout {name} has not ticked for {since:.0f} s, more than three intervals"
        return True, "ready"

    # --- rollouts -------------------------------------------------------------------------------------------------

    def scan(self, *, strict: bool = False) -> None:
        """Take in the rollout files and give each rollout its job. `strict`: raise what is wrong."""
        for stored in self.intake.look(strict=strict):
            self._schedule(stored)

    def _schedule(self, stored: StoredRollout, *, once: bool = False) -> None:
        """Give a rollout its job, unless it has ended; `once` is for a command to one that has."""
        with self._lock:
            if stored.name in self._jobs:
                return
            if not once and self._ended(stored):
                return
            rollout = rollout_from_resolved(stored.resolved, stored.text)
            source = open_prometheus(self.settings.prometheus, tell=self.metrics.on_query)
            tick = RolloutTick(stored.name, self.ledger, source, self.flags, self.clock, self.journal)
            self._jobs[stored.name] = _Job(rollout.interval, tick, source, self.clock())
            trigger = SlotTrigger(rollout.interval, rollout.delay + offset(stored.name, rollout.interval))
            add = self._scheduler.add_job
            add(self._run, trigger, args=[stored.name], id=stored.name, next_run_time=datetime.now(UTC))

    def _ended(self, stored: StoredRollout) -> bool:
        """Whether nothing is left to do: the report is written, and no answer that could amend it is waited for."""
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
                self._schedule(stored, once=True)
        elif not job.busy:  # else the next look finds the command again
            self._wake_at(name, 0.0)

    def _wake_at(self, name: str, seconds: float) -> None:
        """Bring the next tick forward, never back; a running tick gets the moment that it needs to end."""
        at = datetime.now(UTC) + timedelta(seconds=max(seconds, 0.05))
        with suppress(JobLookupError):
            job = self._scheduler.get_job(name)
            if job is not None and job.next_run_time > at:
                job.modify(next_run_time=at)

    def _look(self) -> None:
        """Commands given through the ledger, and rollouts added by another process."""
        try:
            pending = self.ledger.any_pending()
            for stored in self.ledger.rollouts() if pending else ():
                if stored.id in pending:
                    self.wake(stored.name)
        except LedgerError as error:
            self.intake.say_once("commands", str(error), "operator commands cannot be read")

    def _send(self) -> None:
        if said := self.sender.send_due(self.clock()):
            log.debug("sent", messages=said)

    def _job_event(self, event: JobExecutionEvent) -> None:
        kinds = {EVENT_JOB_ERROR: "error", EVENT_JOB_MISSED: "missed", EVENT_JOB_MAX_INSTANCES: "overrun"}
        self.metrics.on_job_error(event.job_id, kinds.get(event.code, "other"))


def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises ConfigError or LedgerError when it cannot start."""
    # Blocked here, and so in every thread, they wait for `sigwait`. A handler would need the main thread to wake up,
    # which it does not from a lock when the system gives the signal to another thread.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    daemon = Daemon(settings)
    try:
        daemon.start()
        signal.sigwait(STOP_SIGNALS)
    finally:
        daemon.stop()
