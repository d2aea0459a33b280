"""uvicorn's HTTP protocol with one write for each answer.

uvicorn writes head and body apart. Each write wakes the client, which then reads half an answer, sleeps and is woken
again: on a busy machine that costs more than the evaluation of a flag.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

ABORT = "watchdog.abort"
"""Among a request's extensions: breaks its connection off, whatever waits to be sent."""

GOODBYE = 0.5
"""Seconds for a client to say that it has seen the end of an encrypted connection."""


class OneWrite(HttpToolsProtocol):
    """What is written in one turn of the event loop leaves as one piece."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        self.gathering = _Gathering(transport, self.loop)
        super().connection_made(cast("asyncio.Transport", self.gathering))

    def shutdown(self) -> None:
        """The server stops. A client that is idle is not waited for until it takes leave of TLS, too."""
        super().shutdown()
        if self.scheme_is_tls and (self.cycle is None or self.cycle.response_complete):
            self.loop.call_later(GOODBYE, self.transport.abort)

    @property
    def scheme_is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.transport.get_extra_info("sslcontext") is not None

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort}  # type: ignore[dict-item]


class _Gathering:
    """A transport that holds writes back until the current turn of the loop is over; all else goes straight through."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send this, soon."""
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)

    def write_whole(self, data: bytes) -> None:
        """Send this now: it is all there is to say. A turn of the loop costs a call of the system."""
        self._pieces.append(data)
        self._flush()

    def close(self) -> None:
        """Send what is left, then hang up."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces and not self._transport.is_closing():
            self._transport.write(b"".join(pieces))
