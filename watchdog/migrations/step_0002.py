"""The flag system."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from watchdog.migrations.columns import code, double, row_id, text


def flag_system(connection: Connection) -> None:
    """Audiences beside percentages; every change of a flag, chained by hashes; drills."""
    for name in ("exposures", "readings"):
        connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN audiences TEXT")
    schema = MetaData()
    change = ("service", "flag", "action", "by", "why")
    Table(
        "flag_changes",
        schema,
        # Numbered without gaps by whoever appends: a missing number is a missing row.
        Column("id", Integer, primary_key=True, autoincrement=False),
        # Recorded again, from the journal or by another process that saw the same, a change is still one row.
        Column("uid", Text, nullable=False, unique=True),
        double("at"),
        *(text(name) for name in change),
        text("rollout", null=True),
        *(text(name) for name in ("idem", "result")),
        *(text(name, null=True) for name in ("before", "after")),
        code("version", null=True),
        *(text(name) for name in ("service_version", "error", "prev", "hash")),
        UniqueConstraint("prev"),
        Index("flag_changes_flag", "service", "flag", "id"),
        Index("flag_changes_idem", "service", "flag", "idem"),
    )
    Table(
        "drills",
        schema,
        row_id(),
        double("at"),
        *(text(name) for name in ("service", "flag", "reader", "by", "why")),
        code("runs"),
        *(double(name) for name in ("within", "touched_at")),
        # Empty until it has ended.
        double("finished_at", null=True),
        code("passed", null=True),
        double("worst", null=True),
        text("report", null=True),
        Index("drills_finished", "finished_at"),
    )
    schema.create_all(connection, checkfirst=False)
