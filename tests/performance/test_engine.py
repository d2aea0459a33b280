"""The engine's own work, without Prometheus and without a disk, against a JSON round trip and raw SQLite."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import shop
from bench.made import MadeSource
from bench.proc import fast_directory
from tests.performance.limits import Limit
from tests.performance.reference import json_round_trip, quickest, times
from tests.performance.ticking import Ticking
from watchdog.decide import decide
from watchdog.replay import Replay

Limits = dict[str, Limit]
SLOTS = 960
"""Eight hours of them."""


@pytest.fixture
def fast() -> Iterator[Path]:
    """A directory in memory: a tick's own work is measured, not the disk."""
    with tempfile.TemporaryDirectory(prefix="performance-", dir=fast_directory()) as name:
        yield Path(name)


def replay(*, skips: bool = True) -> Replay:
    end = shop.START + SLOTS * 30
    return Replay(shop.rollout(), shop.START, end, skips_quiet_slots=skips)


@pytest.mark.timing
def test_a_decision_costs_a_few_json_round_trips(limits: Limits) -> None:
    run = replay(skips=False)
    run.run(MadeSource(run.rollout))
    seen = run._seen(float(run.at))
    ours, bare = quickest(times(300, lambda: decide(run.rollout, run.control, seen)), times(300, json_round_trip))
    limits["decide"].judge(ours / bare, f"{1e6 * ours / 300:.0f} us a decision")


@pytest.mark.timing
def test_a_slot_of_a_replay_costs_a_few_json_round_trips(limits: Limits) -> None:
    def ours() -> None:
        run = replay()
        run.run(MadeSource(run.rollout))

    mine, bare = quickest(ours, times(SLOTS, json_round_trip), rounds=5)
    limits["replay_slot"].judge(mine / bare, f"{1e6 * mine / SLOTS:.0f} us a slot of seven objectives")


@pytest.mark.timing
def test_a_recorded_tick_against_the_same_rows_in_raw_sqlite(limits: Limits, fast: Path) -> None:
    ticking = Ticking(fast)
    ticking.run(40)
    raw = sqlite3.connect(fast / "raw.db", isolation_level=None)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("CREATE TABLE facts (rollout INTEGER, objective INTEGER, at INTEGER, a REAL, b REAL, c REAL)")

    def rows() -> None:
        """Fourteen rows in a transaction: seven verdicts, and seven detector steps every other tick."""
        raw.execute("BEGIN IMMEDIATE")
        raw.executemany("INSERT INTO facts VALUES (1, ?, ?, ?, ?, ?)", [(n, 1, 0.1, 0.2, 0.3) for n in range(14)])
        raw.execute("COMMIT")

    ours, bare = quickest(lambda: ticking.run(40), times(40, rows), rounds=5)
    ticking.close()
    raw.close()
    limits["tick_to_raw_rows"].judge(ours / bare, f"{1e3 * ours / 40:.2f} ms a tick")


@pytest.mark.timing
def test_a_tick_does_not_get_slower_as_the_history_grows(limits: Limits, fast: Path) -> None:
    """Four hours of history against forty."""
    (fast / "short").mkdir()
    (fast / "long").mkdir()
    short, long = Ticking(fast / "short", behind=480), Ticking(fast / "long", behind=4800)
    ours, bare = quickest(lambda: long.run(60), lambda: short.run(60), rounds=5)
    short.close()
    long.close()
    limits["tick_at_ten_times_the_history"].judge(
        ours / bare, f"{1e3 * ours / 60:.2f} ms against {1e3 * bare / 60:.2f}"
    )


@pytest.mark.timing
def test_a_start_reads_a_long_history_in_little_more_than_a_short_one(limits: Limits, fast: Path) -> None:
    """After a restart the fold goes on from a checkpoint: the rest of the history is not folded again."""
    from watchdog.recall import recall  # noqa: PLC0415 - what is measured

    (fast / "short").mkdir()
    (fast / "long").mkdir()
    short, long = Ticking(fast / "short", behind=480), Ticking(fast / "long", behind=4800)
    name = short.rollout.name
    ours, bare = quickest(lambda: recall(long.ledger, name), lambda: recall(short.ledger, name), rounds=7)
    short.close()
    long.close()
    limits["recall_at_ten_times_the_history"].judge(ours / bare, f"{1e3 * ours:.1f} ms against {1e3 * bare:.1f}")
