"""Recording: new rollouts, and what one tick found and decided, in one transaction guarded by compare-and-set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from sqlalchemy import Connection, TableClause, bindparam, delete, insert, select, update

from watchdog.errors import LedgerConflict, Refused
from watchdog.ledger import codes, dense, tables
from watchdog.ledger.codes import Row, plain
from watchdog.ledger.facts import BreachFact, Record, StoredRollout
from watchdog.ledger.read import Reading, stored_rollouts
from watchdog.ledger.texts import chunks
from watchdog.model import ACTIVE, Mode, Notification, Phase, Rollout, Slice

_CHECKPOINTS_KEPT = 60
_DAY = 86_400


class Recording(Reading):
    """The half of the ledger that a tick writes."""

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
            dense.objective_codes(connection, added, [objective.name for objective in rollout.objectives])
            return stored_rollouts(connection, tables.ROLLOUTS.c.id == added)[0]

    def record(self, record: Record) -> int:
        """Keep all of a tick, or nothing; return the rollout's new revision.

        LedgerConflict when somebody recorded this rollout since `record.revision` was read; Refused when it would
        start on a flag that another rollout owns; LedgerError when the ledger cannot be written.
        An answer equal to the newest of its instant adds no row; another one is a new row with the next revision.
        """
        with self.writing() as connection:
            if record.phase in ACTIVE and record.rollout_id not in self._begun:
                self._refuse_taken_flag(connection, record)
            self._advance(connection, record)
            learned = self._write_figures(connection, record)
            _write_slices(connection, record.rollout_id, record.slices)
            _write_story(connection, record)
            for fact in record.breaches:
                _write_breach(connection, record.rollout_id, fact)
            write_notifications(connection, record.rollout_id, record.notifications)
            if record.checkpoint is not None:
                _write_checkpoint(connection, record.rollout_id, *record.checkpoint)
        self._texts.learn(learned)
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
        here = heads.c.rollout == record.rollout_id
        moved = connection.execute(update(heads).where(here, heads.c.revision == record.revision).values(changes))
        if moved.rowcount == 1:
            return
        found = connection.execute(select(heads.c.revision).where(here)).scalar()
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

    def _write_figures(self, connection: Connection, record: Record) -> dict[str, int]:
        """Evaluations, steps and slice measurements; returns the sentences that they brought."""
        batches: tuple[tuple[TableClause, dense.Answers], ...] = (
            (tables.EVALUATIONS, record.evaluations),
            (tables.CONTROLS, record.controls),
            (tables.STEPS, record.steps),
            (tables.SLICE_MEASUREMENTS, record.slice_measurements),
        )
        answers = [(name, answer) for _, batch in batches for name, answer in batch]
        if not answers:
            return {}
        text_ids = self._texts.ids(connection, (plain(answer.detail) for _, answer in answers))
        names = dense.objective_codes(connection, record.rollout_id, [name for name, _ in answers])
        folded = []
        for table, batch in batches:
            changed = dense.append(connection, table, record.rollout_id, dense.rows(batch, names, text_ids))
            if table in (tables.EVALUATIONS, tables.STEPS):
                folded.append(changed)
        _drop_stale_checkpoints(connection, record.rollout_id, folded)
        return text_ids


def _drop_stale_checkpoints(connection: Connection, rollout: int, changes: Sequence[dense.Changed]) -> None:
    """A checkpoint that folded over what has now changed would be resumed from: it goes, being only a cache."""
    checkpoints = tables.CHECKPOINTS
    stale = [change.corrected for change in changes if change.corrected is not None]
    stale += [change.added + 1 for change in changes if change.added is not None]
    if stale:
        connection.execute(delete(checkpoints).where(checkpoints.c.rollout == rollout, checkpoints.c.at >= min(stale)))


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


def _write_slices(connection: Connection, rollout: int, found: Sequence[Slice]) -> None:
    slices = tables.SLICES
    for one in found:
        newest = connection.execute(
            select(slices.c.revision, slices.c.body)
            .where(slices.c.rollout == rollout, slices.c.at == one.end)
            .order_by(slices.c.revision.desc())
            .limit(1)
        ).first()
        body = codes.slice_body(one)
        if newest is None or newest.body != body:
            revision = 0 if newest is None else newest.revision + 1
            row = {"rollout": rollout, "at": one.end, "revision": revision, "verdict": one.verdict.value, "body": body}
            connection.execute(insert(slices).values(row))


def _write_story(connection: Connection, record: Record) -> None:
    """Transitions, exposures, readings and the outcomes of commands."""
    here = {"rollout": record.rollout_id}
    _insert(
        connection,
        tables.TRANSITIONS,
        ({**here, **asdict(one), "why": plain(one.why), "by": plain(one.by)} for one in record.transitions),
    )
    _insert(
        connection,
        tables.EXPOSURES,
        ({**here, "at": o.at, "kind": o.kind, **codes.exposure_columns(o.exposure)} for o in record.exposures),
    )
    _insert(
        connection,
        tables.READINGS,
        (
            {
                **here,
                "at": one.at,
                **codes.exposure_columns(one.exposure),
                "version": plain(one.version),
                "error": plain(one.error),
                "latch": None if one.latch is None else plain(one.latch),
            }
            for one in record.readings
        ),
    )
    if record.commands_done:
        commands = tables.COMMANDS
        its_own = (commands.c.id == bindparam("command"), commands.c.rollout == record.rollout_id)
        statement = update(commands).where(*its_own, commands.c.outcome.is_(None)).values(outcome=bindparam("said"))
        connection.execute(statement, [{"command": command, "said": said} for command, said in record.commands_done])


def _insert(connection: Connection, table: TableClause, rows: Iterable[Mapping[str, object]]) -> None:
    if many := list(rows):
        connection.execute(insert(table), many)


def _write_breach(connection: Connection, rollout: int, fact: BreachFact) -> None:
    """Open an episode, or say of an open one that it closed or was not confirmed."""
    breaches, breach = tables.BREACHES, fact.breach
    here = (breaches.c.rollout == rollout, breaches.c.objective == breach.objective, breaches.c.at == breach.at)
    changes: Row = {"unconfirmed": int(fact.unconfirmed)}
    if breach.closed_at is not None:
        changes["closed_at"] = breach.closed_at
    if connection.execute(update(breaches).where(*here).values(changes)).rowcount == 0:
        row = {**asdict(breach), "why": plain(breach.why), "rollout": rollout, "detected_at": fact.detected_at}
        row |= {"late": int(fact.late), "unconfirmed": int(fact.unconfirmed)}
        connection.execute(insert(breaches).values(row))


def write_notifications(connection: Connection, rollout: int, messages: Sequence[Notification]) -> None:
    """The first message of a key stays: recorded again after a crash, it must not page twice."""
    if not messages:
        return
    notifications = tables.NOTIFICATIONS
    new = {message.key: message for message in reversed(messages)}
    for some in chunks(list(new)):
        known = select(notifications.c.key).where(notifications.c.rollout == rollout, notifications.c.key.in_(some))
        for key in connection.scalars(known).all():
            del new[key]
    rows = [
        {
            "rollout": rollout,
            "key": message.key,
            "kind": message.kind,
            "severity": message.severity.value,
            "summary": plain(message.summary),
            "at": message.at,
            "details": json.dumps(message.details, separators=(",", ":")),
        }
        for message in messages
        if new.get(message.key) is message
    ]
    _insert(connection, notifications, rows)
