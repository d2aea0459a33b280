"""Logouts: sessions of browsers that were ended before they were over. Wall times throughout."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import delete, insert, or_, select

from watchdog.ledger import tables
from watchdog.ledger.database import Database

_L = tables.LOGOUTS


class Logouts(Database):
    """The ledger as processes use it that share a session key. It is no evidence: each row is gone within a day."""

    def add_logouts(self, ended: Mapping[str, float], now: float) -> None:
        """Record these logins as ended, each with the time when it would have been over; those over by now go."""
        rows = [{"login": login, "over_at": over_at} for login, over_at in ended.items()]
        with self.writing() as connection:
            connection.execute(delete(_L).where(or_(_L.c.over_at <= now, _L.c.login.in_(list(ended)))))
            connection.execute(insert(_L), rows)

    def logouts(self, now: float, most: int) -> dict[str, float]:
        """The logins that were ended and are not over yet, with when they will be; at most so many, the last ones."""
        ended = select(_L.c.login, _L.c.over_at).where(_L.c.over_at > now).order_by(_L.c.over_at.desc()).limit(most)
        with self.reading() as connection:
            return {row.login: row.over_at for row in connection.execute(ended)}
