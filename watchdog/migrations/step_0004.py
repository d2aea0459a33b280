"""Preflights that were made, what they say of each rule, and waivers of a start."""

from __future__ import annotations

from sqlalchemy import Column, Connection, ForeignKey, Index, Integer, MetaData, Table, Text

from watchdog.migrations.columns import code, double, rollout_key, row_id, text


def preflights(connection: Connection) -> None:
    """Three tables; nothing that is there changes."""
    schema = MetaData()
    Table("rollouts", schema, Column("id", Integer, primary_key=True))
    made = Table(
        "preflights",
        schema,
        row_id(),
        double("at"),
        double("finished_at"),
        text("by"),
        code("passed"),
        code("score"),
        # The result as it was told, and the sha256 of just these bytes.
        text("body"),
        text("sha256"),
    )
    verdicts = Table(
        "preflight_verdicts",
        schema,
        Column("preflight", Integer, ForeignKey("preflights.id"), primary_key=True),
        # A name and not a key: a preflight looks at files whose rollouts the ledger does not have yet.
        Column("rollout", Text, primary_key=True),
        text("rule"),
        code("waived"),
        code("failed"),
        code("score"),
        Index("preflight_verdicts_rule", "rollout", "rule", "preflight"),
    )
    waivers = Table(
        "waivers",
        schema,
        row_id(),
        rollout_key(),
        *(text(name) for name in ("name", "by", "why")),
        double("at"),
        double("until"),
        Index("waivers_rollout", "rollout"),
    )
    for table in (made, verdicts, waivers):
        table.create(connection, checkfirst=False)
