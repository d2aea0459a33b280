"""Reading back: rollouts, their dense facts and their story. Ranges are (after, until], instants on the grid."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, TableClause, select

from watchdog.errors import LedgerError
from watchdog.ledger import codes, dense, tables
from watchdog.ledger.database import Database
from watchdog.ledger.facts import BreachFact, ExposureFact, ReadingFact, StoredReport, StoredRollout
from watchdog.ledger.texts import Texts
from watchdog.model import ACTIVE, Breach, Evaluation, Measurement, Mode, Phase, Slice, Transition


class Reading(Database):
    """The half of the ledger that is only read."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.texts = Texts()
        self._begun: set[int] = set()
        """Rollouts seen in a later phase than pending, into which none returns."""
        self.told: Callable[[], None] = lambda: None
        """Called after each transaction that recorded something to tell; it must return at once."""
        self.ticked: Callable[[int], None] = lambda _: None
        """Called with a rollout's number after each tick that was recorded; it must return at once, too."""

    def rollout(self, name: str) -> StoredRollout | None:
        """The rollout of that name."""
        with self.reading() as connection:
            return next(iter(stored_rollouts(connection, tables.ROLLOUTS.c.name == name)), None)

    def rollouts(self, phases: Collection[Phase] | None = None) -> list[StoredRollout]:
        """All rollouts in the order in which they were added, or those in one of the phases."""
        where = [] if phases is None else [tables.HEADS.c.phase.in_([phase.value for phase in phases])]
        with self.reading() as connection:
            return stored_rollouts(connection, *where)

    def active_on(self, flag: str) -> StoredRollout | None:
        """The rollout that owns the flag now; one that acts comes before one that only observes."""
        active = tables.HEADS.c.phase.in_([phase.value for phase in ACTIVE])
        with self.reading() as connection:
            owners = stored_rollouts(connection, tables.ROLLOUTS.c.flag == flag, active)
        return next(iter(sorted(owners, key=lambda owner: owner.mode is not Mode.ACT)), None)

    def evaluations(
        self, rollout_id: int, objective: str | None, after: int, until: int
    ) -> list[tuple[str, Evaluation]]:
        """The newest evaluation of each slot in (after, until], by time; of one objective or of all."""
        return self._answers(tables.EVALUATIONS, codes.evaluation, rollout_id, objective, after, until)

    def controls(self, rollout_id: int, objective: str | None, after: int, until: int) -> list[tuple[str, Evaluation]]:
        """Likewise for the control cohort, which is recorded only."""
        return self._answers(tables.CONTROLS, codes.evaluation, rollout_id, objective, after, until)

    def steps(self, rollout_id: int, objective: str | None, after: int, until: int) -> list[tuple[str, Measurement]]:
        """The newest measurement of each detector step in (after, until], by time."""
        return self._answers(tables.STEPS, codes.measurement, rollout_id, objective, after, until)

    def slice_measurements(
        self, rollout_id: int, objective: str | None, after: int, until: int
    ) -> list[tuple[str, Measurement]]:
        """The newest measurement over each slice that ends in (after, until], by time."""
        return self._answers(tables.SLICE_MEASUREMENTS, codes.measurement, rollout_id, objective, after, until)

    def unknown_slots(self, rollout_id: int, since: int) -> dict[str, list[int]]:
        """By objective, the slots from `since` on that are to be asked again: later data can make them known."""
        return self._asked_again(tables.EVALUATIONS, rollout_id, since)

    def unknown_steps(self, rollout_id: int, since: int) -> dict[str, list[int]]:
        """Likewise for detector steps."""
        return self._asked_again(tables.STEPS, rollout_id, since)

    def unknown_slices(self, rollout_id: int, since: int) -> dict[str, list[int]]:
        """Likewise for the measurements over slices."""
        return self._asked_again(tables.SLICE_MEASUREMENTS, rollout_id, since)

    def last_evaluations(self, rollout_id: int) -> dict[str, Evaluation]:
        """The newest evaluation of each objective, in the order of the rule."""
        table = tables.EVALUATIONS
        found: dict[str, Evaluation] = {}
        with self.reading() as connection:
            names = objective_names(connection, rollout_id)
            for code in names:
                where = dense.newest_of(connection, table, rollout_id, code)
                found |= dense.load(connection, self.texts, table, where, codes.evaluation, names)
        return found

    def slices(self, rollout_id: int, after: int | None = None) -> list[Slice]:
        """The newest finding on each slice, by time; those that end after `after` when it is given."""
        slices = tables.SLICES
        where = [slices.c.rollout == rollout_id, *([] if after is None else [slices.c.at > after])]
        statement = select(slices.c.at, slices.c.body).where(*where).order_by(slices.c.at, slices.c.revision)
        with self.reading() as connection:
            newest: dict[int, str] = {at: body for at, body in connection.execute(statement)}  # noqa: C416
        return [codes.slice_of(body) for body in newest.values()]

    def transitions(self, rollout_id: int) -> list[Transition]:
        """What happened, in the order in which it was recorded."""
        return [
            Transition(
                **{**row, "source": Phase(row["source"]), "target": Phase(row["target"])},
            )
            for row in self._rows(tables.TRANSITIONS, rollout_id, "id")
        ]

    def breaches(self, rollout_id: int) -> list[BreachFact]:
        """Every breach by its detector step."""
        found = []
        for row in self._rows(tables.BREACHES, rollout_id, "at", "objective"):
            extra = {"late": bool(row.pop("late")), "unconfirmed": bool(row.pop("unconfirmed"))}
            found.append(BreachFact(detected_at=row.pop("detected_at"), breach=Breach(**row), **extra))
        return found

    def exposures(self, rollout_id: int) -> list[ExposureFact]:
        """What was asked for and confirmed, by time."""
        return [
            ExposureFact(row["at"], row["kind"], codes.exposure_of(row["percent"], row["cohort"], row["audiences"]))
            for row in self._rows(tables.EXPOSURES, rollout_id, "at", "id")
        ]

    def readings(self, rollout_id: int, after: float | None = None) -> list[ReadingFact]:
        """What the flag service answered, by time; later than wall time `after` when it is given."""
        later = [] if after is None else [tables.READINGS.c.at > after]
        return [_reading(row) for row in self._rows(tables.READINGS, rollout_id, "at", "id", where=later)]

    def latest_reading(self, rollout_id: int) -> ReadingFact | None:
        """The newest answer of the flag service."""
        readings = tables.READINGS
        statement = select(readings).where(readings.c.rollout == rollout_id)
        with self.reading() as connection:
            row = connection.execute(statement.order_by(readings.c.at.desc(), readings.c.id.desc()).limit(1)).first()
        return None if row is None else _reading(row._asdict())

    def checkpoint(self, rollout_id: int, at_or_before: int | None = None) -> tuple[int, str] | None:
        """The newest checkpoint (instant, body), or the newest at or before an instant.

        None that has since been contradicted: facts older than a checkpoint, when they are recorded, remove it.
        """
        checkpoints = tables.CHECKPOINTS
        where = [checkpoints.c.rollout == rollout_id]
        if at_or_before is not None:
            where.append(checkpoints.c.at <= at_or_before)
        statement = select(checkpoints.c.at, checkpoints.c.body).where(*where).order_by(checkpoints.c.at.desc())
        with self.reading() as connection:
            row = connection.execute(statement.limit(1)).first()
        return None if row is None else (row.at, row.body)

    def reports(self, rollout_id: int) -> list[StoredReport]:
        """The reports that were frozen, in order."""
        return [StoredReport(**row) for row in self._rows(tables.REPORTS, rollout_id, "id")]

    def _answers(
        self, table: TableClause, build: codes.Build[codes.Answer], rollout_id: int, objective: str | None, *span: int
    ) -> list[tuple[str, codes.Answer]]:
        after, until = span
        where = [table.c.rollout == rollout_id, table.c.at > after, table.c.at <= until]
        with self.reading() as connection:
            names = objective_names(connection, rollout_id)
            if objective is not None:
                where.append(table.c.objective.in_([code for code, name in names.items() if name == objective]))
            return dense.load(connection, self.texts, table, where, build, names)

    def _asked_again(self, table: TableClause, rollout_id: int, since: int) -> dict[str, list[int]]:
        instants: dict[str, list[int]] = {}
        with self.reading() as connection:
            found = dense.asked_again(connection, table, rollout_id, since)
            names = objective_names(connection, rollout_id) if found else {}
        for code, at in found:
            instants.setdefault(names[code], []).append(at)
        return instants

    def _rows(
        self, table: TableClause, rollout_id: int, *order: str, where: Sequence[ColumnElement[bool]] = ()
    ) -> list[dict[str, Any]]:
        """A rollout's rows as dicts, without the columns that only tie them to it."""
        columns = [column for column in table.c if column.name not in ("id", "rollout", "seal")]
        statement = select(*columns).where(table.c.rollout == rollout_id, *where)
        with self.reading() as connection:
            rows = connection.execute(statement.order_by(*(table.c[name] for name in order))).all()
        return [row._asdict() for row in rows]


def objective_names(connection: Connection, rollout_id: int) -> dict[int, str]:
    """The objectives of a rollout by their code, in the order of the rule."""
    return {code: name for name, code in dense.objective_codes(connection, rollout_id, ()).items()}


def stored_rollouts(connection: Connection, *where: ColumnElement[bool]) -> list[StoredRollout]:
    """The rollouts that `where` selects, in the order in which they were added."""
    rollouts, heads = tables.ROLLOUTS, tables.HEADS
    columns = [column for column in heads.c if column.name != "rollout"]
    statement = select(rollouts, *columns).select_from(rollouts.join(heads, heads.c.rollout == rollouts.c.id))
    return [_stored(row) for row in connection.execute(statement.where(*where).order_by(rollouts.c.id))]


def _stored(row: Row[Any]) -> StoredRollout:
    fields = row._asdict()
    try:
        changes = {"mode": Mode(row.mode), "phase": Phase(row.phase), "control": json.loads(row.control)}
    except ValueError as error:
        raise LedgerError(
            f"rollout {row.name}: its row in the ledger is damaged ({error}): put a backup of the ledger in its place"
        ) from error
    return StoredRollout(**{**fields, **changes})


def _reading(row: Mapping[str, Any]) -> ReadingFact:
    exposure = None if row["percent"] is None else codes.exposure_of(row["percent"], row["cohort"], row["audiences"])
    return ReadingFact(row["at"], exposure, row["version"], row["latch"], row["error"])
