"""Where every rollout stands, for a page that shows them all: a handful of statements however many there are."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Select, func, select

from watchdog.ledger import codes, tables
from watchdog.ledger.facts import ReadingFact
from watchdog.ledger.read import Reading
from watchdog.ledger.texts import chunks
from watchdog.model import Phase, Reason, Verdict

_H = tables.HEADS


@dataclass(frozen=True, slots=True)
class Standing:
    """A rollout's head with the newest of what was measured and read for it.

    `since` is when its phase began (wall time), None when it never changed. `verdicts` are of the newest slot, in the
    order of the rule. `slices` counts what was recorded of slices, corrections included, and `breaches` what was
    recorded of breaches: both only grow, so that whoever knows them knows whether something is new.
    """

    rollout: int
    revision: int
    phase: Phase
    started_at: float | None
    last_slot: int | None
    control: dict[str, Any]
    reading: ReadingFact | None = None
    since: float | None = None
    verdicts: tuple[tuple[str, Verdict, Reason | None], ...] = ()
    slices: int = 0
    newest_slice: int = 0
    breaches: tuple[int, int] = field(default=(0, 0))


class Standings(Reading):
    """The ledger as a page reads it that shows every rollout."""

    def revisions(self) -> dict[int, int]:
        """The revision of every rollout's head, by its number: it moves with each recorded tick."""
        with self.reading() as connection:
            return {row.rollout: row.revision for row in connection.execute(select(_H.c.rollout, _H.c.revision))}

    def standings(self, rollouts: Collection[int]) -> dict[int, Standing]:
        """Where these rollouts stand, by number; one whose row is damaged is left out."""
        found: dict[int, Standing] = {}
        with self.reading() as connection:
            for some in chunks(sorted(rollouts)):
                found |= _standings(connection, some)
        return found


def _standings(connection: Connection, some: Collection[int]) -> dict[int, Standing]:
    found = dict(_heads(connection, some))
    for number, reading in _readings(connection, some):
        found[number] = replace(found[number], reading=reading)
    for row in _rows(connection, _changes(some), found):
        found[row.rollout] = replace(found[row.rollout], since=row.since)
    for number, verdicts in _verdicts(connection, some).items():
        if number in found:
            found[number] = replace(found[number], verdicts=tuple(verdicts.values()))
    slices, breaches = tables.SLICES, tables.BREACHES
    counted = select(slices.c.rollout, func.count().label("n"), func.max(slices.c.at).label("newest"))
    for row in _rows(connection, counted.where(slices.c.rollout.in_(some)).group_by(slices.c.rollout), found):
        found[row.rollout] = replace(found[row.rollout], slices=row.n, newest_slice=row.newest)
    known = select(breaches.c.rollout, func.count().label("n"), func.sum(breaches.c.unconfirmed).label("doubted"))
    for row in _rows(connection, known.where(breaches.c.rollout.in_(some)).group_by(breaches.c.rollout), found):
        found[row.rollout] = replace(found[row.rollout], breaches=(row.n, int(row.doubted)))
    return found


def _rows(connection: Connection, statement: Select[Any], found: Collection[int]) -> Iterator[Any]:
    """The rows of rollouts that are known by now: one may have been added, or be damaged."""
    return (row for row in connection.execute(statement) if row.rollout in found)


def _heads(connection: Connection, some: Collection[int]) -> Iterable[tuple[int, Standing]]:
    for row in connection.execute(select(_H).where(_H.c.rollout.in_(some))):
        try:
            phase, control = Phase(row.phase), json.loads(row.control)
        except ValueError:  # the daemon's log names it, and its own page says what to do
            continue
        yield row.rollout, Standing(row.rollout, row.revision, phase, row.started_at, row.last_slot, control)


def _readings(connection: Connection, some: Collection[int]) -> Iterator[tuple[int, ReadingFact]]:
    readings = tables.READINGS
    others = readings.alias("others")
    newest = (
        select(others.c.id)
        .where(others.c.rollout == _H.c.rollout)
        .order_by(others.c.at.desc(), others.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    statement = select(readings).select_from(_H.join(readings, readings.c.id == newest)).where(_H.c.rollout.in_(some))
    for row in connection.execute(statement):
        exposure = None if row.percent is None else codes.exposure_of(row.percent, row.cohort, row.audiences)
        yield row.rollout, ReadingFact(row.at, exposure, row.version, row.latch, row.error)


def _changes(some: Collection[int]) -> Select[Any]:
    transitions = tables.TRANSITIONS
    here = (transitions.c.rollout.in_(some), transitions.c.source != transitions.c.target)
    newest = func.max(transitions.c.at).label("since")
    return select(transitions.c.rollout, newest).where(*here).group_by(transitions.c.rollout)


def _verdicts(
    connection: Connection, some: Collection[int]
) -> dict[int, dict[int, tuple[str, Verdict, Reason | None]]]:
    table, objectives = tables.EVALUATIONS, tables.OBJECTIVES
    others = table.alias("others")
    newest = select(func.max(others.c.at)).where(others.c.rollout == _H.c.rollout).scalar_subquery()
    named = (objectives.c.rollout == table.c.rollout) & (objectives.c.objective == table.c.objective)
    joined = _H.join(table, (table.c.rollout == _H.c.rollout) & (table.c.at == newest)).join(objectives, named)
    columns = (table.c.rollout, table.c.objective, objectives.c.name, table.c.verdict, table.c.reason)
    statement = select(*columns).select_from(joined).where(_H.c.rollout.in_(some))
    found: dict[int, dict[int, tuple[str, Verdict, Reason | None]]] = {}
    for row in connection.execute(statement.order_by(table.c.rollout, table.c.objective, table.c.revision)):
        verdict, reason = codes.judged(row.verdict, row.reason)
        found.setdefault(row.rollout, {})[row.objective] = (row.name, verdict, reason)  # the newest revision is last
    return found
