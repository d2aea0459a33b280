"""A rollout that ticks over made answers, for measurements; as a program it prints what a long run leaves behind.

python -m tests.performance.ticking WARM_UP TICKS DIRECTORY
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench import shop
from bench.made import MadeSource
from bench.proc import rss
from bench.week import ledger_bytes
from watchdog import __version__
from watchdog.flags.memory import InMemoryFlags
from watchdog.ledger import open_ledger
from watchdog.observe import Source
from watchdog.tick import RolloutTick


class Ticking:
    """Seven objectives at 30 s; `behind` slots are back-filled before the first live tick."""

    def __init__(self, directory: Path, *, behind: int = 0, source: Source | None = None) -> None:
        self.directory = directory
        self.rollout = shop.rollout()
        self.ledger = open_ledger(f"sqlite:///{directory / 'ledger.db'}")
        self.ledger.add_rollout(self.rollout, file="checkout.yaml", engine=__version__, now=shop.START)
        self.now = float(shop.START)
        flags = InMemoryFlags((self.rollout.flag,))
        answers = source or MadeSource(self.rollout)
        self._tick = RolloutTick(self.rollout.name, self.ledger, answers, flags, lambda: self.now)
        self._tick.tick(self.now)
        self.now = shop.START + self.rollout.delay + 1
        if behind:
            self.now += behind * self.rollout.interval
            while self._tick.tick(self.now).again_in == 0.0:
                pass

    def tick(self) -> None:
        """The next slot."""
        self.now += self.rollout.interval
        self._tick.tick(self.now)

    def run(self, ticks: int) -> None:
        """So many slots."""
        for _ in range(ticks):
            self.tick()

    def close(self) -> None:
        self.ledger.close()


def main(warm_up: int, ticks: int, directory: Path) -> dict[str, int]:
    """Bytes of memory after the warm-up and after `ticks` more, and bytes that these added to the ledger."""
    ticking = Ticking(directory)
    ticking.run(warm_up)
    began = (rss(), _folded(ticking))
    ticking.run(ticks)
    ended = (rss(), _folded(ticking))
    ticking.close()
    return {"warm": began[0], "memory": ended[0], "ledger": ended[1] - began[1]}


def _folded(ticking: Ticking) -> int:
    """The ledger's bytes once its write-ahead log is brought into it."""
    with ticking.ledger.reading() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("BEGIN")
    return ledger_bytes(ticking.directory)


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))))
