"""Channels and alert noise."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from watchdog.migrations.columns import code, double, row_id, text


def channels(connection: Connection) -> None:
    """What a channel was about to send and remembers; alerts, and what people said of them."""
    connection.exec_driver_sql("ALTER TABLE deliveries ADD COLUMN started_at DOUBLE PRECISION")
    connection.exec_driver_sql("ALTER TABLE deliveries ADD COLUMN superseded_by INTEGER")
    connection.exec_driver_sql("ALTER TABLE channels ADD COLUMN paused_until DOUBLE PRECISION")
    schema = MetaData()
    for name in ("rollouts", "notifications"):
        Table(name, schema, Column("id", Integer, primary_key=True))
    memos = Table(
        "memos",
        schema,
        Column("channel", Text, primary_key=True),
        Column("rollout", Integer, ForeignKey("rollouts.id"), primary_key=True),
        Column("name", Text, primary_key=True),
        text("value"),
    )
    episodes = Table(
        "alert_episodes",
        schema,
        row_id(),
        # The same alert that fires again later is another episode; a repeat of the message is not.
        *(text(name) for name in ("source", "fingerprint", "alertname", "service", "severity")),
        *(text(name) for name in ("labels", "annotations", "group_key", "url")),
        double("started_at"),
        double("ended_at", null=True),
        # When we were told of its beginning and of its end: what was known at a time must stay answerable.
        double("seen_at"),
        double("end_seen_at", null=True),
        double("changed_at"),
        code("notified"),
        UniqueConstraint("source", "fingerprint", "started_at"),
        Index("alert_episodes_started", "started_at"),
        Index("alert_episodes_changed", "changed_at"),
    )
    labels = Table(
        "alert_labels",
        schema,
        row_id(),
        # Exactly one of the two: an alert of Alertmanager, or the message with which a page of our own began.
        Column("episode", Integer, ForeignKey("alert_episodes.id")),
        Column("notification", Integer, ForeignKey("notifications.id")),
        *(text(name) for name in ("label", "by", "why")),
        double("at"),
        double("happened_at"),
        Index("alert_labels_episode", "episode"),
    )
    # The minutes in which a source of alerts was heard: in all others silence means nothing.
    heard = Table(
        "alert_heard", schema, Column("source", Text, primary_key=True), Column("at", BigInteger, primary_key=True)
    )
    for table in (memos, episodes, labels, heard):
        table.create(connection, checkfirst=False)
