"""Pages for a Prometheus to scrape, each at a loopback port of its own, served by threads until the block ends."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class Page(BaseHTTPRequestHandler):
    """What answers for one page, silently. Give it a `do_GET`."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


class Served:
    """A server for each page; `with` serves them."""

    def __init__(self, pages: Iterable[type[Page]]) -> None:
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), page) for page in pages]
        self.ports = [int(server.server_address[1]) for server in self._servers]

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
