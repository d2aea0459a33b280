"""Which build a rollout watches, as its pipeline wrote it down. Wall times throughout."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from watchdog.errors import LedgerError, Refused
from watchdog.ledger import tables
from watchdog.ledger.codes import plain
from watchdog.ledger.read import Reading
from watchdog.ledger.sealing import Facts


@dataclass(frozen=True, slots=True)
class StoredDeployment:
    """A recorded `deployment.json`: when and by whom it was handed in, its facts, the sha256 of its bytes."""

    at: float
    by: str
    facts: dict[str, Any]
    sha256: str


class Deployments(Reading):
    """The ledger's memory of what pipelines deployed."""

    def add_deployment(self, rollout: str, text: str, by: str, now: float) -> StoredDeployment:
        """Record a deployment; one that is recorded already adds no row. Refused for a rollout that nobody knows."""
        body = plain(text)
        stored = StoredDeployment(now, plain(by), json.loads(body), hashlib.sha256(body.encode()).hexdigest())
        rollouts, made = tables.ROLLOUTS, tables.DEPLOYMENTS
        with self.writing() as connection:
            number = connection.execute(select(rollouts.c.id).where(rollouts.c.name == rollout)).scalar()
            if number is None:
                raise Refused(f"deployment: the ledger {self.place} has no rollout {rollout!r}")
            same = select(made.c.id).where(made.c.rollout == number, made.c.sha256 == stored.sha256)
            if connection.execute(same).first() is None:
                row = {"at": now, "by": stored.by, "body": body, "sha256": stored.sha256}
                facts = Facts(connection, number)
                facts.insert("deployments", [row])
                facts.seal()
        return stored

    def deployment(self, rollout_id: int) -> StoredDeployment | None:
        """The newest one of a rollout. LedgerError when its text is not what was recorded."""
        return next((one for number, one in self.deployments() if number == rollout_id), None)

    def deployments(self) -> list[tuple[int, StoredDeployment]]:
        """Every one with its rollout's number, the newest first. LedgerError when a text is not what was recorded."""
        with self.reading() as connection:
            rows = connection.execute(select(tables.DEPLOYMENTS).order_by(tables.DEPLOYMENTS.c.id.desc())).all()
        return [(row.rollout, self._read(row)) for row in rows]

    def _read(self, row: Row[Any]) -> StoredDeployment:
        if hashlib.sha256(row.body.encode()).hexdigest() != row.sha256:
            found = f"deployment {row.id} is not what was recorded: its sha256 differs"
            raise LedgerError(f"ledger {self.place}: {found}; somebody changed the table, restore it from a backup")
        return StoredDeployment(row.at, row.by, json.loads(row.body), row.sha256)
