"""Sealing: what one transaction adds to a history is inserted through `Facts`, which ends with the seal over it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from watchdog.ledger import tables
from watchdog.ledger.canon import SHAPES, Shape, encode, values
from watchdog.ledger.seals import GENESIS, OWN, Lines, Seal, brief, seal_hash

_SEALING = 0x510_5EA1
"""The number of the lock that a server's own chain is written under; any that nobody else uses."""
_S, _H = tables.SEALS, tables.HEADS
_LAST = (
    select(_S.c.number, _S.c.sha256, _S.c.at)
    .where(_S.c.rollout == bindparam("chain"))
    .order_by(_S.c.number.desc())
    .limit(1)
)
_LOCK = select(_H.c.revision).where(_H.c.rollout == bindparam("chain")).with_for_update()
_SEAL = insert(_S)


class Facts:
    """What one transaction adds to one chain. Nothing of it is sealed before `seal`, which comes last.

    On a server others wait for the chain from here to the end of the transaction; `locked` says that they do already.
    """

    def __init__(self, connection: Connection, chain: int, *, locked: bool = False) -> None:
        self._connection = connection
        self._chain = chain
        self._locked = locked
        self._last: tuple[int, str] | None = None
        self._rows: list[tuple[int, tuple[Any, ...], Shape, list[Any]]] = []
        self._events: list[tuple[str, list[Any], dict[str, Any]]] = []

    @property
    def number(self) -> int:
        """The number of the seal that this is going to have."""
        return self._before()[0] + 1

    def insert(self, name: str, rows: Iterable[Mapping[str, Any]]) -> list[int]:
        """Add rows to a table (without their number and their seal); their numbers where the table counts rows."""
        shape, table = SHAPES[name], tables.FACTS[name]
        numbered = shape.columns[0] == "id"
        added: list[int] = []
        for row in rows:
            full = {**row, **({} if name == "rollouts" else {"seal": self.number})}
            if shape.own is False and name != "rollouts":
                full["rollout"] = self._chain
            if numbered:
                full["id"] = self._connection.execute(insert(table).values(full).returning(table.c.id)).scalar_one()
                added.append(int(full["id"]))
            else:
                self._connection.execute(insert(table).values(full))
            self.cover(shape, full)
        return added

    def cover(self, shape: Shape, row: Mapping[str, Any]) -> None:
        """Seal a row that is inserted already."""
        found = values(shape, {name: row.get(name) for name in shape.columns})
        self.add(shape, tuple(found[shape.columns.index(name)] for name in shape.key), found)
        changing = dict(zip(shape.columns[shape.sealed :], found[shape.sealed :], strict=True))
        if changes := {name: value for name, value in changing.items() if value not in (None, False)}:
            self.changed(shape.name, [row[name] for name in shape.key], changes)

    def add(self, shape: Shape, key: tuple[Any, ...], found: list[Any]) -> None:
        """Seal a row that is inserted already, by the values of its canonical form."""
        self._rows.append((shape.rank, key, shape, found))

    def changed(self, name: str, key: Iterable[Any], changes: Mapping[str, Any]) -> None:
        """Seal what became of a row that is there: the columns that changed, with their new values."""
        self._events.append((name, list(key), {column: brief(value) for column, value in changes.items()}))

    def seal(self, now: float | None = None) -> Seal | None:
        """Seal it all; None when there is nothing. `now` is wall time, that of this host when it is not given."""
        if not self._rows and not self._events:
            return None
        lines = Lines()
        for _, _, shape, found in sorted(self._rows, key=_order):
            lines.add(shape, found)
        return self.write(lines, self._events, time.time() if now is None else now)

    def write(self, lines: Lines, events: list[Any], now: float) -> Seal:
        """Append the seal over these lines and events."""
        number, prev = self._before()
        row = {
            "rollout": self._chain,
            "number": number + 1,
            "at": float(now),
            "said": encode(events) if events else None,
        }
        digest = seal_hash(row, prev, lines.facts, lines.dense)
        self._connection.execute(
            _SEAL, {**row, "tags": bytes(lines.tags), "dense": None, "sha256": bytes.fromhex(digest)}
        )
        self._last = (number + 1, digest)
        self._rows, self._events = [], []
        return Seal(self._chain, number + 1, float(now), digest)

    def _before(self) -> tuple[int, str]:
        if self._last is None:
            if not self._locked and self._connection.dialect.name == "postgresql":
                _wait(self._connection, self._chain)
            row = self._connection.execute(_LAST, {"chain": self._chain}).first()
            self._last = (0, GENESIS) if row is None else (row.number, bytes(row.sha256).hex())
        return self._last


def newest(connection: Connection, chain: int) -> Seal | None:
    """The newest seal of a chain."""
    row = connection.execute(_LAST, {"chain": chain}).first()
    return None if row is None else Seal(chain, row.number, row.at, bytes(row.sha256).hex())


def _wait(connection: Connection, chain: int) -> None:
    """Until nobody else writes to the chain: a row that came later would have to be sealed later."""
    if chain == OWN:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SEALING})")
    else:
        connection.execute(_LOCK, {"chain": chain}).first()


def _order(one: tuple[int, tuple[Any, ...], Shape, list[Any]]) -> tuple[int, tuple[Any, ...]]:
    return one[:2]
