"""An open page as tests have it: server-sent events read from a real server, waited for with a deadline."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import Self
from urllib.parse import urlsplit

WITHIN = 15.0


class Page:
    """Reads `/live` on a thread of its own until it is closed or the server ends it. Events are (name, data)."""

    def __init__(self, url: str, query: str = "", headers: Mapping[str, str] | None = None) -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._connection.connect()
        self._socket: socket.socket = self._connection.sock
        self._connection.request("GET", f"/live{query}", headers=dict(headers or {}))
        self.answer = self._connection.getresponse()
        self.events: queue.Queue[tuple[str, str] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        assert self.answer.status == 200, self.answer.read()
        self._thread.start()
        assert self.next("now"), "a page is told at once as of when it is"
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Shut the page: whatever is being read ends."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join(WITHIN)
        self.answer.close()
        self._connection.close()

    def _read(self) -> None:
        """Take events apart until nothing comes any more."""
        text = b""
        with suppress(OSError, HTTPException, ValueError):  # closed by the test, or broken off by the server
            while piece := self.answer.read1(1 << 20):
                *events, text = (text + piece).split(b"\n\n")
                for one in events:
                    lines = [line.partition(": ") for line in one.decode().splitlines()]
                    names = [value for name, _, value in lines if name == "event"]
                    if names:
                        self.events.put((names[0], "\n".join(value for name, _, value in lines if name == "data")))
        self.events.put(None)

    def next(self, name: str | None = None, fits: Callable[[str], bool] = lambda _: True) -> str:
        """The data of the next event of this name, any but `now` without one; fails when it does not come."""
        give_up = time.monotonic() + WITHIN
        while True:
            found = self.events.get(timeout=max(0.01, give_up - time.monotonic()))
            assert found is not None, "the server ended it"
            if (found[0] == name if name is not None else found[0] != "now") and fits(found[1]):
                return found[1]

    def named(self) -> str:
        """The name of the next event but `now`."""
        give_up = time.monotonic() + WITHIN
        while True:
            found = self.events.get(timeout=max(0.01, give_up - time.monotonic()))
            assert found is not None, "the server ended it"
            if found[0] != "now":
                return found[0]

    def ended(self) -> bool:
        """Wait until the server has ended it."""
        give_up = time.monotonic() + WITHIN
        while self.events.get(timeout=max(0.01, give_up - time.monotonic())) is not None:
            pass
        return True
