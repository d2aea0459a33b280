"""Causes: what the cohorts said of a breach, and who contributed most to it."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Index, Integer, MetaData, Table

from watchdog.migrations.columns import code, double, instant, rollout_key, row_id, text


def causes(connection: Connection) -> None:
    """One table; nothing that is there changes."""
    schema = MetaData()
    Table("rollouts", schema, Column("id", Integer, primary_key=True))
    Table(
        "causes",
        schema,
        row_id(),
        rollout_key(),
        # When it was recorded, by wall time.
        double("at"),
        # The breach: its objective and its step.
        text("objective"),
        instant("breach_at"),
        # `attribution` or `contributors`, with what was found as JSON.
        text("kind"),
        text("body"),
        code("seal", null=True),
        Index("causes_rollout", "rollout"),
    ).create(connection, checkfirst=False)
