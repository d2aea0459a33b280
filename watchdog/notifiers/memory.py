"""A channel that keeps what it is given: the port's fake."""

from __future__ import annotations

from collections import deque

from watchdog.errors import NotifierError
from watchdog.messages import Message
from watchdog.notifiers.base import Memo


class InMemoryNotifier:
    """Delivered messages are in `sent`, oldest first, as (rollout, message); `attempts` counts failed ones too.

    Repeats are kept: that a message came twice is what a test wants to know. `received` tells them apart by key, as
    a real channel does, and `again` holds the keys of those that were announced as possible repeats.
    """

    repeats_known = True

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.sent: list[tuple[str, Message]] = []
        self.again: list[str] = []
        self.attempts = 0
        self.closed = False
        self._failures: deque[tuple[NotifierError, bool]] = deque()

    @property
    def received(self) -> dict[str, Message]:
        """What people see: the newest message of each key."""
        return {message.key: message for _, message in self.sent}

    def fail(self, error: NotifierError, *, times: int = 1, after: bool = False) -> None:
        """Script failures: each of the next `times` sends raises `error`; with `after` the message was delivered."""
        self._failures.extend([(error, after)] * times)

    def recover(self) -> None:
        """Forget the failures not yet used."""
        self._failures.clear()

    def ready_in(self, message: Message, now: float) -> float:  # noqa: ARG002 - the port's shape
        """0: it has no limit."""
        return 0.0

    def send(self, message: Message, memo: Memo, now: float, *, again: bool) -> str:  # noqa: ARG002
        """Keep the message. Raises NotifierError only as scripted."""
        self.attempts += 1
        if again:
            self.again.append(message.key)
        error, after = self._failures.popleft() if self._failures else (None, True)
        if after:
            self.sent.append((message.rollout, message))
        if error is not None:
            raise error
        return "kept"

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True
