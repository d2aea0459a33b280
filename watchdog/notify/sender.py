"""Sends what the ledger holds unsent: a lane for each channel, which waits for no other, and for no tick.

Retried durably: a message waits in its row, never in a loop here. `start` gives each lane a thread, which sleeps until
something is due or somebody says `wake`; `send_due` makes one round of all lanes in the caller's thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from watchdog.ledger import Ledger
from watchdog.metrics import Metrics
from watchdog.model import Notification, Rollout
from watchdog.notifiers.base import Notifier
from watchdog.notify.aside import Handed
from watchdog.notify.composing import Composer, Telling
from watchdog.notify.guarded import guarded
from watchdog.notify.health import Health
from watchdog.notify.lane import ROUND, Lane

LOOK = 1.0
"""Seconds after which a lane looks for messages that another process has recorded."""
AT_LEAST = 0.01
"""Seconds between two rounds of a lane, whatever is due."""
log = structlog.get_logger()


class Sender:
    """Sends through every channel. `sentence` tells of the last round of each."""

    def __init__(
        self,
        ledger: Ledger,
        notifiers: Sequence[Notifier],
        clock: Callable[[], float],
        metrics: Metrics | None = None,
        telling: Telling | None = None,
    ) -> None:
        self.ledger = ledger
        self.clock = clock
        self.metrics = metrics
        self.composer = Composer(ledger, telling or Telling())
        self.health = Health(ledger)
        parts = (ledger, self.composer, self.health, clock, metrics)
        self.lanes = [Lane(notifier, *parts) for notifier in notifiers]
        self._runs = [_Run(lane, self._ended, self._broke) for lane in self.lanes]
        if metrics is not None:
            metrics.channels([lane.name for lane in self.lanes])

    @property
    def sentence(self) -> str:
        """What the last round of each channel came to."""
        return "; ".join(lane.sentence for lane in self.lanes) or "there is no channel"

    def send_due(self, now: float) -> int:
        """One round of every channel at wall time `now`, one after the other; return how many messages were taken."""
        sent = sum(lane.round(now) for lane in self.lanes)
        self._ended(now)
        return sent

    def start(self) -> None:
        """Give every channel its thread."""
        for run in self._runs:
            run.thread.start()

    def wake(self) -> None:
        """Something was recorded: look at once. Returns at once, from any thread."""
        for run in self._runs:
            run.news.set()

    def without_ledger(self, rollout_id: int, rollout: Rollout, notification: Notification) -> None:
        """Tell of what could not be recorded, if it is to wake somebody, on the channels that know repeats by key.

        It comes again, recorded, when the ledger is back. Returns at once, from any thread.
        """
        handed = Handed(rollout_id, self.composer.about_rule(rollout), notification)
        for lane in self.lanes:
            lane.aside.hand(handed)
        self.wake()

    def stop(self, within: float) -> None:
        """Send what is due in one last round and end, in `within` seconds; a channel that hangs is left behind."""
        end = time.monotonic() + within
        running = [run for run in self._runs if run.thread.is_alive()]
        for run in running:
            run.stop_within(within)
        for run in running:
            run.thread.join(max(0.0, end - time.monotonic()))
            if run.thread.is_alive():
                log.warning("channel not stopped in time, left behind", channel=run.lane.name, within_s=within)
        for run in self._runs:
            if not run.thread.is_alive():
                run.lane.notifier.close()

    def _ended(self, now: float) -> None:
        """A round has ended: see whether another channel is stuck, and tell the metrics."""
        for lane in self.lanes:
            lane.tell_of_silence(now)
        if self.metrics is None:
            return
        waiting = [unsent for lane in self.lanes for unsent in lane.waiting]
        self.metrics.set_unsent(len(waiting), max((now - unsent.at for unsent in waiting), default=0.0))
        for lane in self.lanes:
            self.metrics.set_paused(lane.name, paused=lane.paused_until > now)

    def _broke(self, lane: Lane, error: Exception) -> None:
        """A round ended by a fault of ours: it is said, counted and tried again."""
        log.error("channel", channel=lane.name, why="a round failed inside the watchdog", exc_info=error)
        if self.metrics is not None:
            self.metrics.on_job_error(f"notify-{lane.name}", "internal")


class _Run:
    """The thread of one lane. It ends only when it is told to: without it nobody is paged, and nobody would know."""

    def __init__(self, lane: Lane, ended: Callable[[float], None], broke: Callable[[Lane, Exception], None]) -> None:
        self.lane = lane
        self.news = threading.Event()
        self.thread = threading.Thread(target=self._run, name=f"notify-{lane.name}", daemon=True)
        self._ended = ended
        self._broke = broke
        self._stop_at: float | None = None

    def stop_within(self, seconds: float) -> None:
        self._stop_at = time.monotonic() + seconds
        self.news.set()

    def _run(self) -> None:
        while self._stop_at is None:
            self.news.clear()
            found = guarded(lambda: self._round(ROUND, self.news.is_set))
            if isinstance(found, Exception):
                self._broke(self.lane, found)
            self.news.wait(self._pause() if found is None else LOOK)
        last = self._stop_at - time.monotonic()
        if isinstance(found := guarded(lambda: self._round(last, lambda: False)), Exception):
            self._broke(self.lane, found)

    def _round(self, seconds: float, news: Callable[[], bool]) -> None:
        now = self.lane.clock()
        if sent := self.lane.round(now, seconds=seconds, news=news):
            log.debug("sent", channel=self.lane.name, messages=sent)
        self._ended(self.lane.clock())

    def _pause(self) -> float:
        due = self.lane.next_due
        return LOOK if due is None else min(LOOK, max(AT_LEAST, due - self.lane.clock()))
