"""An evaluation of one flag answered in the turn of the event loop in which it arrives, without an application.

It costs half of the way through ASGI, and so fewer readers stand behind each other. Whatever is not that one request
in its usual form (another address, a body in pieces, a wrong token, more than one request at a time) takes that way.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from watchdog.serving import Answer, Readers
from watchdog.web.bodies import LARGEST_BODY
from watchdog.web.guard import Counting
from watchdog.web.headers import HEADERS
from watchdog.web.onewrite import OneWrite
from watchdog.web.readers import BULK, JSON, may_read

PREFIX = f"{BULK}/".encode()
ODD = frozenset(b"%?#")
"""Bytes of an address that are more than a flag's key."""


def at_once(readers: Readers, token: str | None, metrics: Counting) -> type[OneWrite]:
    """The protocol for these readers; the usual one where a set waits for a network, which would hold up the loop."""
    if not readers.local:
        return OneWrite
    about = {"readers": readers, "token": token, "metrics": metrics}
    return type("AtOnceForReaders", (AtOnce,), about)


class AtOnce(OneWrite):
    """Answers `POST /ofrep/v1/evaluate/flags/{key}` itself, and leaves all else to the application."""

    readers: Readers
    token: str | None
    metrics: Counting

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._key: str | None = None
        self._body = b""
        self._whole: tuple[str, bytes] | None = None

    def data_received(self, data: bytes) -> None:
        """Bytes from the client; they mostly hold one whole request."""
        super().data_received(data)
        if self._whole is not None:
            (key, body), self._whole = self._whole, None
            self._answer(key, body)
        if self._key is not None:  # the rest of its body is still to come, and has its time there
            self._key = None
            super().on_headers_complete()
            super().on_body(self._body)

    def on_headers_complete(self) -> None:
        """The parser has read the head of a request."""
        self._key, self._body = self._asked(), b""
        if self._key is None:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """The parser has read a part of its body."""
        if self._key is None:
            super().on_body(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        """The parser has read all of it."""
        if self._key is None:
            super().on_message_complete()
        else:
            self._whole, self._key = (self._key, self._body), None

    def _asked(self) -> str | None:
        """The flag to evaluate, where this is such a request and nothing else is under way."""
        parser, url = self.parser, self.url
        usual = url.startswith(PREFIX) and parser.get_method() == b"POST" and parser.get_http_version() == "1.1"
        if not usual or not ODD.isdisjoint(url) or not parser.should_keep_alive() or parser.should_upgrade():
            return None
        if self._whole is not None or self._under_way or self.expect_100_continue:
            return None
        headers = dict(self.headers)
        length = headers.get(b"content-length", b"")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            return None
        if not may_read(headers.get(b"authorization", b"").decode("latin-1"), self.token):
            return None
        return url[len(PREFIX) :].decode("ascii")

    @property
    def _under_way(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _answer(self, key: str, body: bytes) -> None:
        answer = None
        try:
            answer = self.readers.at_once(key, body)
        finally:
            if answer is None:  # asyncio logs what it was, and breaks the connection off
                self.metrics.on_http_error()
        head = [*self.server_state.default_headers, *_pairs(answer)]
        lines = b"".join(b"%b: %b\r\n" % pair for pair in head)
        self.gathering.write_whole(_START[answer.status] + lines + b"\r\n" + answer.body)
        if not self._under_way:
            self.on_response_complete()


def _pairs(answer: Answer) -> list[tuple[bytes, bytes]]:
    """The headers that are not the same for all."""
    own = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers.items()]
    return [(b"content-length", b"%d" % len(answer.body)), *own]


_START = {
    status.value: b"HTTP/1.1 %d %b\r\n%bcontent-type: %b\r\n"
    % (
        status.value,
        status.phrase.encode(),
        b"".join(f"{name.lower()}: {value}\r\n".encode() for name, value in HEADERS.items()),
        JSON.encode(),
    )
    for status in HTTPStatus
}
"""Everything before the headers of one answer, by its status."""
