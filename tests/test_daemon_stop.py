"""A daemon that is told to stop in the middle of a tick lets it finish, and stops."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from tests.processes import Installation
from tests.rollouts import event
from watchdog.config import load_settings
from watchdog.daemon import Daemon
from watchdog.errors import FlagServiceError
from watchdog.flags.base import Change
from watchdog.flags.memory import InMemoryFlags
from watchdog.model import FlagReading

FLAG = "new-checkout"
NAME = "checkout-1"


class Slow(InMemoryFlags):
    """Flags whose kill takes until somebody lets go of it, and then fails: its tick asks to be woken again soon."""

    def __init__(self) -> None:
        super().__init__((FLAG,))
        self.reached = threading.Event()
        self.let_go = threading.Event()

    def kill(self, flag: str, change: Change) -> FlagReading:
        self.reached.set()
        self.let_go.wait(30)
        raise FlagServiceError("the flag service is down")


def test_a_tick_that_wants_to_be_woken_again_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    site = Installation(tmp_path, "http://127.0.0.1:1", tick_deadline="2s")
    keys = {
        "interval": "1s",
        "rollback": "{within: 15m}",
        "window": "{slices: 2, slice: 1h}",
        "ramp": "{strategy: percentage, to: 25}",
    }
    site.rollout(NAME, f"\n{event()}\n", **keys)
    flags = Slow()
    daemon = Daemon(load_settings(site.config), flags=flags)
    daemon.start()
    try:
        daemon.ledger.add_command(NAME, "rollback", "ada", "because", time.time())
        daemon.jobs.wake(NAME)
        assert flags.reached.wait(20), "no tick tried to kill the flag"
        stopping = threading.Thread(target=daemon.stop, daemon=True)
        stopping.start()
        stopping.join(0.5)
        assert stopping.is_alive(), "it waits for the tick that is under way"
    finally:
        flags.let_go.set()
    stopping.join(10)
    assert not stopping.is_alive(), "the tick and the stop wait for each other"
