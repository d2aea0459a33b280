"""What people were told and what they order: messages, operator commands, frozen reports."""

from __future__ import annotations

from sqlalchemy import ColumnElement, select

from watchdog.errors import Refused
from watchdog.ledger import tables
from watchdog.ledger.codes import notification, plain
from watchdog.ledger.facts import Delivery, StoredNotification
from watchdog.ledger.read import Reading
from watchdog.ledger.sealing import Facts
from watchdog.messages.notices import TRANSITION
from watchdog.model import Command


class Outbox(Reading):
    """The half of the ledger between the watchdog and people. `now` is wall time throughout."""

    def notifications_of(self, rollout_id: int) -> list[StoredNotification]:
        """Every message of a rollout in order, with how its channels fare; what only pipelines are told is left out."""
        notifications, deliveries = tables.NOTIFICATIONS, tables.DELIVERIES
        here = (notifications.c.rollout == rollout_id, notifications.c.kind != TRANSITION)
        tried = select(deliveries).join(notifications, notifications.c.id == deliveries.c.notification).where(*here)
        with self.reading() as connection:
            rows = connection.execute(select(notifications).where(*here).order_by(notifications.c.id)).all()
            tries: dict[int, list[Delivery]] = {}
            for row in connection.execute(tried.order_by(deliveries.c.channel)):
                fields = {**row._asdict(), "given_up": bool(row.given_up)}
                tries.setdefault(fields.pop("notification"), []).append(Delivery(**fields))
        return [StoredNotification(row.id, notification(row), tuple(tries.get(row.id, ()))) for row in rows]

    def add_command(self, rollout_name: str, verb: str, by: str, reason: str, now: float) -> int:
        """Record an operator's command for the next tick; return its id. Refused when there is no such rollout."""
        rollouts = tables.ROLLOUTS
        with self.writing() as connection:
            rollout = connection.execute(select(rollouts.c.id).where(rollouts.c.name == rollout_name)).scalar()
            if rollout is None:
                raise Refused(f"rollout {rollout_name}: the ledger {self.place} has none of that name; see `status`")
            row = {"verb": verb, "by": plain(by), "reason": plain(reason), "at": now}
            facts = Facts(connection, rollout)
            (number,) = facts.insert("commands", [row])
            facts.seal()
            return number

    def pending_commands(self, rollout_id: int) -> list[Command]:
        """Commands without outcome, oldest first."""
        return [command for command, _ in self._commands(rollout_id, tables.COMMANDS.c.outcome.is_(None))]

    def commands(self, rollout_id: int) -> list[tuple[Command, str | None]]:
        """Every command with its outcome (None while pending), oldest first."""
        return self._commands(rollout_id)

    def any_pending(self) -> set[int]:
        """The rollouts (ids) that have a pending command; cheap enough to ask each second."""
        commands = tables.COMMANDS
        with self.reading() as connection:
            return set(connection.scalars(select(commands.c.rollout).where(commands.c.outcome.is_(None))))

    def save_report(self, rollout_id: int, kind: str, format: str, path: str, sha256: str, now: float) -> None:  # noqa: A002
        """Note where a report's bytes were frozen and their hash; an amended one is one more row."""
        row = {"kind": kind, "format": format, "path": path, "sha256": sha256, "at": now}
        with self.writing() as connection:
            facts = Facts(connection, rollout_id)
            facts.insert("reports", [row])
            facts.seal()
        self.told()  # a message may have waited for it

    def _commands(self, rollout_id: int, *where: ColumnElement[bool]) -> list[tuple[Command, str | None]]:
        commands = tables.COMMANDS
        statement = select(commands).where(commands.c.rollout == rollout_id, *where).order_by(commands.c.id)
        with self.reading() as connection:
            rows = connection.execute(statement).all()
        return [(Command(row.id, row.verb, row.by, row.reason, row.at), row.outcome) for row in rows]
