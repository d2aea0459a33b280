"""What a preflight looks at: the settings, the rollouts that may still start, the ledger, Prometheus, the flags."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from watchdog.audit import open_changes
from watchdog.config import load_all
from watchdog.config.settings import Settings
from watchdog.connect import open_prometheus
from watchdog.errors import ConfigError, LedgerError, SourceError, WatchdogError
from watchdog.flags.base import Check
from watchdog.flagsystem import FlagSystem, open_flags
from watchdog.ledger import Ledger, StoredRollout, open_ledger
from watchdog.model import Phase, Rollout
from watchdog.preflight.verdict import OWN, Build, Level
from watchdog.prometheus import Prometheus


class Missing(WatchdogError):
    """What a check stands on is not there; the check that looked for it has said so."""


class Sight(NamedTuple):
    """A check with the rollout that it is about (None for all of them), and what it counts for."""

    rollout: Rollout | None
    check: Check
    level: Level = Level.BLOCKER
    waived: str | None = None
    waiver: str = OWN


Looked = Iterator[Sight | tuple[Rollout | None, Check]]
"""What an area yields. A pair is a blocker."""


@dataclass(slots=True)
class Ground:
    """Opened once, used by every area, closed at the end of a `with` block. `drills` is whether a drill may be run.

    `release` is what whoever asks says of the release; `builds` collects what is found.
    """

    settings: Settings
    by: str = "preflight"
    drills: bool = True
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.time
    release: tuple[Build, ...] = ()
    loaded: list[tuple[Path, Rollout | ConfigError]] = field(default_factory=list)
    builds: list[Build] = field(default_factory=list)
    trouble: str = ""
    """Why there is no ledger."""
    _silence: str = ""
    _ledger: Ledger | None = None
    _flags: FlagSystem | None = None
    _source: Prometheus | None = None
    _groups: list[dict[str, Any]] | None = None
    _closing: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        self.loaded = load_all(self.settings)
        try:
            self._ledger = open_ledger(self.settings.ledger)
            self._closing.callback(self._ledger.close)
        except LedgerError as error:
            self.trouble = str(error)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @property
    def configured(self) -> list[Rollout]:
        """The rollouts of all files that are right."""
        return [item for _, item in self.loaded if isinstance(item, Rollout)]

    @property
    def rollouts(self) -> list[Rollout]:
        """Those of them that have not ended."""
        return [one for one in self.configured if (stored := self.stored(one)) is None or not stored.phase.terminal]

    @property
    def pending(self) -> list[Rollout]:
        """Those that have not started."""
        return [one for one in self.configured if (stored := self.stored(one)) is None or stored.phase is Phase.PENDING]

    def stored(self, rollout: Rollout) -> StoredRollout | None:
        """What the ledger has of a rollout; None also without a ledger."""
        return self._ledger.rollout(rollout.name) if self._ledger is not None else None

    @property
    def ledger(self) -> Ledger:
        """The ledger. Raises Missing."""
        if self._ledger is None:
            raise Missing(f"it needs the ledger, which cannot be used: {self.trouble}")
        return self._ledger

    @property
    def source(self) -> Prometheus:
        """Prometheus, whose clock is not judged here but looked at. Raises Missing once it was found silent."""
        if self._silence:
            raise Missing(f"it needs Prometheus, which cannot be asked: {self._silence}")
        if self._source is None:
            self._source = self._closing.enter_context(open_prometheus(self.settings.prometheus, judge_skew=False))
        return self._source

    def greet(self) -> dict[str, Any]:
        """The build of Prometheus. Raises SourceError; when it is not reached at all, nobody asks it again."""
        try:
            return self.source.build_info()
        except SourceError as error:
            if not error.permanent:
                self._silence = str(error)
            raise

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The groups of rules that Prometheus has loaded, asked once. Raises SourceError."""
        if self._groups is None:
            told = self.source.told("/api/v1/rules")
            try:
                self._groups = [dict(group) for group in told["groups"]]
            except (TypeError, KeyError, ValueError) as error:
                raise SourceError(f"{self.source.name} told something else than its rules", permanent=True) from error
        return self._groups

    @property
    def flags(self) -> FlagSystem:
        """The flag services, each change recorded. Raises ConfigError and Missing."""
        if self._flags is None:
            self._flags = open_flags(
                self.settings, open_changes(self.settings.ledger, self.ledger, self.clock), self.clock
            )
        return self._flags
