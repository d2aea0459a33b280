"""The outbox: which messages each channel still has to take, and what becomes of them.

A message is settled on a channel when it was sent, given up, not to be told there, or when a newer one stands for it.
`now` is wall time throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, func, insert, or_, select, update

from watchdog.errors import LedgerConflict
from watchdog.ledger import tables
from watchdog.ledger.codes import notification, plain
from watchdog.ledger.facts import Backlog, Claim, Unsent
from watchdog.ledger.read import Reading
from watchdog.ledger.sealing import Facts
from watchdog.ledger.story import write_notifications
from watchdog.messages.notices import TRANSITION
from watchdog.model import Notification

NEW_CHANNEL_REACH = 86_400.0
"""Seconds: a channel seen for the first time is told what was recorded in the last day, not the whole past."""
CLAIM = 60.0
"""Seconds for which a message that somebody began to send is left to them; then they are taken for dead."""
PIPELINES = "on_transition"
"""The channel that takes transitions, and nothing else; no other channel takes them."""

_LATEST = 7 * 86_400.0
"""How late a message may be sent and still be found by when it was sent."""

_AT_ONCE = 20
Found = TypeVar("Found")

_N, _D, _C = tables.NOTIFICATIONS, tables.DELIVERIES, tables.CHANNELS
_OPEN = _D.c.sent_at.is_(None) & (_D.c.given_up == 0) & _D.c.superseded_by.is_(None)


class Deliveries(Reading):
    """The ledger as senders use it. Every method is one transaction."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._known: set[str] = set()
        """Channels that are known to have their row."""

    def backlog(self, channel: str, now: float, limit: int, after: int = 0) -> Backlog:
        """What the channel has not settled, oldest first: due, waiting for its next try, or begun by somebody.

        Only messages whose number is greater than `after`, and at most `limit` of them.
        """
        if channel not in self._known:
            self._enlist(channel, now)
        tried = and_(_D.c.notification == _N.c.id, _D.c.channel == channel)
        rollouts = tables.ROLLOUTS
        joined = _N.join(rollouts, rollouts.c.id == _N.c.rollout).outerjoin(_D, tried)
        with self.reading() as connection:
            row = connection.execute(select(_C.c.since, _C.c.paused_until).where(_C.c.name == channel)).one()
            newest = connection.execute(select(func.max(_N.c.id))).scalar() or 0
            unsettled = (_N.c.id > after, _N.c.at >= row.since, _meant(channel), or_(_D.c.channel.is_(None), _OPEN))
            columns = (_N.c.id, _N.c.rollout.label("rollout_id"), rollouts.c.name.label("rollout"), _N.c.kind, _N.c.at)
            state = (func.coalesce(_D.c.attempts, 0).label("attempts"), _D.c.next_try_at, _D.c.started_at)
            found = connection.execute(
                select(*columns, *state).select_from(joined).where(*unsettled).order_by(_N.c.id).limit(limit)
            ).all()
        return Backlog(tuple(Unsent(**one._asdict()) for one in found), row.paused_until, newest)

    def claim(self, notification_id: int, channel: str, now: float) -> Claim | None:
        """Write down that this message is about to be sent.

        None when it is settled, when somebody else is at it, or when it or the channel is not to be tried yet.
        """
        here = (_D.c.notification == notification_id, _D.c.channel == channel)
        try:
            with self.writing() as connection:
                paused = connection.execute(select(_C.c.paused_until).where(_C.c.name == channel)).scalar()
                row = connection.execute(select(_D, _OPEN.label("open")).where(*here).with_for_update()).first()
                if (paused or 0.0) > now or (row is not None and (row.next_try_at or 0.0) > now):
                    return None
                if row is None:
                    _insert(connection, notification_id, channel, {"started_at": now})
                    return Claim(again=False, earlier=_stood_for(connection, notification_id, channel))
                begun = row.started_at is not None and row.next_try_at is None and row.started_at + CLAIM > now
                if not row.open or begun:
                    return None
                connection.execute(update(_D).where(*here).values(started_at=now, next_try_at=None))
                return Claim(row.started_at is not None, _stood_for(connection, notification_id, channel))
        except LedgerConflict:
            return None

    def mark_sent(self, notification_id: int, channel: str, now: float) -> None:
        """The channel took the message."""
        self._settle(notification_id, channel, {"sent_at": now, "next_try_at": None}, tried=True)

    def mark_failed(
        self,
        notification_id: int,
        channel: str,
        now: float,
        error: str,
        next_try_at: float | None,
        *,
        permanent: bool,
        pause: bool = False,
    ) -> None:
        """The channel did not take it: try again at `next_try_at`, or never when `permanent`.

        `pause`: nothing at all is to be sent to the channel before `next_try_at`.
        """
        when = None if permanent else max(now, now if next_try_at is None else next_try_at)
        changes = {"error": plain(error), "next_try_at": when, "given_up": int(permanent)}
        self._settle(notification_id, channel, changes, tried=True, pause=when if pause else None)

    def mark_partly(self, notification_id: int, channel: str, next_try_at: float, *, doubt: bool) -> None:
        """A first part went out, and the channel knows which; the rest is due at `next_try_at`. No attempt is counted.

        `doubt`: an earlier attempt may have gone through all the same.
        """
        known = {} if doubt else {"started_at": None}
        self._settle(notification_id, channel, {"next_try_at": next_try_at, **known}, tried=False)

    def mark_not_told(self, channel: str, whys: Mapping[int, str]) -> None:
        """These messages are not for this channel, each with a sentence."""
        for some in _pieces(whys):
            with self.writing() as connection:
                for notification_id, why in some:
                    _update(connection, notification_id, channel, {"given_up": 1, "error": plain(why)})

    def supersede(self, channel: str, stands: Mapping[int, int], now: float) -> None:
        """Newer messages stand for older ones (older -> newer); what somebody is sending this moment is left alone."""
        idle = or_(_D.c.started_at.is_(None), _D.c.next_try_at.is_not(None), _D.c.started_at <= now - CLAIM)
        for some in _pieces(stands):
            with self.writing() as connection:
                for old, new in some:
                    _update(connection, old, channel, {"superseded_by": new, "next_try_at": None}, idle)

    def stood_for(self, channel: str) -> dict[int, tuple[int, ...]]:
        """Which messages that are not settled stand for older ones: number -> those of the older, in order."""
        newer = _D.alias("newer")
        tied = and_(newer.c.notification == _D.c.superseded_by, newer.c.channel == _D.c.channel)
        columns = (_D.c.notification, _D.c.superseded_by, newer.c.sent_at, newer.c.given_up)
        here = (_D.c.channel == channel, _D.c.superseded_by.is_not(None))
        with self.reading() as connection:
            rows = connection.execute(select(*columns).select_from(_D.outerjoin(newer, tied)).where(*here)).all()
        pairs = {row.notification: row.superseded_by for row in rows}
        settled = {row.superseded_by for row in rows if row.sent_at is not None or row.given_up}
        found: dict[int, list[int]] = {}
        for old in sorted(pairs):
            new = pairs[old]
            while new in pairs:
                new = pairs[new]
            if new not in settled:
                found.setdefault(new, []).append(old)
        return {new: tuple(olds) for new, olds in found.items()}

    def pause(self, channel: str, until: float) -> None:
        """Nothing at all is to be sent to the channel before that wall time."""
        with self.writing() as connection:
            _pause(connection, channel, until)

    def tell_once(self, rollout_id: int, message: Notification) -> bool:
        """Add a message to a rollout, unless some rollout has one of that key; whether it was added."""
        with self.writing() as connection:
            if connection.execute(select(_N.c.id).where(_N.c.key == message.key)).first():
                return False
            facts = Facts(connection, rollout_id)
            write_notifications(connection, facts, rollout_id, (message,))
            facts.seal()
        self.told()
        return True

    def recorded(self, rollout_id: int, after: int = 0) -> list[tuple[int, Notification]]:
        """A rollout's messages whose number is greater than `after`, in order."""
        statement = select(_N).where(_N.c.rollout == rollout_id, _N.c.id > after).order_by(_N.c.id)
        with self.reading() as connection:
            return [(row.id, notification(row)) for row in connection.execute(statement)]

    def of_kinds(self, kinds: Iterable[str]) -> list[tuple[int, Notification]]:
        """Every message of these kinds in order, with the number of its rollout."""
        statement = select(_N).where(_N.c.kind.in_(list(kinds))).order_by(_N.c.id)
        with self.reading() as connection:
            return [(row.rollout, notification(row)) for row in connection.execute(statement)]

    def sent_since(self, channel: str, since: float) -> list[tuple[int, int]]:
        """What the channel took since a wall time: the messages' numbers, each with that of its rollout."""
        joined = _N.join(_D, _D.c.notification == _N.c.id)
        here = (_N.c.at > since - _LATEST, _D.c.channel == channel, _D.c.sent_at > since)
        statement = select(_N.c.id, _N.c.rollout).select_from(joined).where(*here).order_by(_N.c.id)
        with self.reading() as connection:
            return [(row.id, row.rollout) for row in connection.execute(statement)]

    def _enlist(self, channel: str, now: float) -> None:
        """Remember from which instant on the channel is told, when it is seen first."""
        with self.reading() as connection:
            known = connection.execute(select(_C.c.name).where(_C.c.name == channel)).first()
        if known is None:
            try:
                with self.writing() as connection:
                    connection.execute(insert(_C).values(name=channel, since=now - NEW_CHANNEL_REACH))
            except LedgerConflict:
                pass  # another process saw it first
        self._known.add(channel)

    def _settle(
        self, notification_id: int, channel: str, changes: dict[str, Any], *, tried: bool, pause: float | None = None
    ) -> None:
        if tried:
            changes["attempts"] = _D.c.attempts + 1
        with self.writing() as connection:
            _update(connection, notification_id, channel, changes)
            if pause is not None:
                _pause(connection, channel, pause)


def _pieces(settled: Mapping[int, Found]) -> Iterator[list[tuple[int, Found]]]:
    """A few at a time: while one of these transactions runs, a tick waits for its own."""
    pairs = list(settled.items())
    return (pairs[first : first + _AT_ONCE] for first in range(0, len(pairs), _AT_ONCE))


def _meant(channel: str) -> ColumnElement[bool]:
    return _N.c.kind == TRANSITION if channel == PIPELINES else _N.c.kind != TRANSITION


def _stood_for(connection: Connection, notification_id: int, channel: str) -> tuple[int, ...]:
    """The older messages that this one stands for on the channel, oldest first, with what those stood for."""
    rollout = select(_N.c.rollout).where(_N.c.id == notification_id).scalar_subquery()
    joined = _N.join(_D, and_(_D.c.notification == _N.c.id, _D.c.channel == channel))
    here = (_N.c.rollout == rollout, _N.c.id < notification_id, _D.c.superseded_by.is_not(None))
    rows = connection.execute(select(_N.c.id, _D.c.superseded_by).select_from(joined).where(*here))
    found = {notification_id}
    for old, new in sorted(((row.id, row.superseded_by) for row in rows), reverse=True):
        if new in found:
            found.add(old)
    return tuple(sorted(found - {notification_id}))


def _update(
    connection: Connection, notification_id: int, channel: str, changes: dict[str, Any], *where: ColumnElement[bool]
) -> None:
    """Change what is not settled yet, or begin the row; one that `where` does not select stays as it is."""
    here = (_D.c.notification == notification_id, _D.c.channel == channel)
    if connection.execute(update(_D).where(*here, _OPEN, *where).values(changes)).rowcount:
        return
    if connection.execute(select(_D.c.channel).where(*here)).first() is None:
        first = {name: found for name, found in changes.items() if name != "attempts"}
        _insert(connection, notification_id, channel, first | {"attempts": int("attempts" in changes)})


def _insert(connection: Connection, notification_id: int, channel: str, columns: dict[str, Any]) -> None:
    row = {"notification": notification_id, "channel": channel, "attempts": 0, "given_up": 0, "error": ""}
    connection.execute(insert(_D).values(row | columns))


def _pause(connection: Connection, channel: str, until: float) -> None:
    connection.execute(update(_C).where(_C.c.name == channel).values(paused_until=until))
