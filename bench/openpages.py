"""What readers of live pages cost ticks: a real daemon, in turns alone and with open pages, told apart by its ticks.

A turn lasts a minute, so that each has the same detector steps, and turns with and without readers follow each other as
ABBA: what changes slowly on this machine falls on both. Rollouts that are due at the same moment hold up each other far
more than any reader does, and always the same ones: each tick is compared with those of its own rollout at its own
place in the minute. All tick three times as often as in production, and their pages are drawn three times as often.
"""

from __future__ import annotations

import json
import math
import os
import select
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Self

from bench import shop
from bench.figure import Figure, at_most
from bench.proc import cpu_seconds, fast_directory
from bench.process import program
from tests.servers import PrometheusServer

MOST_EFFECT = 5.0
READERS = 50
WATCHED = 6
"""Rollouts of the daemon that has readers."""
INTERVAL, TURN = 10, 60
"""Seconds between two ticks of a rollout, and of a turn."""
TURNS = 12
SETTLE = 35.0
"""Seconds until each rollout has ticked often; the first ticks fold what is past."""
GREETED = 4.0
"""Seconds before a turn in which all readers have come, or gone; what they cost after that is what is measured."""
RESAMPLED = 2000
AHEAD = 7200
SETTINGS = """
prometheus: {{url: "{url}", scrape_interval: 5s}}
ledger: sqlite:///watchdog.db
rollouts: [rollouts/*.yaml]
http: {{listen: "127.0.0.1:0"}}
flags: {{service: flagd-file, path: flags.json}}
"""


def effect(*, turns: int) -> Figure:
    """Half of the readers look at the fleet, half at one rollout each. `turns` is a multiple of four."""
    now = int(time.time())
    with tempfile.TemporaryDirectory(prefix="bench-", dir=fast_directory()) as name:
        directory = Path(name)
        data = shop.history(now - 2 * shop.HOUR, now + AHEAD).build(directory / "tsdb")
        with PrometheusServer(data) as server, _daemon(directory, server.url) as daemon:
            daemon.ticks(SETTLE)
            alone: list[Turn] = []
            beside: list[Turn] = []
            for number in range(turns):
                crowded = number % 4 in (1, 2)
                (beside if crowded else alone).append(_turn(daemon, READERS if crowded else 0))
    return _figure(alone, beside)


Place = tuple[str, int]
"""A rollout, and which slot of the minute."""
Tick = tuple[Place, float]
"""Where it belongs, and the seconds that it took."""


class Turn:
    """Ticks of one interval, what pages were told, and the daemon's processor time, of one core."""

    def __init__(self, ticks: list[Tick], events: int, busy: float) -> None:
        self.ticks = ticks
        self.events = events
        self.busy = busy


def _turn(daemon: Daemon, readers: int) -> Turn:
    with ExitStack() as stack:
        crowd = stack.enter_context(Crowd(daemon.address, readers)) if readers else None
        daemon.ticks(GREETED)
        before = (cpu_seconds(daemon.process.pid), crowd.events if crowd is not None else 0)
        ticks = daemon.ticks(TURN)
        busy = (cpu_seconds(daemon.process.pid) - before[0]) / TURN
        if crowd is not None and crowd.left():
            raise RuntimeError(f"{crowd.left()} of {readers} readers were dropped")
        return Turn(ticks, crowd.events - before[1] if crowd is not None else 0, busy)


def _figure(alone: Sequence[Turn], beside: Sequence[Turn]) -> Figure:
    # A tick always changes the page of its rollout, and the fleet's only where the row says something else.
    if sum(turn.events for turn in beside) < READERS // 2 * len(beside):
        raise RuntimeError(f"the readers were meant to hear of ticks, and heard {[turn.events for turn in beside]}")
    found, random = _effect(alone, beside), Random(len(alone))
    again = [
        _effect(random.choices(alone, k=len(alone)), random.choices(beside, k=len(beside))) for _ in range(RESAMPLED)
    ]
    cuts = statistics.quantiles(again, n=40)
    note = (
        f"95 % of resamplings {cuts[0]:+.1f} to {cuts[-1]:+.1f} %, median {1000 * _median(alone):.1f} ms alone and "
        f"{1000 * _median(beside):.1f} ms beside them, p95 {1000 * _p95(alone):.0f} and {1000 * _p95(beside):.0f} ms, "
        f"{sum(len(turn.ticks) for turn in alone)} ticks each, CPU {100 * _busy(alone):.0f} and "
        f"{100 * _busy(beside):.0f} %, {sum(turn.events for turn in beside)} events, load {os.getloadavg()[0]:.1f}"
    )
    return at_most(f"{READERS} readers of live pages: effect on the time of a tick", found, MOST_EFFECT, " %", note)


def _effect(alone: Sequence[Turn], beside: Sequence[Turn]) -> float:
    """Percent: the geometric mean, over all places that both have, of how the middle ticks there compare."""
    without, crowded = _places(alone), _places(beside)
    both = without.keys() & crowded.keys()
    compared = [math.log(statistics.median(crowded[one]) / statistics.median(without[one])) for one in both]
    return 100 * (math.exp(statistics.mean(compared)) - 1)


def _places(turns: Sequence[Turn]) -> dict[Place, list[float]]:
    found: dict[Place, list[float]] = {}
    for turn in turns:
        for place, seconds in turn.ticks:
            found.setdefault(place, []).append(seconds)
    return found


def _ticks(turns: Sequence[Turn]) -> list[float]:
    return [seconds for turn in turns for _, seconds in turn.ticks]


def _median(turns: Sequence[Turn]) -> float:
    return statistics.median(_ticks(turns))


def _p95(turns: Sequence[Turn]) -> float:
    return statistics.quantiles(_ticks(turns), n=20)[18]


def _busy(turns: Sequence[Turn]) -> float:
    return statistics.mean(turn.busy for turn in turns)


class Crowd:
    """Open pages, read by one thread."""

    def __init__(self, address: tuple[str, int], count: int) -> None:
        self.events = 0
        self._open = [socket.create_connection(address, 20) for _ in range(count)]
        for number, reader in enumerate(self._open):
            path = "/live" if number % 2 else f"/live?rollout={number // 2 % WATCHED + 1}"
            reader.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for reader in self._open:
            reader.close()

    def left(self) -> int:
        """How many are no longer served."""
        return sum(reader.fileno() < 0 for reader in self._open)

    def _read(self) -> None:
        while not self._over.is_set():
            readable, _, _ = select.select([one for one in self._open if one.fileno() >= 0], [], [], 0.2)
            for reader in readable:
                with suppress(OSError):
                    piece = reader.recv(1 << 20)
                    self.events += piece.count(b"event: row-") + piece.count(b"event: rollout-")
                    if not piece:
                        reader.close()


class Daemon:
    """The running daemon; its log is read by a thread, so that it never waits for us."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.address = ("127.0.0.1", 0)
        self._took: list[Tick] = []
        self._started = threading.Event()
        self._said: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        if not self._started.wait(60):
            raise RuntimeError(f"the daemon did not start: {self._said[-5:]}")

    def _read(self) -> None:
        for line in self.process.stderr or ():
            self._said = [*self._said[-20:], line]
            told = json.loads(line)
            if told["event"] == "tick":
                if "seconds" in told:
                    began = time.time() - told["seconds"]
                    self._took.append(((told["rollout"], int(began % TURN) // INTERVAL), told["seconds"]))
            elif told["event"] == "started":
                host, _, port = told["http"].rpartition(":")
                self.address = (host, int(port))
                self._started.set()

    def ticks(self, seconds: float) -> list[Tick]:
        """The ticks of the next `seconds`."""
        first = len(self._took)
        time.sleep(seconds)
        return self._took[first:]


@contextmanager
def _daemon(directory: Path, url: str) -> Iterator[Daemon]:
    (directory / "rollouts").mkdir()
    (directory / "watchdog.yaml").write_text(SETTINGS.format(url=url), encoding="utf-8")
    for number in range(WATCHED):
        rule = shop.rule(f"checkout-{number}", flag=f"flag-{number}")
        rule = rule.replace("interval: 30s", f"interval: {INTERVAL}s\ndelay: 1s")
        (directory / "rollouts" / f"{number}.yaml").write_text(rule, encoding="utf-8")
    subprocess.run([*program(directory), "flags", "init"], check=True, capture_output=True, timeout=120)
    process = subprocess.Popen([*program(directory), "run"], stderr=subprocess.PIPE, text=True)
    try:
        yield Daemon(process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
