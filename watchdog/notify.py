"""Sends what the ledger holds unsent. Retried durably: a message waits in its row, never in a loop here.

A message is marked after it was sent. Who dies in between sends it once more, with the same key, which makes the
repeat harmless; who merely cannot write to the ledger remembers, and marks it when the ledger is back.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from watchdog.errors import LedgerError, NotifierError
from watchdog.ledger import Ledger, Unsent
from watchdog.metrics import Metrics
from watchdog.notifiers.base import Notifier

AT_ONCE = 50
"""Messages of one channel in one round, oldest first."""
ROUND = 10.0
"""Seconds after which a channel begins no further message in this round, so that a slow one delays nobody for long."""
FIRST_WAIT = 30.0
LONGEST_WAIT = 900.0
JITTER = 0.1
"""A wait is shortened by up to this share, so that what failed together is not tried again together."""


def wait_after(notification_id: int, failures: int) -> float:
    """Seconds until the next try after so many failures (1 or more): 30, 60, 120 .. 900, a little less each."""
    doubled = min(FIRST_WAIT * 2.0 ** min(failures - 1, 10), LONGEST_WAIT)
    spread = zlib.crc32(f"{notification_id}:{failures}".encode()) / 2**32
    return doubled * (1.0 - JITTER * spread)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of one attempt at wall time `at`; without an error the channel took the message."""

    at: float
    error: str = ""
    next_try_at: float | None = None
    permanent: bool = False


class Sender:
    """Sends through every channel. One thread at a time calls `send_due`; `sentence` tells of its last round."""

    def __init__(
        self,
        ledger: Ledger,
        notifiers: Sequence[Notifier],
        clock: Callable[[], float],
        metrics: Metrics | None = None,
    ) -> None:
        self.ledger = ledger
        self.notifiers = {notifier.name: notifier for notifier in notifiers}
        self.clock = clock
        self.metrics = metrics
        self.sentence = "nothing was sent yet"
        self._unrecorded: dict[tuple[int, str], _Outcome] = {}
        """What happened to messages while the ledger could not be written."""
        if metrics is not None:
            metrics.channels(list(self.notifiers))

    def send_due(self, now: float) -> int:
        """Send every message that is due at wall time `now`; return how many were taken.

        Channels do not wait for each other's failures. Raises neither NotifierError nor LedgerError.
        """
        self._catch_up()
        try:
            due = self.ledger.unsent(self.notifiers, now, AT_ONCE)
        except LedgerError as error:
            self.sentence = f"nothing is sent while the ledger fails: {error}"
            return 0
        queues: dict[str, list[Unsent]] = {}
        for unsent in due:
            if not self._settled(unsent, now):
                queues.setdefault(unsent.channel, []).append(unsent)
        sent, said = self._send_all(queues)
        self.sentence = "; ".join(said) if said else "nothing is due"
        self._tell_metrics(now)
        return sent

    def _send_all(self, queues: dict[str, list[Unsent]]) -> tuple[int, list[str]]:
        """Each channel in a thread of its own. What is not a NotifierError is raised once all channels are through."""
        if len(queues) <= 1:
            rounds = [self._send_channel(queue) for queue in queues.values()]
        else:
            with ThreadPoolExecutor(len(queues), "notify") as pool:
                futures = [pool.submit(self._send_channel, queue) for queue in queues.values()]
            rounds = [future.result() for future in futures]
        return sum(sent for sent, _ in rounds), [said for _, said in rounds]

    def _send_channel(self, queue: list[Unsent]) -> tuple[int, str]:
        """One channel's messages in order. A failure that may pass ends its round: the next would fail likewise.

        The message that failed waits for its next try; later ones do not wait behind it (a page that one message
        keeps from people would be worse than pages out of order).
        """
        channel, begun = queue[0].channel, self.clock()
        sent, refused = 0, 0
        for unsent in queue:
            if self.clock() - begun > ROUND:
                return sent, f"{channel}: sent {sent} of {len(queue)}, it is slow; the rest follows"
            outcome = self._send(unsent)
            self._record(unsent, outcome)
            if not outcome.error:
                sent += 1
            elif outcome.permanent:
                refused += 1
            else:
                again = f"tried again in {(outcome.next_try_at or outcome.at) - outcome.at:.0f} s"
                return sent, f"{channel}: sent {sent} of {len(queue)}, one is {again}: {outcome.error}"
        more = f", {refused} refused for good" if refused else ""
        return sent, f"{channel}: sent {sent} of {len(queue)}{more}"

    def _send(self, unsent: Unsent) -> _Outcome:
        try:
            self.notifiers[unsent.channel].send(unsent.notification, unsent.rollout)
        except NotifierError as error:
            at = self.clock()
            said = str(error) or type(error).__name__
            if error.permanent:
                self._count(unsent.channel, "refused")
                return _Outcome(at, said, permanent=True)
            self._count(unsent.channel, "failed")
            return _Outcome(at, said, at + wait_after(unsent.id, unsent.attempts + 1))
        self._count(unsent.channel, "sent")
        return _Outcome(self.clock())

    def _record(self, unsent: Unsent, outcome: _Outcome) -> None:
        try:
            self._mark(unsent.id, unsent.channel, outcome)
        except LedgerError:
            self._unrecorded[unsent.id, unsent.channel] = outcome
        else:
            self._unrecorded.pop((unsent.id, unsent.channel), None)

    def _mark(self, notification_id: int, channel: str, outcome: _Outcome) -> None:
        if not outcome.error:
            self.ledger.mark_sent(notification_id, channel, outcome.at)
            return
        next_try_at, permanent = outcome.next_try_at, outcome.permanent
        self.ledger.mark_failed(notification_id, channel, outcome.at, outcome.error, next_try_at, permanent=permanent)

    def _catch_up(self) -> None:
        """Write down what could not be written before. When it still cannot, messages are sent all the same."""
        for (notification_id, channel), outcome in list(self._unrecorded.items()):
            try:
                self._mark(notification_id, channel, outcome)
            except LedgerError:
                return
            del self._unrecorded[notification_id, channel]

    def _settled(self, unsent: Unsent, now: float) -> bool:
        """Whether this message needs nothing now, although the ledger has not heard of it yet."""
        outcome = self._unrecorded.get((unsent.id, unsent.channel))
        if outcome is None:
            return False
        return not outcome.error or outcome.permanent or (outcome.next_try_at or now) > now

    def _count(self, channel: str, result: str) -> None:
        if self.metrics is not None:
            self.metrics.on_notification(channel, result)

    def _tell_metrics(self, now: float) -> None:
        if self.metrics is None:
            return
        try:
            self.metrics.set_unsent(self.ledger.unsent_count(), self.ledger.oldest_unsent_age(now))
        except LedgerError as error:
            self.sentence += f"; what waits cannot be counted: {error}"
