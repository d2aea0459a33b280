"""A server that answers every request with the same bytes: as a body, or as all there is on the connection."""

from __future__ import annotations

import atexit
import contextlib
import socket
import threading
from functools import cache

PATIENCE = 5.0


class Speaker:
    """One listening socket; every connection gets one answer and its end."""

    def __init__(self) -> None:
        self.answer = b""
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, name="speaker", daemon=True).start()
        atexit.register(self._socket.close)

    def says(self, body: bytes, status: int = 200, kind: str = "application/json") -> str:
        """Answer with this body from now on; the address."""
        head = f"HTTP/1.1 {status} Said\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        return self.says_raw(f"{head}Connection: close\r\n\r\n".encode() + body)

    def says_raw(self, answer: bytes) -> str:
        """Answer with these bytes from now on; the address."""
        self.answer = answer
        return self.url

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(PATIENCE)
                    _whole_request(connection)
                    connection.sendall(self.answer)


def _whole_request(connection: socket.socket) -> None:
    """Read to the end of one request: who hangs up before breaks the connection instead of ending it."""
    got = b""
    while b"\r\n\r\n" not in got and (piece := connection.recv(65536)):
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            left = int(line.partition(b":")[2]) - len(body)
            while left > 0 and (piece := connection.recv(65536)):
                left -= len(piece)


@cache
def speaker() -> Speaker:
    """The one of this process, started when it is first used."""
    return Speaker()
