"""The pages: how long the fleet page takes while 200 rollouts tick, what a first view weighs, what readers cost ticks.

Run as a program it is the server: `python -m bench.pages DIRECTORY ROLLOUTS` prints its address and ticks until its
input ends.
"""

from __future__ import annotations

import gzip
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from bench import shop
from bench.figure import Figure, at_most, printed
from bench.manyrollouts import Many
from bench.openpages import TURNS, effect
from bench.proc import fast_directory
from watchdog.ledger import open_ledger
from watchdog.metrics import Metrics
from watchdog.web.app import create_app
from watchdog.web.server import Server

ROLLOUTS, INTERVAL = 200, 30.0
MOST_SERVER_TIME, MOST_WEIGHT = 100.0, 200.0
VIEWS = 300
BETWEEN = 0.1
"""Seconds between two views of the page: ten people who never stop reloading it."""
KILO = 1000


def figures(*, quick: bool) -> Iterator[Figure]:
    """Server time and weight of the fleet page of 200 rollouts, then what readers of live pages cost ticks."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=fast_directory()) as directory, _served(directory) as url:
        yield from _server_time(url, VIEWS // 3 if quick else VIEWS)
        for name, path in (("the fleet page", "/"), ("a rollout's page", "/rollouts/checkout-7")):
            weight = _weight(url, path)
            note = ", ".join(f"{part} {size / KILO:.1f}" for part, size in weight.items())
            yield at_most(
                f"weight of {name}, first view, packed", sum(weight.values()) / KILO, MOST_WEIGHT, " kB", note
            )
    yield effect(turns=4 if quick else TURNS)


# --- the fleet page ---------------------------------------------------------------------------------------------------


@contextmanager
def _served(directory: str, rollouts: int = ROLLOUTS) -> Iterator[str]:
    """A server of its own with that many rollouts under way, which tick."""
    command = [sys.executable, "-m", "bench.pages", directory, str(rollouts)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().strip() if process.stdout is not None else ""
        if not address:
            raise RuntimeError(f"the server of the fleet page ended with {process.wait()}")
        yield address
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait(60)


def _server_time(url: str, views: int) -> Iterator[Figure]:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    first, _ = _view(connection, "/")
    took = []
    for _ in range(views):
        time.sleep(BETWEEN)
        took.append(_view(connection, "/")[0])
    connection.close()
    p95 = statistics.quantiles(took, n=20)[18]
    note = f"median {1000 * statistics.median(took):.1f} ms of {views}, load {os.getloadavg()[0]:.1f}"
    yield at_most(f"fleet page with {ROLLOUTS} rollouts that tick, p95", 1000 * p95, MOST_SERVER_TIME, " ms", note)
    yield printed("the same, first view of a process that nobody has asked before", f"{1000 * first:.0f} ms")


def _view(connection: HTTPConnection, path: str) -> tuple[float, bytes]:
    """Seconds until the whole answer is here, and its body as it came."""
    began = time.perf_counter()
    connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path} was answered with {answer.status}: {body[:200]!r}")
    return time.perf_counter() - began, body


def _weight(url: str, path: str) -> dict[str, int]:
    """Bytes of a page and of everything that its head names, as a browser gets them the first time."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    _, body = _view(connection, path)
    found = {"html": len(body), "css": 0, "js": 0, "other": 0}
    for name, address in re.findall(r'(?:href|src)="(/static/([^"?]+)\?v=[^"]+)"', gzip.decompress(body).decode()):
        kind = address.rpartition(".")[2]
        found[kind if kind in found else "other"] += len(_view(connection, name)[1])
    connection.close()
    return found


def serve(directory: Path, rollouts: int) -> None:
    """Serve a ledger of many rollouts, each of which ticks every half minute, until the input ends."""
    ledger = open_ledger(f"sqlite:///{directory / 'ledger.db'}")
    end = int(time.time()) // shop.HOUR * shop.HOUR
    many = Many(ledger, rollouts, end)
    now = end + 61.0
    app = create_app(
        ledger=ledger,
        metrics=Metrics(),
        token=None,
        clock=lambda: now,
        ready=lambda: (True, "ready"),
        wake=lambda _: None,
        flags=None,
    )
    over = threading.Event()

    def tick() -> None:
        nonlocal now
        names = list(many.ticks)
        began, count = time.monotonic(), 0
        while not over.wait(max(0.0, began + count * INTERVAL / len(names) - time.monotonic())):
            many.tick(names[count % len(names)], now)
            count += 1
            now = end + 61.0 + time.monotonic() - began

    for name in list(many.ticks):  # as in a daemon that has run for a while
        many.tick(name, now)
    server = Server(app, "127.0.0.1", 0)
    server.start()
    ticking = threading.Thread(target=tick)
    ticking.start()
    print(server.url, flush=True)
    sys.stdin.read()
    over.set()
    ticking.join()
    server.stop(10)
    ledger.close()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
