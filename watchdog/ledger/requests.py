"""Changes over HTTP that came with a key: what was answered to them, kept for a day. Wall times throughout."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update

from watchdog.ledger import tables
from watchdog.ledger.codes import plain
from watchdog.ledger.database import Database

KEPT = 86_400.0
"""Seconds for which an answer is kept."""


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request that was made before. `status` is None while it is under way, and for good when it was broken off."""

    digest: str
    at: float
    status: int | None
    headers: dict[str, str]
    body: str


class Requests(Database):
    """The ledger's memory of requests. It is no evidence: what they changed is recorded where that belongs."""

    def begin_request(self, who: str, key: str, digest: str, now: float) -> StoredRequest | None:
        """Record that a request begins, None; or the one of the same key that `who` made in the last day."""
        requests = tables.REQUESTS
        same = (requests.c.who == plain(who), requests.c.key == key)
        with self.writing() as connection:
            connection.execute(delete(requests).where(requests.c.at <= now - KEPT))
            row = connection.execute(select(requests).where(*same)).first()
            if row is None:
                connection.execute(insert(requests).values(who=plain(who), key=key, digest=digest, at=now))
                return None
        return StoredRequest(row.digest, row.at, row.status, json.loads(row.headers or "{}"), row.body or "")

    def answer_request(self, who: str, key: str, status: int, headers: dict[str, str], body: str) -> None:
        """Keep what was answered."""
        requests = tables.REQUESTS
        answered = {"status": status, "headers": json.dumps(headers), "body": plain(body)}
        with self.writing() as connection:
            here = (requests.c.who == plain(who), requests.c.key == key)
            connection.execute(update(requests).where(*here).values(answered))

    def drop_request(self, who: str, key: str) -> None:
        """It changed nothing: the same key may be used again."""
        requests = tables.REQUESTS
        with self.writing() as connection:
            connection.execute(delete(requests).where(requests.c.who == plain(who), requests.c.key == key))
