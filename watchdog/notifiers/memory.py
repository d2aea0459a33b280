"""A channel that keeps what it is given: the port's fake."""

from __future__ import annotations

from collections import deque

from watchdog.errors import NotifierError
from watchdog.model import Notification


class InMemoryNotifier:
    """Delivered messages are in `sent`, oldest first, as (rollout, notification); `attempts` counts failed ones too.

    Repeats are kept: that a message came twice is what a test wants to know. `received` tells them apart by key,
    as a real channel does.
    """

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.sent: list[tuple[str, Notification]] = []
        self.attempts = 0
        self._failures: deque[tuple[NotifierError, bool]] = deque()

    @property
    def received(self) -> dict[str, Notification]:
        """What people see: the newest message of each key."""
        return {notification.key: notification for _, notification in self.sent}

    def fail(self, error: NotifierError, *, times: int = 1, after: bool = False) -> None:
        """Script failures: each of the next `times` sends raises `error`; with `after` the message was delivered."""
        self._failures.extend([(error, after)] * times)

    def recover(self) -> None:
        """Forget the failures not yet used."""
        self._failures.clear()

    def send(self, notification: Notification, rollout: str) -> None:
        """Keep the message. Raises NotifierError only as scripted."""
        self.attempts += 1
        error, after = self._failures.popleft() if self._failures else (None, True)
        if after:
            self.sent.append((rollout, notification))
        if error is not None:
            raise error
