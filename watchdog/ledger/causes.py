"""What was found about the causes of breaches. Append-only: a later comparison of the same breach is another row."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from watchdog.errors import LedgerError
from watchdog.ledger import tables
from watchdog.ledger.codes import plain
from watchdog.ledger.facts import Record
from watchdog.ledger.read import Reading
from watchdog.ledger.sealing import Facts
from watchdog.model import Attribution, Blame, Contributor, Contributors, Counts

ATTRIBUTION, CONTRIBUTORS = "attribution", "contributors"


def write_causes(facts: Facts, record: Record) -> None:
    """Add what a tick found about causes."""
    found: tuple[Attribution | Contributors, ...] = (*record.attributions, *record.contributors)
    facts.insert("causes", [_row(one, record.caused_at) for one in found])


def _row(one: Attribution | Contributors, now: float) -> dict[str, Any]:
    fields = asdict(one)
    name, at = fields.pop("objective"), fields.pop("breach_at")
    kind = ATTRIBUTION if isinstance(one, Attribution) else CONTRIBUTORS
    body = plain(json.dumps(fields, separators=(",", ":")))
    return {"at": now, "objective": name, "breach_at": at, "kind": kind, "body": body}


class Causes(Reading):
    """The ledger's memory of causes."""

    def attributions(self, rollout_id: int) -> list[Attribution]:
        """What the cohorts said of each breach, in the order in which it was recorded."""
        return [
            Attribution(
                **{
                    **body,
                    "objective": name,
                    "breach_at": at,
                    "verdict": Blame(body["verdict"]),
                    "exposed": Counts(**body["exposed"]),
                    "control": Counts(**body["control"]),
                }
            )
            for name, at, body in self._causes(rollout_id, ATTRIBUTION)
        ]

    def contributors(self, rollout_id: int) -> list[Contributors]:
        """Who contributed to each breach that was asked about, in the order in which it was recorded."""
        return [
            Contributors(
                **{
                    **body,
                    "objective": name,
                    "breach_at": at,
                    "found": tuple(Contributor(**one) for one in body["found"]),
                }
            )
            for name, at, body in self._causes(rollout_id, CONTRIBUTORS)
        ]

    def _causes(self, rollout_id: int, kind: str) -> list[tuple[str, int, dict[str, Any]]]:
        where = (tables.CAUSES.c.kind == kind,)
        found = []
        for row in self._rows(tables.CAUSES, rollout_id, "id", where=where):
            try:
                found.append((str(row["objective"]), int(row["breach_at"]), dict(json.loads(row["body"]))))
            except ValueError as error:
                raise LedgerError(
                    f"ledger {self.place}: a row of causes is damaged ({error}): put a backup in its place"
                ) from error
        return found
