"""What happened to a rollout, as rows: each is inserted through the facts of its transaction, which are then sealed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, select, update

from watchdog.ledger import codes, tables
from watchdog.ledger.codes import Row, plain
from watchdog.ledger.facts import BreachFact, Record
from watchdog.ledger.sealing import Facts
from watchdog.ledger.texts import chunks
from watchdog.model import Notification, Slice


def write_slices(connection: Connection, facts: Facts, rollout: int, found: Sequence[Slice]) -> None:
    """Add what is found on each slice, unless the newest finding says the same."""
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
            row = {"at": one.end, "revision": revision, "verdict": one.verdict.value, "body": body}
            facts.insert("slices", [row])


def write_story(connection: Connection, facts: Facts, record: Record) -> None:
    """Transitions, exposures, readings and the outcomes of commands."""
    facts.insert(
        "transitions",
        ({**asdict(one), "why": plain(one.why), "by": plain(one.by)} for one in record.transitions),
    )
    facts.insert(
        "exposures",
        ({"at": o.at, "kind": o.kind, **codes.exposure_columns(o.exposure)} for o in record.exposures),
    )
    facts.insert(
        "readings",
        (
            {
                "at": one.at,
                **codes.exposure_columns(one.exposure),
                "version": plain(one.version),
                "error": plain(one.error),
                "latch": None if one.latch is None else plain(one.latch),
            }
            for one in record.readings
        ),
    )
    commands = tables.COMMANDS
    for command, said in record.commands_done:
        open_ = (commands.c.id == command, commands.c.rollout == record.rollout_id, commands.c.outcome.is_(None))
        if connection.execute(update(commands).where(*open_).values(outcome=said)).rowcount:
            facts.changed("commands", [command], {"outcome": said})


def write_breach(connection: Connection, facts: Facts, rollout: int, fact: BreachFact) -> None:
    """Open an episode, or say of an open one that it closed or was not confirmed."""
    breaches, breach = tables.BREACHES, fact.breach
    here = (breaches.c.rollout == rollout, breaches.c.objective == breach.objective, breaches.c.at == breach.at)
    known = connection.execute(select(breaches.c.closed_at, breaches.c.unconfirmed).where(*here)).first()
    if known is None:
        row = {**asdict(breach), "why": plain(breach.why), "detected_at": fact.detected_at}
        facts.insert("breaches", [row | {"late": int(fact.late), "unconfirmed": int(fact.unconfirmed)}])
        return
    closed_at = known.closed_at if breach.closed_at is None else breach.closed_at
    changes: Row = {"closed_at": closed_at, "unconfirmed": int(fact.unconfirmed)}
    if changes != known._asdict():
        connection.execute(update(breaches).where(*here).values(changes))
        said = {"closed_at": closed_at, "unconfirmed": fact.unconfirmed}
        facts.changed("breaches", [breach.objective, breach.at], said)


def write_notifications(connection: Connection, facts: Facts, rollout: int, messages: Sequence[Notification]) -> None:
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
    facts.insert("notifications", rows)
