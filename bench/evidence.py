"""The evidence of seven days of seven objectives: how large is its bundle, and how long does `verify` take over it?

The ledger is made by the live engine, tick by tick, with a seal each. Every answer is another number: what repeats
itself would compress better than a real service does. Run as a program it makes that ledger: `python -m bench.evidence
DAYS DIRECTORY`.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench import shop
from bench.figure import Figure, at_most, printed
from bench.made import MadeSource
from bench.proc import fast_directory
from watchdog.evidence.bundle import Context, write
from watchdog.evidence.keys import generate, signing_key
from watchdog.flags.memory import InMemoryFlags
from watchdog.ledger import open_ledger
from watchdog.tick import RolloutTick

SLOWEST = 10.0
LARGEST = 5.0
MEGABYTE = 1_000_000


class RestlessSource(MadeSource):
    """Like its parent, and no number ever comes again."""

    def _value(self, expression: str, at: int) -> float:
        good, bad = self._means.get(expression, (1.0, 1.0))
        noise = random.Random(f"{expression} {at}").uniform(0.9, 1.1)
        return (bad if at >= self.broken_from else good) * noise


def figures(*, quick: bool) -> Iterator[Figure]:
    """Size of the bundle and time of `verify`, as a process of its own."""
    days = 1 if quick else 7
    with tempfile.TemporaryDirectory(prefix="bench-", dir=fast_directory()) as name:
        directory = Path(name)
        subprocess.run([sys.executable, "-m", "bench.evidence", str(days), name], check=True, timeout=1800)
        public, _ = generate(directory / "key")
        ledger = open_ledger(f"sqlite:///{directory / 'ledger.db'}")
        began = time.monotonic()
        data = write(ledger, shop.rollout().name, Context("http://127.0.0.1:9090", {}), signing_key(directory / "key"))
        wrote = time.monotonic() - began
        ledger.close()
        bundle = directory / "evidence.tar.gz"
        bundle.write_bytes(data)
        command = [sys.executable, "-m", "watchdog", "verify", str(bundle), "--public-key", str(public)]
        began, spent = time.monotonic(), _children()
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
        took, spent = time.monotonic() - began, _children() - spent
        if done.returncode != 0:
            raise RuntimeError(f"the bundle of a healthy week was meant to verify: {done.stdout}{done.stderr}")
    what = f"{days} days of 7 objectives at 30 s"
    note = f"the whole process, {spent:.1f} s of it on the CPU, load {os.getloadavg()[0]:.1f}"
    yield at_most(f"`verify` of the evidence of {what}", took, SLOWEST, " s", note)
    yield at_most("its bundle", len(data) / MEGABYTE, LARGEST, " MB")
    yield printed("writing it", f"{wrote:.1f} s", seconds=wrote)


def _children() -> float:
    """Processor seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def drive(days: int, directory: Path) -> None:
    """Tick through `days` days, in time as an argument."""
    rollout = shop.rollout()
    ledger = open_ledger(f"sqlite:///{directory / 'ledger.db'}")
    ledger.add_rollout(rollout, file="checkout.yaml", engine="bench", now=shop.START)
    flags = InMemoryFlags((rollout.flag,))
    now = float(shop.START)
    tick = RolloutTick(rollout.name, ledger, RestlessSource(rollout), flags, lambda: now)
    tick.tick(now)
    for count in range(1, days * shop.DAY // rollout.interval + 1):
        now = shop.START + count * rollout.interval + rollout.delay + 1
        tick.tick(now)
    ledger.close()


if __name__ == "__main__":
    drive(int(sys.argv[1]), Path(sys.argv[2]))
