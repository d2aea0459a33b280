"""What a channel remembers of a rollout, such as the message that it edits: small texts, replaced in place."""

from __future__ import annotations

from sqlalchemy import insert, select, update

from watchdog.ledger import tables
from watchdog.ledger.read import Reading

_M = tables.MEMOS


class Memos(Reading):
    """The ledger as channels use it."""

    def memo(self, channel: str, rollout_id: int, name: str) -> str | None:
        """What the channel put there; None when it put nothing."""
        here = (_M.c.channel == channel, _M.c.rollout == rollout_id, _M.c.name == name)
        with self.reading() as connection:
            found = connection.execute(select(_M.c.value).where(*here)).scalar()
        return None if found is None else str(found)

    def put_memo(self, channel: str, rollout_id: int, name: str, value: str) -> None:
        """Remember this text instead; it is on the disk when this returns."""
        here = (_M.c.channel == channel, _M.c.rollout == rollout_id, _M.c.name == name)
        row = {"channel": channel, "rollout": rollout_id, "name": name, "value": value}
        with self.writing() as connection:
            if connection.execute(update(_M).where(*here).values(value=value)).rowcount == 0:
                connection.execute(insert(_M).values(row))
