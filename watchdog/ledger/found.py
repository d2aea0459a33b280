"""What was recorded before there were seals is sealed once, as found, when an upgraded ledger is first opened."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy import Connection, exists, literal, select, update

from watchdog.ledger import tables
from watchdog.ledger.canon import SHAPES
from watchdog.ledger.read import Reading
from watchdog.ledger.rowset import sealed_rows
from watchdog.ledger.sealcheck import Check
from watchdog.ledger.sealing import Facts
from watchdog.ledger.seals import FOUND, OWN, Lines, brief, events, of_stream

OVERLAP = 7 * 86_400.0
"""Seconds after an upgrade of a server's ledger in which replicas of the older version may still have written to it."""
_S = tables.SEALS
_NUMBERED = [table for name, table in tables.FACTS.items() if name != "rollouts"]
_BEGAN = select(_S.c.at, _S.c.said).where(_S.c.rollout == OWN).order_by(_S.c.number).limit(1)


def seal_found(ledger: Reading, now: float) -> None:
    """Seal each rollout that has no seal, then the ledger's own chain, after which nothing is sealed like this again.

    Each is one transaction, so that a killed upgrade goes on where it stopped. `now` is wall time.
    """
    with ledger.reading() as connection:
        began = connection.execute(_BEGAN).first()
    if began is not None:
        if ledger.shared and events(began.said)[:1] and now - began.at < OVERLAP:
            _seal_strays(ledger, now)
        return
    with ledger.reading() as connection:
        rollouts, seals = tables.ROLLOUTS, tables.SEALS
        unsealed = select(rollouts.c.id).where(~exists().where(seals.c.rollout == rollouts.c.id))
        todo = list(connection.scalars(unsealed.order_by(rollouts.c.id)))
    for chain in (*todo, OWN):
        with ledger.writing() as connection:
            _seal(connection, ledger, chain, now)


def _seal_strays(ledger: Reading, now: float) -> None:
    """What replicas of an older version recorded since the upgrade, before they were replaced."""
    chains = {OWN}
    with ledger.reading() as connection:
        for table in _NUMBERED:
            column = literal(OWN) if SHAPES[table.name].own else table.c.rollout
            chains.update(connection.scalars(select(column).where(table.c.seal.is_(None)).distinct()))
    for chain in sorted(chains, reverse=True):
        with ledger.writing() as connection:
            _seal_stray(connection, ledger, chain, now)


def _seal_stray(connection: Connection, ledger: Reading, chain: int, now: float) -> None:
    facts, check, lines = Facts(connection, chain), Check(chain), Lines()
    counts = _number(connection, chain, facts.number)
    for name, row in sealed_rows(connection, ledger.texts, chain):
        check.add(name, row)
        if (found := of_stream(name, row)) is not None and row["seal"] == facts.number:
            lines.add(*found, tagged=not found[0].dense)
    told = check.untold()
    if chain == OWN:
        told += [one for one in _rollouts(connection) if one[1][0] not in check.known]
    if counts or told:
        facts.write(lines, [(FOUND, [], counts), *told], now)


def _number(connection: Connection, chain: int, seal: int) -> dict[str, int]:
    """Give the rows of a chain that name no seal this one; how many they are, by table."""
    counts = {}
    for table in _NUMBERED:
        if SHAPES[table.name].own is (chain == OWN):
            here = [table.c.seal.is_(None)] if chain == OWN else [table.c.seal.is_(None), table.c.rollout == chain]
            counts[table.name] = connection.execute(update(table).where(*here).values(seal=seal)).rowcount
    return {name: count for name, count in counts.items() if count}


def _rollouts(connection: Connection) -> list[tuple[str, list[Any], dict[str, Any]]]:
    """Which rollouts there are, as the ledger's own chain tells of each that is added."""
    rollouts = tables.ROLLOUTS
    columns = (rollouts.c.id, rollouts.c.name, rollouts.c.sha256)
    rows = connection.execute(select(*columns).order_by(rollouts.c.id)).all()
    return [("rollouts", [row.id], {"name": row.name, "sha256": row.sha256}) for row in rows]


def _seal(connection: Connection, ledger: Reading, chain: int, now: float) -> None:
    facts = Facts(connection, chain)
    if facts.number > 1:
        return  # another process did it
    if ledger.shared:
        _number(connection, chain, facts.number)
    lines, counts = Lines(), Counter[str]()
    told: list[tuple[str, list[Any], dict[str, Any]]] = []
    for table, row in sealed_rows(connection, ledger.texts, chain):
        found = of_stream(table, row)
        if found is None:
            continue
        shape, values = found
        lines.add(shape, values, tagged=not shape.dense)
        counts[table] += 1
        changing = {name: brief(row[name]) for name in shape.columns[shape.sealed :]}
        if changes := {name: value for name, value in changing.items() if value not in (None, False)}:
            told.append((table, [row[name] for name in SHAPES[table].key], changes))
    if chain == OWN:
        told += _rollouts(connection)
    if counts or told:
        told.insert(0, (FOUND, [], dict(counts)))
    facts.write(lines, told, now)
