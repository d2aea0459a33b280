"""The pages of the shop: which request gets which answer, and what is counted of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from urllib.parse import parse_qs, urlsplit

import prometheus_client
import visitors
from checkout import Shop
from doors import Doors
from meters import COST, Metrics

LONGEST_BODY = 64 * 1024


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with keep-alive. One write a response and no Nagle: otherwise each answer waits for a delayed ACK."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30
    server: ShopServer

    def do_GET(self) -> None:
        """Route what people ask for past the doors, what machines ask for beside them."""
        url = urlsplit(self.path)
        if url.path == "/metrics":
            body = prometheus_client.generate_latest(self.server.metrics.registry)
            self._answer(200, body, content_type=prometheus_client.CONTENT_TYPE_LATEST)
        elif url.path == "/healthz":
            self._answer(200, b"ok\n")
        elif self._may_enter(writes=False):
            if url.path == "/checkout":
                self._checkout(self.headers.get("X-User") or parse_qs(url.query).get("user", [""])[0])
            elif url.path == "/orders":
                self._answer(200, f"{self.server.shop.ordered} orders\n".encode())
            elif url.path == "/staff":
                self._other(403, "this door is for the staff")
            else:
                self._answer(404, b"not found\n")

    def do_POST(self) -> None:
        """Read the body, which has to happen before the next request, and route it."""
        given = self.headers.get("Content-Length", "0")
        body = self.rfile.read(min(int(given), LONGEST_BODY) if given.isdecimal() else 0)
        path = urlsplit(self.path).path
        if not self._may_enter(writes=path == "/order"):
            return
        if path == "/order":
            self.server.metrics.orders.inc()
            self._answer(201, f"order {self.server.shop.order()} accepted\n".encode())
        elif path == "/login":
            self._login(self.headers.get("X-User") or "", body.decode(errors="replace"))
        elif path == "/assistant":
            self._assistant(body.decode(errors="replace"))
        else:
            self._answer(404, b"not found\n")

    def _login(self, user: str, password: str) -> None:
        known = visitors.may_enter(user, password)
        self.server.metrics.logins.labels("succeeded" if known else "failed").inc()
        self._other(*((200, f"welcome, {user}") if known else (401, "user or password is wrong")))

    def _assistant(self, question: str) -> None:
        self._spend("assistant")
        if visitors.is_injection(question):
            self.server.metrics.injections.inc()
        self._other(200, visitors.reply(question))

    def _other(self, status: int, said: str) -> None:
        """Answer and count a page that is no checkout."""
        self.server.metrics.requests.labels(str(status), "none").inc()
        self._answer(status, f"{said}\n".encode())

    def _spend(self, what: str) -> None:
        self.server.metrics.spend.inc(COST[what] * self.server.shop.faults.now.spend)

    def _may_enter(self, *, writes: bool) -> bool:
        """Whether no emergency flag stands in the way; answers the request when one does."""
        refusal = self.server.doors.refusal(writes=writes)
        if refusal is None:
            return True
        self.server.metrics.refused.labels(refusal.flag).inc()
        self._answer(refusal.status, refusal.body, content_type=refusal.content_type, headers=refusal.headers)
        return False

    def _checkout(self, user: str) -> None:
        began = time.perf_counter()
        shop, metrics = self.server.shop, self.server.metrics
        variant = shop.variant(user)
        self._spend("checkout")
        try:
            status, body = 200, shop.checkout(user, variant)
        except (LookupError, OSError) as problem:
            status, body = 500, str(problem)
        metrics.requests.labels(str(status), variant).inc()
        metrics.duration.labels(variant).observe(time.perf_counter() - began)
        self._answer(status, f"{body}\n".encode(), variant=variant)

    def _answer(
        self,
        status: int,
        body: bytes,
        *,
        content_type: str = "text/plain",
        variant: str = "",
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        head = f"HTTP/1.1 {status} {self.responses[status][0]}\r\nContent-Type: {content_type}\r\n"
        for name, value in {**({"X-Variant": variant} if variant else {}), **headers}.items():
            head += f"{name}: {value}\r\n"
        self.wfile.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


class ShopServer(ThreadingHTTPServer):
    """One thread a connection; open connections do not keep the process alive."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], shop: Shop, doors: Doors, metrics: Metrics) -> None:
        self.shop = shop
        self.doors = doors
        self.metrics = metrics
        super().__init__(address, Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Pass over a client that hangs up; anything else goes to standard error."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]
