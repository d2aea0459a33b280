"""Recording: new rollouts, and what one tick found and decided, in one transaction guarded by compare-and-set."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection, TableClause, bindparam, delete, insert, select, update

from watchdog.errors import LedgerConflict, Refused
from watchdog.ledger import dense, tables
from watchdog.ledger.canon import SHAPES
from watchdog.ledger.causes import write_causes
from watchdog.ledger.codes import Row, plain
from watchdog.ledger.facts import Record, StoredRollout
from watchdog.ledger.leases import admit
from watchdog.ledger.read import Reading, stored_rollouts
from watchdog.ledger.sealing import Facts
from watchdog.ledger.seals import OWN
from watchdog.ledger.story import write_breach, write_notifications, write_slices, write_story
from watchdog.ledger.texts import chunks
from watchdog.model import ACTIVE, Mode, Phase, Rollout

_CHECKPOINTS_KEPT = 60
_DAY = 86_400
_C, _H = tables.CHECKPOINTS, tables.HEADS
_STALE = delete(_C).where(_C.c.rollout == bindparam("of"), _C.c.at >= bindparam("first"))
_MOVE = update(_H).where(_H.c.rollout == bindparam("of"), _H.c.revision == bindparam("read"))


class Recording(Reading):
    """The half of the ledger that a tick writes."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._codes: dict[int, dict[str, int]] = {}
        """By rollout, the codes of its objectives as committed transactions wrote them; they never change."""

    def add_rollout(self, rollout: Rollout, *, file: str, engine: str, now: float) -> StoredRollout:
        """Write down a rule, for good, as pending. `now` is wall time, `engine` our version.

        Refused when the name was used before: a name starts once per ledger.
        """
        with self.writing() as connection:
            if connection.execute(select(tables.ROLLOUTS.c.id).where(tables.ROLLOUTS.c.name == rollout.name)).first():
                raise Refused(
                    f"rollout {rollout.name}: the ledger {self.place} holds that name; to try again, use a new one"
                )
            row = {
                **{name: getattr(rollout, name) for name in ("name", "service", "version", "flag", "text", "sha256")},
                "mode": rollout.mode.value,
                "resolved": rollout.resolved,
                "file": file,
                "engine": engine,
                "created_at": now,
            }
            added = connection.execute(insert(tables.ROLLOUTS).values(row).returning(tables.ROLLOUTS.c.id)).scalar_one()
            head = {"rollout": added, "revision": 0, "phase": Phase.PENDING.value, "control": "{}"}
            connection.execute(insert(tables.HEADS).values(head))
            facts = Facts(connection, added, locked=True)
            facts.cover(SHAPES["rollouts"], {**row, "id": added})
            dense.objective_codes(connection, added, [objective.name for objective in rollout.objectives], facts)
            facts.seal(now)
            known = Facts(connection, OWN)
            known.changed("rollouts", [added], {"name": rollout.name, "sha256": rollout.sha256})
            known.seal(now)
            return stored_rollouts(connection, tables.ROLLOUTS.c.id == added)[0]

    def record(self, record: Record) -> int:
        """Keep all of a tick, or nothing; return the rollout's new revision.

        LedgerConflict when somebody recorded this rollout since `record.revision` was read, or has taken its lease;
        Refused when it would start on a flag that another rollout owns; LedgerError when the ledger cannot be written.
        An answer equal to the newest of its instant adds no row; another one is a new row with the next revision.
        """
        with self.writing() as connection:
            if record.fence is not None:
                admit(connection, self.place, record.rollout_id, record.fence)
            if record.phase in ACTIVE and record.rollout_id not in self._begun:
                self._refuse_taken_flag(connection, record)
            self._advance(connection, record)
            facts = Facts(connection, record.rollout_id, locked=True)
            learned, names = self._write_figures(connection, record, facts)
            write_slices(connection, facts, record.rollout_id, record.slices)
            write_story(connection, facts, record)
            for fact in record.breaches:
                write_breach(connection, facts, record.rollout_id, fact)
            write_notifications(connection, facts, record.rollout_id, record.notifications)
            write_causes(facts, record)
            facts.seal()
            if record.checkpoint is not None:
                _write_checkpoint(connection, record.rollout_id, *record.checkpoint)
        self.texts.learn(learned)
        if names:
            self._codes[record.rollout_id] = names
        if record.notifications:
            self.told()
        self.ticked(record.rollout_id)
        return record.revision + 1

    def _advance(self, connection: Connection, record: Record) -> None:
        """The guard: moves the head on if it still is where the tick read it."""
        heads = tables.HEADS
        changes: Row = {"revision": record.revision + 1}
        for name in ("started_at", "last_slot"):
            if getattr(record, name) is not None:
                changes[name] = getattr(record, name)
        if record.phase is not None:
            changes["phase"] = record.phase.value
        if record.control is not None:
            changes["control"] = json.dumps(record.control, separators=(",", ":"))
        moved = connection.execute(_MOVE, {"of": record.rollout_id, "read": record.revision, **changes})
        if moved.rowcount == 1:
            return
        found = connection.execute(select(heads.c.revision).where(heads.c.rollout == record.rollout_id)).scalar()
        if found is None:
            raise LedgerConflict(f"ledger {self.place} holds no rollout number {record.rollout_id}")
        raise LedgerConflict(
            f"ledger {self.place}: rollout number {record.rollout_id} is at revision {found}, this tick read "
            f"{record.revision}; another watchdog recorded first, nothing of this tick was kept"
        )

    def _refuse_taken_flag(self, connection: Connection, record: Record) -> None:
        """One rollout a flag acts at a time. Only a start is refused: nothing ever stands in the way of a rollback."""
        rollouts, heads = tables.ROLLOUTS, tables.HEADS
        both = rollouts.join(heads, heads.c.rollout == rollouts.c.id)
        flag = select(rollouts.c.flag).where(rollouts.c.id == record.rollout_id).scalar_subquery()
        rows = connection.execute(
            select(rollouts.c.id, rollouts.c.name, rollouts.c.mode, rollouts.c.flag, heads.c.phase)
            .select_from(both)
            .where(rollouts.c.flag == flag)
            .order_by(rollouts.c.id)
            .with_for_update(of=heads)
        ).all()
        own = next((row for row in rows if row.id == record.rollout_id), None)
        if own is not None and own.phase != Phase.PENDING:
            self._begun.add(own.id)
        starts = own is not None and own.phase == Phase.PENDING and record.phase is not Phase.ROLLING_BACK
        if own is None or not starts or own.mode != Mode.ACT:
            return
        for row in rows:
            if row.id != own.id and row.mode == Mode.ACT and Phase(row.phase) in ACTIVE:
                raise Refused(
                    f"rollout {own.name}: its flag {own.flag} belongs to {row.name}, which is {row.phase}; "
                    f"wait for its end, or stop it"
                )

    def _write_figures(
        self, connection: Connection, record: Record, facts: Facts
    ) -> tuple[dict[str, int], dict[str, int]]:
        """Evaluations, steps and slice measurements; returns the numbers of their sentences and of the objectives."""
        batches: tuple[tuple[TableClause, dense.Answers], ...] = (
            (tables.EVALUATIONS, record.evaluations),
            (tables.CONTROLS, record.controls),
            (tables.STEPS, record.steps),
            (tables.SLICE_MEASUREMENTS, record.slice_measurements),
        )
        answers = [(name, answer) for _, batch in batches for name, answer in batch]
        if not answers:
            return {}, {}
        text_ids = self.texts.ids(connection, (plain(answer.detail) for _, answer in answers))
        names, wanted = self._codes.get(record.rollout_id, {}), {name for name, _ in answers}
        if not wanted <= names.keys():
            names = dense.objective_codes(connection, record.rollout_id, [name for name, _ in answers], facts)
        sealed = dense.Sealed(facts, names, text_ids)
        folded = []
        for table, batch in batches:
            changed = dense.append(connection, table, record.rollout_id, dense.rows(batch, names, text_ids), sealed)
            if table in (tables.EVALUATIONS, tables.STEPS):
                folded.append(changed)
        _drop_stale_checkpoints(connection, record.rollout_id, folded)
        return text_ids, names


def _drop_stale_checkpoints(connection: Connection, rollout: int, changes: Sequence[dense.Changed]) -> None:
    """A checkpoint that folded over what has now changed would be resumed from: it goes, being only a cache."""
    stale = [change.corrected for change in changes if change.corrected is not None]
    stale += [change.added + 1 for change in changes if change.added is not None]
    if stale:
        connection.execute(_STALE, {"of": rollout, "first": min(stale)})


def _write_checkpoint(connection: Connection, rollout: int, at: int, body: str) -> None:
    """Keep this one, the newest 60 and the newest of each earlier day."""
    checkpoints = tables.CHECKPOINTS
    here = checkpoints.c.rollout == rollout
    connection.execute(delete(checkpoints).where(here, checkpoints.c.at == at))
    connection.execute(insert(checkpoints).values(rollout=rollout, at=at, body=body))
    instants = connection.scalars(select(checkpoints.c.at).where(here).order_by(checkpoints.c.at.desc())).all()
    newest_of_day = {instant // _DAY: instant for instant in reversed(instants)}
    old = [instant for instant in instants[_CHECKPOINTS_KEPT:] if newest_of_day[instant // _DAY] != instant]
    for some in chunks(old):
        connection.execute(delete(checkpoints).where(here, checkpoints.c.at.in_(some)))
