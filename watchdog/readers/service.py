"""Reading through the flag service itself: for the service in memory, and where no client of its kind is shipped."""

from __future__ import annotations

import threading
from typing import Self

from watchdog.errors import FlagServiceError
from watchdog.flags.base import FlagService
from watchdog.readers.base import KEY, Sight

PAUSES = {"memory": 0.0005}
REMOTE_PAUSE = 0.2
"""Seconds between two questions to a service that lives elsewhere."""


class ServiceReader:
    """What the service says that it serves; whether anybody has heard of it, nobody asked."""

    poll = 0.0

    def __init__(self, service: FlagService, name: str) -> None:
        self.name = name
        self._pause = PAUSES.get(name, REMOTE_PAUSE)
        self._service = service

    def is_on(self, flag: str, key: str = KEY) -> Sight:  # noqa: ARG002 - as the port has it
        """On means that anybody has it: a drill's flag is on for everybody or for nobody."""
        try:
            reading = self._service.read(flag)
        except FlagServiceError as error:
            return Sight(None, problem=str(error))
        return Sight(not reading.exposure.none, reading.version, reading.idem)

    def rest(self, stop: threading.Event) -> bool:
        """A moment. Whether to stop."""
        return stop.wait(self._pause)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""
