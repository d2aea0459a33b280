"""The dense facts: one answer for one objective at one instant, in compact rows that are only ever added.

Four tables share this shape: evaluations, their control cohort, detector steps and slice measurements.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, TableClause, and_, exists, insert, select

from watchdog.ledger import codes, tables
from watchdog.ledger.codes import Answer, Figures
from watchdog.ledger.texts import Texts, chunks
from watchdog.model import Evaluation, Measurement

Answers = Sequence[tuple[str, Evaluation]] | Sequence[tuple[str, Measurement]]
Fresh = tuple[int, int, Figures]
"""Instant, objective's code and figures of an answer to be written."""


@dataclass(frozen=True, slots=True)
class Changed:
    """The earliest instant at which a row was added, and at which an earlier answer was corrected."""

    added: int | None
    corrected: int | None


def objective_codes(connection: Connection, rollout: int, names: Iterable[str]) -> dict[str, int]:
    """The code of every objective of the rollout; names that have none are given the next ones, in order."""
    objectives = tables.OBJECTIVES
    rows = connection.execute(
        select(objectives.c.name, objectives.c.objective)
        .where(objectives.c.rollout == rollout)
        .order_by(objectives.c.objective)
    ).all()
    known: dict[str, int] = {name: code for name, code in rows}  # noqa: C416 - rows are not tuples to the type checker
    new = [name for name in dict.fromkeys(names) if name not in known]
    if new:
        known |= {name: len(known) + place for place, name in enumerate(new)}
        added = [{"rollout": rollout, "objective": known[name], "name": name} for name in new]
        connection.execute(insert(objectives), added)
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


def append(connection: Connection, table: TableClause, rollout: int, fresh: Sequence[Fresh]) -> Changed:
    """Add the rows, with the next revision where the instant has an answer; one equal to the newest adds none."""
    if not fresh:
        return Changed(None, None)
    columns = [column.name for column in table.c]
    newest = _newest(connection, table, rollout, {at for at, _, _ in fresh})
    new: list[dict[str, Any]] = []
    corrected: list[int] = []
    for at, objective, figures in fresh:
        revision, said = newest.get((at, objective), (-1, None))
        if said == figures:
            continue
        if said is not None:
            corrected.append(at)
        newest[at, objective] = (revision + 1, figures)
        new.append(dict(zip(columns, (rollout, at, objective, revision + 1, *figures), strict=True)))
    if new:
        connection.execute(insert(table), new)
    return Changed(min((row["at"] for row in new), default=None), min(corrected, default=None))


def _newest(
    connection: Connection, table: TableClause, rollout: int, instants: set[int]
) -> dict[tuple[int, int], tuple[int, Figures | None]]:
    """The newest revision and figures at these instants, by (instant, objective)."""
    found: dict[tuple[int, int], tuple[int, Figures | None]] = {}
    for some in chunks(sorted(instants)):
        statement = (
            select(*list(table.c)[1:])
            .where(table.c.rollout == rollout, table.c.at.in_(some))
            .order_by(table.c.at, table.c.objective, table.c.revision)
        )
        for at, objective, revision, *figures in connection.execute(statement):
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
    rows = connection.execute(select(*list(table.c)[1:]).where(*where).order_by(*key)).all()
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
