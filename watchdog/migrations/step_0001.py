"""The first ledger."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from watchdog.migrations.columns import code, double, instant, rollout_key, row_id, text


def _rule_tables(schema: MetaData) -> None:
    """What a rollout is (written once) and where it is (`heads`, the one row a rollout that changes)."""
    Table(
        "rollouts",
        schema,
        row_id(),
        Column("name", Text, nullable=False, unique=True),
        *(text(name) for name in ("service", "version", "flag", "mode", "text", "sha256", "resolved", "file")),
        text("engine"),
        double("created_at"),
    )
    Table(
        "heads",
        schema,
        Column("rollout", Integer, ForeignKey("rollouts.id"), primary_key=True, autoincrement=False),
        code("revision"),
        text("phase"),
        double("started_at", null=True),
        instant("last_slot", null=True),
        text("control"),
    )
    Table(
        "objectives",
        schema,
        rollout_key(),
        code("objective"),
        text("name"),
        PrimaryKeyConstraint("rollout", "objective"),
        UniqueConstraint("rollout", "name"),
        sqlite_with_rowid=False,
    )
    Table("texts", schema, row_id(), Column("digest", LargeBinary, nullable=False, unique=True), text("text"))


def _figures_table(schema: MetaData, name: str, *before: Column[int]) -> None:
    """One answer a row. The key begins with time, so that a tick's rows lie side by side and fill their pages."""
    reason = code("reason", null=True)
    Table(
        name,
        schema,
        rollout_key(),
        instant("at"),
        code("objective"),
        code("revision"),
        *before,
        reason,
        *(double(figure, null=True) for figure in ("value", "bad", "total")),
        Column("detail", Integer, ForeignKey("texts.id"), nullable=True),
        code("silent"),
        PrimaryKeyConstraint("rollout", "at", "objective", "revision"),
        ForeignKeyConstraint(["rollout", "objective"], ["objectives.rollout", "objectives.objective"]),
        Index(
            f"{name}_unknown",
            "rollout",
            "at",
            sqlite_where=reason.is_not(None),
            postgresql_where=reason.is_not(None),
        ),
        sqlite_with_rowid=False,
    )


def _story_tables(schema: MetaData) -> None:
    """What happened to a rollout and to its flag."""
    transition = ("kind", "source", "target", "why", "by")
    Table(
        "transitions",
        schema,
        row_id(),
        rollout_key(),
        double("at"),
        *(text(name) for name in transition),
        text("objective", null=True),
        Index("transitions_rollout", "rollout"),
    )
    Table(
        "breaches",
        schema,
        rollout_key(),
        text("objective"),
        instant("at"),
        text("detector"),
        *(double(name) for name in ("statistic", "threshold")),
        *(double(name, null=True) for name in ("bad", "total", "value")),
        text("why"),
        instant("closed_at", null=True),
        double("detected_at", null=True),
        code("late"),
        code("unconfirmed"),
        PrimaryKeyConstraint("rollout", "objective", "at"),
    )
    exposure = ("percent", "cohort")
    for name, texts in (("exposures", (text("kind"),)), ("readings", (text("version"), text("latch", null=True)))):
        reading = name == "readings"
        Table(
            name,
            schema,
            row_id(),
            rollout_key(),
            double("at"),
            double(exposure[0], null=reading),
            code(exposure[1], null=reading),
            *texts,
            *((text("error"),) if reading else ()),
            Index(f"{name}_rollout", "rollout", "at"),
        )


def _window_tables(schema: MetaData) -> None:
    """Slices with all they stand on, and the detectors' checkpoints (a cache)."""
    Table(
        "slices",
        schema,
        rollout_key(),
        instant("at"),
        code("revision"),
        text("verdict"),
        text("body"),
        PrimaryKeyConstraint("rollout", "at", "revision"),
    )
    Table("checkpoints", schema, rollout_key(), instant("at"), text("body"), PrimaryKeyConstraint("rollout", "at"))


def _people_tables(schema: MetaData) -> None:
    """What people are told and what they order; a command without outcome is pending."""
    Table(
        "notifications",
        schema,
        row_id(),
        rollout_key(),
        *(text(name) for name in ("key", "kind", "severity", "summary", "details")),
        double("at"),
        UniqueConstraint("rollout", "key"),
        Index("notifications_at", "at"),
    )
    Table("channels", schema, Column("name", Text, primary_key=True), double("since"))
    Table(
        "deliveries",
        schema,
        Column("notification", Integer, ForeignKey("notifications.id"), nullable=False),
        text("channel"),
        code("attempts"),
        double("sent_at", null=True),
        double("next_try_at", null=True),
        code("given_up"),
        text("error"),
        PrimaryKeyConstraint("notification", "channel"),
        sqlite_with_rowid=False,
    )
    outcome = text("outcome", null=True)
    Table(
        "commands",
        schema,
        row_id(),
        rollout_key(),
        *(text(name) for name in ("verb", "by", "reason")),
        double("at"),
        outcome,
        Index("commands_pending", "rollout", sqlite_where=outcome.is_(None), postgresql_where=outcome.is_(None)),
    )
    report = ("kind", "format", "path", "sha256")
    Table("reports", schema, row_id(), rollout_key(), double("at"), *(text(name) for name in report))


def first_ledger(connection: Connection) -> None:
    """Rules, measurements, what happened, and what people are told and order."""
    schema = MetaData()
    _rule_tables(schema)
    for name in ("evaluations", "controls"):
        _figures_table(schema, name, code("verdict"))
    for name in ("steps", "slice_measurements"):
        _figures_table(schema, name)
    _story_tables(schema)
    _window_tables(schema)
    _people_tables(schema)
    schema.create_all(connection, checkfirst=False)
