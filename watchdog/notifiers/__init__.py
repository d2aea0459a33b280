"""The notification channels by name. An unknown name is an error at start, never a fallback."""

from __future__ import annotations

from collections.abc import Callable

from watchdog.errors import ConfigError, Problem
from watchdog.notifiers.base import Notifier
from watchdog.notifiers.memory import InMemoryNotifier

CHANNELS: dict[str, Callable[[], Notifier]] = {
    "memory": InMemoryNotifier,
}


def open_channel(name: str) -> Notifier:
    """The channel of that name. Raises ConfigError."""
    factory = CHANNELS.get(name)
    if factory is None:
        known = ", ".join(sorted(CHANNELS))
        raise ConfigError([Problem(f"notify.{name}", f"is not a known channel; expected one of {known}")])
    return factory()
