"""The daemon: builds everything, schedules ticks, obeys signals, stops in reverse order. The wiring diagram."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from watchdog import __version__
from watchdog.audit import open_changes
from watchdog.config import revealed
from watchdog.config.settings import Settings
from watchdog.decide import Emergency
from watchdog.deeds import emergencies
from watchdog.drill.schedule import DrillSchedule
from watchdog.errors import LedgerError
from watchdog.flags.base import ManagedFlagService
from watchdog.flagsystem import FlagSystem, open_flags
from watchdog.intake import Intake
from watchdog.jobs import Jobs
from watchdog.journal import Journal, journal_path
from watchdog.ledger import Ledger, open_ledger
from watchdog.metrics import Metrics
from watchdog.model import ACTIVE
from watchdog.notifiers.base import Notifier
from watchdog.notify import Sender
from watchdog.serving import Counts, Readers, sets_of
from watchdog.web import Server, create_app
from watchdog.web.readers import reader_app, serve_routes

POLL = 1.0
"""Seconds between looks for operator commands and unsent messages."""
RESCAN = 30.0
"""Seconds between looks for new rollout files."""
NEAR = frozenset({"flagd-file", "redis", "memory"})
FAR_POLL = 15.0
DRILL_LOOK = 5.0
"""Seconds between looks whether a drill is due or done; a look costs next to nothing."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
STOP_WITHIN = 15.0
log = structlog.get_logger()


class Daemon:
    """Everything that runs: `start` it, and `stop` it when somebody asks."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        flags: ManagedFlagService | None = None,
        notifiers: tuple[Notifier, ...] = (),
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.ledger: Ledger = open_ledger(settings.ledger)
        self.journal = Journal(journal_path(settings.ledger))
        self.metrics = Metrics()
        self.metrics.build(__version__)
        self.metrics.set_leader(leader=True)
        self.changes = open_changes(settings.ledger, self.ledger, clock, observer=self.metrics, tell=_tell)
        self.flags: FlagSystem = open_flags(settings, self.changes, clock, observer=self.metrics, primary=flags)
        self.drills = DrillSchedule(settings, self.ledger, clock)
        self.intake = Intake(settings, self.ledger, clock)
        self.sender = Sender(self.ledger, notifiers, clock, self.metrics)
        self._workers = ThreadPoolExecutor(16)
        self._scheduler = BackgroundScheduler(
            executors={"default": self._workers},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        self._scheduler.add_listener(self._job_event, EVENT_JOB_ERROR | EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
        self.jobs = Jobs(settings, self.ledger, self.journal, self.flags, self.metrics, self._scheduler, clock)
        self.readers = Readers(
            sets_of(settings, self.flags.primary, self.flags.emergency), Counts(self.metrics.registry)
        )
        app = create_app(
            ledger=self.ledger,
            metrics=self.metrics,
            token=revealed(settings.http.token),
            clock=clock,
            ready=self.ready,
            wake=self.jobs.wake,
            readers=serve_routes(self.readers, revealed(settings.serve.token)),
            flags=self.flags,
        )
        self._emergency: tuple[Emergency, ...] | None = None
        self.web = Server(app, settings.http.listen.host, settings.http.listen.port)
        self.serving: Server | None = None
        if settings.serve.listen is not None:
            for_readers = reader_app(self.readers, revealed(settings.serve.token), self.metrics)
            self.serving = Server(for_readers, settings.serve.listen.host, settings.serve.listen.port)

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Prepare the journal, take in the rollouts and start ticking. Raises ConfigError, LedgerError."""
        self.journal.prepare()
        self.changes.prepare()
        # A bad file refuses the start, but not while a rollout is under way: that one must not go unwatched for it.
        self.scan(strict=not self.ledger.rollouts(ACTIVE))
        for stored in self.ledger.rollouts():
            self.jobs.schedule(stored)
        now = datetime.now(UTC)
        add = self._scheduler.add_job
        add(self._look, "interval", seconds=POLL, id="commands", next_run_time=now + timedelta(seconds=POLL))
        add(self._send, "interval", seconds=POLL, id="notify", next_run_time=now)
        add(self.scan, "interval", seconds=RESCAN, id="files", next_run_time=now + timedelta(seconds=RESCAN))
        add(self._look_at_emergency, "interval", seconds=self._emergency_every, id="emergency", next_run_time=now)
        add(self._look_at_drill, "interval", seconds=DRILL_LOOK, id="drill", next_run_time=now)
        self.web.start()
        if self.serving is not None:
            self.serving.start()
        self._scheduler.start()
        http = f"{self.settings.http.listen.host}:{self.web.port}"
        log.info("started", version=__version__, http=http, rollouts=self.jobs.names)

    def stop(self) -> None:
        """Stop in reverse order, each part bounded, each said by name."""
        for name, end in (
            # Not `wait=True`: it would wait for the jobs with its locks held, and a tick that wants to be woken again
            # waits for those locks.
            ("scheduler", lambda: self._scheduler.shutdown(wait=False) if self._scheduler.running else None),
            ("jobs", lambda: self._workers.shutdown(wait=True)),
            ("drill", lambda: self.drills.stop(STOP_WITHIN / 2)),
            ("last messages", self._send),
            ("web", lambda: self.web.stop(STOP_WITHIN)),
            ("serving", lambda: self.serving.stop(STOP_WITHIN) if self.serving is not None else None),
            ("flag sets", self.readers.close),
            ("sources", self.jobs.close),
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

    def ready(self) -> tuple[bool, str]:
        """Whether the ledger answers and every rollout's last tick is younger than three intervals."""
        try:
            self.ledger.ping()
        except LedgerError as error:
            return False, str(error)
        if (why := self.jobs.late()) is not None:
            return False, why
        return True, "ready"

    # --- jobs of the daemon itself --------------------------------------------------------------------------------

    def scan(self, *, strict: bool = False) -> None:
        """Take in the rollout files and give each rollout its job. `strict`: raise what is wrong."""
        for stored in self.intake.look(strict=strict):
            self.jobs.schedule(stored)

    def _look(self) -> None:
        """Commands given through the ledger, and rollouts added by another process."""
        try:
            pending = self.ledger.any_pending()
            for stored in self.ledger.rollouts() if pending else ():
                if stored.id in pending:
                    self.jobs.wake(stored.name)
        except LedgerError as error:
            self.intake.say_once("commands", str(error), "operator commands cannot be read")

    @property
    def _emergency_every(self) -> float:
        """A file and Redis can be asked every second; a service over HTTP is not to be asked that often."""
        return POLL if self.settings.emergency_flags.service in NEAR else FAR_POLL

    def _look_at_emergency(self) -> None:
        """Whether an emergency flag was switched: every rollout ticks at once then, instead of at its next slot."""
        on, unknown = emergencies(self.flags.emergency)
        if unknown:
            self.intake.say_once("emergency", unknown, "the emergency flags cannot be read")
            return
        if self._emergency is not None and on != self._emergency:
            log.warning("emergency flags", on=[str(emergency) for emergency in on])
            self.jobs.wake_all()
        self._emergency = on

    def _look_at_drill(self) -> None:
        """Start, watch or collect the drill that is due; also bring the audit's journal into the ledger."""
        try:
            self.changes.flush()
            if said := self.drills.look():
                log.info("drill", why=said)
        except LedgerError as error:
            self.intake.say_once("drill", str(error), "drills and the audit of flags wait for the ledger")

    def _send(self) -> None:
        if said := self.sender.send_due(self.clock()):
            log.debug("sent", messages=said)

    def _job_event(self, event: JobExecutionEvent) -> None:
        kinds = {EVENT_JOB_ERROR: "error", EVENT_JOB_MISSED: "missed", EVENT_JOB_MAX_INSTANCES: "overrun"}
        self.metrics.on_job_error(event.job_id, kinds.get(event.code, "other"))


def _tell(event: str, line: Mapping[str, object]) -> None:
    """The audit's lines: each holds the chain's head, so that the log is an anchor outside the ledger."""
    if "problem" in line or "why_not" in line:
        log.warning(event, **line)
    else:
        log.info(event, **line)


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
