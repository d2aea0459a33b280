"""The flag services by name. An unknown name is an error at start, never a fallback.

A service's module is imported when it is opened: who steers a file need not have Redis' client installed.
"""

from __future__ import annotations

from collections.abc import Callable

from watchdog.errors import ConfigError, Problem
from watchdog.flags.base import ManagedFlagService
from watchdog.flags.settings import ServiceSettings


def _flagd_file(settings: ServiceSettings) -> ManagedFlagService:
    from watchdog.flags.flagd_file import FlagdFile  # noqa: PLC0415

    return FlagdFile(
        settings.path,
        settings.timeout,
        propagation=settings.worst_propagation,
        bucketing=settings.bucketing,
        audiences=settings.audiences,
    )


def _redis(settings: ServiceSettings) -> ManagedFlagService:
    from watchdog.flags.redis_set import open_redis  # noqa: PLC0415

    return open_redis(settings)


def _unleash(settings: ServiceSettings) -> ManagedFlagService:
    from watchdog.flags.unleash import open_unleash  # noqa: PLC0415

    return open_unleash(settings)


def _launchdarkly(settings: ServiceSettings) -> ManagedFlagService:
    from watchdog.flags.launchdarkly import open_launchdarkly  # noqa: PLC0415

    return open_launchdarkly(settings)


def _webhook(settings: ServiceSettings) -> ManagedFlagService:
    from watchdog.flags.webhook import open_webhook  # noqa: PLC0415

    return open_webhook(settings)


def _memory(settings: ServiceSettings) -> ManagedFlagService:
    from watchdog.flags.memory import InMemoryFlags  # noqa: PLC0415
    from watchdog.model import NOBODY  # noqa: PLC0415

    return InMemoryFlags(missing=NOBODY, propagation=settings.worst_propagation)


SERVICES: dict[str, Callable[[ServiceSettings], ManagedFlagService]] = {
    "flagd-file": _flagd_file,
    "launchdarkly": _launchdarkly,
    "memory": _memory,
    "redis": _redis,
    "unleash": _unleash,
    "webhook": _webhook,
}


def open_service(settings: ServiceSettings) -> ManagedFlagService:
    """The flag service that the settings name. Reaches nothing yet. Raises ConfigError."""
    factory = SERVICES.get(settings.service)
    if factory is None:
        known = ", ".join(sorted(SERVICES))
        raise ConfigError([Problem("flags.service", f"is {settings.service!r}; expected one of {known}")])
    return factory(settings)
