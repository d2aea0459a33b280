"""What one channel has before it: in which order messages go, and which of them a newer one stands for. Pure.

Messages of one rollout go in the order in which they were recorded, so that nobody reads of an end before its
beginning. Rollouts do not wait for each other: of those whose turn it is, the most severe goes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from watchdog.ledger import CLAIM, Unsent
from watchdog.messages import Effect, Message
from watchdog.model import Severity

OLD_NEWS = 30.0
"""Seconds after which an update of an incident is left out when a newer one waits, too."""
OLD_STEP = 600.0
"""Seconds after which a step of exposure is left out when a newer one waits, too."""
_LOUD = (Severity.INFO, Severity.WARNING, Severity.CRITICAL)
_ALIVE = (Effect.OPEN, Effect.ESCALATE)


@dataclass(frozen=True, slots=True)
class Item:
    """One waiting message, with what it stands for (`standing_for`).

    `since` is from when on it could have gone, had the channel been able to take it.
    """

    unsent: Unsent
    message: Message
    since: float

    @property
    def id(self) -> int:
        """The message's number."""
        return self.unsent.id

    @property
    def in_doubt(self) -> bool:
        """Whether somebody began to send it and never said how that ended; perhaps they are at it now."""
        return self.unsent.started_at is not None and self.unsent.next_try_at is None

    @property
    def due(self) -> float:
        """When it may be tried, wall time; what somebody began is left to them for a while."""
        if self.in_doubt:
            return (self.unsent.started_at or 0.0) + CLAIM
        return self.unsent.next_try_at or 0.0


@dataclass(slots=True)
class Queue:
    """The messages of one rollout, oldest first. `not_before` holds the first one back, and so all of them."""

    items: list[Item]
    not_before: float = 0.0

    @property
    def due(self) -> float:
        """When its first message may be tried."""
        return max(self.not_before, self.items[0].due)


@dataclass(slots=True)
class Queues:
    """All that one channel has before it, by rollout."""

    by_rollout: dict[int, Queue] = field(default_factory=dict)

    def first(self, now: float) -> Queue | None:
        """The queue whose first message is to be sent now: the most severe one, of those the oldest."""
        due = [queue for queue in self if queue.due <= now]
        return min(due, key=lambda queue: (-_loudness(queue.items[0].message), queue.items[0].id), default=None)

    def next_due(self) -> float | None:
        """When the next message may be tried; None when there is none."""
        return min((queue.due for queue in self), default=None)

    def took(self, queue: Queue) -> None:
        """Its first message needs nothing any more."""
        del queue.items[0]

    def __iter__(self) -> Iterator[Queue]:
        return (queue for queue in self.by_rollout.values() if queue.items)


def collapse(items: Sequence[Item], now: float) -> dict[int, int]:
    """Which messages of one rollout (oldest first) a newer one stands for: number of the older -> of the newer.

    Of one incident only the newest news is sent, or its end alone; of a ramp only the newest step. What is fresh is
    sent by itself: only a backlog is made shorter.
    """
    stands: dict[int, int] = {}
    newest: dict[str, int] = {}
    for item in reversed(items):
        message, age = item.message, now - item.since
        subject, old = message.incident, message.effect in _ALIVE and age > OLD_NEWS
        if message.kind == "step" and message.severity is Severity.INFO and not subject:
            subject, old = "step", age > OLD_STEP
        if subject and old and subject in newest:
            stands[item.id] = newest[subject]
        elif subject:
            newest[subject] = item.id
    return stands


def queues(items: Iterable[Item], now: float) -> tuple[Queues, dict[int, int]]:
    """The queues without what is stood for, and that: number of the older message -> of the newer."""
    by_rollout: dict[int, list[Item]] = {}
    for item in items:
        by_rollout.setdefault(item.unsent.rollout_id, []).append(item)
    found, stands = Queues(), dict[int, int]()
    for rollout, waiting in by_rollout.items():
        # Somebody is sending one of these this moment: what it stands for is not ours to say.
        at_work = any(item.in_doubt and item.due > now for item in waiting)
        stood_for = {} if at_work else collapse(waiting, now)
        stands |= stood_for
        found.by_rollout[rollout] = Queue(_left(waiting, stood_for))
    return found, stands


def _left(waiting: Sequence[Item], stood_for: Mapping[int, int]) -> list[Item]:
    older: dict[int, list[Message]] = {}
    for item in waiting:
        if item.id in stood_for:
            older.setdefault(stood_for[item.id], []).append(item.message)
    return [
        replace(item, message=standing_for(item.message, older.get(item.id, ())))
        for item in waiting
        if item.id not in stood_for
    ]


def _loudness(message: Message) -> int:
    return _LOUD.index(message.severity)


def standing_for(message: Message, earlier: Sequence[Message]) -> Message:
    """The message with all that it stands for: their summaries, and as loud as the loudest while the incident is open.

    Somebody who was not woken by an alarm must not be told of its quiet sequel only.
    """
    if not earlier:
        return message
    severity = message.severity
    if message.effect in _ALIVE:
        severity = max((message, *earlier), key=_loudness).severity
    return replace(
        message,
        severity=severity,
        earlier=tuple(one.summary for one in earlier),
        broadcast=message.broadcast or any(one.broadcast for one in earlier),
        change=message.change or any(one.change for one in earlier),
    )
