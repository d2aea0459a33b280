"""What the tests of drills share: a ledger with an active rollout, a plan, readers and services that fail."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Self

from tests.ledgers import NOON, added
from tests.rollouts import rollout
from watchdog.config import load_settings
from watchdog.config.settings import Settings
from watchdog.drill.plan import Plan
from watchdog.drill.report import Report
from watchdog.drill.run import Drill
from watchdog.flags.base import Capabilities, Change, Check, FlagService, ManagedFlagService, Prepared
from watchdog.ledger import Ledger, Record
from watchdog.model import FlagReading, Notification, Phase
from watchdog.readers.base import KEY, Reader, Sight
from watchdog.readers.service import ServiceReader

FLAG = "slo-watchdog-drill"


def settings(directory: Path, **variables: str) -> Settings:
    """Settings with a flag file in `directory`; `variables` as the environment gives them, in small letters."""
    given = {"prometheus__url": "http://127.0.0.1:9", "ledger": f"sqlite:///{directory / 'watchdog.db'}", **variables}
    if given.get("flags__service", "flagd-file") == "flagd-file":
        given.setdefault("flags__path", str(directory / "flags.json"))
    return load_settings(None, {f"WATCHDOG_{name.upper()}": value for name, value in given.items()})


def a_plan(runs: int = 3, *, within: float = 900.0, propagation: float = 0.01) -> Plan:
    return Plan(FLAG, runs, "ada", "a test", within, propagation, least_patience=min(within, 30.0))


def drill(
    service: FlagService,
    reader: Reader,
    ledger: Ledger,
    plan: Plan | None = None,
    *,
    name: str = "memory",
    seed: int = 1,
    stop: threading.Event | None = None,
) -> Report:
    """Hold a drill, the reader being opened for it."""
    with reader:
        return Drill(service, reader, ledger, plan or a_plan(), name=name, random=Random(seed), stop=stop).run()


def with_active(ledger: Ledger, name: str = "checkout-2.14.0", *, flag: str = "") -> int:
    """An active rollout, for there must be somebody who is told."""
    stored = added(ledger, rollout(rollout=name, flag=flag or f"flag-of-{name}"))
    ledger.record(Record(stored.id, stored.revision, Phase.RAMPING, started_at=NOON))
    return stored.id


def told(ledger: Ledger, rollout: int) -> list[Notification]:
    """What this rollout's people hear of drills."""
    return [item.notification for item in ledger.notifications_of(rollout) if item.notification.kind == "drill_failed"]


class StuckReader(ServiceReader):
    """Once it has seen the flag on it never hears of anything again."""

    def __init__(self, service: FlagService) -> None:
        super().__init__(service, "memory")
        self.stuck = False

    def is_on(self, flag: str, key: str = KEY) -> Sight:
        sight = Sight(on=True) if self.stuck else super().is_on(flag, key)
        self.stuck = self.stuck or sight.on is True
        return sight


class SleepyReader:
    """Reads nothing at all: whatever it is asked, it does not know."""

    name = "memory"
    poll = 0.0

    def is_on(self, flag: str, key: str = KEY) -> Sight:
        return Sight(None, problem="FLAG_NOT_FOUND: no such flag")

    def rest(self, stop: threading.Event) -> bool:
        return stop.wait(0.001)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Mirrored:
    """A flag file in front of a copy that applications read, and that is renewed by whatever `mirrors` names."""

    def __init__(self, service: ManagedFlagService, path: Path, copy: Path, mirrors: Sequence[str]) -> None:
        self.service = service
        self.mirrors = mirrors
        self._path = path
        self._copy = copy
        self.capabilities: Capabilities = service.capabilities

    def read(self, flag: str) -> FlagReading:
        return self.service.read(flag)

    def set(self, flag: str, change: Change) -> FlagReading:
        return self._mirrored("set", self.service.set(flag, change))

    def kill(self, flag: str, change: Change) -> FlagReading:
        return self._mirrored("kill", self.service.kill(flag, change))

    def init(self, flags: Sequence[str], by: str) -> Prepared:
        return self.service.init(flags, by)

    def preflight(self, flag: str) -> tuple[Check, ...]:
        return self.service.preflight(flag)

    def _mirrored(self, verb: str, reading: FlagReading) -> FlagReading:
        if verb in self.mirrors:
            shutil.copy(self._path, self._copy)
        return reading


def found(report: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """A report that must be there."""
    assert report is not None
    return report
