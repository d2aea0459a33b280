"""A ledger with messages, channels that do as they are told, and a clock: for tests of the sender."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from tests.ledgers import NOON, a_rollout, added
from watchdog.errors import LedgerError, NotifierError, NotYet
from watchdog.ledger import Delivery, Ledger, Record, StoredRollout, Unsent
from watchdog.messages import Message
from watchdog.model import Mode, Notification, Severity
from watchdog.notifiers.base import Memo
from watchdog.notifiers.memory import InMemoryNotifier
from watchdog.notifiers.pace import Pace

DOWN = NotifierError("slack answered 500")
AWAY = NotifierError("slack cannot be reached", everything=True)
BUSY = NotifierError("slack wants to be left alone for 120 s", retry_after=120.0, everything=True)
GONE = NotifierError("slack takes no message of this kind", permanent=True)
NO_KEY = NotifierError("slack says that the token was revoked", permanent=True, everything=True)


class Clock:
    """Wall time that a test moves."""

    def __init__(self) -> None:
        self.now = float(NOON)

    def __call__(self) -> float:
        return self.now


class Outbox:
    """Records messages as ticks do, and says how they fare."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger = ledger
        self.clock = clock

    def rollout(self, name: str = "checkout-2.14.0") -> StoredRollout:
        """The rollout of that name; it is added when it is not there."""
        found = self.ledger.rollout(name)
        return found or added(self.ledger, a_rollout(name, flag=f"flag-of-{name}", mode=Mode.ACT))

    def record(self, *keys: str, to: str = "checkout-2.14.0", **named: Any) -> None:
        """Messages of these keys, recorded now; see `message` for the rest."""
        self.add(*(self.message(key, **named) for key in keys), to=to)

    def add(self, *messages: Notification, to: str = "checkout-2.14.0") -> None:
        """These messages, in one transaction."""
        stored = self.rollout(to)
        self.ledger.record(Record(stored.id, stored.revision, notifications=messages))

    def message(
        self,
        key: str,
        kind: str = "window_reset",
        severity: Severity = Severity.WARNING,
        **details: object,
    ) -> Notification:
        """One message; its text is its key."""
        return Notification(kind, key, severity, key, self.clock.now, details)

    def deliveries(self, channel: str = "slack", of: str = "checkout-2.14.0") -> dict[str, Delivery]:
        """How the channel fares with each message of a rollout that it was to have, by the message's key."""
        stored = self.ledger.notifications_of(self.rollout(of).id)
        return {
            item.notification.key: delivery
            for item in stored
            for delivery in item.deliveries
            if delivery.channel == channel
        }

    def waiting(self, channel: str = "slack") -> Sequence[Unsent]:
        """What the channel has not settled."""
        return self.ledger.backlog(channel, self.clock.now, 10_000).waiting

    def breach(self, objective: str = "error_rate", number: int = 0) -> Notification:
        """A page that opens an incident, or brings news of it."""
        return self.message(f"breach {objective} {number}", "breach", Severity.CRITICAL, objective=objective)

    def recovered(self, objective: str = "error_rate", number: int = 0) -> Notification:
        """The end of that incident."""
        return self.message(f"recovered {objective} {number}", "recovered", Severity.INFO, objective=objective)


def texts(channel: InMemoryNotifier) -> list[str]:
    """The summaries of what the channel took, in order, repeats too."""
    return [message.summary for _, message in channel.sent]


class Paced(InMemoryNotifier):
    """Takes one message in so many seconds for each rollout, as Slack does for each of its channels."""

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(name)
        self.pace = Pace(seconds)
        self.times: list[float] = []

    def ready_in(self, message: Message, now: float) -> float:
        return self.pace.ready_in(message.rollout, now)

    def send(self, message: Message, memo: Memo, now: float, *, again: bool) -> str:
        assert self.pace.ready_in(message.rollout, now) == 0, "sent faster than it may be"
        self.pace.used(message.rollout, now)
        self.times.append(now)
        return super().send(message, memo, now, again=again)


class InTwoParts(InMemoryNotifier):
    """Sends a heading first and the rest five seconds later, as its memo says."""

    def send(self, message: Message, memo: Memo, now: float, *, again: bool) -> str:
        if memo.get(message.key) is None:
            memo.put(message.key, f"{now}")
            raise NotYet("the heading is out", retry_after=5.0)
        return super().send(message, memo, now, again=again)


class Broken(InMemoryNotifier):
    """A channel with a bug."""

    def send(self, message: Message, memo: Memo, now: float, *, again: bool) -> str:
        raise ZeroDivisionError


class FailingLedger(Ledger):
    """A real ledger of which the named methods fail while `failing` says so: a full disk, between two transactions."""

    failing: frozenset[str] = frozenset()

    def __getattribute__(self, name: str) -> Any:
        if name in object.__getattribute__(self, "failing"):

            def fails(*_: object, **__: object) -> None:
                raise LedgerError("the disk is full")

            return fails
        return super().__getattribute__(name)


def key_of(message: Notification, rollout: str = "checkout-2.14.0") -> str:
    """The key under which channels get it."""
    return f"{rollout}:{message.key}"


def later(message: Notification, at: float) -> Notification:
    """The same, recorded at another time."""
    return dataclasses.replace(message, at=at)
