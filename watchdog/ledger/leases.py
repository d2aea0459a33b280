"""Leases: which process acts for a rollout, by the database's own clock. On a server only: a file has one host.

A lease is a row: who holds it, until when, and a token that grows with each taking. Taking, keeping and giving back are
one statement each. Every record of a tick names the token under which it was decided, and is refused when the row says
otherwise: `admit` locks the row, so nobody takes it before that record has ended.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Double, exists, func, literal_column, or_, select, update

from watchdog.errors import LedgerConflict
from watchdog.ledger import tables
from watchdog.ledger.facts import Fence, StoredRollout
from watchdog.ledger.read import Reading, stored_rollouts

DAEMON = 0
"""Where a rollout's number would be: the lease of what one daemon does for all."""
_L, _H = tables.LEASES, tables.HEADS
_NOW = literal_column("extract(epoch FROM clock_timestamp())::double precision", Double)
"""The database's clock at this very moment: a transaction's own time stands still while it waits for a lock."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds a rollout's lease since when, by the database's clock; `expired` when nobody does at the moment."""

    rollout: int
    holder: str
    token: int
    since: float
    expired: bool


@dataclass(frozen=True, slots=True)
class Vacant:
    """A rollout that nobody acts for. `holder` is who did last, None when nobody ever did."""

    rollout: int
    holder: str | None
    ordered: bool
    """Whether a command waits for it."""


class Leases(Reading):
    """The ledger as processes use it that stand in for each other."""

    def leases(self) -> list[Lease]:
        """Every lease that somebody holds or held without having ended its rollout, by the rollout's number."""
        columns = (_L.c.rollout, _L.c.holder, _L.c.token, _L.c.since, (_L.c.expires_at <= _NOW).label("expired"))
        statement = select(*columns).where(_L.c.holder != "").order_by(_L.c.rollout)
        if not self.shared:
            return []
        with self.reading() as connection:
            return [Lease(**row._asdict()) for row in connection.execute(statement)]

    def leader(self, rollout_id: int) -> str | None:
        """Who acts for the rollout now; None where nobody does, or none has to ask."""
        here = (_L.c.rollout == rollout_id, _L.c.holder != "", _L.c.expires_at > _NOW)
        if not self.shared:
            return None
        with self.reading() as connection:
            return connection.execute(select(_L.c.holder).where(*here)).scalar()

    def vacant(self) -> list[Vacant]:
        """The rollouts that somebody should act for and nobody does, in order; the daemon's own lease first."""
        commands = tables.COMMANDS
        ordered = exists().where(commands.c.rollout == _H.c.rollout, commands.c.outcome.is_(None))
        free = (_L.c.expires_at <= _NOW) & or_(_L.c.holder != "", ordered)
        joined = _H.outerjoin(_L, _L.c.rollout == _H.c.rollout)
        statement = select(_H.c.rollout, _L.c.holder, ordered.label("ordered")).select_from(joined)
        with self.reading() as connection:
            own = connection.execute(select(_L.c.holder, _L.c.expires_at <= _NOW).where(_L.c.rollout == DAEMON)).first()
            found = connection.execute(statement.where(or_(_L.c.rollout.is_(None), free)).order_by(_H.c.rollout))
            rows = [Vacant(row.rollout, row.holder, bool(row.ordered)) for row in found]
        if own is None or own[1]:
            rows.insert(0, Vacant(DAEMON, None if own is None else own[0], ordered=False))
        return rows

    def take_lease(self, rollout_id: int, holder: str, lasts: float, patience: float = 0.0) -> int | None:
        """Take a lease for `lasts` seconds; its token, greater than all before. None when it is somebody's.

        It must have been expired for `patience` seconds: who waits lets another go first.
        """
        from sqlalchemy.dialects.postgresql import insert  # noqa: PLC0415 - with a server's ledger only

        fresh: dict[str, Any] = {"holder": holder, "since": _NOW, "lasts": lasts, "expires_at": _NOW + lasts}
        statement = insert(_L).values(rollout=rollout_id, token=1, **fresh)
        taken = statement.on_conflict_do_update(
            index_elements=["rollout"],
            set_={**fresh, "token": _L.c.token + 1},
            where=_L.c.expires_at + patience <= _NOW,
        )
        with self.writing() as connection:
            return connection.execute(taken.returning(_L.c.token)).scalar()

    def keep_leases(self, holder: str, rollouts: Collection[int]) -> dict[int, int]:
        """Prolong these leases, each for as long as it was taken for; the token of each that still is the holder's.

        One that has expired and that nobody has taken since is the holder's still.
        """
        mine = (_L.c.holder == holder, _L.c.rollout.in_(list(rollouts)))
        kept = update(_L).where(*mine).values(expires_at=_NOW + _L.c.lasts)
        with self.writing() as connection:
            rows = connection.execute(kept.returning(_L.c.rollout, _L.c.token)).all()
        return {row.rollout: row.token for row in rows}

    def release_leases(self, holder: str, rollouts: Collection[int], *, ended: bool) -> None:
        """Give leases back at once. `ended`: nothing is left to do, so that nobody need take them."""
        mine = (_L.c.holder == holder, _L.c.rollout.in_(list(rollouts)))
        changes: dict[str, Any] = {"expires_at": 0.0, **({"holder": ""} if ended else {})}
        with self.writing() as connection:
            connection.execute(update(_L).where(*mine).values(changes))

    def rollout_numbered(self, rollout_id: int) -> StoredRollout | None:
        """The rollout of that number."""
        with self.reading() as connection:
            return next(iter(stored_rollouts(connection, tables.ROLLOUTS.c.id == rollout_id)), None)


def admit(connection: Connection, place: str, rollout_id: int, fence: Fence) -> None:
    """Refuse what a process records without its lease. Until the transaction ends nobody takes the lease."""
    columns = (_L.c.holder, _L.c.token, func.greatest(0.0, _NOW - _L.c.expires_at).label("late"))
    row = connection.execute(select(*columns).where(_L.c.rollout == rollout_id).with_for_update()).first()
    if row is not None and (row.holder, row.token) == (fence.holder, fence.token) and row.late == 0.0:
        return
    if row is None:
        found = "nobody holds it"
    elif (row.holder, row.token) == (fence.holder, fence.token):
        found = f"it expired {row.late:.1f} s ago"
    else:
        found = f"it is {row.holder or 'nobody'}'s, token {row.token}"
    raise LedgerConflict(
        f"ledger {place}: {fence.holder} has lost the lease (token {fence.token}) of rollout number {rollout_id}: "
        f"{found}; nothing of this was kept"
    )
