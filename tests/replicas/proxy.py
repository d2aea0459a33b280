"""A way to a server that a test can cut: refuse what comes, or swallow it without a word."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

CHUNK = 65536


class Proxy:
    """Hands every connection on to a loopback port, until it is `cut` (closes all, takes none) or told to `swallow`."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._lock = threading.Lock()
        self._refuses = self._swallows = self._ended = False
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """The network is gone, and says so."""
        with self._lock:
            self._refuses = True
            self._close_all()

    def swallow(self) -> None:
        """The network is gone, and nobody says so."""
        with self._lock:
            self._swallows = True

    def mend(self) -> None:
        """As before; what was swallowed is lost with its connections."""
        with self._lock:
            if self._swallows:
                self._close_all()
            self._refuses = self._swallows = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        self._thread.join(10)
        with self._lock:
            self._close_all()
            self._selector.close()
            self._listening.close()

    def _run(self) -> None:
        while not self._ended:
            ready = self._selector.select(0.05)
            with self._lock:
                for key, _ in ready:
                    if key.fileobj is self._listening:
                        self._accept()
                    elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._pairs:
                        self._forward(key.fileobj)

    def _accept(self) -> None:
        client, _ = self._listening.accept()
        if self._refuses:
            client.close()
            return
        if self._swallows:
            self._pairs[client] = client
            return
        try:
            server = socket.create_connection(("127.0.0.1", self._to), 5)
        except OSError:
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            self._pairs[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _forward(self, one: socket.socket) -> None:
        try:
            data = one.recv(CHUNK)
        except OSError:
            data = b""
        if self._swallows and data:
            return
        other = self._pairs[one]
        if data:
            with suppress(OSError):
                other.sendall(data)
                return
        for end in (one, other):
            self._close(end)

    def _close(self, one: socket.socket) -> None:
        self._pairs.pop(one, None)
        with suppress(KeyError, ValueError):
            self._selector.unregister(one)
        one.close()

    def _close_all(self) -> None:
        for one in list(self._pairs):
            self._close(one)
