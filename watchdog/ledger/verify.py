"""Whether a ledger is whole: the database, its schema, every chain, and the files of frozen reports.

Reads only, one rollout at a time, so that a daemon goes on meanwhile.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, select

from watchdog.ledger import tables
from watchdog.ledger.chain import findings as chain_findings
from watchdog.ledger.read import Reading
from watchdog.ledger.rowset import RowSets, sealed_rows
from watchdog.ledger.sealcheck import Check
from watchdog.ledger.seals import OWN, Seal
from watchdog.ledger.texts import Texts
from watchdog.migrations import RECORD, STEPS, applied

Advance = Callable[[str], None]
"""Told of each thing that is looked at next."""
Anchors = Mapping[str, Mapping[int, str]]
"""By rollout, the seals that somebody kept outside: number -> hash."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing wrong. `part` is database, schema, ledger, rollout, flags or reports; `rollout` its name or None."""

    part: str
    rollout: str | None
    seal: int | None
    what: str


@dataclass(frozen=True, slots=True)
class ChainFound:
    """One rollout's chain; of the ledger's own chain the name is None. `found_at`: sealed as found at an upgrade."""

    rollout: str | None
    seals: int
    rows: int
    head: Seal | None
    found_at: float | None
    pruned: int


@dataclass(slots=True)
class Verified:
    """What was found. `notes` are worth knowing and nothing wrong."""

    wrong: list[Wrong] = field(default_factory=list)
    chains: list[ChainFound] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong

    def say(self, part: str, what: str, rollout: str | None = None, seal: int | None = None) -> None:
        """Note one thing wrong."""
        self.wrong.append(Wrong(part, rollout, seal, what))


def verify(ledger: RowSets, anchors: Anchors, advance: Advance = lambda _: None) -> Verified:
    """Look at all of it. LedgerError when the ledger cannot be read."""
    found = Verified()
    advance("the database")
    with ledger.reading() as connection:
        for what in _database(connection):
            found.say("database", what)
        for what in _schema(connection):
            found.say("schema", what)
    there = _rollouts(ledger)  # before their chain is read: a rollout that is added meanwhile is in both, or in it
    advance("the ledger's own chain")
    own = _chain(ledger, OWN, None, anchors.get("", {}), found)
    now_there = _rollouts(ledger)
    for number, said in own.known.items():
        if number not in now_there:
            found.say("ledger", f"rollout {said.get('name')} (number {number}) was added once and is gone", seal=None)
    for number, name in there.items():
        advance(name)
        check = _chain(ledger, number, name, anchors.get(name, {}), found)
        if check.head is None and not check.findings:
            found.say("rollout", "it has no seal: it was added by hand, or all of its seals were removed", name)
        elif number not in own.known:
            found.say("rollout", "the ledger's own chain does not know that it was added", name)
    for name in anchors.keys() - set(there.values()) - {""}:
        found.say("rollout", "a seal of it was kept outside, and the ledger has no such rollout", name)
    advance("flag changes")
    _flags(ledger, found)
    advance("reports")
    _reports(ledger, found)
    return found


def _rollouts(ledger: Reading) -> dict[int, str]:
    rollouts = tables.ROLLOUTS
    with ledger.reading() as connection:
        rows = connection.execute(select(rollouts.c.id, rollouts.c.name).order_by(rollouts.c.id)).all()
    return {row.id: row.name for row in rows}


def _chain(ledger: RowSets, chain: int, name: str | None, anchors: Mapping[int, str], found: Verified) -> Check:
    check = Check(chain, anchors)
    with ledger.snapshot() as connection, _any_bytes(connection):
        # What is remembered of sentences must not stand for what is stored.
        for table, row in sealed_rows(connection, Texts(), chain):
            check.add(table, row)
        if chain != OWN:
            head = connection.execute(select(tables.HEADS).where(tables.HEADS.c.rollout == chain)).first()
            if head is None:
                found.say("rollout", "its row in heads is gone", name)
            else:
                check.add("heads", head._asdict())
    check.end()
    judged(check, name, found)
    return check


@contextmanager
def _any_bytes(connection: Connection) -> Iterator[None]:
    """SQLite gives text that is no UTF-8 as it is, in place of an error: whose it is can then be named."""
    raw = connection.connection.driver_connection
    if not isinstance(raw, sqlite3.Connection):
        yield
        return
    raw.text_factory = lambda found: found.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        raw.text_factory = str


def judged(check: Check, name: str | None, found: Verified) -> None:
    """Add what a chain's check found; `name` is its rollout's."""
    for one in check.findings:
        found.say("ledger" if name is None else "rollout", one.what, name, one.seal)
    seals = check.head.number if check.head is not None else 0
    found.chains.append(ChainFound(name, seals, check.rows, check.head, check.found_at, check.pruned))


def _database(connection: Connection) -> Iterator[str]:
    """What the database says of itself. A server enforces its constraints whenever it writes, and is not asked."""
    if connection.dialect.name != "sqlite":
        return
    for (said,) in connection.exec_driver_sql("PRAGMA integrity_check(10)"):
        if said != "ok":
            yield f"SQLite finds it damaged: {said}"
    for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(10):
        yield f"{table} row {row} refers to a row of {parent} that is not there"


def _schema(connection: Connection) -> Iterator[str]:
    steps = [step.name for step in STEPS]
    if (have := applied(connection)) != steps:
        yield f"its schema steps are {', '.join(have)}, expected {', '.join(steps)}"
    inspector = inspect(connection)
    there = set(inspector.get_table_names())
    expected = {table.name: {column.name for column in table.c} for table in tables.ALL}
    for name, columns in sorted(expected.items()):
        if name not in there:
            yield f"table {name} is gone"
            continue
        found = {column["name"] for column in inspector.get_columns(name)}
        if found != columns:
            yield f"table {name} has the columns {', '.join(sorted(found))}, expected {', '.join(sorted(columns))}"
    for name in sorted(there - expected.keys() - {RECORD.name}):
        yield f"table {name} is not one of a ledger"
    if connection.dialect.name == "sqlite":
        asked = "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view') ORDER BY name"
        for kind, name in connection.exec_driver_sql(asked):
            yield f"there is a {kind} {name}, and a ledger has none: it may change rows"


def _flags(ledger: RowSets, found: Verified) -> None:
    with ledger.reading() as connection:
        changes = tables.FLAG_CHANGES
        statement = select(changes).order_by(changes.c.id)
        rows = connection.execute(statement, execution_options={"yield_per": 1000})
        for one in chain_findings((row._asdict() for row in rows), ()):
            found.say("flags", f"flag change {one.id} {one.what}")


def _reports(ledger: Reading, found: Verified) -> None:
    """The newest bytes of each frozen file against the sha256 in the ledger."""
    reports, rollouts = tables.REPORTS, tables.ROLLOUTS
    joined = reports.join(rollouts, rollouts.c.id == reports.c.rollout)
    with ledger.reading() as connection:
        columns = (rollouts.c.name, reports.c.path, reports.c.sha256)
        rows = connection.execute(select(*columns).select_from(joined).order_by(reports.c.id)).all()
    newest: dict[str, Any] = {row.path: row for row in rows}
    missing = 0
    for path, row in newest.items():
        try:
            with Path(path).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            missing += 1
            continue
        except OSError as error:
            found.say("reports", f"{path} cannot be read ({error.strerror})", row.name)
            continue
        if digest != row.sha256:
            what = f"{path} was changed: its sha256 is {digest[:12]}, the ledger froze {row.sha256[:12]}"
            found.say("reports", what, row.name)
    if missing:
        what = "1 frozen report is" if missing == 1 else f"{missing} frozen reports are"
        found.notes.append(f"{what} not where they were written, seen from here; the ledger holds their sha256")
