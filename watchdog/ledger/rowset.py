"""Every row that belongs to a rollout, in canonical form and in the order in which it was recorded.

    for table, row in ledger.rows_of(rollout_id): ...

First the sealed history: the rows that one transaction added, by table (`canon.SHAPES`, by rank) and key, then the seal
that covers them as `("seals", {...})`, then the rows of the next. A sealed row is `{"seal": its seal's number, column:
value, ...}` in the order of its shape's columns. A seal is `{"rollout", "number", "at", "said", "dense", "sha256",
"tags"}`: `said` is JSON text about earlier rows or None, `dense` the digest of measurements that were pruned or None,
hashes in hexadecimal. `sealcheck.Check` tells whether such a stream is whole; it needs nothing else.

Then what no seal covers, with `"seal": None` and the columns of its table: `heads` (one row), `deliveries`,
`preflights` and `preflight_verdicts` of the rollout, `alert_labels` of its messages, `flag_changes` of its flag (which
have a chain of their own). Checkpoints and memos are caches and left out.

Values are JSON values. JSON texts within (`slices.body`, `notifications.details`) stay texts, byte for byte. Rows are
read while the stream is: 100,000 take about a second and no memory to speak of.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, TableClause, collate, func, literal, select

from watchdog.ledger import tables
from watchdog.ledger.canon import SHAPES, Shape, answer, values
from watchdog.ledger.read import Reading, objective_names
from watchdog.ledger.sealing import newest
from watchdog.ledger.seals import OWN, Seal
from watchdog.ledger.texts import Texts

Found = tuple[str, dict[str, Any]]
"""A table's name and one of its rows."""
_BATCHES = {"yield_per": 2000}
_SEALS_RANK = 1 << 20
_WORDS = frozenset({("breaches", "objective"), ("preflight_verdicts", "rollout")})
"""Keys that are text: ordered as bytes, whatever the server's language."""


class RowSets(Reading):
    """The ledger as it is exported, verified and put into evidence."""

    def rows_of(self, rollout_id: int) -> Iterator[Found]:
        """Every row of a rollout, as one state of the ledger has them. Raises LedgerError, at any moment."""
        with self.snapshot() as connection:
            yield from sealed_rows(connection, self.texts, rollout_id)
            yield from _beside(connection, rollout_id)

    def seal(self, rollout_id: int) -> Seal | None:
        """The newest seal of a rollout: who keeps its number and its hash can prove all of the history up to it."""
        with self.reading() as connection:
            return newest(connection, rollout_id)

    def own_rows(self) -> Iterator[Found]:
        """The chain of what belongs to no rollout, in the same form."""
        with self.snapshot() as connection:
            yield from sealed_rows(connection, self.texts, OWN)


def sealed_rows(connection: Connection, texts: Texts, chain: int) -> Iterator[Found]:
    """The sealed history of a chain, by seal, table and key."""
    streams = [_seals(connection, chain)]
    names = {} if chain == OWN else objective_names(connection, chain)
    shapes = [shape for shape in SHAPES.values() if shape.own is (chain == OWN)]
    streams += [_rows(connection, texts, shape, chain, names) for shape in shapes]
    for _, _, table, row in heapq.merge(*streams, key=lambda one: one[:2]):
        yield table, row


_Ordered = tuple[int, int, str, dict[str, Any]]
"""Seal, rank, table, row."""


def _seals(connection: Connection, chain: int) -> Iterator[_Ordered]:
    seals = tables.SEALS
    statement = select(seals).where(seals.c.rollout == chain).order_by(seals.c.number)
    for row in connection.execute(statement, execution_options=_BATCHES):
        said = row._asdict()
        for name in ("tags", "dense", "sha256"):
            said[name] = _hex(said[name])
        yield row.number, _SEALS_RANK, "seals", said


def _hex(found: Any) -> str | None:
    if found is None:
        return None
    return bytes(found).hex() if isinstance(found, bytes | memoryview) else "00"  # no bytes: somebody put it there


def _rows(
    connection: Connection, texts: Texts, shape: Shape, chain: int, names: Mapping[int, str]
) -> Iterator[_Ordered]:
    table = tables.FACTS[shape.name]
    first = shape.name == "rollouts"
    where = [] if shape.own else [table.c["id" if first else "rollout"] == chain]
    seal: ColumnElement[int] = literal(1) if first else func.coalesce(table.c.seal, 1)
    order = (seal, *(_ordering(connection, table, name) for name in shape.key))
    statement = select(seal.label("seal"), *(table.c[name] for name in shape.columns)).where(*where).order_by(*order)
    result = connection.execute(statement, execution_options=_BATCHES)
    keys = ("seal", *shape.columns)
    for some in result.partitions():
        sentences = texts.sentences(connection, {row.detail for row in some}) if shape.dense else {}
        for row in some:
            said = _dense(shape, row, names, sentences) if shape.dense else values(shape, row._asdict())
            yield row[0], shape.rank, shape.name, dict(zip(keys, (row[0], *said), strict=True))


def _dense(shape: Shape, row: Any, names: Mapping[int, str], sentences: Mapping[int | None, str]) -> list[Any]:
    _, at, objective, revision, *figures = row
    judged = "verdict" in shape.columns
    try:
        return answer(judged, at, names[objective], revision, tuple(figures), sentences)
    except KeyError:  # a code, a sentence or an objective that does not exist: the line must still be told
        return [at, names.get(objective, objective), revision, *figures]


def _ordering(connection: Connection, table: TableClause, name: str) -> ColumnElement[Any]:
    column = table.c[name]
    if (table.name, name) not in _WORDS:
        return column
    return collate(column, "C" if connection.dialect.name == "postgresql" else "BINARY")


def _beside(connection: Connection, rollout: int) -> Iterator[Found]:
    """What belongs to the rollout and is no part of its sealed history."""
    rollouts, heads, messages = tables.ROLLOUTS, tables.HEADS, tables.NOTIFICATIONS
    own = connection.execute(select(rollouts.c.name, rollouts.c.flag).where(rollouts.c.id == rollout)).first()
    if own is None:
        return
    told = select(messages.c.id).where(messages.c.rollout == rollout)
    judged = select(tables.PREFLIGHT_VERDICTS.c.preflight).where(tables.PREFLIGHT_VERDICTS.c.rollout == own.name)
    for table, where, order in (
        (heads, heads.c.rollout == rollout, "rollout"),
        (tables.DELIVERIES, tables.DELIVERIES.c.notification.in_(told), "notification channel"),
        (tables.PREFLIGHTS, tables.PREFLIGHTS.c.id.in_(judged), "id"),
        (tables.PREFLIGHT_VERDICTS, tables.PREFLIGHT_VERDICTS.c.rollout == own.name, "preflight"),
        (tables.ALERT_LABELS, tables.ALERT_LABELS.c.notification.in_(told), "id"),
        (tables.FLAG_CHANGES, tables.FLAG_CHANGES.c.flag == own.flag, "id"),
    ):
        columns = [table.c[word] for word in order.split()]
        result = connection.execute(select(table).where(where).order_by(*columns), execution_options=_BATCHES)
        for row in result:
            yield table.name, {**row._asdict(), "seal": None}
