"""The real daemon answering OFREP evaluations while it ticks: how soon it answers, and what that does to its ticks."""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from bench import shop
from bench.bare import bare_server, wake_up_lateness
from bench.figure import Figure, at_most, printed
from bench.proc import cpu_seconds, disk_directory
from bench.process import AHEAD, program, write_configuration
from tests.servers import PrometheusServer

PER_SECOND = 500
CONNECTIONS = 4
MOST_MILLISECONDS = 3.0
FLAG = "new-checkout"


def figures(*, quick: bool) -> Iterator[Figure]:
    """500 evaluations a second of one flag over kept connections, of a daemon that ticks; then ticks with and without.

    Readers are answered at `serve.listen`, so by a process of their own. A tick every 30 s is what a rollout has unless
    it says otherwise. A tick every second shows what ticks and answers do to each other: they share two cores.
    """
    usual, seconds = (10, 5) if quick else (32, 10)
    now = int(time.time())
    late = wake_up_lateness(usual)
    text = f"median {statistics.median(late):.2f} ms, p99 {_p99(late):.2f} ms, max {late[-1]:.1f} ms"
    yield printed("a sleep of 2 ms on this machine: late by", text)
    with bare_server() as address:
        bare = _load(address, usual)
    yield printed(f"a server that evaluates nothing, p99 at {PER_SECOND}/s", f"{_p99(bare):.4g} ms ({_note(bare)})")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=disk_directory()) as made:
        data = shop.history(now - 2 * shop.HOUR, now + AHEAD).build(Path(made) / "tsdb")
        with PrometheusServer(data) as server:
            with _daemon(Path(made) / "calm", server.url, "30s") as daemon:
                before = daemon.cpu_seconds
                taken = _load(daemon.address, usual)
                spent = daemon.cpu_seconds - before
            yield at_most(
                f"OFREP evaluation p99 at {PER_SECOND}/s", _p99(taken), MOST_MILLISECONDS, " ms", _note(taken)
            )
            share = f"{100 * spent / usual:.0f} % of a core"
            yield printed("processor time of the daemon and its process for readers", share)
            with _daemon(Path(made) / "ticking", server.url, "1s") as daemon:
                idle = daemon.ticks_during(lambda: time.sleep(seconds))
                beside: list[float] = []
                busy = daemon.ticks_during(lambda: beside.extend(_load(daemon.address, seconds)))
    text = f"median {1000 * statistics.median(busy):.0f} ms, {1000 * statistics.median(idle):.0f} ms without it"
    yield printed("tick beside it, one a second", text, idle=idle, busy=busy)
    yield printed("OFREP evaluation p99 beside a tick a second", f"{_p99(beside):.4g} ms ({_note(beside)})")


def _note(taken: Sequence[float]) -> str:
    middle, most = statistics.median(taken), max(taken)
    return f"median {middle:.2f} ms, max {most:.1f} ms, {len(taken)} answers, load {os.getloadavg()[0]:.1f}"


@contextmanager
def _daemon(directory: Path, url: str, interval: str) -> Iterator[Daemon]:
    """A daemon that has answered for a moment: the first evaluation loads what its start does without."""
    directory.mkdir()
    write_configuration(directory, url, interval)
    with (directory / "watchdog.yaml").open("a", encoding="utf-8") as settings:
        settings.write("serve: {listen: '127.0.0.1:0'}\n")
    with Daemon(directory) as daemon:
        _load(daemon.address, 0.5)
        yield daemon


class Daemon:
    """`slo-watchdog run` with its log in a file, which is read while it runs; it is ended by SIGTERM."""

    def __init__(self, directory: Path) -> None:
        self._log = directory / "daemon.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([*program(directory), "run"], stdout=log, stderr=log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)

    @property
    def address(self) -> tuple[str, int]:
        """Where it answers readers."""
        host, _, port = str(self._told("started", 1)[0]["serving"]).rpartition(":")
        return host, int(port)

    @property
    def cpu_seconds(self) -> float:
        """Processor time that it and its process for readers have taken so far."""
        return cpu_seconds(self._process.pid) + cpu_seconds(self.readers_pid)

    @property
    def readers_pid(self) -> int:
        """The process that answers readers."""
        return next(int(told["pid"]) for told in self._told("serving", 2) if "pid" in told)

    def ticks_during(self, work: Callable[[], object]) -> list[float]:
        """Seconds of each tick that ended while `work` was done."""
        first = len(self._told("tick", 3))  # the first ones are not like the rest
        work()
        return [told["seconds"] for told in self._told("tick", first + 2)[first:]]

    def _told(self, event: str, count: int, within: float = 60.0) -> list[dict[str, Any]]:
        """The lines of its log about this event, once there are so many."""
        deadline = time.monotonic() + within
        while True:
            whole = self._log.read_text(encoding="utf-8").rpartition("\n")[0]
            found = [told for line in whole.splitlines() if (told := json.loads(line))["event"] == event]
            if len(found) >= count:
                return found
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the daemon did not say {event!r} {count} times: {whole[-2000:]}")
            time.sleep(0.02)


def _load(address: tuple[str, int], seconds: float) -> list[float]:
    """Milliseconds that each evaluation took, at a fixed rate over a few connections."""
    start = time.perf_counter() + 0.1
    every = CONNECTIONS / PER_SECOND
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        begins = [start + number / PER_SECOND for number in range(CONNECTIONS)]
        parts = pool.map(lambda begin: _connection(address, begin, every, int(seconds / every)), begins)
        return [took for part in parts for took in part]


def _connection(address: tuple[str, int], begin: float, every: float, count: int) -> list[float]:
    """One evaluation each `every` seconds; an answer that is late makes the next one late too, which is counted."""
    taken = []
    with socket.create_connection(address, timeout=10) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        requests = [_request(f"user-{number}") for number in range(100)]
        for number in range(count):
            due = begin + number * every
            asked = time.perf_counter()
            if asked < due:
                time.sleep(due - asked)
                asked = time.perf_counter()  # how late the system woke us is not the daemon's
            else:
                asked = due
            link.sendall(requests[number % len(requests)])
            answer = _answer(link)
            taken.append(1000 * (time.perf_counter() - asked))
            if b" 200 " not in answer[:20] or b'"variant"' not in answer:
                raise RuntimeError(f"not an evaluation: {answer[:300]!r}")
    return taken


def _request(user: str) -> bytes:
    body = json.dumps({"context": {"targetingKey": user, "plan": "team"}})
    head = f"POST /ofrep/v1/evaluate/flags/{FLAG} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def _answer(link: socket.socket) -> bytes:
    """One whole answer."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += _some(link)
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += _some(link)
    return head + body


def _some(link: socket.socket) -> bytes:
    piece = link.recv(65_536)
    if not piece:
        raise RuntimeError("the daemon broke a connection off")
    return piece


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[int(0.99 * len(values))]
