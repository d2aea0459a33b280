"""One open page that is live: what waits for it, and how it is let go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from starlette.types import Receive, Send

from watchdog.access import Found

WAITING = 64
"""Messages that may wait for one reader."""
SOON_AGAIN = b"retry: 200\n\n"
"""What makes a browser come back at once: its person has done nothing wrong."""
log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class Reader:
    """One open page. `abort` breaks its connection off; `found` is who reads it, since a time of the loop's clock."""

    abort: Callable[[], None]
    found: Found
    since: float
    queue: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(WAITING))

    def give(self, pieces: list[bytes]) -> None:
        """Pass on what happened; who has not read the last messages by now is dropped."""
        try:
            for piece in pieces:
                self.queue.put_nowait(piece)
        except asyncio.QueueFull:
            log.info("http", dropped="a live page", why=f"it left {WAITING} messages unread")
            self.end()
            self.abort()

    def end(self, last: bytes | None = None) -> None:
        """Let it go, whatever still waits for it; `last` is all that it is told."""
        while not self.queue.empty():
            self.queue.get_nowait()
        if last is not None:
            self.queue.put_nowait(last)
        self.queue.put_nowait(None)


async def pass_on(reader: Reader, send: Send, patience: float) -> None:
    """Send what comes, until the end; a reader that takes nothing for too long is broken off."""
    try:
        while (piece := await reader.queue.get()) is not None:
            pieces: list[bytes | None] = [piece]
            while not reader.queue.empty() and pieces[-1] is not None:
                pieces.append(reader.queue.get_nowait())
            body = b"".join(one for one in pieces if one is not None)
            async with asyncio.timeout(patience):
                await send({"type": "http.response.body", "body": body, "more_body": True})
            if pieces[-1] is None:
                break
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    except TimeoutError:
        log.info("http", dropped="a live page", why=f"it took nothing for {patience:g} s")
        reader.abort()


async def wait_for_end(receive: Receive, reader: Reader) -> None:
    """Let it go when its browser does."""
    while (await receive())["type"] != "http.disconnect":
        pass
    reader.end()
