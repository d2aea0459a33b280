"""A flag set kept ready for evaluation, and looked at before every one: the newest document, or the last good one.

A file is looked at by its inode and times, in place, which takes microseconds. What is behind a network is read on a
thread: requests that arrive meanwhile wait for the same answer, for a moment at most.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog

from watchdog.errors import FlagServiceError, WatchdogError
from watchdog.flags.flagd_evaluator import Evaluator
from watchdog.serving.sets import FlagSet

Json = dict[str, Any]

PATIENCE = 0.25
"""Seconds that a request waits for a look over the network before it takes the last good document."""
FRESH = 0.001
"""Seconds for which a look at a file holds. Each look lets other threads in, and a crowd of readers waits for them."""
AGAIN = 1.0
"""Seconds between looks at a document that could not be read and has not changed since."""
log = structlog.get_logger()


class Unavailable(WatchdogError):
    """The document of a set has never been readable since this process started."""


@dataclass(frozen=True, slots=True)
class Held:
    """One document, ready: its bytes for flagd, their strong ETag, and its evaluator."""

    version: str
    raw: bytes
    etag: str
    evaluator: Evaluator


class Kept:
    """The newest good document of one set. Threads and event loops share it."""

    def __init__(self, source: FlagSet, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = source.name
        self._source = source
        self._clock = clock
        self._held: Held | None = None
        self._good_at = clock()
        self._problem = ""
        self._mark: object = object()
        self._looked_at = self._tried_at = float("-inf")
        self._lock = threading.Lock()
        self._looking: Future[Held] | None = None
        self._pool = ThreadPoolExecutor(1, f"flags-{source.name}") if source.mark is None else None

    def stale(self) -> float | None:
        """For how many seconds the document could not be read; None while it can."""
        return self._clock() - self._good_at if self._problem else None

    @property
    def local(self) -> bool:
        """Whether a look at it never waits for a network."""
        return self._source.mark is not None

    async def current(self) -> Held:
        """The document as it is now, or the last good one. Raises Unavailable when there is none."""
        if self._source.mark is not None:
            return self._look_in_place(self._source.mark)
        if self._problem and self._held is not None and self._clock() < self._tried_at + AGAIN:
            return self._held
        looking = self._look_on_a_thread()
        late = self._clock() - self._tried_at >= PATIENCE  # somebody has waited in vain for this one already
        if not late or self._held is None:
            waited = asyncio.wrap_future(looking)
            waited.add_done_callback(lambda done: done.cancelled() or done.exception())  # it may fail unwaited for
            try:
                return await asyncio.wait_for(asyncio.shield(waited), PATIENCE)
            except TimeoutError:
                self._failed(f"no answer within {PATIENCE:g} s")
        return self._last_good()

    def close(self) -> None:
        """Give the thread up."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _look_in_place(self, look: Callable[[], object]) -> Held:
        now = self._clock()
        if self._held is not None and not self._problem and now < self._looked_at + FRESH:
            return self._held
        mark = look()
        with self._lock:
            self._looked_at = now
            again = bool(self._problem) and now >= self._tried_at + AGAIN
            if mark != self._mark or again:
                self._mark, self._tried_at = mark, now
                return self._read()
        return self._last_good()

    def _look_on_a_thread(self) -> Future[Held]:
        """The look under way, or a new one."""
        with self._lock:
            if self._pool is not None and (self._looking is None or self._looking.done()):
                self._tried_at = self._clock()
                self._looking = self._pool.submit(self._read)
            if self._looking is None:
                raise AssertionError("unreachable: there is a thread, or the look is in place")
            return self._looking

    def _read(self) -> Held:
        """Read the document and keep it; the last good one where it cannot be read."""
        try:
            version, document = self._source.read()
            if self._held is None or self._held.version != version:
                self._held = _ready(version, document, self._source.bucketing)
        except FlagServiceError as error:
            self._failed(str(error))
            return self._last_good()
        if self._problem:
            log.info("flags served", set=self.name, why="the document can be read again", version=version)
        self._problem, self._good_at = "", self._clock()
        return self._held

    def _failed(self, why: str) -> None:
        if not self._problem:
            log.warning("flags served", set=self.name, why=f"{why} The last good document is served, if there is one.")
        self._problem = why

    def _last_good(self) -> Held:
        if self._held is None:
            raise Unavailable(self._problem)
        return self._held


def _ready(version: str, document: Json, bucketing: str) -> Held:
    raw = json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")
    return Held(version, raw, f'"{hashlib.sha256(raw).hexdigest()[:32]}"', Evaluator(document, bucketing))
