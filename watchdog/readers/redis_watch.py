"""Keeping up with a flag set in Redis: told by its channel, asking for its version besides, never without a document.

A message brings the document with it, which is in use at once. What counts is what Redis holds, so that is read right
after. A message reaches whoever listens at that moment and nobody else, so the version is asked for every second, and
the whole document every ten: a person may have written that without a new version.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

from watchdog.errors import FlagServiceError
from watchdog.flags import flagd_document as flagd
from watchdog.flags.flagd_document import Json
from watchdog.flags.redis_link import TROUBLE, failed, redis
from watchdog.flags.redis_scripts import LARGEST, Keys

POLL = 1.0
"""Seconds between two questions for the version."""

REREAD = 10.0
"""Seconds between two looks at the whole document, whatever its version says."""

HANDS_OFF = 0.002
"""Seconds for which the application has the interpreter to itself after a change, before more is asked."""

SLICE = 0.2
"""Seconds after which a listening thread notices that it should end."""


class RedisWatch:
    """Follows the set `keys` through `client` in a thread of its own, between `start` and `stop`.

    `changed` is called with every new sound document, `lost` with a sentence when documents stop coming (once, until
    they come again), `found` when they do. All three are called in that thread, one at a time.
    """

    def __init__(
        self,
        client: redis.Redis,
        place: str,
        keys: Keys,
        timeout: float,
        *,
        changed: Callable[[Json], None],
        lost: Callable[[str], None],
        found: Callable[[], None],
        poll: float = POLL,
    ) -> None:
        self._client = client
        self._place = f"{place}: {keys.doc}"
        self._keys = keys
        self._timeout = timeout
        self._poll = poll
        self._changed = changed
        self._lost = lost
        self._found = found
        self._raw: bytes | None = None
        self._version: bytes | None = None
        self._well: bool | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to follow; returns at once."""
        self._stop = threading.Event()
        self._well = None
        self._thread = threading.Thread(target=self._run, args=(self._stop,), name="slo-watchdog-redis", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, and wait until the thread has; harmless when it does not run."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(self._timeout + 2 * SLICE)
            self._thread = None
        self._client.close()

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._follow(stop)
            except TROUBLE as error:
                self._tell(str(failed(error, self._place, self._timeout)))
                stop.wait(self._poll)

    def _follow(self, stop: threading.Event) -> None:
        """Listen and ask until told to stop, or until the channel has failed to say something."""
        with self._listening() as channel:
            self._read()
            asked = read = time.monotonic()
            while not stop.is_set():
                message = channel.get_message(timeout=max(0.0, min(SLICE, asked + self._poll - time.monotonic())))
                if message is not None and message["type"] == "message":
                    self._hear(message["data"])
                    continue
                now = time.monotonic()
                if now - read >= REREAD:
                    self._read()
                    asked = read = now
                elif now - asked >= self._poll:
                    asked = now
                    if self._client.get(self._keys.version) != self._version:
                        self._read()
                        return  # to listen anew: the channel did not tell

    @contextlib.contextmanager
    def _listening(self) -> Iterator[Any]:
        """The channel, once Redis has confirmed that it will tell."""
        channel: Any = cast("Any", self._client).pubsub()
        try:
            channel.subscribe(self._keys.changed)
            if channel.get_message(timeout=self._timeout) is None:
                raise TimeoutError("no answer to SUBSCRIBE")
            yield channel
        finally:
            channel.close()

    def _hear(self, said: bytes) -> None:
        """Take over the document of a message that is newer than ours, then what is there: anybody may have said it."""
        version, _, raw = said.partition(b"\n")
        if version == self._version:
            return
        if raw and _newer(version, self._version):
            with contextlib.suppress(FlagServiceError):
                self._take(raw)
            self._stop.wait(HANDS_OFF)
        self._read()

    def _read(self) -> None:
        """Take over what is there now; a document that is gone or broken changes nothing."""
        with self._client.pipeline(transaction=True) as both:
            both.getrange(self._keys.doc, 0, LARGEST)
            both.get(self._keys.version)
            raw, version = both.execute()
        self._version = version
        try:
            self._take(raw)
        except FlagServiceError as error:
            self._tell(str(error))
        else:
            self._tell("")

    def _take(self, raw: bytes) -> None:
        """Use a document, unless it is the one in use. Raises FlagServiceError for a broken one."""
        if raw != self._raw:
            document = self._parsed(raw)
            self._raw = raw
            self._changed(document)

    def _parsed(self, raw: bytes) -> Json:
        problem = "" if raw.strip() else "it is missing or empty"
        if len(raw) > LARGEST:
            problem = f"it has more than {LARGEST} bytes"
        if problem:
            raise FlagServiceError(f"{self._place}: {problem}; expected a flagd document; repair it.")
        return flagd.parse(raw, self._place)

    def _tell(self, problem: str) -> None:
        """Say once that documents stopped coming, and once that they come again."""
        well = not problem
        if well == self._well:
            return
        self._well = well
        if well:
            self._found()
        else:
            self._lost(problem)


def _newer(version: bytes, known: bytes | None) -> bool:
    """Whether a version follows the one that is known; anything but short decimal numbers does not."""
    if known is None or not all(text.isdigit() and len(text) < 16 for text in (version, known)):
        return False
    return int(version) > int(known)
