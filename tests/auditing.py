"""A flag service with its audit over a real ledger, a clock that stands still, and what the ledger then says."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.ledgers import NOON, ledger_at
from watchdog.audit import AuditedFlags, ChangeLog, audited, open_changes
from watchdog.flags.base import Change
from watchdog.flags.memory import InMemoryFlags
from watchdog.ledger import Ledger, StoredChange
from watchdog.model import NOBODY, Exposure

if TYPE_CHECKING:
    from collections.abc import Iterator

FLAG = "new-checkout"


def to(percent: float, by: str = "ada", why: str = "a look", **more: Any) -> Change:
    return Change(Exposure(percent), (), by, why, **more)


def off(by: str = "slo-watchdog", why: str = "a breach", **more: Any) -> Change:
    return Change(NOBODY, (), by, why, **more)


class Audit:
    """One installation: `now` is its time, `flags` what really serves, `service` the way through the audit."""

    def __init__(self, directory: Path, *, actions: Mapping[str, str] | None = None) -> None:
        self.path = directory / "watchdog.db"
        self.url = f"sqlite:///{self.path}"
        self.now = float(NOON)
        self.flags = InMemoryFlags([FLAG, "other", "ops.shutdown"])
        self.actions = actions
        self.counted: list[tuple[str, str, str]] = []
        self.lines: list[tuple[str, Mapping[str, object]]] = []
        self.percent: dict[tuple[str, str], float] = {}
        self.journaled = 0
        self.ledger: Ledger = ledger_at(self.path)
        self.changes, self.service = self.process()

    def process(self) -> tuple[ChangeLog, AuditedFlags]:
        """Another process on the same ledger and the same flags: it remembers nothing."""
        changes = open_changes(
            self.url,
            self.ledger,
            lambda: self.now,
            observer=self,
            tell=lambda event, line: self.lines.append((event, line)),
        )
        service = audited(self.flags, "flags", changes, lambda: self.now, actions=self.actions, observer=self)
        return changes, service

    def on_flag(self, service: str, flag: str, percent: float) -> None:
        self.percent[service, flag] = percent

    def on_flag_change(self, actor_kind: str, action: str, result: str) -> None:
        self.counted.append((actor_kind, action, result))

    def set_flag_journal(self, entries: int) -> None:
        self.journaled = entries

    def rows(self, flag: str = FLAG) -> list[StoredChange]:
        """What is on record of a flag, oldest first."""
        return self.ledger.flag_history("flags", flag, 1000)[::-1]

    def told(self, flag: str = FLAG) -> list[tuple[str, str]]:
        """(action, result) of what is on record."""
        return [(row.change.action, row.change.result) for row in self.rows(flag)]

    def later(self, seconds: float = 30.0) -> None:
        self.now += seconds

    @contextmanager
    def ledger_down(self) -> Iterator[None]:
        """Nobody can read or write the ledger; everything in it is there again afterwards."""
        self.ledger.close()
        hidden = self.path.with_name("hidden.db")
        for suffix in ("", "-wal", "-shm"):
            found = Path(f"{self.path}{suffix}")
            if found.exists():
                found.rename(f"{hidden}{suffix}")
        self.path.mkdir()
        try:
            yield
        finally:
            self.ledger.close()
            self.path.rmdir()
            for suffix in ("", "-wal", "-shm"):
                found = Path(f"{hidden}{suffix}")
                if found.exists():
                    found.rename(f"{self.path}{suffix}")

    def tamper(self, statement: str, *values: object) -> None:
        """Somebody with the database's password."""
        with closing(sqlite3.connect(self.path)) as other:
            other.execute(statement, values)
            other.commit()
