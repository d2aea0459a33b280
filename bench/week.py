"""Seven days of ticks, driven fast in a process of their own: does its memory grow, and how fast does its ledger?

Run as a program it is that process: `python -m bench.week DAYS DIRECTORY` prints the samples as JSON.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import shop
from bench.figure import Figure, at_most, printed
from bench.made import MadeSource
from bench.proc import fast_directory, rss
from watchdog.flags.flagd_file import FlagdFile
from watchdog.ledger import open_ledger
from watchdog.model import Phase
from watchdog.tick import RolloutTick

MOST_GROWTH = 3.0
MOST_SLOPE = 0.2
"""Percent a day that count as no slope: what a week keeps on purpose (a slice an hour) is less."""
MOST_LEDGER = 4.0
SAMPLES_A_DAY = 48
WARM_UP = 2
"""Days until the caches are full: SQLite keeps up to 2 MB of pages for each connection."""
MEGABYTE = 1_000_000


def figures(*, quick: bool) -> Iterator[Figure]:
    """Growth and slope of the memory after the warm-up, and the ledger's bytes a day."""
    days = 1 if quick else 7
    with tempfile.TemporaryDirectory(prefix="bench-", dir=fast_directory()) as directory:
        began = time.monotonic()
        command = [sys.executable, "-m", "bench.week", str(days), directory]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=1200)
        seconds = time.monotonic() - began
    run = json.loads(done.stdout)
    note = f"{run['ticks']:,} ticks in {seconds:.0f} s"
    yield at_most(
        "ledger growth a day, 7 objectives at 30 s", run["ledger"] / days / MEGABYTE, MOST_LEDGER, " MB", note
    )
    memory = [sample / MEGABYTE for sample in run["rss"]]
    if quick:
        yield printed("RSS over one day of ticks", f"{memory[len(memory) // 2]:.1f} to {memory[-1]:.1f} MB", rss=memory)
        return
    warm = memory[WARM_UP * SAMPLES_A_DAY :]
    level = statistics.median(warm[:SAMPLES_A_DAY])
    grown = 100 * (statistics.median(warm[-SAMPLES_A_DAY:]) / level - 1)
    slope = 100 * statistics.linear_regression(range(len(warm)), warm).slope * SAMPLES_A_DAY / level
    note = f"day 3 to day 7, {level:.1f} MB to {max(warm):.1f} MB at most"
    yield at_most("RSS over 7 days of ticks, after two days of warm-up", grown, MOST_GROWTH, " %", note)
    yield at_most("its linear slope", slope, MOST_SLOPE, " % a day", f"{slope * level * 10:.1f} kB a day")


def drive(days: int, directory: Path) -> dict[str, object]:
    """Tick through `days` days, in time as an argument; memory is sampled every half hour of it."""
    rollout = shop.rollout()
    url = f"sqlite:///{directory / 'ledger.db'}"
    ledger = open_ledger(url)
    ledger.add_rollout(rollout, file="checkout.yaml", engine="bench", now=shop.START)
    flags = FlagdFile(directory / "flags.json")
    flags.init((rollout.flag,), "bench")
    now = float(shop.START)
    tick = RolloutTick(rollout.name, ledger, MadeSource(rollout), flags, lambda: now)
    tick.tick(now)
    empty, samples, ticks = ledger_bytes(directory), [], days * shop.DAY // rollout.interval
    for count in range(1, ticks + 1):
        now = shop.START + count * rollout.interval + rollout.delay + 1
        ticked = tick.tick(now)
        if count % (ticks // days // SAMPLES_A_DAY) == 0:
            samples.append(rss())
    ledger.close()
    if ticked.phase not in (Phase.RAMPING, Phase.SOAKING):
        raise RuntimeError(f"a healthy week was meant to ramp, and it ended: {ticked.sentence}")
    return {"rss": samples, "ledger": ledger_bytes(directory) - empty, "ticks": ticks}


def ledger_bytes(directory: Path) -> int:
    """The ledger's size with its write-ahead log, which is empty once it has been closed."""
    return sum(path.stat().st_size for path in directory.glob("ledger.db*") if path.suffix != ".db-shm")


if __name__ == "__main__":
    print(json.dumps(drive(int(sys.argv[1]), Path(sys.argv[2]))))
