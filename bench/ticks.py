"""One tick beside the bare queries that it needs, and the way from a recorded breach to the replaced flag file."""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import requests

from bench import shop
from bench.figure import Figure, at_most, printed
from bench.made import MadeSource
from bench.proc import disk_directory, fast_directory
from watchdog.flags.base import Change
from watchdog.flags.flagd_file import FlagdFile
from watchdog.ledger import Ledger, Record, open_ledger
from watchdog.model import FlagReading, Phase, Rollout
from watchdog.observe import asks
from watchdog.prometheus import Prometheus
from watchdog.queries import expressions
from watchdog.tick import RolloutTick

WORKERS = 4
MOST_RATIO, MOST_EXTRA = 1.3, 0.005
MOST_REACTION = 50.0
FLAG = "new-checkout"


def figures(*, quick: bool) -> Iterator[Figure]:
    """The tick's wall time (ledger in memory, so that fsync is apart), recording on the disk, and the reaction."""
    yield from _against_bare_queries(100 if quick else 600)
    yield from _reaction(50 if quick else 200)


# --- a tick and its bare queries --------------------------------------------------------------------------------


class TimedLedger(Ledger):
    """A ledger that remembers how long each record took, and when it was committed."""

    def __init__(self, url: str) -> None:
        open_ledger(url).close()  # brings the schema up to date
        super().__init__(url)
        self.seconds: list[float] = []
        self.committed: list[float] = []

    def record(self, record: Record) -> int:
        """As it is, timed."""
        began = time.perf_counter()
        revision = super().record(record)
        self.committed.append(time.perf_counter())
        self.seconds.append(self.committed[-1] - began)
        return revision


class Bare:
    """The queries of a tick and nothing else: one session a thread, four threads, the answers decoded."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/api/v1/query"
        self._pool = ThreadPoolExecutor(WORKERS)
        self._local = threading.local()

    def ask(self, queries: Sequence[str], at: int) -> None:
        """All of them at one instant."""
        list(self._pool.map(lambda query: self._one(query, at), queries))

    def _one(self, query: str, at: int) -> None:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.headers["Accept-Encoding"] = "identity"  # as we ask on loopback
        answer = self._local.session.get(self._url, params={"query": query, "time": at}, timeout=10)
        answer.raise_for_status()
        answer.json()


@dataclass(slots=True)
class Times:
    """Seconds of ticks and of their bare queries, instant by instant."""

    queries: int = 0
    ticks: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)


def _against_bare_queries(count: int) -> Iterator[Figure]:
    rollout = shop.rollout()
    with shop.prometheus(shop.DAY) as server, Prometheus(server.url, judge_skew=False) as source:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=fast_directory()) as directory:
            in_memory, _ = _drive(rollout, source, Bare(server.url), Path(directory), count)
        with tempfile.TemporaryDirectory(prefix="bench-", dir=disk_directory()) as directory:
            _, recorded = _drive(rollout, source, None, Path(directory), count // 2)
    load = f"load {os.getloadavg()[0]:.1f}"
    for kind, times in in_memory.items():
        tick, bare = statistics.median(times.ticks), statistics.median(times.bare)
        ok = tick <= MOST_RATIO * bare + MOST_EXTRA
        text = f"{1000 * tick:.1f} ms, bare {1000 * bare:.1f} ms: 1.3 x + {1000 * (tick - MOST_RATIO * bare):.1f} ms"
        details: dict[str, object] = {"tick": tick, "bare": bare, "ticks": len(times.ticks)}
        name = f"tick {kind}, {times.queries} queries"
        yield Figure(name, "<= 1.3 x bare queries + 5 ms", f"{text} ({load})", ok, details)
    text = f"median {1000 * statistics.median(recorded):.1f} ms, p99 {1000 * _p99(recorded):.1f} ms"
    yield printed("recording a tick on the disk, fsync included", text)


def _drive(
    rollout: Rollout, source: Prometheus, bare: Bare | None, directory: Path, count: int
) -> tuple[dict[str, Times], list[float]]:
    """`count` ticks, each after its bare queries or before them, in turns; and what recording each of them took."""
    ledger = TimedLedger(f"sqlite:///{directory / 'ledger.db'}")
    tick, _ = _started(rollout, ledger, source, directory, shop.START)
    found: dict[str, Times] = {}
    for number in range(1, count + 1):
        at = shop.START + number * rollout.interval
        queries = _queries(rollout, at)
        kind = "with detector steps" if at % 60 == 0 else "of slots only"
        times = found.setdefault(kind, Times(len(queries)))
        for bare_now in (number % 4 < 2, number % 4 >= 2):
            began = time.perf_counter()
            if bare_now and bare is not None:
                bare.ask(queries, at)
                times.bare.append(time.perf_counter() - began)
            elif not bare_now:
                tick.tick(at + rollout.delay + 1)
                times.ticks.append(time.perf_counter() - began)
    ledger.close()
    return found, ledger.seconds


def _queries(rollout: Rollout, at: int) -> list[str]:
    wanted = asks(rollout, at - rollout.interval, at)
    texts = (text for ask in wanted for text in expressions(rollout, ask.objective, ask.seconds).values())
    return list(dict.fromkeys(texts))


def _started(
    rollout: Rollout, ledger: Ledger, source: Prometheus | MadeSource, directory: Path, at: int
) -> tuple[RolloutTick, TimedFlags]:
    ledger.add_rollout(rollout, file=f"{rollout.name}.yaml", engine="bench", now=at)
    flags = TimedFlags(directory / "flags.json")
    flags.init((FLAG,), "bench")
    tick = RolloutTick(rollout.name, ledger, source, flags, lambda: float(at))
    tick.tick(float(at))
    return tick, flags


# --- from the record to the flag --------------------------------------------------------------------------------


class TimedFlags(FlagdFile):
    """A flag file that remembers when it was last killed: the file is replaced, synced and read back by then."""

    killed = 0.0

    def kill(self, flag: str, change: Change) -> FlagReading:
        """As it is, timed."""
        reading = super().kill(flag, change)
        self.killed = time.perf_counter()
        return reading


def _reaction(rollbacks: int) -> Iterator[Figure]:
    """Total failures of one rollout after another, ledger and flag file on a real disk."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=disk_directory()) as name:
        directory = Path(name)
        ledger = TimedLedger(f"sqlite:///{directory / 'ledger.db'}")
        took = [_roll_back(number, ledger, directory) for number in range(rollbacks)]
        ledger.close()
    note = f"median {1000 * statistics.median(took):.1f} ms of {rollbacks}, load {os.getloadavg()[0]:.1f}"
    yield at_most("breach recorded -> flag file replaced, p99", 1000 * _p99(took), MOST_REACTION, " ms", note)


def _roll_back(number: int, ledger: TimedLedger, directory: Path) -> float:
    """Seconds from the committed record of a rollback to the replaced flag file."""
    rollout = shop.rollout(f"checkout-{number}", ramps=False)
    source = MadeSource(rollout)
    start = shop.START + number * shop.HOUR
    source.broken_from = start + 120
    tick, flags = _started(rollout, ledger, source, directory, start)
    for at in range(start + rollout.interval, start + shop.HOUR, rollout.interval):
        first = len(ledger.committed)  # of this tick; a second one says what the flag read afterwards
        ticked = tick.tick(at + rollout.delay + 1)
        if flags.killed:
            if ticked.phase not in (Phase.ROLLING_BACK, Phase.ROLLED_BACK):
                raise RuntimeError(f"killed without a rollback: {ticked.sentence}")
            return flags.killed - ledger.committed[first]
    raise RuntimeError(f"a total failure was not rolled back within an hour: {ticked.sentence}")


def _p99(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98]
