"""Which flag sets there are to serve, and how each is looked at."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from watchdog.config.flagsettings import FlagSettings
from watchdog.config.settings import Settings
from watchdog.errors import ConfigError, Problem
from watchdog.flags.base import Documented

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FlagSet:
    """A set to serve: its name in addresses, how to read it, and its hash.

    `mark` is a look that cannot block and differs when the document may have changed; None where there is no such
    look, and `read` itself waits for a network.
    """

    name: str
    read: Callable[[], tuple[str, Json]]
    bucketing: str
    mark: Callable[[], object] | None = None


def flag_set(service: object, settings: FlagSettings) -> FlagSet | None:
    """The set that a flag service holds; None for a service without a flagd document, which has nothing to serve."""
    if not isinstance(service, Documented):
        return None
    if settings.service == "flagd-file":
        path = os.fspath(settings.path)
        name = settings.path.name.removesuffix(".json").removesuffix(".flagd")
        return FlagSet(name, service.document, settings.bucketing, lambda: _mark(path))
    return FlagSet(settings.set, service.document, settings.bucketing)


def sets_of(settings: Settings, primary: object, emergency: object) -> list[FlagSet]:
    """What the daemon serves: the rollouts' flags, and the emergency flags last, which win. Raises ConfigError."""
    named = [(primary, settings.flags)]
    if settings.emergency_flags != settings.flags:
        named.append((emergency, settings.emergency_flags))
    sets = [found for service, about in named if (found := flag_set(service, about)) is not None]
    if len(sets) == 2 and sets[0].name == sets[1].name:
        message = (
            f"its flag set is called {sets[0].name!r} like that of `flags`, and both are served under their names; "
            "write another file name or set"
        )
        raise ConfigError([Problem("emergency", message)])
    return sets


def _mark(path: str) -> object:
    """What tells one state of a file from the next, were it replaced, rewritten, moved away or made unreadable."""
    try:
        status = os.stat(path)  # noqa: PTH116 - half the time, before every answer
    except OSError as error:
        return error.errno
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)
