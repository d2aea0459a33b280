"""Pruning: the measurements of old rollouts that were taken back or stopped go, and what went stays provable.

What a signed-off rollout rests on is never pruned, nor is anything of one that is under way. Seals keep the digests
of the measurements, and a record says who pruned how many of them and when, so that the chain can still be verified.
Everything happens in small transactions with rests between them: a daemon ticks on meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, func, select, update

from watchdog.errors import LedgerError, Refused
from watchdog.ledger import tables
from watchdog.ledger.canon import SHAPES
from watchdog.ledger.rowset import RowSets, sealed_rows
from watchdog.ledger.sealcheck import Check, pruned_digest
from watchdog.ledger.sealing import Facts
from watchdog.ledger.seals import Lines, of_stream
from watchdog.ledger.texts import Texts, chunks
from watchdog.model import Phase

PRUNED = (Phase.ROLLED_BACK, Phase.STOPPED)
"""Phases whose rollouts are pruned: they are over, and nothing was signed off."""
REST = 0.02
"""Seconds between two transactions, in which others get their turn."""
_DENSE = tuple(tables.FACTS[shape.name] for shape in SHAPES.values() if shape.dense)
_AT_ONCE = 1000
_S = tables.SEALS
_DIGEST = (
    update(_S).where(_S.c.rollout == bindparam("of"), _S.c.number == bindparam("nth")).values(dense=bindparam("digest"))
)
Progress = Callable[[int, int], None]
"""Told how many of a rollout's measurements are gone, of how many."""


@dataclass(frozen=True, slots=True)
class Prunable:
    """A rollout whose measurements may go. `ended_at` is wall time; `rows` how many measurements it has."""

    id: int
    name: str
    phase: Phase
    ended_at: float
    rows: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was pruned of a rollout, through which seal; `sha256` is the digest of what went away."""

    name: str
    rows: int
    through: int
    sha256: str


def prunable(ledger: RowSets, before: float, name: str | None = None) -> list[Prunable]:
    """The rollouts, or the one of that name, that ended before a wall time and have measurements, oldest first."""
    rollouts, heads, transitions = tables.ROLLOUTS, tables.HEADS, tables.TRANSITIONS
    ended = select(transitions.c.rollout, func.max(transitions.c.at).label("at")).group_by(transitions.c.rollout)
    last = ended.subquery()
    joined = rollouts.join(heads, heads.c.rollout == rollouts.c.id).join(last, last.c.rollout == rollouts.c.id)
    where = [heads.c.phase.in_([phase.value for phase in PRUNED]), last.c.at < before]
    if name is not None:
        where.append(rollouts.c.name == name)
    found = []
    with ledger.reading() as connection:
        statement = select(rollouts.c.id, rollouts.c.name, heads.c.phase, last.c.at).select_from(joined).where(*where)
        for row in connection.execute(statement.order_by(last.c.at)).all():
            counted = [select(func.count()).select_from(table).where(table.c.rollout == row.id) for table in _DENSE]
            rows = sum(int(connection.execute(one).scalar_one()) for one in counted)
            if rows:
                found.append(Prunable(row.id, row.name, Phase(row.phase), row.at, rows))
    return found


def prune(
    ledger: RowSets, one: Prunable, *, by: str, why: str, now: float, progress: Progress = lambda _done, _of: None
) -> Pruned:
    """Prune one rollout. LedgerError when its history is not whole: what was tampered with is not thrown away.

    Killed at any moment, it leaves a ledger that verifies; pruned again, it goes on where it stopped.
    """
    check, digests = _digests(ledger, one)
    done = _recorded(ledger, one)
    wrong = [found for found in check.findings if not (found.remains and (found.seal or 0) <= done)]
    if wrong:
        raise LedgerError(
            f"ledger {ledger.place}: rollout {one.name} is not pruned, its history is not whole: "
            f"{wrong[0].what}; see `ledger verify`"
        )
    through = check.head.number if check.head is not None else 0
    fresh = {number: digest for number, digest in digests.items() if number > done}
    for some in chunks(fresh.items()):
        with ledger.writing() as connection:
            given = [{"of": one.id, "nth": number, "digest": bytes.fromhex(digest)} for number, digest in some]
            connection.execute(_DIGEST, given)
        time.sleep(REST)
    total = pruned_digest(fresh.values())
    if fresh:
        record = {"at": now, "by": by, "why": why, "through": through, "rows": one.rows, "sha256": total}
        _record(ledger, one, record)
    _remove(ledger, one, progress)
    return Pruned(one.name, one.rows, through, total)


def _digests(ledger: RowSets, one: Prunable) -> tuple[Check, dict[int, str]]:
    """The rollout's chain, checked, and the digest of the measurements that each seal covers."""
    check, lines, digests = Check(one.id), Lines(), dict[int, str]()
    with ledger.snapshot() as connection:
        for table, row in sealed_rows(connection, Texts(), one.id):
            check.add(table, row)
            if table == "seals":
                if digest := row["dense"] or lines.dense:
                    digests[row["number"]] = digest
                lines = Lines()
            elif (found := of_stream(table, row)) is not None and found[0].dense:
                lines.add(*found, tagged=False)
    check.end()
    return check, digests


def _recorded(ledger: RowSets, one: Prunable) -> int:
    """Through which seal the rollout was pruned before."""
    prunings = tables.PRUNINGS
    with ledger.reading() as connection:
        through = connection.execute(select(func.max(prunings.c.through)).where(prunings.c.rollout == one.id)).scalar()
    return int(through or 0)


def _record(ledger: RowSets, one: Prunable, record: dict[str, object]) -> None:
    """Write down and seal what goes, before it does."""
    heads = tables.HEADS
    with ledger.writing() as connection:
        facts = Facts(connection, one.id)
        facts.insert("prunings", [record])
        phase = connection.execute(select(heads.c.phase).where(heads.c.rollout == one.id)).scalar()
        if phase != one.phase:
            raise Refused(f"rollout {one.name} is {phase} by now: nothing of it was pruned")
        facts.seal()


def _remove(ledger: RowSets, one: Prunable, progress: Progress) -> None:
    gone = 0
    for table in (*_DENSE, tables.CHECKPOINTS):
        here = table.c.rollout == one.id
        while True:
            with ledger.writing() as connection:
                instants = select(table.c.at).where(here).order_by(table.c.at).limit(_AT_ONCE)
                last = max(connection.scalars(instants).all(), default=None)
                if last is None:
                    break
                gone += connection.execute(delete(table).where(here, table.c.at <= last)).rowcount
            progress(min(gone, one.rows), one.rows)
            time.sleep(REST)
