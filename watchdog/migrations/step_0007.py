"""Seals: the chain that shows every later edit of a rollout's history, and what was pruned from it."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Index, Integer, LargeBinary, MetaData, PrimaryKeyConstraint, Table

from watchdog.migrations.columns import code, double, instant, rollout_key, row_id, text

SEALED = (
    *("objectives", "evaluations", "controls", "steps", "slice_measurements", "slices", "transitions", "breaches"),
    *("exposures", "readings", "notifications", "commands", "reports", "waivers", "deployments"),
    *("preflights", "preflight_verdicts", "drills", "alert_labels"),
)
"""The tables whose rows name the seal that covers them. In a file none is what was there before seals were."""


def seals(connection: Connection) -> None:
    """Two tables, and one column in each table of facts; no row that is there changes.

    On a server a program of before may write on for a while. What is there gets the first seal's number, at no cost, so
    that what such a program adds afterwards, without a number, can be told from it.
    """
    shared = connection.dialect.name == "postgresql"
    for name in SEALED:
        connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN seal INTEGER{' DEFAULT 1' if shared else ''}")
        if shared:
            connection.exec_driver_sql(f"ALTER TABLE {name} ALTER COLUMN seal DROP DEFAULT")
    schema = MetaData()
    Table("rollouts", schema, Column("id", Integer, primary_key=True))
    made = Table(
        "seals",
        schema,
        # The rollout's number; 0 is the chain of what belongs to none, so no foreign key.
        code("rollout"),
        instant("number"),
        double("at"),
        # What happened to earlier rows, as JSON.
        text("said", null=True),
        # Four bytes a row, which tell which of them differs when the hash does; part of no hash.
        Column("tags", LargeBinary, nullable=False),
        # The digest of measurements that are pruned.
        Column("dense", LargeBinary),
        Column("sha256", LargeBinary, nullable=False),
        PrimaryKeyConstraint("rollout", "number"),
        sqlite_with_rowid=False,
    )
    pruned = Table(
        "prunings",
        schema,
        row_id(),
        rollout_key(),
        double("at"),
        *(text(name) for name in ("by", "why")),
        # The newest seal whose measurements went, how many rows they were, and the digest of them.
        instant("through"),
        instant("rows"),
        text("sha256"),
        code("seal", null=True),
        Index("prunings_rollout", "rollout"),
    )
    for table in (made, pruned):
        table.create(connection, checkfirst=False)
