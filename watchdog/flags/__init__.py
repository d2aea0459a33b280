"""The flag services by name. An unknown name is an error at start, never a fallback.

A service's module is imported when it is opened: who steers a file need not have Redis' client installed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from pydantic import SecretStr

from watchdog.errors import ConfigError, Problem
from watchdog.flags.base import ManagedFlagService


class ServiceSettings(Protocol):
    """What the `flags:` section of the settings says (config/flagsettings.py): durations in seconds."""

    @property
    def service(self) -> str:
        """Name of the service, a key of `SERVICES`."""
        ...

    @property
    def path(self) -> Path:
        """The flag file, for services that keep one."""
        ...

    @property
    def timeout(self) -> float:
        """How long one call to the service may take."""
        ...

    @property
    def worst_propagation(self) -> float:
        """Worst case until a reader sees a change."""
        ...

    @property
    def bucketing(self) -> str:
        """The hash that deals users to percentages: `flagd-v2` or `flagd-v3`."""
        ...

    @property
    def audiences(self) -> Mapping[str, Any]:
        """Whom each audience means: name -> JsonLogic condition."""
        ...

    @property
    def url(self) -> str | None:
        """Where the service answers; None for its usual address, where it has one."""
        ...

    @property
    def set(self) -> str:
        """Name of the flag set."""
        ...

    @property
    def username(self) -> str | None:
        """Who signs in."""
        ...

    @property
    def password(self) -> SecretStr | None:
        """With which password."""
        ...

    @property
    def token(self) -> SecretStr | None:
        """The token that lets us change flags."""
        ...

    @property
    def secret(self) -> SecretStr | None:
        """The key that messages are signed with."""
        ...

    @property
    def project(self) -> str:
        """The service's project."""
        ...

    @property
    def environment(self) -> str:
        """The environment in which flags are changed."""
        ...

    @property
    def ca_file(self) -> Path | None:
        """Certificates to trust besides the system's."""
        ...


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
