"""What the receiver remembers across restarts: messages of the last minutes, and every change it was told to make."""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS seen (signature TEXT PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS changes (
  id INTEGER PRIMARY KEY, key TEXT NOT NULL, flag TEXT NOT NULL, action TEXT NOT NULL, rollout TEXT,
  reads TEXT NOT NULL, sent_at TEXT NOT NULL, outcome TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS by_flag ON changes (flag, id);
"""


class Memory:
    """One SQLite file. Every call is a transaction of its own."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.executescript(SCHEMA)

    def first_time(self, signature: str, now: float, keep: float) -> bool:
        """Whether this message is new; remembers it for `keep` seconds."""
        with self._lock:
            self._database.execute("DELETE FROM seen WHERE at < ?", (now - keep,))
            added = self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (signature, now))
            return added.rowcount == 1

    def begin(self, document: dict[str, Any]) -> int:
        """Note that a change is about to be made; its id."""
        names = ("percent", "cohort", "audiences")
        reads = {name: document[name] for name in names if name in document} if document["action"] == "set" else {}
        row = [document[name] for name in ("idempotency_key", "flag", "action")]
        row += [document.get("rollout"), json.dumps(reads), document["sent_at"], "begun"]
        with self._lock:
            columns = "key, flag, action, rollout, reads, sent_at, outcome"
            sql = f"INSERT INTO changes ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - nothing from outside
            return int(self._database.execute(sql, row).lastrowid or 0)

    def end(self, change: int, outcome: str) -> None:
        """Note how a change ended: `done`, `failed`, or `begun` when nobody knows."""
        with self._lock:
            self._database.execute("UPDATE changes SET outcome = ? WHERE id = ?", (outcome, change))

    def outcome(self, key: str, flag: str, action: str, rollout: str | None) -> str | None:
        """How this very change went before; with a `rollout` also any kill for it, whatever its key.

        None for a change that failed, or that another one of the flag has followed: then it is to be made again.
        """
        with self._lock:
            row = self._database.execute(
                "SELECT key, action, rollout, outcome FROM changes WHERE flag = ? AND outcome != 'failed'"
                " ORDER BY id DESC LIMIT 1",
                (flag,),
            ).fetchone()
        if row is None or row[1] != action:
            return None
        same = row[0] == key or (rollout is not None and row[2] == rollout)
        return str(row[3]) if same else None

    def last_kill(self, flag: str) -> str:
        """When the newest kill of a flag was sent, empty when there was none."""
        sql = "SELECT max(sent_at) FROM changes WHERE flag = ? AND action = 'kill'"
        with self._lock:
            return self._database.execute(sql, (flag,)).fetchone()[0] or ""

    def uncertain(self, flag: str) -> bool:
        """Whether nobody knows how the newest change of a flag went; one that is under way, too."""
        sql = "SELECT outcome FROM changes WHERE flag = ? AND outcome != 'failed' ORDER BY id DESC LIMIT 1"
        with self._lock:
            row = self._database.execute(sql, (flag,)).fetchone()
        return row is not None and row[0] == "begun"

    def last_done(self, flag: str) -> dict[str, Any]:
        """What a flag reads by the newest change that was done, with its number as `version` (0: none yet)."""
        sql = "SELECT id, key, reads FROM changes WHERE flag = ? AND outcome = 'done' ORDER BY id DESC LIMIT 1"
        with self._lock:
            row = self._database.execute(sql, (flag,)).fetchone()
        number, key, reads = row or (0, "", "{}")
        return {"percent": 0, **json.loads(reads), "version": number, "idempotency_key": key}
