"""Takes in rollout files: what is new becomes pending; what is wrong or changed is said once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog

from watchdog import __version__
from watchdog.config import load_all
from watchdog.config.settings import Settings
from watchdog.errors import ConfigError, LedgerConflict, LedgerError, Problem, Refused
from watchdog.ledger import Ledger, StoredRollout
from watchdog.model import Rollout

log = structlog.get_logger()


class Intake:
    """Looks at the files that `rollouts:` names, as often as it is asked to."""

    def __init__(self, settings: Settings, ledger: Ledger, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.ledger = ledger
        self.clock = clock
        self._said: dict[str, str] = {}

    def look(self, *, strict: bool) -> list[StoredRollout]:
        """The rollouts of all files, new ones recorded as pending; a frozen rule stays what it was.

        `strict` raises ConfigError with everything that is wrong, and LedgerError; otherwise that is left out and
        said, once for each file and fault.
        """
        problems: list[Problem] = []
        found = []
        for path, loaded in load_all(self.settings):
            if isinstance(loaded, ConfigError):
                problems.extend(loaded.problems)
                if not strict:
                    self.say_once(str(path), str(loaded), "this rollout file is wrong and is left out")
                continue
            try:
                stored = self.ledger.rollout(loaded.name)
                if stored is None:
                    stored = self._add(loaded, path)
            except LedgerError as error:
                if strict and not isinstance(error, Refused):
                    raise
                self.say_once(str(path), str(error), "the ledger does not take this rollout")
                continue
            found.append(stored)
            if stored.sha256 != loaded.sha256:
                why = f"{path} has changed since {stored.name} was first seen; the frozen rule stays in force"
                self.say_once(stored.name, loaded.sha256, why)
        if strict and problems:
            raise ConfigError(problems)
        return found

    def _add(self, loaded: Rollout, path: Path) -> StoredRollout:
        """Record a rollout as pending; another process with the same file may do so this moment. Raises LedgerError."""
        try:
            stored = self.ledger.add_rollout(loaded, file=str(path), engine=__version__, now=self.clock())
        except (LedgerConflict, Refused):
            other = self.ledger.rollout(loaded.name)
            if other is None:
                raise
            return other
        log.info("seen", rollout=loaded.name, file=str(path))
        return stored

    def say_once(self, key: str, what: str, why: str) -> None:
        """A warning, unless this was the last thing said about `key`."""
        if self._said.get(key) != what:
            self._said[key] = what
            log.warning("ignored", what=key, why=why, problem=what)
