"""A ledger made of rows that somebody handed over, such as those of a bundle: nobody's facts but theirs, read as ours.

What is few is put into a scratch file with the schema of a ledger, so that every statement reads it as it reads a real
one; measurements stay in memory. The rows are not trusted: what no ledger could hold is refused.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection, insert

from watchdog.errors import LedgerError
from watchdog.ledger import Ledger, tables
from watchdog.migrations import STEPS, migrate
from watchdog.model import Evaluation, Measurement, Reason, Verdict

Row = Mapping[str, Any]
Columns = Mapping[str, list[Any]]
MEASURED = ("evaluations", "controls", "steps", "slice_measurements")
LINKS = "flag_change_links"
"""In place of the changes of other flags: their numbers and hashes, so that the chain can be followed."""
APART = frozenset({"seals", "texts", "flag_changes", LINKS, *MEASURED})
"""Tables whose rows are not put into the scratch file."""
_KINDS: Mapping[str, tuple[type, ...]] = {
    "TEXT": (str,),
    "INTEGER": (int,),
    "BIGINT": (int,),
    "DOUBLE": (int, float),
    "DOUBLE PRECISION": (int, float),
}
_WHOLE = 2**63
new = tuple.__new__
"""Makes a named tuple of all its fields in half the time of its constructor."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Canonical rows (`rowset.py`) by table and in their order: the few as they are, measurements by column."""

    few: Mapping[str, Sequence[Row]]
    measured: Mapping[str, Columns]

    def of(self, table: str) -> Sequence[Row]:
        """The rows of a table that has few."""
        return self.few.get(table, ())

    def count(self, table: str) -> int:
        """How many rows a table of measurements has."""
        return len(self.measured[table]["at"]) if table in self.measured else 0

    def until(self, seal: int, tables: Sequence[str]) -> Rows:
        """What was sealed by then, of these tables; what no seal covers stays."""
        few = {name: [row for row in self.of(name) if (row.get("seal") or 0) <= seal] for name in tables}
        measured = {}
        for name, columns in self.measured.items():
            kept = [(number or 0) <= seal for number in columns["seal"]]
            measured[name] = {column: list(compress(values, kept)) for column, values in columns.items()}
        return Rows(few, measured)


class Attached(Ledger):
    """The ledger of the attached rows; open it with `attached`."""

    def fill(self, rollout: int, rows: Rows) -> None:
        """Take the rows. LedgerError when a table, a column or a value is not one of a ledger."""
        known = {table.name: table for table in tables.ALL}
        for strange in sorted(set(rows.few) - set(known) - APART):
            raise LedgerError(f"the attached rows are of a table {strange!r}, which no ledger has")
        with self.writing() as connection:
            connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
            for name in (name for name in known if name not in APART and rows.of(name)):
                columns = _columns(connection, name)
                extra = {"rollout": rollout} if "rollout" in columns and "rollout" not in rows.of(name)[0] else {}
                made = [
                    {key: row[key] for key in row if key != "seal" or key in columns} | extra for row in rows.of(name)
                ]
                _check(name, made, columns)
                connection.execute(insert(known[name]), made)
        self.every: dict[str, list[tuple[str, Any]]] = {}
        """By table, each measurement in every revision, with the name of its objective."""
        self._newest: dict[str, list[tuple[str, Any]]] = {}
        order = {str(row["name"]): int(row["objective"]) for row in rows.of("objectives")}
        for name in MEASURED:
            columns_of = rows.measured.get(name)
            self.every[name] = _built(name, columns_of, order) if columns_of else []
            self._newest[name] = _newest(columns_of, self.every[name], order) if columns_of else []

    def evaluations(self, _: int, objective: str | None, after: int, until: int) -> list[tuple[str, Evaluation]]:
        """As a ledger answers, from memory."""
        return self._within("evaluations", objective, after, until)

    def controls(self, _: int, objective: str | None, after: int, until: int) -> list[tuple[str, Evaluation]]:
        """As a ledger answers, from memory."""
        return self._within("controls", objective, after, until)

    def steps(self, _: int, objective: str | None, after: int, until: int) -> list[tuple[str, Measurement]]:
        """As a ledger answers, from memory."""
        return self._within("steps", objective, after, until)

    def slice_measurements(
        self, _: int, objective: str | None, after: int, until: int
    ) -> list[tuple[str, Measurement]]:
        """As a ledger answers, from memory."""
        return self._within("slice_measurements", objective, after, until)

    def last_evaluations(self, _: int) -> dict[str, Evaluation]:
        """As a ledger answers, from memory."""
        return dict(self._newest["evaluations"])

    def _within(self, table: str, objective: str | None, after: int, until: int) -> list[Any]:
        found = self._newest[table]
        if objective is None and (not found or (after < found[0][1].at and found[-1][1].at <= until)):
            return found
        return [pair for pair in found if after < pair[1].at <= until and objective in (None, pair[0])]


@contextmanager
def attached(rollout: int, rows: Rows) -> Iterator[Attached]:
    """A ledger of these rows of that rollout, gone afterwards. LedgerError when they are not those of a ledger."""
    with TemporaryDirectory(prefix="slo-watchdog-") as directory:
        ledger = Attached(f"sqlite:///{Path(directory) / 'attached.db'}")
        try:
            migrate(ledger.reading, ledger.writing, STEPS, time.time())
            ledger.fill(rollout, rows)
            yield ledger
        finally:
            ledger.close()


def _columns(connection: Connection, table: str) -> dict[str, tuple[tuple[type, ...], bool]]:
    """The kinds of values that each column takes, and whether it may have none."""
    found = connection.exec_driver_sql(f"PRAGMA table_info({table})").all()
    return {row[1]: (_KINDS.get(row[2], ()), not row[3]) for row in found}


def _check(table: str, rows: Iterable[Row], columns: Mapping[str, tuple[tuple[type, ...], bool]]) -> None:
    for place, row in enumerate(rows, 1):
        for name, value in row.items():
            kinds, empty = columns.get(name, ((), False))
            fits = empty if value is None else isinstance(value, kinds) if kinds else False
            if not fits or (isinstance(value, int) and abs(value) >= _WHOLE):
                raise LedgerError(f"row {place} of {table} has a {name} that no ledger has: {str(value)[:80]!r}")
        if lacks := [name for name, (_, empty) in columns.items() if not empty and row.get(name) is None]:
            raise LedgerError(f"row {place} of {table} has no {lacks[0]}")


def _built(table: str, columns: Columns, order: Mapping[str, int]) -> list[tuple[str, Any]]:
    """The measurements of a table, each with its objective's name. LedgerError when they are none."""
    for name, kinds in _MEASURED_KINDS.items():
        if not set(map(type, columns.get(name, (...,)))) <= kinds:
            raise LedgerError(f"{table} have a {name} that no measurement has")
    if not set(columns["objective"]) <= set(order) or any(abs(at) >= _WHOLE for at in columns["at"]):
        raise LedgerError(f"{table} have an objective that the rollout does not have, or an instant that never was")
    try:
        reasons = [_REASONS[reason] for reason in columns["reason"]]
        verdicts = [_VERDICTS[verdict] for verdict in columns.get("verdict", ())]
    except (KeyError, TypeError) as error:
        raise LedgerError(f"{table} have a verdict or a reason that there is not: {error}") from error
    at, value, bad, total, detail, silent = (columns[name] for name in ("at", *_FIGURES))
    made: list[Any]
    if table in ("evaluations", "controls"):
        whole = zip(at, verdicts, reasons, value, bad, total, detail, silent, strict=True)
        made = [new(Evaluation, fields) for fields in whole]
    else:
        made = [new(Measurement, fields) for fields in zip(at, value, bad, total, reasons, detail, silent, strict=True)]
    return list(zip(columns["objective"], made, strict=True))


_FIGURES = ("value", "bad", "total", "detail", "silent")
_WHOLES: frozenset[type] = frozenset({int})
_NUMBERS: frozenset[type] = frozenset({float, type(None)})
_TEXTS: frozenset[type] = frozenset({str, type(None)})
_MEASURED_KINDS: Mapping[str, frozenset[type]] = {
    "at": _WHOLES,
    "revision": _WHOLES,
    "seal": _WHOLES,
    "objective": frozenset({str}),
    "detail": frozenset({str}),
    "reason": _TEXTS,
    "value": _NUMBERS,
    "bad": _NUMBERS,
    "total": _NUMBERS,
    "silent": frozenset({bool}),
}
_VERDICTS = {verdict.value: verdict for verdict in Verdict}
_REASONS: dict[str | None, Reason | None] = {None: None, **{reason.value: reason for reason in Reason}}


def _newest(columns: Columns, built: Sequence[tuple[str, Any]], order: Mapping[str, int]) -> list[tuple[str, Any]]:
    """The newest revision of each, by time and then in the order of the objectives."""
    if not any(columns["revision"]):
        return sorted(built, key=lambda pair: (pair[1][0], order[pair[0]]))
    newest: dict[tuple[int, int], tuple[int, tuple[str, Any]]] = {}
    for revision, pair in zip(columns["revision"], built, strict=True):
        key = (pair[1][0], order[pair[0]])
        if key not in newest or revision > newest[key][0]:
            newest[key] = (revision, pair)
    return [newest[key][1] for key in sorted(newest)]
