"""Logouts: sessions of browsers that were ended, so that every process with the same key believes them no more."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Index, MetaData, Table, Text

from watchdog.migrations.columns import double


def logouts(connection: Connection) -> None:
    """One table; nothing that is there changes."""
    Table(
        "logouts",
        MetaData(),
        # Which login it was; a cookie needs our signature besides, so that nobody gets in with this.
        Column("login", Text, primary_key=True),
        # Wall time from which its cookie is worth nothing anyway, and this row neither.
        double("over_at"),
        Index("logouts_over_at", "over_at"),
    ).create(connection, checkfirst=False)
