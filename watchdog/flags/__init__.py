"""The flag services by name. An unknown name is an error at start, never a fallback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from watchdog.errors import ConfigError, Problem
from watchdog.flags.base import FlagService
from watchdog.flags.flagd_file import FlagdFile
from watchdog.flags.memory import InMemoryFlags
from watchdog.model import NOBODY


class ServiceSettings(Protocol):
    """What the `flags:` section of the settings says: durations in seconds, None where it is silent."""

    @property
    def service(self) -> str:
        """Name of the service, a key of `SERVICES`."""
        ...

    @property
    def path(self) -> Path | None:
        """The flag file, for services that keep one."""
        ...

    @property
    def timeout(self) -> float:
        """How long one call to the service may take."""
        ...

    @property
    def propagation(self) -> float | None:
        """Worst case until a reader sees a change; None for the service's own figure."""
        ...


def _flagd_file(settings: ServiceSettings) -> FlagService:
    if settings.path is None:
        message = (
            "is missing; the service flagd-file needs the path of its flag file, such as flags/checkout.flagd.json"
        )
        raise ConfigError([Problem("flags.path", message)])
    if settings.propagation is None:
        return FlagdFile(settings.path, settings.timeout)
    return FlagdFile(settings.path, settings.timeout, propagation=settings.propagation)


def _memory(settings: ServiceSettings) -> FlagService:
    return InMemoryFlags(missing=NOBODY, propagation=settings.propagation or 0.0)


SERVICES: dict[str, Callable[[ServiceSettings], FlagService]] = {
    "flagd-file": _flagd_file,
    "memory": _memory,
}


def open_service(settings: ServiceSettings) -> FlagService:
    """The flag service that the settings name. Opens nothing yet. Raises ConfigError."""
    factory = SERVICES.get(settings.service)
    if factory is None:
        known = ", ".join(sorted(SERVICES))
        raise ConfigError([Problem("flags.service", f"is {settings.service!r}; expected one of {known}")])
    return factory(settings)
