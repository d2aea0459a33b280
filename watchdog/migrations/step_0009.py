"""Requests with a key of their own: what was answered to a change over HTTP, so that a repeat changes nothing."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Index, MetaData, Table, Text

from watchdog.migrations.columns import code, double, text


def requests(connection: Connection) -> None:
    """One table; nothing that is there changes."""
    Table(
        "requests",
        MetaData(),
        # Who asked, and the key that they gave: another person's key is another request.
        Column("who", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        # The sha256 of what was asked.
        text("digest"),
        double("at"),
        # Null until it is answered, and for good when it was broken off.
        code("status", null=True),
        text("headers", null=True),
        text("body", null=True),
        Index("requests_at", "at"),
    ).create(connection, checkfirst=False)
