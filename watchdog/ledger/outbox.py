"""What people are told and what they order: unsent messages, operator commands, frozen reports."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, insert, select, update

from watchdog.errors import Refused
from watchdog.ledger import tables
from watchdog.ledger.codes import plain
from watchdog.ledger.facts import Delivery, StoredNotification, Unsent
from watchdog.ledger.read import Reading
from watchdog.model import Command, Notification, Severity

NEW_CHANNEL_REACH = 86_400.0
"""Seconds: a channel seen for the first time is told what was recorded in the last day, not the whole past."""


class Outbox(Reading):
    """The half of the ledger between the watchdog and people. `now` is wall time throughout."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._channels: dict[str, float] = {}

    def unsent(self, channel_names: Collection[str], now: float, limit: int) -> list[Unsent]:
        """Messages that are due on these channels, oldest first, at most `limit` of each channel.

        Due is what the channel has not taken, has not refused for good and whose next try has come. What no
        channel is configured for is recorded and never due.
        """
        since = self._since(channel_names, now)
        rows: list[tuple[int, Unsent]] = []
        with self.reading() as connection:
            for channel, start in since.items():
                delivery = tables.DELIVERIES
                due = delivery.c.next_try_at.is_(None) | (delivery.c.next_try_at <= now)
                statement = _open(channel, start, _MESSAGE).where(due).order_by(tables.NOTIFICATIONS.c.id)
                for row in connection.execute(statement.limit(limit)):
                    found = Unsent(row.id, row.rollout_name, channel, _notification(row), row.attempts or 0)
                    rows.append((row.id, found))
        return [found for _, found in sorted(rows, key=lambda pair: pair[0])]

    def unsent_count(self) -> int:
        """How many messages wait, once for each channel that `unsent` was asked about in this process."""
        with self.reading() as connection:
            counts = [
                connection.execute(_open(channel, since, (func.count(),))).scalar_one()
                for channel, since in self._channels.items()
            ]
        return sum(counts)

    def oldest_unsent_age(self, now: float) -> float:
        """Seconds since the oldest waiting message was recorded; 0 when none waits."""
        oldest = (func.min(tables.NOTIFICATIONS.c.at),)
        with self.reading() as connection:
            instants = [
                connection.execute(_open(channel, since, oldest)).scalar() for channel, since in self._channels.items()
            ]
        return max((now - instant for instant in instants if instant is not None), default=0.0)

    def mark_sent(self, notification_id: int, channel: str, now: float) -> None:
        """The channel took the message."""
        self._deliver(notification_id, channel, {"sent_at": now, "next_try_at": None})

    def mark_failed(
        self,
        notification_id: int,
        channel: str,
        now: float,
        error: str,
        next_try_at: float | None,
        *,
        permanent: bool,
    ) -> None:
        """The channel did not take it: try again at `next_try_at` (None: at once), or never when `permanent`."""
        when = None if permanent else max(now, now if next_try_at is None else next_try_at)
        changes = {"error": plain(error), "next_try_at": when, "given_up": int(permanent)}
        self._deliver(notification_id, channel, changes)

    def notifications_of(self, rollout_id: int) -> list[StoredNotification]:
        """Every message of a rollout in order, with how its channels fare."""
        notifications, deliveries = tables.NOTIFICATIONS, tables.DELIVERIES
        here = notifications.c.rollout == rollout_id
        tried = select(deliveries).join(notifications, notifications.c.id == deliveries.c.notification).where(here)
        with self.reading() as connection:
            rows = connection.execute(select(notifications).where(here).order_by(notifications.c.id)).all()
            tries: dict[int, list[Delivery]] = {}
            for row in connection.execute(tried.order_by(deliveries.c.channel)):
                delivery = Delivery(
                    row.channel, row.attempts, row.sent_at, row.next_try_at, bool(row.given_up), row.error
                )
                tries.setdefault(row.notification, []).append(delivery)
        return [StoredNotification(row.id, _notification(row), tuple(tries.get(row.id, ()))) for row in rows]

    def add_command(self, rollout_name: str, verb: str, by: str, reason: str, now: float) -> int:
        """Record an operator's command for the next tick; return its id. Refused when there is no such rollout."""
        rollouts, commands = tables.ROLLOUTS, tables.COMMANDS
        with self.writing() as connection:
            rollout = connection.execute(select(rollouts.c.id).where(rollouts.c.name == rollout_name)).scalar()
            if rollout is None:
                raise Refused(f"rollout {rollout_name}: the ledger {self.place} has none of that name; see `status`")
            row = {"rollout": rollout, "verb": verb, "by": plain(by), "reason": plain(reason), "at": now}
            return int(connection.execute(insert(commands).values(row).returning(commands.c.id)).scalar_one())

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
        row = {"rollout": rollout_id, "kind": kind, "format": format, "path": path, "sha256": sha256, "at": now}
        with self.writing() as connection:
            connection.execute(insert(tables.REPORTS).values(row))

    def _commands(self, rollout_id: int, *where: ColumnElement[bool]) -> list[tuple[Command, str | None]]:
        commands = tables.COMMANDS
        statement = select(commands).where(commands.c.rollout == rollout_id, *where).order_by(commands.c.id)
        with self.reading() as connection:
            rows = connection.execute(statement).all()
        return [(Command(row.id, row.verb, row.by, row.reason, row.at), row.outcome) for row in rows]

    def _since(self, channel_names: Collection[str], now: float) -> dict[str, float]:
        """From which instant on each channel is told; remembered in the ledger when it is seen first."""
        if missing := set(channel_names) - self._channels.keys():
            with self.reading() as connection:
                known = _channels(connection)
            if missing - known.keys():
                with self.writing() as connection:
                    known = _channels(connection)
                    new = [{"name": name, "since": now - NEW_CHANNEL_REACH} for name in sorted(missing - known.keys())]
                    if new:
                        connection.execute(insert(tables.CHANNELS), new)
                known |= {str(row["name"]): float(str(row["since"])) for row in new}
        else:
            known = self._channels
        self._channels = {name: known[name] for name in sorted(channel_names)}
        return self._channels

    def _deliver(self, notification_id: int, channel: str, changes: dict[str, Any]) -> None:
        deliveries = tables.DELIVERIES
        here = (deliveries.c.notification == notification_id, deliveries.c.channel == channel)
        again = {**changes, "attempts": deliveries.c.attempts + 1}
        first = {"notification": notification_id, "channel": channel, "attempts": 1, "given_up": 0, "error": ""}
        with self.writing() as connection:
            if connection.execute(update(deliveries).where(*here).values(again)).rowcount == 0:
                connection.execute(insert(deliveries).values(first | changes))


_MESSAGE = (
    *(tables.NOTIFICATIONS.c[name] for name in ("id", "key", "kind", "severity", "summary", "details", "at")),
    tables.ROLLOUTS.c.name.label("rollout_name"),
    tables.DELIVERIES.c.attempts,
)


def _open(channel: str, since: float, columns: tuple[ColumnElement[Any], ...]) -> Select[Any]:
    """Messages from `since` on that the channel has neither taken nor refused for good."""
    rollouts, notifications, deliveries = tables.ROLLOUTS, tables.NOTIFICATIONS, tables.DELIVERIES
    tried = and_(deliveries.c.notification == notifications.c.id, deliveries.c.channel == channel)
    joined = notifications.join(rollouts, rollouts.c.id == notifications.c.rollout).outerjoin(deliveries, tried)
    unsettled = deliveries.c.notification.is_(None) | (deliveries.c.sent_at.is_(None) & (deliveries.c.given_up == 0))
    return select(*columns).select_from(joined).where(notifications.c.at >= since, unsettled)


def _channels(connection: Connection) -> dict[str, float]:
    rows = connection.execute(select(tables.CHANNELS.c.name, tables.CHANNELS.c.since))
    return {name: since for name, since in rows}  # noqa: C416 - rows are not tuples to the type checker


def _notification(row: Any) -> Notification:
    severity, details = Severity(row.severity), json.loads(row.details)
    return Notification(row.kind, row.key, severity, row.summary, row.at, details)
