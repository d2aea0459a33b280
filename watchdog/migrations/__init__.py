"""The ledger's schema: an ordered list of named steps, each applied once, in one transaction with its record.

A killed migration leaves whole steps only, so the next start goes on where it stopped. A released step is never
edited: the schema changes by a new step at the end of `STEPS`. Columns are named once more in `ledger/tables.py`,
and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Double, Integer, MetaData, Table, Text, insert, inspect, select

from watchdog.migrations.step_0001 import first_ledger
from watchdog.migrations.step_0002 import flag_system
from watchdog.migrations.step_0003 import channels
from watchdog.migrations.step_0004 import preflights
from watchdog.migrations.step_0005 import leases
from watchdog.migrations.step_0006 import deployments
from watchdog.migrations.step_0007 import seals
from watchdog.migrations.step_0008 import causes
from watchdog.migrations.step_0009 import requests
from watchdog.migrations.step_0010 import logouts

MIGRATING = 0x510_3A7C4
"""The number of the lock that a server's ledger is migrated under; any that nobody else uses."""
Transaction = Callable[[], AbstractContextManager[Connection]]
"""Opens one transaction: committed when the block ends, rolled back when it raises."""


class SchemaRefused(Exception):
    """What is stored is not a ledger of this program or of an older one; the text says what was found."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the schema. `apply` does all of it on the connection and commits nothing."""

    name: str
    apply: Callable[[Connection], None]


RECORD = Table(
    "schema_steps",
    MetaData(),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True),
    Column("applied_at", Double, nullable=False),
)


def applied(connection: Connection) -> list[str]:
    """The names of the steps that the ledger has, in order. SchemaRefused for the database of another program."""
    tables = inspect(connection).get_table_names()
    if RECORD.name in tables:
        return list(connection.scalars(select(RECORD.c.name).order_by(RECORD.c.position)))
    if tables:
        raise SchemaRefused(f"it holds tables of another program ({', '.join(sorted(tables)[:3])})")
    return []


def pending(connection: Connection, steps: Sequence[Step]) -> list[Step]:
    """The steps still to be applied. SchemaRefused when the ledger has steps that this program does not know."""
    have = applied(connection)
    known = [step.name for step in steps]
    if have != known[: len(have)]:
        strangers = [name for name in have if name not in known] or have
        raise SchemaRefused(f"its schema has steps that this program does not know ({', '.join(strangers)})")
    return list(steps[len(have) :])


def migrate(reading: Transaction, writing: Transaction, steps: Sequence[Step], now: float) -> list[str]:
    """Bring the ledger to the newest schema; return the names of the steps applied here. `now` is wall time.

    Opening an up-to-date ledger takes no write lock. Two programs may migrate at once: each step asks again,
    inside its transaction, whether it is still to be done.
    """
    with reading() as connection:
        todo = pending(connection, steps)
    done: list[str] = []
    for step in todo:
        with writing() as connection:
            _alone(connection)
            if step not in pending(connection, steps):
                continue
            if step is steps[0]:
                RECORD.create(connection)
            step.apply(connection)
            position = list(steps).index(step) + 1
            connection.execute(insert(RECORD).values(position=position, name=step.name, applied_at=now))
        done.append(step.name)
    return done


def _alone(connection: Connection) -> None:
    """Wait until no other program migrates: a server lets two begin the same step, and the later one would fail."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATING})")


STEPS: tuple[Step, ...] = (
    Step("0001_first_ledger", first_ledger),
    Step("0002_flag_system", flag_system),
    Step("0003_channels", channels),
    Step("0004_preflights", preflights),
    Step("0005_leases", leases),
    Step("0006_deployments", deployments),
    Step("0007_seals", seals),
    Step("0008_causes", causes),
    Step("0009_requests", requests),
    Step("0010_logouts", logouts),
)
"""All schema steps in order. Append only."""
