"""A tick over a real Prometheus against its bare queries: what we add to asking and decoding."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pytest

from bench import shop
from bench.proc import fast_directory
from bench.ticks import Bare
from tests.performance.limits import Limit
from tests.performance.ticking import Ticking
from watchdog.observe import asks
from watchdog.prometheus import Prometheus
from watchdog.queries import expressions


@pytest.mark.timing
def test_a_tick_costs_little_more_than_its_bare_queries(limits: dict[str, Limit]) -> None:
    """Processor time of all our threads: forty ticks, each beside the same queries by four plain sessions."""
    ours, bare = 0.0, 0.0
    with (
        shop.prometheus(2 * shop.HOUR) as server,
        Prometheus(server.url, judge_skew=False) as source,
        tempfile.TemporaryDirectory(prefix="performance-", dir=fast_directory()) as directory,
    ):
        ticking, plain = Ticking(Path(directory), source=source), Bare(server.url)
        ticking.run(4)
        for _ in range(40):
            at = int(ticking.now - ticking.rollout.delay - 1) + ticking.rollout.interval
            queries = queries_of(ticking, at)
            began = time.process_time()
            plain.ask(queries, at)
            between = time.process_time()
            ticking.tick()
            bare += between - began
            ours += time.process_time() - between
        ticking.close()
    limits["tick_to_bare_queries"].judge(ours / bare, f"{1e3 * ours / 40:.1f} ms against {1e3 * bare / 40:.1f}")


def queries_of(ticking: Ticking, at: int) -> list[str]:
    rollout = ticking.rollout
    wanted = asks(rollout, at - rollout.interval, at)
    texts = (text for ask in wanted for text in expressions(rollout, ask.objective, ask.seconds).values())
    return list(dict.fromkeys(texts))
