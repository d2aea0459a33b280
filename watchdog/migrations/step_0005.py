"""Leases: which of several processes acts for a rollout."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Integer, MetaData, Table

from watchdog.migrations.columns import double, instant, text


def leases(connection: Connection) -> None:
    """One table; nothing that is there changes."""
    Table(
        "leases",
        MetaData(),
        # The rollout's number; 0 is the lease of what a daemon does beside its rollouts, so no foreign key.
        Column("rollout", Integer, primary_key=True, autoincrement=False),
        # Empty when nobody holds it and nothing is left to do.
        text("holder"),
        # Grows with each taking and with nothing else: an older one is known by it.
        instant("token"),
        # Seconds by the database's own clock.
        *(double(name) for name in ("since", "lasts", "expires_at")),
    ).create(connection, checkfirst=False)
