"""The port to a notification channel: one method. Adapters raise `NotifierError` only."""

from __future__ import annotations

from typing import Protocol

from watchdog.model import Notification


class Notifier(Protocol):
    """A channel that people listen to."""

    name: str

    def send(self, notification: Notification, rollout: str) -> None:
        """Deliver one message; safe to repeat, `notification.key` tells repeats apart. Raises NotifierError."""
        ...
