"""The dense facts: one answer for one objective at one instant, in compact rows that are only ever added.

Four tables share this shape: evaluations, their control cohort, detector steps and slice measurements.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, TableClause, and_, bindparam, exists, insert, select

from watchdog.ledger import canon, codes, tables
from watchdog.ledger.canon import SHAPES
from watchdog.ledger.codes import Answer, Figures
from watchdog.ledger.sealing import Facts
from watchdog.ledger.texts import Texts, chunks
from watchdog.model import Evaluation, Measurement


def _told(table: TableClause) -> list[Any]:
    """The columns that say something: all but the number of the seal."""
    return [column for column in table.c if column.name != "seal"]


def _of_instants(table: TableClause) -> Select[Any]:
    here = (table.c.rollout == bindparam("of"), table.c.at.in_(bindparam("some", expanding=True)))
    return select(*_told(table)[1:]).where(*here).order_by(table.c.at, table.c.objective, table.c.revision)


# Every tick executes these: statements that are made once are compiled once.
_TABLES = (tables.EVALUATIONS, tables.CONTROLS, tables.STEPS, tables.SLICE_MEASUREMENTS)
_INSERT = {table.name: insert(table) for table in _TABLES}
_NEWEST = {table.name: _of_instants(table) for table in _TABLES}
_OBJECTIVES = (
    select(tables.OBJECTIVES.c.name, tables.OBJECTIVES.c.objective)
    .where(tables.OBJECTIVES.c.rollout == bindparam("of"))
    .order_by(tables.OBJECTIVES.c.objective)
)

Answers = Sequence[tuple[str, Evaluation]] | Sequence[tuple[str, Measurement]]
Fresh = tuple[int, int, Figures]
"""Instant, objective's code and figures of an answer to be written."""


@dataclass(frozen=True, slots=True)
class Changed:
    """The earliest instant at which a row was added, and at which an earlier answer was corrected."""

    added: int | None
    corrected: int | None


@dataclass(frozen=True, slots=True)
class Sealed:
    """What is needed to seal measurements: the facts of the transaction, and what the codes in them stand for."""

    facts: Facts
    names: Mapping[str, int]
    text_ids: Mapping[str, int]

    def cover(self, table: TableClause, added: Iterable[tuple[int, int, int, Figures]]) -> None:
        """Seal rows: instant, objective's code, revision, figures."""
        shape = SHAPES[table.name]
        judged = "verdict" in shape.columns
        words = {code: name for name, code in self.names.items()}
        texts: dict[int | None, str] = {None: "", **{number: text for text, number in self.text_ids.items()}}
        for at, code, revision, figures in added:
            found = canon.answer(judged, at, words[code], revision, figures, texts)
            self.facts.add(shape, (at, code, revision), found)


def objective_codes(
    connection: Connection, rollout: int, names: Iterable[str], facts: Facts | None = None
) -> dict[str, int]:
    """The code of every objective of the rollout; names that have none are given the next ones, in order.

    New names are facts, so they need `facts`.
    """
    rows = connection.execute(_OBJECTIVES, {"of": rollout}).all()
    known: dict[str, int] = {name: code for name, code in rows}  # noqa: C416 - rows are not tuples to the type checker
    new = [name for name in dict.fromkeys(names) if name not in known]
    if new and facts is not None:
        known |= {name: len(known) + place for place, name in enumerate(new)}
        facts.insert("objectives", [{"objective": known[name], "name": name} for name in new])
    return known


def rows(answers: Answers, names: Mapping[str, int], text_ids: Mapping[str, int]) -> list[Fresh]:
    """The answers as they are written."""
    return [
        (
            answer.at,
            names[name],
            codes.evaluation_figures(answer, text_ids)
            if isinstance(answer, Evaluation)
            else codes.measurement_figures(answer, text_ids),
        )
        for name, answer in answers
    ]


def append(connection: Connection, table: TableClause, rollout: int, fresh: Sequence[Fresh], sealed: Sealed) -> Changed:
    """Add the rows, with the next revision where the instant has an answer; one equal to the newest adds none."""
    if not fresh:
        return Changed(None, None)
    columns = tuple(table.c.keys())
    newest = _newest(connection, table, rollout, {at for at, _, _ in fresh})
    new: list[dict[str, Any]] = []
    added: list[tuple[int, int, int, Figures]] = []
    corrected: list[int] = []
    seal = sealed.facts.number
    for at, objective, figures in fresh:
        revision, said = newest.get((at, objective), (-1, None))
        if said == figures:
            continue
        if said is not None:
            corrected.append(at)
        newest[at, objective] = (revision + 1, figures)
        added.append((at, objective, revision + 1, figures))
        row = (rollout, at, objective, revision + 1, *figures, seal)
        new.append(dict(zip(columns, row, strict=True)))
    if new:
        connection.execute(_INSERT[table.name], new)
        sealed.cover(table, added)
    return Changed(min((row["at"] for row in new), default=None), min(corrected, default=None))


def _newest(
    connection: Connection, table: TableClause, rollout: int, instants: set[int]
) -> dict[tuple[int, int], tuple[int, Figures | None]]:
    """The newest revision and figures at these instants, by (instant, objective)."""
    found: dict[tuple[int, int], tuple[int, Figures | None]] = {}
    for some in chunks(sorted(instants)):
        given = {"of": rollout, "some": some}
        for at, objective, revision, *figures in connection.execute(_NEWEST[table.name], given):
            found[at, objective] = (revision, tuple(figures))
    return found


def load(
    connection: Connection,
    texts: Texts,
    table: TableClause,
    where: Sequence[ColumnElement[bool]],
    build: codes.Build[Answer],
    names: Mapping[int, str],
) -> list[tuple[str, Answer]]:
    """The newest answers that `where` selects, by time and then objective: (the objective's name, the answer)."""
    key = (table.c.at, table.c.objective, table.c.revision)
    rows = connection.execute(select(*_told(table)[1:]).where(*where).order_by(*key)).all()
    sentences = texts.sentences(connection, {row.detail for row in rows})
    found: list[tuple[str, Answer]] = []
    before = (-1, -1)
    for row in rows:
        here = (row[0], row[1])
        answer = (names[row[1]], build(row, sentences))
        if here == before:  # corrected since
            found[-1] = answer
        else:
            found.append(answer)
            before = here
    return found


def asked_again(connection: Connection, table: TableClause, rollout: int, since: int) -> list[tuple[int, int]]:
    """(objective's code, instant) from `since` on whose newest answer is one that later data can cure."""
    later = table.alias("later")
    superseded = exists().where(
        and_(
            later.c.rollout == table.c.rollout,
            later.c.at == table.c.at,
            later.c.objective == table.c.objective,
            later.c.revision > table.c.revision,
        )
    )
    curable = table.c.reason.in_(codes.ASKED_AGAIN_CODES)
    statement = (
        select(table.c.objective, table.c.at)
        .where(table.c.rollout == rollout, table.c.at >= since, curable, ~superseded)
        .order_by(table.c.objective, table.c.at)
    )
    return [(objective, at) for objective, at in connection.execute(statement)]


def newest_of(connection: Connection, table: TableClause, rollout: int, objective: int) -> list[ColumnElement[bool]]:
    """The condition that selects the rows of an objective's newest instant."""
    here = [table.c.rollout == rollout, table.c.objective == objective]
    at = connection.execute(select(table.c.at).where(*here).order_by(table.c.at.desc()).limit(1)).scalar()
    return [*here, table.c.at == (-1 if at is None else at)]
