"""A small shop: one checkout, two versions of its code, and a feature flag that chooses for each request.

It asks `new-checkout` through the OpenFeature SDK with flagd's own provider reading the flag file, the way
any OpenFeature service does, and knows nothing of the watchdog. `--broken-share 0.15` starts the build whose
new code cannot serve accounts without a region, 15 % of all; the old code of the same build serves them.

    python deploy/demo/shop.py --port 8080 --flags flags.json [--ops ops.json] [--broken-share 0.15]

`GET /checkout` with an `X-User` header (or `?user=`) answers 200 or 500 and says in `X-Variant` which code
served it, `POST /order` writes an order down, `GET /orders` counts them; `/healthz` says that the process
answers; `/metrics` is for Prometheus. With `--ops` each request first asks the emergency flags of that second
file (`doors.py`). SIGTERM ends it, status 0.
"""

from __future__ import annotations

import argparse
import itertools
import random
import signal
import sys
import threading
import time
import zlib
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qs, urlsplit

import prometheus_client
from doors import Doors
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

FLAG = "new-checkout"
FLAG_POLL_MS = 100
"""How often the provider looks at the flag file: the worst case until a kill is served."""
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
TESTS_A_SECOND = 100
SLOW_EVERY, SLOW, LOST_EVERY, FLAKY_EVERY = 100, 0.25, 1000, 200
"""Hiccups of a healthy service, old code and new: 1 % of checkouts are slow, 0.1 % fail, 0.5 % of tests are flaky.
They are counted out, not drawn: a healthy build is then healthy in each slice, however short."""
DOMAIN = "ops"
"""OpenFeature's name for the emergency set, which is a file of its own: a bad write to the other cannot block it."""
LONGEST_ORDER = 64 * 1024
PRICES = {"tea": 450, "cup": 1290, "pot": 3900}
"""In cents."""


class Metrics:
    """What the shop tells Prometheus. Every series exists from the start, so that the first failure is an increase."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("http_requests", "Checkouts answered.", ["code", "variant"], registry=self.registry)
        self.duration = Histogram(
            "http_request_duration_seconds",
            "Time to answer a checkout.",
            ["variant"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.tests = Counter(
            "smoke_tests", "Results of the test suite that runs against this build.", ["result"], registry=self.registry
        )
        self.refused = Counter(
            "shop_refused",
            "Requests turned away by an emergency flag; they are no checkouts.",
            ["flag"],
            registry=self.registry,
        )
        self.orders = Counter("shop_orders", "Orders written down.", registry=self.registry)
        Gauge("shop_info", "The build that runs.", ["version"], registry=self.registry).labels(version).set(1)
        for variant in ("on", "off"):
            self.duration.labels(variant)
            for code in ("200", "500"):
                self.requests.labels(code, variant)
        for result in ("passed", "failed", "error"):
            self.tests.labels(result)
        for flag in Doors.FLAGS:
            self.refused.labels(flag)


class Shop:
    """The checkout, old and new, and the flag between them."""

    def __init__(self, client: OpenFeatureClient, broken_share: float, *, hiccups: bool) -> None:
        self._client = client
        self._broken_share = broken_share
        self._hiccups = hiccups
        self._served, self._tested, self._numbers = itertools.count(1), itertools.count(1), itertools.count(1)
        self.ordered = 0

    def variant(self, user: str) -> str:
        """`on` when the flag gives this user the new code; `off` when it does not or cannot be read."""
        context = EvaluationContext(targeting_key=user)
        return "on" if self._client.get_boolean_value(FLAG, False, context) else "off"  # noqa: FBT003 - the SDK's order

    def checkout(self, user: str, variant: str) -> str:
        """Answer the receipt; LookupError when the new code does not know the account, OSError at a hiccup."""
        _work()
        number = next(self._served)
        if self._hiccups and number % SLOW_EVERY == 0:
            time.sleep(SLOW)
        if self._hiccups and number % LOST_EVERY == 0:
            raise OSError("the payment provider did not answer")
        return self.new_receipt(self.region(user)) if variant == "on" else old_receipt()

    def region(self, user: str) -> str | None:
        """Look up where the account is; for the broken share it is not known, and always for the same users."""
        known = zlib.crc32(f"region:{user}".encode()) % 10_000 >= self._broken_share * 10_000
        return "eu" if known else None

    def new_receipt(self, region: str | None) -> str:
        """Add the region's tax line to the receipt, which is what an account without a region breaks."""
        if region is None:
            raise LookupError("this account has no region")
        return f"{old_receipt()}, tax included ({region})"

    def order(self) -> int:
        """Write an order down and answer its number."""
        self.ordered = next(self._numbers)
        return self.ordered

    def self_test(self) -> bool:
        """Run one test of the suite. Its made-up account has a region, which is how the defect got through."""
        flaky = self._hiccups and next(self._tested) % FLAKY_EVERY == 0
        return self.new_receipt("eu").startswith(old_receipt()) and not flaky


def old_receipt() -> str:
    """Sum of the cart, as it always was."""
    return f"total {sum(PRICES.values()) / 100:.2f}"


def _work() -> None:
    """Stands for the database and the payment: 2 to 15 ms, rarely more."""
    time.sleep(min(0.06, random.lognormvariate(-5.4, 0.5)))


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
            else:
                self._answer(404, b"not found\n")

    def do_POST(self) -> None:
        """Write an order down; its body is of no interest, but has to be read before the next request."""
        given = self.headers.get("Content-Length", "0")
        self.rfile.read(min(int(given), LONGEST_ORDER) if given.isdecimal() else 0)
        if not self._may_enter(writes=True):
            return
        if urlsplit(self.path).path != "/order":
            self._answer(404, b"not found\n")
            return
        self.server.metrics.orders.inc()
        self._answer(201, f"order {self.server.shop.order()} accepted\n".encode())

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

    def __init__(self, port: int, shop: Shop, doors: Doors, metrics: Metrics) -> None:
        self.shop = shop
        self.doors = doors
        self.metrics = metrics
        super().__init__(("127.0.0.1", port), Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Pass over a client that hangs up; anything else goes to standard error."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _run_tests(shop: Shop, metrics: Metrics, ended: threading.Event) -> None:
    while not ended.wait(0.1):
        for _ in range(TESTS_A_SECOND // 10):
            metrics.tests.labels("passed" if shop.self_test() else "failed").inc()


def provider_of(file: Path) -> FlagdProvider:
    """Flagd's provider for one flag file. One OpenFeature domain has one provider: two files are two domains."""
    return FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=str(file), deadline_ms=FLAG_POLL_MS)


def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    api.set_provider(provider_of(options.flags))
    shop = Shop(api.get_client(), options.broken_share, hiccups=options.hiccups)
    doors = Doors(None)
    if options.ops is not None:
        api.set_provider(provider_of(options.ops), DOMAIN)
        doors = Doors(api.get_client(DOMAIN))
    metrics = Metrics(options.version)
    server = ShopServer(options.port, shop, doors, metrics)
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    tests = threading.Thread(target=_run_tests, args=(shop, metrics, ended))
    tests.start()
    print(f"shop {options.version} serves on 127.0.0.1:{server.server_address[1]}", flush=True)
    ended.wait()
    server.shutdown()
    server.server_close()
    tests.join()
    api.shutdown()
    print("shop ends", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="The shop of the demo.")
    parser.add_argument("--port", type=int, default=8080, help="loopback port; 0 takes a free one and prints it")
    parser.add_argument("--flags", type=Path, required=True, help="flagd's flag file")
    parser.add_argument("--ops", type=Path, help="the emergency flags' file; without it they are not asked")
    parser.add_argument("--broken-share", type=float, default=0.0, help="share of users that the new code fails")
    parser.add_argument("--hiccups", action="store_true", help="fail and be slow now and then, as healthy services are")
    parser.add_argument("--version", default="1.0.0")
    options = parser.parse_args()
    for file in (options.flags, options.ops):
        if file is not None and not file.is_file():
            sys.exit(f"shop: there is no flag file {file}; create it with: slo-watchdog flags init")
    serve(options)


if __name__ == "__main__":
    main()
