"""The daemon: builds everything, schedules ticks, obeys signals, stops in reverse order. The wiring diagram."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from watchdog import __version__
from watchdog.alarmwatch import AlarmWatch
from watchdog.audit import open_changes
from watchdog.config.settings import Settings
from watchdog.deadman import DeadMan
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
from watchdog.notifiers import open_channels
from watchdog.notifiers.base import Notifier
from watchdog.notify import Sender
from watchdog.serving import Counts, Readers, sets_of
from watchdog.supervision import Supervisor
from watchdog.web.listening import Sockets, listen_everywhere
from watchdog.wiring import say, telling

if TYPE_CHECKING:
    from watchdog.replicas import Replicas
    from watchdog.serving.process import ServingProcess
    from watchdog.web.server import Server

POLL = 1.0
"""Seconds between looks for operator commands."""
RESCAN = 30.0
"""Seconds between looks for new rollout files."""
NEAR = frozenset({"flagd-file", "redis", "memory"})
FAR_POLL = 15.0
DRILL_LOOK = 5.0
"""Seconds between looks whether a drill is due or done; a look costs next to nothing."""
FIRST_TICK = 1.0
"""Seconds that page, API and readers wait for the first tick at a start: what they import would slow it down."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
STOP_WITHIN = 15.0
LAST_MESSAGES = 5.0
"""Seconds in which messages that are due are still sent when the daemon stops."""
log = structlog.get_logger()


class Daemon:
    """Everything that runs: `start` it, and `stop` it when somebody asks."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        flags: ManagedFlagService | None = None,
        notifiers: tuple[Notifier, ...] | None = None,
        supervisor: Supervisor | None = None,
    ) -> None:
        self.settings = settings
        self.supervisor = supervisor or Supervisor()
        self.clock = clock
        self.ledger: Ledger = open_ledger(settings.ledger)
        self.journal = Journal(journal_path(settings.ledger))
        self.metrics = Metrics()
        self.metrics.build(__version__)
        self.metrics.set_leader(leader=True)
        self.changes = open_changes(settings.ledger, self.ledger, clock, observer=self.metrics, tell=say)
        self.flags: FlagSystem = open_flags(settings, self.changes, clock, observer=self.metrics, primary=flags)
        self.drills = DrillSchedule(settings, self.ledger, clock)
        self.intake = Intake(settings, self.ledger, clock)
        channels = open_channels(settings.notify) if notifiers is None else notifiers
        self.sender = Sender(self.ledger, channels, clock, self.metrics, telling(settings))
        self.ledger.told = self.sender.wake
        self._workers = ThreadPoolExecutor(16)
        self._scheduler = BackgroundScheduler(
            executors={"default": self._workers},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        self._scheduler.add_listener(self._job_event, EVENT_JOB_ERROR | EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
        parts = (self.ledger, self.journal, self.flags, self.metrics, self._scheduler, clock)
        self.jobs = Jobs(settings, *parts, self.sender.without_ledger)
        switch = settings.deadman
        self.deadman = DeadMan(switch, clock, self.metrics.on_deadman) if switch.url is not None else None
        self.jobs.deadman = self.deadman
        self.replicas = self._stand_in() if settings.replicas.lease is not None else None
        self.alarms = AlarmWatch(self.ledger, settings.alerts.rule(), self.metrics.registry)
        sets = sets_of(settings, self.flags.primary, self.flags.emergency)
        self.readers = Readers(sets, Counts(self.metrics.registry))
        self._emergency: tuple[Emergency, ...] | None = None
        self._sets, self._shared = sets, flags is None
        self.web: Server | None = None
        self.health: Server | None = None
        self.serving: ServingProcess | Server | None = None

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Prepare the journal, take in the rollouts and start ticking. Raises ConfigError, LedgerError."""
        self.journal.prepare()
        self.changes.prepare()
        # Before anything ticks: an address that another program has refuses the start, and what serves comes later.
        sockets = listen_everywhere(self.settings)
        # A bad file refuses the start, but not while a rollout is under way: that one must not go unwatched for it.
        self.scan(strict=not self.ledger.rollouts(ACTIVE))
        if self.replicas is not None:
            self.replicas.start()
        else:
            for stored in self.ledger.rollouts():
                self.jobs.schedule(stored)
        now = datetime.now(UTC)
        add = self._scheduler.add_job
        add(self._look, "interval", seconds=POLL, id="commands", next_run_time=now + timedelta(seconds=POLL))
        add(self._rescan, "interval", seconds=RESCAN, id="files", next_run_time=now + timedelta(seconds=RESCAN))
        add(self._look_at_emergency, "interval", seconds=self._emergency_every, id="emergency", next_run_time=now)
        add(self._look_at_drill, "interval", seconds=DRILL_LOOK, id="drill", next_run_time=now)
        add(self._look_at_alarms, "interval", seconds=RESCAN, id="alarms", next_run_time=now)
        self._scheduler.start()
        self.sender.start()
        self.jobs.first_tick(FIRST_TICK)
        self._open_doors(sockets)
        http = f"{self.settings.http.listen.host}:{sockets.http.getsockname()[1]}"
        to = self.settings.serve.listen
        serving = {"serving": f"{to.host}:{self.serving.port}"} if to is not None and self.serving is not None else {}
        if self.health is not None:
            serving["health"] = f"{self.health.host}:{self.health.port}"
        self.supervisor.ready(self._status())
        log.info("started", version=__version__, http=http, **serving, rollouts=self.jobs.names)

    def _stand_in(self) -> Replicas:
        from watchdog.replicas import Replicas  # noqa: PLC0415 - only where there are several

        replicas = Replicas(self.settings, self.ledger, self.journal, self.jobs, self.metrics)
        for lane in self.sender.lanes:
            lane.sends = replicas.leads
        return replicas

    def leads(self) -> bool:
        """Whether this process does what one does for all that share a ledger."""
        return self.replicas is None or self.replicas.leads()

    def _open_doors(self, sockets: Sockets) -> None:
        from watchdog.doors import House, open_health, open_http, open_serving  # noqa: PLC0415 - the first tick does not wait for it

        ports = (self.flags, self.readers, self.clock, self.ready, self.jobs.wake, self.jobs.stuck, self.jobs.ticking)
        house = House(self.settings, self.ledger, self.metrics, *ports)
        self.web = open_http(house, sockets.http)
        self.web.start()
        self.health = open_health(house, sockets.health)
        if self.health is not None:
            self.health.start()
        self.serving = open_serving(house, self._sets, sockets.serve, shared=self._shared)
        if self.serving is not None:
            self.serving.start()

    def stop(self) -> None:
        """Stop in reverse order, each part bounded, each said by name."""
        self.supervisor.stopping()
        for name, end in (
            # Not `wait=True`: it would wait for the jobs with its locks held, and a tick that wants to be woken again
            # waits for those locks.
            ("scheduler", lambda: self._scheduler.shutdown(wait=False) if self._scheduler.running else None),
            ("jobs", lambda: self._workers.shutdown(wait=True)),
            ("rollouts' leases", lambda: self.replicas.leave() if self.replicas is not None else None),
            ("dead man's switch", lambda: self.deadman.close() if self.deadman is not None else None),
            ("drill", lambda: self.drills.stop(STOP_WITHIN / 2)),
            ("last messages", lambda: self.sender.stop(LAST_MESSAGES)),
            ("leases", lambda: self.replicas.stop() if self.replicas is not None else None),
            ("web", lambda: self.web.stop(STOP_WITHIN) if self.web is not None else None),
            ("serving", lambda: self.serving.stop(STOP_WITHIN) if self.serving is not None else None),
            ("health", lambda: self.health.stop(STOP_WITHIN) if self.health is not None else None),
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
        """Whether the ledger answers, every rollout ticked in its last three intervals, and readers are answered."""
        try:
            self.ledger.ping()
        except LedgerError as error:
            return False, str(error)
        if (why := self.jobs.late()) is not None:
            return False, why
        if self.serving is not None and (why := self.serving.problem()) is not None:
            return False, why
        return True, "ready"

    # --- jobs of the daemon itself --------------------------------------------------------------------------------

    def scan(self, *, strict: bool = False) -> None:
        """Take in the rollout files and give each rollout its job. `strict`: raise what is wrong."""
        for stored in self.intake.look(strict=strict):
            if self.replicas is None:
                self.jobs.schedule(stored)

    def _rescan(self) -> None:
        """The regular look for files; with nothing under way it is the cycle that the dead man's switch hears of."""
        self.scan()
        if self.deadman is not None and not self.jobs.names and self.leads():
            self.deadman.idle()

    def _look(self) -> None:
        """Commands given through the ledger, and rollouts added by another process; a sign of life while ticks end.

        Not while they go well: without a ledger they do not, and this process could still take a flag back.
        """
        if self.jobs.stuck() is None:
            self.supervisor.alive(self._status())
        try:
            if self.replicas is not None:
                self.replicas.look()
            pending = self.ledger.any_pending()
            for stored in self.ledger.rollouts() if pending else ():
                if stored.id in pending:
                    self.jobs.wake(stored.name)
        except LedgerError as error:
            self.intake.say_once("commands", str(error), "operator commands cannot be read")

    def _status(self) -> str:
        names = self.jobs.names
        return f"{len(names)} rollouts: {', '.join(names)}" if names else "no rollout is under way"

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
            if (self.leads() or self.drills.running) and (said := self.drills.look()):
                log.info("drill", why=said)
        except LedgerError as error:
            self.intake.say_once("drill", str(error), "drills and the audit of flags wait for the ledger")

    def _look_at_alarms(self) -> None:
        try:
            self.alarms.look(self.clock())
        except LedgerError as error:
            self.intake.say_once("alarms", str(error), "alerts cannot be counted")

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
