"""One attempt to send one message, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import structlog

from watchdog.errors import LedgerError, NotifierError, NotYet
from watchdog.ledger import Ledger, Unsent
from watchdog.messages import Message
from watchdog.notifiers.base import Memo, Notifier
from watchdog.notify.guarded import guarded
from watchdog.notify.waits import LONGEST_WAIT, wait_after

MENDED_WITHIN = 86_400.0
"""Seconds for which a message waits for a channel that cannot be used until somebody mends it."""
SHORTEST_WAIT = 1.0
"""Seconds that are waited after a failure, also where the channel says that it may be tried again at once."""
log = structlog.get_logger()


class Result(StrEnum):
    """What came of an attempt; the words of the metric."""

    SENT = "sent"
    FAILED = "failed"  # it is tried again
    REFUSED = "refused"  # it never is
    PARTLY = "partly"  # the rest follows


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt that ended at wall time `at`.

    `pause`: nothing is to be sent to the channel before `next_try_at`. `unusable`: until somebody mends it.
    """

    at: float
    result: Result
    error: str = ""
    next_try_at: float | None = None
    pause: bool = False
    unusable: bool = False
    doubt: bool = False
    """An earlier attempt may have gone through."""


class Attempt:
    """Sends through one channel. `failures` counts those in a row that were the channel's own."""

    def __init__(self, notifier: Notifier, clock: Callable[[], float]) -> None:
        self.notifier = notifier
        self.clock = clock
        self.failures = 0

    def send(self, unsent: Unsent, message: Message, memo: Memo, now: float, *, again: bool) -> Outcome:
        """Try once. Never raises: what is wrong inside a channel costs its message a try, and nobody else anything."""
        found = guarded(lambda: self.notifier.send(message, memo, now, again=again))
        at = max(now, self.clock())
        if not isinstance(found, Exception):
            self.failures = 0
            return Outcome(at, Result.SENT)
        if isinstance(found, NotYet):
            return Outcome(at, Result.PARTLY, str(found), at + (found.retry_after or 0.0), doubt=again)
        if isinstance(found, NotifierError):
            return self._failed(unsent, found, at)
        if isinstance(found, LedgerError):
            return self._failed(unsent, NotifierError(f"its memo failed: {found}"), at)
        log.error("channel", channel=self.notifier.name, message=message.key, exc_info=found)
        said = f"sending failed inside the watchdog: {type(found).__name__}; its log has more"
        return self._failed(unsent, NotifierError(said), at)

    def _failed(self, unsent: Unsent, error: NotifierError, at: float) -> Outcome:
        said = str(error) or type(error).__name__
        unusable = error.permanent and error.everything
        if error.permanent and not (unusable and at < unsent.at + MENDED_WITHIN):
            return Outcome(at, Result.REFUSED, said, unusable=unusable)
        pause = error.everything and not unusable
        self.failures += int(pause)
        # A try that failed for the channel's sake may have been another message's.
        failures = max(unsent.attempts + 1, self.failures)
        wait = LONGEST_WAIT if unusable else wait_after(unsent.id, failures)
        if error.retry_after is not None:
            wait = max(error.retry_after, SHORTEST_WAIT)
        return Outcome(at, Result.FAILED, said, at + wait, pause, unusable)


def write_down(ledger: Ledger, channel: str, unsent: Unsent, outcome: Outcome) -> None:
    """Keep what came of an attempt. Raises LedgerError."""
    if outcome.result is Result.SENT:
        ledger.mark_sent(unsent.id, channel, outcome.at)
    elif outcome.result is Result.PARTLY:
        ledger.mark_partly(unsent.id, channel, outcome.next_try_at or outcome.at, doubt=outcome.doubt)
    else:
        permanent = outcome.result is Result.REFUSED
        stamps = (outcome.at, outcome.error, outcome.next_try_at)
        ledger.mark_failed(unsent.id, channel, *stamps, permanent=permanent, pause=outcome.pause)
