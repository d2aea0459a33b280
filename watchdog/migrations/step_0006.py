"""Deployments: which build a rollout watches, as its pipeline wrote it down."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Index, Integer, MetaData, Table

from watchdog.migrations.columns import double, rollout_key, row_id, text


def deployments(connection: Connection) -> None:
    """One table; nothing that is there changes."""
    schema = MetaData()
    Table("rollouts", schema, Column("id", Integer, primary_key=True))
    Table(
        "deployments",
        schema,
        row_id(),
        rollout_key(),
        double("at"),
        text("by"),
        # The file's own bytes, and the sha256 of them.
        text("body"),
        text("sha256"),
        Index("deployments_rollout", "rollout"),
    ).create(connection, checkfirst=False)
