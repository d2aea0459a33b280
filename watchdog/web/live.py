"""`/live`: pages that change by themselves, through server-sent events.

One watcher looks for all readers, as long as there are any: when a tick of this process ended, and once a second for
what other processes record. What changed is rendered once and given to each. Who does not read what it is given is
dropped, and comes back by itself. Where reading takes a right, each look asks once for all readers who still has it.
Ticks come first: nothing is drawn while one runs or is about to, unless they follow each other for too long.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from watchdog.access import Found, Gate
from watchdog.errors import LedgerError
from watchdog.ledger import Ledger
from watchdog.quantities import rfc3339
from watchdog.web.fleet import Fleet
from watchdog.web.livereader import SOON_AGAIN, Reader, pass_on, wait_for_end
from watchdog.web.onewrite import ABORT
from watchdog.web.problems import Problem
from watchdog.web.topics import FleetTopic, Fragment, Heads, RolloutTopic, Topic, event

READERS = 200
"""Readers at a time; who comes later is told to come again, and its page asks now and then meanwhile."""
LOOK = 1.0
"""Seconds between two looks at the ledger while somebody reads."""
SOON = 0.2
"""Seconds after a tick until it is looked at: rollouts that tick together are shown together."""
LATEST = 3.0
"""Seconds for which a look makes way for ticks, all in all."""
AGAIN = 0.1
"""Seconds until it is seen whether a tick still runs: each look takes the interpreter from it for a moment."""
BEAT = 15.0
"""Seconds between two signs of life; each says as of when the page is."""
PATIENCE = 10.0
"""Seconds in which a reader must take what it was sent."""
VOUCHED = 900.0
"""Seconds after which a page comes again whose reader a proxy has named: only a request shows whether it still does."""
WARM_AFTER, WARM_EVERY = 20.0, 60.0
"""Seconds after a start, and between two looks while nobody reads: the first page at night finds all prepared."""
FLEET = "fleet"
HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
log = structlog.get_logger()
T = TypeVar("T")


@dataclass(slots=True)
class _Room:
    """Everybody who listens to one topic."""

    topic: Topic
    readers: set[Reader] = field(default_factory=set)


class Live:
    """The ASGI application at `/live`. `tell` and `end` may be called from any thread, all else from the loop's.

    `gate` knows who may read, None where everybody may.
    """

    def __init__(
        self,
        ledger: Ledger,
        fleet: Fleet,
        clock: Callable[[], float],
        fragment: Fragment | None = None,
        *,
        gate: Gate | None = None,
        ticking: Callable[[], bool] = lambda: False,
        patience: float = PATIENCE,
        vouched: float = VOUCHED,
    ) -> None:
        self.ledger = ledger
        self.clock = clock
        self._fleet = fleet
        self._fragment = fragment
        self._gate = gate
        self._ticking = ticking
        self._patience = patience
        self._vouched = vouched
        self._rooms: dict[str, _Room] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = asyncio.Event()
        self._pool = ThreadPoolExecutor(1, "http-live")
        self._watcher: asyncio.Task[None] | None = None
        self._ended = False

    @property
    def readers(self) -> int:
        """How many pages are open."""
        return sum(len(room.readers) for room in self._rooms.values())

    def routes(self) -> list[Route]:
        """The one address of it."""
        return [Route("/live", self, methods=["GET"])]

    # --- from any thread ------------------------------------------------------------------------------------------

    def tell(self, _rollout: int) -> None:
        """A tick of this process was recorded."""
        if self._loop is not None and self._rooms:
            with suppress(RuntimeError):  # the loop has just closed
                self._loop.call_soon_threadsafe(self._told.set)

    def end(self) -> None:
        """Let all readers go, now and for good: the server stops."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._ended = True
        self._dismiss()

    def _dismiss(self) -> None:
        for room in self._rooms.values():
            for reader in room.readers:
                reader.end()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """For as long as the application serves."""
        self._loop = asyncio.get_running_loop()
        warming = asyncio.create_task(self._keep_warm())
        try:
            yield
        finally:
            self._end()
            running = [task for task in (warming, self._watcher) if task is not None]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            self._pool.shutdown(wait=False, cancel_futures=True)

    # --- one reader -----------------------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one page until it is closed, too slow, or the server stops. Raises Problem before the first byte."""
        name, topic = self._asked(Request(scope))
        if scope["method"] == "HEAD":  # whoever asks for no body must not hold a place
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            await send({"type": "http.response.body", "body": b""})
            return
        room = self._rooms.setdefault(name, _Room(topic))
        found = scope.get("state", {}).get("found", Found())
        reader = Reader(scope.get("extensions", {}).get(ABORT, lambda: None), found, self._time())
        room.readers.add(reader)
        leaving = asyncio.create_task(wait_for_end(receive, reader))
        try:
            greeting = await self._on_thread(self._greet, room.topic, Request(scope).query_params.get("seen", ""))
            reader.give([b"retry: 3000\n\n", self._beat(), *greeting])
            if self._watcher is None or self._watcher.done():
                self._watcher = asyncio.create_task(self._watch())
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            await pass_on(reader, send, self._patience)
            self._complain()
        finally:
            leaving.cancel()
            room.readers.discard(reader)
            if not room.readers and self._rooms.get(name) is room:
                del self._rooms[name]

    def _complain(self) -> None:
        """Raise what ended the watcher, once: it is logged and counted where all errors of requests are."""
        watcher = self._watcher
        if watcher is not None and watcher.done() and not watcher.cancelled():
            self._watcher = None
            if (error := watcher.exception()) is not None:
                raise error

    def _asked(self, request: Request) -> tuple[str, Topic]:
        """What a page listens to. Raises Problem."""
        if self._ended or self.readers >= READERS:
            why = f"{READERS} pages are open already; this one goes on without live updates and tries again"
            raise Problem("too-many-readers", why, {"Retry-After": "30"})
        written = request.query_params.get("rollout")
        if written is None:
            return FLEET, FleetTopic(self._fleet, self.clock)
        if not (written.isascii() and written.isdigit() and len(written) < 10):
            raise Problem(
                "bad-parameter", f"rollout: found {written[:60]!r}, expected a rollout's number in the ledger"
            )
        if self._fragment is None:
            raise Problem("not-found", "this server has no pages of single rollouts")
        return f"rollout-{int(written)}", RolloutTopic(int(written), self._fragment)

    # --- the watcher ----------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Look for all, as long as anybody reads; if it fails, they come again and it begins anew."""
        beaten = self._time()
        try:
            while self._rooms and not self._ended:
                await self._pause()
                found, well = await self._look({name: room.topic for name, room in self._rooms.items()})
                now = self._time()
                await self._show_out(now)
                beat = well and now - beaten >= BEAT
                beaten = now if beat else beaten
                self._deliver(found, [self._beat()] if beat else [])
        finally:
            self._dismiss()

    async def _show_out(self, now: float) -> None:
        """Let go who may not read any more, before they are given what was found."""
        if self._gate is None:
            return
        readers = [reader for room in self._rooms.values() for reader in room.readers]
        lapsed = await self._on_thread(_lapsed, self._gate, [reader.found for reader in readers])
        for reader, gone in zip(readers, lapsed, strict=True):
            if gone:
                who = reader.found.principal.name if reader.found.principal is not None else None
                log.info("http", dropped="a live page", who=who, why="its token or session is good no more")
                reader.end()
            elif reader.found.kind == "proxy" and now - reader.since >= self._vouched:
                reader.end(SOON_AGAIN)

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK):
                await self._told.wait()
                await asyncio.sleep(SOON)
        self._told.clear()

    def _greet(self, topic: Topic, seen: str) -> list[bytes]:
        return topic.greet(seen, self._heads())

    async def _look(self, topics: dict[str, Topic]) -> tuple[dict[str, list[bytes]], bool]:
        """What has changed for whom, and whether the ledger told all that was asked of it.

        Where it did not, whoever asks for a page is told so, and the open ones hear nothing for a while.
        """
        found, well, until = {}, True, self._time() + LATEST
        await self._make_way(until)
        try:
            heads = await self._on_thread(self._heads)
        except LedgerError:
            return {}, False
        for name, topic in topics.items():
            await self._make_way(until)
            try:
                found[name] = await self._on_thread(topic.look, heads)
            except LedgerError:
                well = False
        return found, well

    async def _make_way(self, until: float) -> None:
        """Wait while a tick runs or is about to: drawing a page beside it would take the interpreter from it."""
        while self._ticking() and self._time() < until and not self._ended:  # noqa: ASYNC110 - threads tick, not tasks
            await asyncio.sleep(AGAIN)

    def _heads(self) -> Heads:
        ordered = self.ledger.any_pending()
        return {number: (revision, number in ordered) for number, revision in self.ledger.revisions().items()}

    def _deliver(self, found: dict[str, list[bytes]], beat: list[bytes]) -> None:
        for name, room in list(self._rooms.items()):
            pieces = [*found.get(name, []), *beat]
            for reader in list(room.readers) if pieces else ():
                reader.give(pieces)

    def _beat(self) -> bytes:
        return event("now", rfc3339(int(self.clock())))

    async def _keep_warm(self) -> None:
        await asyncio.sleep(WARM_AFTER)
        while True:
            if not self._rooms:
                with suppress(LedgerError):
                    await self._on_thread(self._fleet.warm, lambda: bool(self._rooms) or self._ended)
            await asyncio.sleep(WARM_EVERY)

    async def _on_thread(self, work: Callable[..., T], *given: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *given)

    def _time(self) -> float:
        return asyncio.get_running_loop().time()


def _lapsed(gate: Gate, readers: Sequence[Found]) -> list[bool]:
    """Which of these have no right any more."""
    stands = gate.standing()
    return [not stands(found) for found in readers]
