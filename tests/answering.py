"""A loopback HTTP server that writes exactly the bytes that a test gives it, whatever the method.

with Answering() as server:
    server.next(reply(json={"ok": True}), reply(429, headers={"Retry-After": "7"}), Reply(hang=True))
    ...
    assert server.asked[0].method == "PATCH"
"""

from __future__ import annotations

import json as jsonlib
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Request:
    """One request as it arrived; header names in small letters."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return jsonlib.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """Pieces of bytes with `pause` seconds between them; then the connection closes, or `hang` keeps it open."""

    pieces: list[bytes] = field(default_factory=list)
    pause: float = 0.0
    hang: bool = False


Script = Callable[[Request], Reply]


def reply(
    status: int = 200,
    body: bytes = b"",
    *,
    json: Any = None,
    headers: Mapping[str, str] | None = None,
    length: int | None = None,
) -> Reply:
    """A whole answer; `json` brings its content type, `length` announces another length than the body has."""
    body = jsonlib.dumps(json).encode() if json is not None else body
    kind = {"Content-Type": "application/json"} if json is not None else {}
    size = len(body) if length is None else length
    lines = {**kind, "Content-Length": str(size), "Connection": "close", **(headers or {})}
    head = f"HTTP/1.1 {status} Said\r\n" + "".join(f"{name}: {text}\r\n" for name, text in lines.items())
    return Reply([head.encode() + b"\r\n" + body])


class Answering:
    """The server. What `next` has queued comes first, then what `always` says. One thread a connection."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.asked: list[Request] = []
        self._queue: deque[Reply | Script] = deque()
        self._always: Reply | Script = reply(json={})
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def next(self, *replies: Reply | Script) -> Self:
        self._queue.extend(replies)
        return self

    def always(self, script: Reply | Script) -> Self:
        self._always = script
        return self

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        # Closing a listening socket wakes nobody who waits in accept; a connection does.
        socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in self._threads:
            thread.join()
        self._socket.close()

    def _start(self, work: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=work, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            if self._over.is_set():
                connection.close()
                return
            self._start(self._serve, connection)

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(10)
        try:
            connection = self._tls.wrap_socket(plain, server_side=True) if self._tls else plain
        except OSError:
            plain.close()
            return
        with connection:
            try:
                with connection.makefile("rb") as stream:
                    request = _received(iter(stream.readline, b""), stream.read)
                with self._lock:
                    self.asked.append(request)
                    script = self._queue.popleft() if self._queue else self._always
                answer = script if isinstance(script, Reply) else script(request)
                for piece in answer.pieces:
                    connection.sendall(piece)
                    if answer.pause and self._over.wait(answer.pause):
                        return
                if answer.hang:
                    self._over.wait()
            except (OSError, IndexError, StopIteration):
                return  # the client has hung up, which some tests make it do


def _received(lines: Iterator[bytes], read: Callable[[int], bytes]) -> Request:
    method, target, _ = next(lines).decode().split(" ", 2)
    headers: dict[str, str] = {}
    for line in lines:
        name, _, text = line.decode().strip().partition(":")
        if not name:
            break
        headers[name.lower()] = text.strip()
    return Request(method, target, headers, read(int(headers.get("content-length", "0"))))
