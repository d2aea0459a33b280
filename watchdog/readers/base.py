"""What a drill wants of a reader: whether a flag is on for somebody, as an application would be told."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple, Protocol, Self

from watchdog.errors import WatchdogError

KEY = "slo-watchdog-drill"
"""Whom a drill asks for; the flag is on for everybody or for nobody, so it makes no difference."""

TROUBLE_PAUSE = 0.05
"""Seconds until the next evaluation after one that failed."""


class ReaderError(WatchdogError):
    """A reader cannot be had: its client is not installed, or it cannot be started."""


class Sight(NamedTuple):
    """What a reader saw. `on` is None when it could not tell, and `problem` says why.

    `version` and `idem` come with the evaluation, where the way to the reader carries them: the version of the flag's
    last change, and the idempotency key of that change. `at` is the monotonic instant of the sight, where the reader
    has stamped it itself: one in a process of its own is told before its watcher is.
    """

    on: bool | None
    version: str = ""
    idem: str = ""
    problem: str = ""
    at: float | None = None


class Reader(Protocol):
    """One client, open while the `with` block lasts."""

    name: str
    poll: float
    """Seconds between its looks at where its flags come from; 0 for one that asks each time, or is told."""

    def is_on(self, flag: str, key: str = KEY) -> Sight:
        """One evaluation. Never raises."""
        ...

    def rest(self, stop: threading.Event) -> bool:
        """Leave time until the next evaluation: none may starve what keeps the reader up to date. Whether to stop.

        A reader that is told of changes rests until there is one, or for a moment.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def wait_for(
    reader: Reader, flag: str, until: float, stop: threading.Event, *, on: bool, idem: str | None = None
) -> tuple[float | None, Sight]:
    """Evaluate until the reader says `on`, the monotonic instant `until` has come or `stop` is set.

    Returns the instant at which it was seen, None when it was not, and the newest sight. With `idem` a sight that tells
    of another change does not count.
    """
    while True:
        sight = reader.is_on(flag)
        now = time.monotonic()
        if sight.on is on and (not idem or sight.idem in ("", idem)):
            return now if sight.at is None else sight.at, sight
        if now >= until or (stop.wait(TROUBLE_PAUSE) if sight.on is None else reader.rest(stop)):
            return None, sight
