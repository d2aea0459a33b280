"""Preflights that were made, what they say of each rule, and waivers of a start. Wall times throughout."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from watchdog.errors import LedgerError, Refused
from watchdog.ledger import tables
from watchdog.ledger.codes import plain
from watchdog.ledger.read import Reading
from watchdog.ledger.sealing import Facts
from watchdog.ledger.seals import OWN
from watchdog.model import Proof, Waiver

_DIGEST = b"a preflight wrote this"
_SQLITE = ("journal_mode", "synchronous")
_POSTGRESQL = ("fsync", "synchronous_commit", "full_page_writes")


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """What one preflight says of one rule, named by its rollout and its sha256.

    `failed` blockers stand in the way, `waived` ones would without the rule's own waiver; `score` is percent.
    """

    rollout: str
    rule: str
    failed: int
    waived: int
    score: int


@dataclass(frozen=True, slots=True)
class MadePreflight:
    """A preflight that has ended, as it is to be recorded. `result` is what was told, as plain data."""

    at: float
    finished_at: float
    by: str
    passed: bool
    score: int
    result: dict[str, Any]
    verdicts: Sequence[RuleVerdict] = ()


@dataclass(frozen=True, slots=True)
class StoredPreflight:
    """A recorded preflight. `sha256` is that of its result's text."""

    id: int
    at: float
    finished_at: float
    by: str
    passed: bool
    score: int
    result: dict[str, Any]
    sha256: str


class Preflights(Reading):
    """The ledger's memory of preflights and of who let a rollout start without one."""

    def add_preflight(self, made: MadePreflight) -> StoredPreflight:
        """Record a preflight with what it says of each rule."""
        body = plain(json.dumps(made.result, separators=(",", ":"), allow_nan=False))
        digest = hashlib.sha256(body.encode()).hexdigest()
        row = {
            "at": made.at,
            "finished_at": made.finished_at,
            "by": plain(made.by),
            "passed": int(made.passed),
            "score": made.score,
            "body": body,
            "sha256": digest,
        }
        with self.writing() as connection:
            facts = Facts(connection, OWN)
            (number,) = facts.insert("preflights", [row])
            facts.insert("preflight_verdicts", [{**asdict(one), "preflight": number} for one in made.verdicts])
            facts.seal()
        return StoredPreflight(
            number, made.at, made.finished_at, made.by, made.passed, made.score, json.loads(body), digest
        )

    def last_preflight(self) -> StoredPreflight | None:
        """The newest preflight."""
        return self._preflight()

    def preflight(self, number: int) -> StoredPreflight | None:
        """The preflight of that number."""
        return self._preflight(tables.PREFLIGHTS.c.id == number)

    def proof(self, rollout: str, rule: str) -> Proof | None:
        """What the newest preflight of exactly this rule said; `rule` is its sha256."""
        made, verdicts = tables.PREFLIGHTS, tables.PREFLIGHT_VERDICTS
        statement = (
            select(verdicts, made.c.finished_at, made.c.sha256)
            .select_from(verdicts.join(made, made.c.id == verdicts.c.preflight))
            .where(verdicts.c.rollout == rollout, verdicts.c.rule == rule)
            .order_by(verdicts.c.preflight.desc())
            .limit(1)
        )
        with self.reading() as connection:
            row = connection.execute(statement).first()
        if row is None:
            return None
        return Proof(row.preflight, row.finished_at, row.failed, row.waived, row.score, row.sha256)

    def add_waiver(self, rollout: str, waiver: Waiver) -> None:
        """Record who lets a rollout start, why and until when. Refused for a rollout that nobody knows."""
        rollouts = tables.ROLLOUTS
        with self.writing() as connection:
            number = connection.execute(select(rollouts.c.id).where(rollouts.c.name == rollout)).scalar()
            if number is None:
                raise Refused(f"waiver of {waiver.name}: the ledger {self.place} has no rollout {rollout!r}")
            said = {"name": waiver.name, "by": plain(waiver.by), "why": plain(waiver.why)}
            facts = Facts(connection, number)
            facts.insert("waivers", [{**said, "at": waiver.at, "until": waiver.until}])
            facts.seal()

    def waivers(self, rollout_id: int) -> list[Waiver]:
        """Every waiver of a rollout, in the order in which they were given."""
        return [Waiver(**row) for row in self._rows(tables.WAIVERS, rollout_id, "id")]

    def prove_durable(self, token: str) -> dict[str, str]:
        """Commit a row, read it back over another connection, and take it away again.

        Returns the settings of the database that a commit's durability rests on. LedgerError when it cannot be written,
        or does not read what was committed.
        """
        texts = tables.TEXTS
        with self.writing() as connection:
            connection.execute(delete(texts).where(texts.c.digest == _DIGEST))
            connection.execute(insert(texts).values(digest=_DIGEST, text=token))
        try:
            with self.reading() as connection:
                found = connection.execute(select(texts.c.text).where(texts.c.digest == _DIGEST)).scalar()
                settings = _settings(connection)
        finally:
            with self.writing() as connection:
                connection.execute(delete(texts).where(texts.c.digest == _DIGEST))
        if found != token:
            raise LedgerError(f"ledger {self.place}: what was committed does not read back")
        return settings

    def _preflight(self, *where: Any) -> StoredPreflight | None:
        made = tables.PREFLIGHTS
        with self.reading() as connection:
            row = connection.execute(select(made).where(*where).order_by(made.c.id.desc()).limit(1)).first()
        return None if row is None else _stored(row)


def _settings(connection: Connection) -> dict[str, str]:
    sqlite = connection.dialect.name == "sqlite"
    asked = [(name, f"PRAGMA {name}") for name in _SQLITE] if sqlite else [(n, f"SHOW {n}") for n in _POSTGRESQL]
    return {name: str(connection.exec_driver_sql(statement).scalar_one()) for name, statement in asked}


def _stored(row: Row[Any]) -> StoredPreflight:
    return StoredPreflight(
        row.id, row.at, row.finished_at, row.by, bool(row.passed), row.score, json.loads(row.body), row.sha256
    )
