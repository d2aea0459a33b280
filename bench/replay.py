"""Seven days of seven objectives replayed from a real Prometheus, beside the bare range queries of the same answers."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import requests

from bench import shop
from bench.figure import Figure, at_most, printed
from watchdog.model import Rollout
from watchdog.observe import Ask, asks
from watchdog.prometheus import Prometheus, Range, pieces
from watchdog.prometheus.fanout import Piece
from watchdog.queries import expressions
from watchdog.replay import CHUNK, Replay

RUNS = 3
MOST_SECONDS = 5.0
MOST_RATIO = 2.0
WORKERS = 4


def figures(*, quick: bool) -> Iterator[Figure]:
    """Wall time of the replay and of the bare queries, the median of three each, taken in turns."""
    days = 1 if quick else 7
    rollout, end = shop.rollout(), shop.START + days * shop.DAY
    with shop.prometheus(days * shop.DAY) as server:
        wanted = _pieces(rollout, end)
        replays, bare, uncompressed, threaded = [], [], [], []
        evaluated = 0
        for _ in range(RUNS):
            bare.append(_timed(lambda: _sequentially(server.url, wanted)))
            uncompressed.append(_timed(lambda: _sequentially(server.url, wanted, "identity")))
            threaded.append(_timed(lambda: _in_parallel(server.url, wanted)))
            run = Replay(rollout, shop.START, end, keep_going=True)
            with Prometheus(server.url, judge_skew=False) as source:
                replays.append(_timed(lambda run=run, source=source: run.run(source)))  # type: ignore[misc]
            evaluated = _evaluated(run)
    name = f"replay of {days} d x 7 objectives at 30 s"
    seconds, raw = statistics.median(replays), statistics.median(bare)
    note = f"{evaluated:,} evaluations, {len(wanted)} range queries; load {os.getloadavg()[0]:.1f}"
    yield at_most(name, seconds, MOST_SECONDS * days / 7, " s", note)
    yield at_most(f"{name} / bare range queries + JSON", seconds / raw, MOST_RATIO, "", f"bare {raw:.2f} s")
    like = statistics.median(uncompressed)
    text = f"{like:.2f} s: {seconds / like:.3g}"
    yield printed(f"{name} / the same, answers not compressed either", text, runs=uncompressed)
    yield printed("the bare range queries, four at a time", f"{statistics.median(threaded):.2f} s", runs=threaded)


def _evaluated(run: Replay) -> int:
    return sum(sum(counts.values()) for counts in run.tally.counts.values())


def _pieces(rollout: Rollout, end: int) -> list[Piece]:
    """What the replay asks over the wire: the same expressions, stretches and chunks."""
    length = CHUNK * rollout.interval
    wanted = []
    for after in range(shop.START, end, length):
        stretch = asks(rollout, after, min(after + length, end))
        wanted += pieces([one for ask in stretch for one in _ranges(rollout, ask)], WORKERS)
    return wanted


def _ranges(rollout: Rollout, ask: Ask) -> list[Range]:
    texts = expressions(rollout, ask.objective, ask.seconds).values()
    return [Range(text, ask.first, ask.last, ask.step) for text in texts]


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _sequentially(url: str, wanted: list[Piece], encoding: str | None = None) -> None:
    with requests.Session() as session:
        if encoding is not None:
            session.headers["Accept-Encoding"] = encoding
        for piece in wanted:
            _ask(session, url, piece)


def _in_parallel(url: str, wanted: list[Piece]) -> None:
    parts = [wanted[k::WORKERS] for k in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda part: _sequentially(url, part), parts))


def _ask(session: requests.Session, url: str, piece: Piece) -> None:
    instants = piece.instants
    asked = {"query": piece.expression, "start": instants[0], "end": instants[-1], "step": instants.step}
    answer = session.get(f"{url}/api/v1/query_range", params=asked, timeout=60)  # type: ignore[arg-type]
    answer.raise_for_status()
    if not answer.json()["data"]["result"]:
        raise RuntimeError(f"the made history answers nothing to {piece.expression}")
