"""What a preflight looks at: the settings, the rollouts that may still start, the ledger and the flag services."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from watchdog.audit import open_changes
from watchdog.config import load_all
from watchdog.config.settings import Settings
from watchdog.errors import ConfigError, LedgerError, WatchdogError
from watchdog.flagsystem import FlagSystem, open_flags
from watchdog.ledger import Ledger, StoredRollout, open_ledger
from watchdog.model import Rollout


class Missing(WatchdogError):
    """What a check stands on is not there; the check that looked for it has said so."""


@dataclass(slots=True)
class Ground:
    """Opened once, used by every area, closed at the end of a `with` block. `drills` is whether a drill may be run."""

    settings: Settings
    by: str = "preflight"
    drills: bool = True
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.time
    loaded: list[tuple[Path, Rollout | ConfigError]] = field(default_factory=list)
    trouble: str = ""
    """Why there is no ledger."""
    _ledger: Ledger | None = None
    _flags: FlagSystem | None = None
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
    def flags(self) -> FlagSystem:
        """The flag services, each change recorded. Raises ConfigError and Missing."""
        if self._flags is None:
            self._flags = open_flags(
                self.settings, open_changes(self.settings.ledger, self.ledger, self.clock), self.clock
            )
        return self._flags
