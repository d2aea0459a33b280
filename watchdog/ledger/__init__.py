"""The ledger: all SQL. Append-only facts, one transaction a tick, guarded by compare-and-set.

What changes in place: a rollout's head (phase, revision, the engine's state), a breach's end, a message's delivery,
a command's outcome and the checkpoints, which are a cache. SQLite by default; the same statements run on PostgreSQL.
"""

from __future__ import annotations

import time

from watchdog.errors import LedgerError
from watchdog.ledger.alerts import Alerts, Taken
from watchdog.ledger.causes import Causes
from watchdog.ledger.chain import Content, Finding, FlagChange, StoredChange, findings
from watchdog.ledger.deliveries import CLAIM, PIPELINES, Deliveries
from watchdog.ledger.deployments import Deployments, StoredDeployment
from watchdog.ledger.drills import Drilled, DrillIntent, Drills, StoredDrill
from watchdog.ledger.facts import (
    Backlog,
    BreachFact,
    Claim,
    Delivery,
    ExposureFact,
    Fence,
    ReadingFact,
    Record,
    StoredNotification,
    StoredReport,
    StoredRollout,
    Unsent,
)
from watchdog.ledger.flagchanges import FlagChanges
from watchdog.ledger.found import seal_found
from watchdog.ledger.leases import DAEMON, Lease, Leases, Vacant
from watchdog.ledger.logouts import Logouts
from watchdog.ledger.memos import Memos
from watchdog.ledger.outbox import Outbox
from watchdog.ledger.preflights import MadePreflight, Preflights, RuleVerdict, StoredPreflight
from watchdog.ledger.requests import Requests, StoredRequest
from watchdog.ledger.rowset import RowSets
from watchdog.ledger.standings import Standing, Standings
from watchdog.ledger.write import Recording
from watchdog.migrations import STEPS, SchemaRefused, migrate

__all__ = [
    "CLAIM",
    "DAEMON",
    "PIPELINES",
    "Backlog",
    "BreachFact",
    "Claim",
    "Content",
    "Delivery",
    "DrillIntent",
    "Drilled",
    "ExposureFact",
    "Fence",
    "Finding",
    "FlagChange",
    "Lease",
    "Ledger",
    "MadePreflight",
    "ReadingFact",
    "Record",
    "RuleVerdict",
    "Standing",
    "StoredChange",
    "StoredDeployment",
    "StoredDrill",
    "StoredNotification",
    "StoredPreflight",
    "StoredReport",
    "StoredRequest",
    "StoredRollout",
    "Taken",
    "Unsent",
    "Vacant",
    "findings",
    "open_ledger",
]


class Ledger(
    Recording,
    Outbox,
    Deliveries,
    Memos,
    FlagChanges,
    Drills,
    Alerts,
    Preflights,
    Leases,
    Deployments,
    RowSets,
    Standings,
    Requests,
    Logouts,
    Causes,
):
    """One ledger, for all threads of a program. Every method is one transaction and raises LedgerError only."""


def open_ledger(url: str) -> Ledger:
    """Open the ledger at an SQLAlchemy address, create it if need be and bring its schema up to date.

    LedgerError, with the file and what to do, when it cannot be read or written, is no ledger, or is newer than us.
    """
    ledger = Ledger(url)
    try:
        migrate(ledger.reading, ledger.writing, STEPS, time.time())
        seal_found(ledger, time.time())
    except SchemaRefused as exc:
        ledger.close()
        raise LedgerError(
            f"ledger {ledger.place} is not one that this program can use: {exc}; run the newer slo-watchdog "
            "that wrote it, restore the backup made before the upgrade, or name another ledger"
        ) from exc
    except LedgerError:
        ledger.close()
        raise
    return ledger
