"""Timed rollback drills: each is a row from its beginning, so that one which never ended is seen, too."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, insert, select, update

from watchdog.errors import Refused
from watchdog.ledger import tables
from watchdog.ledger.codes import plain
from watchdog.ledger.read import Reading, stored_rollouts
from watchdog.ledger.sealing import Facts
from watchdog.ledger.seals import OWN
from watchdog.ledger.story import write_notifications
from watchdog.model import ACTIVE, Notification


class Drilled(NamedTuple):
    """How a drill ended, as `rollback_capability` needs it: wall time; `worst` in s, None when no run went through."""

    finished_at: float
    passed: bool
    worst: float | None


@dataclass(frozen=True, slots=True)
class DrillIntent:
    """What a drill is going to do: `runs` kills of `flag`, each to be seen by `reader` in `within` seconds."""

    service: str
    flag: str
    reader: str
    by: str
    why: str
    runs: int
    within: float


@dataclass(frozen=True, slots=True)
class StoredDrill:
    """A drill as the ledger holds it. Wall times; `within` and `worst` in seconds.

    `touched_at` is when it last began a run; `finished_at` and what comes after it are None while it runs, and for
    good when it died. `report` is the whole report as plain data.
    """

    id: int
    at: float
    service: str
    flag: str
    reader: str
    by: str
    why: str
    runs: int
    within: float
    touched_at: float
    finished_at: float | None
    passed: bool | None
    worst: float | None
    report: dict[str, Any] | None


class Drills(Reading):
    """The ledger's memory of drills. `now` is wall time throughout."""

    def begin_drill(self, intent: DrillIntent, now: float, alive_within: float) -> int:
        """Record that a drill begins; return its id.

        Refused while another drill of the same flag runs: one that began a run less than `alive_within` s ago.
        """
        drills = tables.DRILLS
        with self.writing() as connection:
            same = (drills.c.flag == intent.flag, drills.c.service == intent.service)
            running = (*same, drills.c.finished_at.is_(None), drills.c.touched_at > now - alive_within)
            other = connection.execute(select(drills).where(*running)).first()
            if other is not None:
                raise Refused(
                    f"drill: drill {other.id} by {other.by} is under way on {intent.flag}, it began a run "
                    f"{max(0.0, now - other.touched_at):.0f} s ago; wait for its end"
                )
            row = {**asdict(intent), "by": plain(intent.by), "why": plain(intent.why), "at": now, "touched_at": now}
            facts = Facts(connection, OWN)
            (number,) = facts.insert("drills", [row])
            facts.seal()
            return number

    def touch_drill(self, drill_id: int, now: float) -> None:
        """One more kill of this drill is decided: committed before it is done, as a rollback's record is."""
        drills = tables.DRILLS
        with self.writing() as connection:
            connection.execute(update(drills).where(drills.c.id == drill_id).values(touched_at=now))

    def finish_drill(
        self, drill_id: int, now: float, *, passed: bool, worst: float | None, report: dict[str, Any]
    ) -> None:
        """How it ended; only the first end counts."""
        drills = tables.DRILLS
        end = {"finished_at": now, "passed": int(passed), "worst": worst, "report": _as_text(report)}
        with self.writing() as connection:
            open_ = (drills.c.id == drill_id, drills.c.finished_at.is_(None))
            if connection.execute(update(drills).where(*open_).values(end)).rowcount:
                facts = Facts(connection, OWN)
                facts.changed("drills", [drill_id], {**end, "passed": passed})
                facts.seal()

    def drill(self, drill_id: int) -> StoredDrill | None:
        """The drill of that number."""
        return self._newest_drill(tables.DRILLS.c.id == drill_id)

    def last_drill(self) -> StoredDrill | None:
        """The drill that began last, ended or not."""
        return self._newest_drill()

    def drills(self, limit: int = 10_000) -> list[StoredDrill]:
        """The newest drills, newest first, ended or not."""
        drills = tables.DRILLS
        statement = select(drills).order_by(drills.c.id.desc()).limit(limit)
        with self.reading() as connection:
            return [_stored(row) for row in connection.execute(statement)]

    def drills_before(self, drill_id: int, service: str, flag: str, limit: int = 20) -> list[StoredDrill]:
        """The drills of the same flag that ended and are older than this one, newest first."""
        drills = tables.DRILLS
        older = (drills.c.id < drill_id, drills.c.finished_at.is_not(None))
        statement = select(drills).where(*older, drills.c.service == service, drills.c.flag == flag)
        with self.reading() as connection:
            return [_stored(row) for row in connection.execute(statement.order_by(drills.c.id.desc()).limit(limit))]

    def unfinished_drills(self, before: float) -> list[StoredDrill]:
        """Drills without an end that began no run since wall time `before`: whoever ran them has died."""
        drills = tables.DRILLS
        statement = select(drills).where(drills.c.finished_at.is_(None), drills.c.touched_at < before)
        with self.reading() as connection:
            return [_stored(row) for row in connection.execute(statement.order_by(drills.c.id))]

    def drilled(self, after: float, until: float) -> list[Drilled]:
        """How the drills ended that ended in (after, until], by time."""
        drills = tables.DRILLS
        ended = (drills.c.finished_at > after, drills.c.finished_at <= until)
        columns = (drills.c.finished_at, drills.c.passed, drills.c.worst)
        with self.reading() as connection:
            rows = connection.execute(select(*columns).where(*ended).order_by(drills.c.finished_at)).all()
        return [Drilled(row.finished_at, bool(row.passed), row.worst) for row in rows]

    def tell_active(self, notification: Notification) -> list[str]:
        """Add a message to every active rollout, once each by its key; return the names of the rollouts."""
        with self.writing() as connection:
            active = stored_rollouts(connection, tables.HEADS.c.phase.in_([phase.value for phase in ACTIVE]))
            for rollout in active:
                facts = Facts(connection, rollout.id)
                write_notifications(connection, facts, rollout.id, (notification,))
                facts.seal()
        self.told()
        return [rollout.name for rollout in active]

    def try_write(self) -> None:
        """Write a row and take it back; LedgerError when the ledger cannot be written."""
        with self.writing() as connection:
            _write_and_take_back(connection)

    def _newest_drill(self, *where: ColumnElement[bool]) -> StoredDrill | None:
        drills = tables.DRILLS
        with self.reading() as connection:
            row = connection.execute(select(drills).where(*where).order_by(drills.c.id.desc()).limit(1)).first()
        return None if row is None else _stored(row)


def _write_and_take_back(connection: Connection) -> None:
    savepoint = connection.begin_nested()
    connection.execute(insert(tables.TEXTS).values(digest=b"preflight", text="preflight"))
    savepoint.rollback()


def _as_text(report: dict[str, Any]) -> str:
    return plain(json.dumps(report, separators=(",", ":"), allow_nan=False))


def _stored(row: Row[Any]) -> StoredDrill:
    passed = None if row.passed is None else bool(row.passed)
    report = None if row.report is None else json.loads(row.report)
    said = row._asdict()
    del said["seal"]
    return StoredDrill(**{**said, "passed": passed, "report": report})
