"""The daemon as it is, in a process of its own, which stamps from outside what it does: `python -m bench.watched DIR`.

Stamps are of the monotonic clock, which all processes of a machine share. Nothing inside the daemon is replaced but by
itself with a stamp around it; they are written to DIR/stamps.json when the daemon has ended.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from pathlib import Path

from watchdog.config import load_settings
from watchdog.daemon import STOP_SIGNALS, Daemon
from watchdog.flags.base import Change
from watchdog.flags.flagd_file import FlagdFile
from watchdog.ledger import Ledger, Record
from watchdog.model import FlagReading

STAMPS = "stamps.json"
FLAGS = "flags.json"


class TimedFlags(FlagdFile):
    """Flags that remember when each was first killed: the file is replaced, synced and read back by then."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.killed: dict[str, float] = {}

    def kill(self, flag: str, change: Change) -> FlagReading:
        """As it is, timed."""
        reading = super().kill(flag, change)
        self.killed.setdefault(flag, time.monotonic())
        return reading


class TimedLedger(Ledger):
    """A ledger that remembers, for each rollback, when its record was asked for and when it was committed."""

    decided: dict[int, float]
    committed: dict[int, float]
    local: threading.local

    def record(self, record: Record) -> int:
        """As it is, timed. The commit is over when `told` is called, which the sender's threads are woken by."""
        if not any(one.kind == "rollback" for one in record.notifications):
            return super().record(record)
        began = time.monotonic()
        revision = super().record(record)
        self.decided[record.rollout_id], self.committed[record.rollout_id] = began, self.local.at
        return revision


def timed(daemon: Daemon) -> TimedLedger:
    """The daemon's own ledger, from now on with stamps."""
    ledger, wake = daemon.ledger, daemon.sender.wake
    ledger.__class__ = TimedLedger
    if not isinstance(ledger, TimedLedger):
        raise TypeError("unreachable: it was made one")
    ledger.decided, ledger.committed, ledger.local = {}, {}, threading.local()

    def told() -> None:
        ledger.local.at = time.monotonic()
        wake()

    ledger.told = told
    return ledger


def main(directory: Path) -> None:
    """Run until SIGTERM, as `slo-watchdog run` does, and write the stamps: rollout -> its three instants."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    flags = TimedFlags(directory / FLAGS)
    daemon = Daemon(load_settings(directory / "watchdog.yaml"), flags=flags)
    ledger = timed(daemon)
    try:
        daemon.start()
        signal.sigwait(STOP_SIGNALS)
    finally:
        names = {stored.id: stored for stored in ledger.rollouts()}
        daemon.stop()
    stamps = {
        names[number].name: {
            "decided": began,
            "committed": ledger.committed[number],
            "killed": flags.killed.get(names[number].flag),
        }
        for number, began in ledger.decided.items()
    }
    (directory / STAMPS).write_text(json.dumps(stamps), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
