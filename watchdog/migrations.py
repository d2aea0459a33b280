"""The ledger's schema: an ordered list of named steps, each applied once, in one transaction with its record.

A killed migration leaves whole steps only, so the next start goes on where it stopped. A released step is never
edited: the schema changes by a new step at the end of `STEPS`. Columns are named once more in `ledger/tables.py`,
and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
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
    insert,
    inspect,
    select,
)

Transaction = Callable[[], AbstractContextManager[Connection]]
"""Opens one transaction: committed when the block ends, rolled back when it raises."""


class SchemaRefused(Exception):
    """What is stored is not a ledger of this program or of an older one; the text says what was found."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the schema. `apply` does all of it on the connection and commits nothing."""

    name: str
    apply: Callable[[Connection], None]


RECORD = Table(
    "schema_steps",
    MetaData(),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True),
    Column("applied_at", Double, nullable=False),
)


def applied(connection: Connection) -> list[str]:
    """The names of the steps that the ledger has, in order. SchemaRefused for the database of another program."""
    tables = inspect(connection).get_table_names()
    if RECORD.name in tables:
        return list(connection.scalars(select(RECORD.c.name).order_by(RECORD.c.position)))
    if tables:
        raise SchemaRefused(f"it holds tables of another program ({', '.join(sorted(tables)[:3])})")
    return []


def pending(connection: Connection, steps: Sequence[Step]) -> list[Step]:
    """The steps still to be applied. SchemaRefused when the ledger has steps that this program does not know."""
    have = applied(connection)
    known = [step.name for step in steps]
    if have != known[: len(have)]:
        strangers = [name for name in have if name not in known] or have
        raise SchemaRefused(f"its schema has steps that this program does not know ({', '.join(strangers)})")
    return list(steps[len(have) :])


def migrate(reading: Transaction, writing: Transaction, steps: Sequence[Step], now: float) -> list[str]:
    """Bring the ledger to the newest schema; return the names of the steps applied here. `now` is wall time.

    Opening an up-to-date ledger takes no write lock. Two programs may migrate at once: each step asks again,
    inside its transaction, whether it is still to be done.
    """
    with reading() as connection:
        todo = pending(connection, steps)
    done: list[str] = []
    for step in todo:
        with writing() as connection:
            if step not in pending(connection, steps):
                continue
            if step is steps[0]:
                RECORD.create(connection)
            step.apply(connection)
            position = list(steps).index(step) + 1
            connection.execute(insert(RECORD).values(position=position, name=step.name, applied_at=now))
        done.append(step.name)
    return done


def _rollout() -> Column[int]:
    return Column("rollout", Integer, ForeignKey("rollouts.id"), nullable=False)


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True)


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def _double(name: str, *, null: bool = False) -> Column[float]:
    return Column(name, Double, nullable=null)


def _instant(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null, autoincrement=False)


def _code(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, Integer, nullable=null, autoincrement=False)


def _rule_tables(schema: MetaData) -> None:
    """What a rollout is (written once) and where it is (`heads`, the one row a rollout that changes)."""
    Table(
        "rollouts",
        schema,
        _id(),
        Column("name", Text, nullable=False, unique=True),
        *(_text(name) for name in ("service", "version", "flag", "mode", "text", "sha256", "resolved", "file")),
        _text("engine"),
        _double("created_at"),
    )
    Table(
        "heads",
        schema,
        Column("rollout", Integer, ForeignKey("rollouts.id"), primary_key=True, autoincrement=False),
        _code("revision"),
        _text("phase"),
        _double("started_at", null=True),
        _instant("last_slot", null=True),
        _text("control"),
    )
    Table(
        "objectives",
        schema,
        _rollout(),
        _code("objective"),
        _text("name"),
        PrimaryKeyConstraint("rollout", "objective"),
        UniqueConstraint("rollout", "name"),
        sqlite_with_rowid=False,
    )
    Table("texts", schema, _id(), Column("digest", LargeBinary, nullable=False, unique=True), _text("text"))


def _figures_table(schema: MetaData, name: str, *before: Column[int]) -> None:
    """One answer a row. The key begins with time, so that a tick's rows lie side by side and fill their pages."""
    reason = _code("reason", null=True)
    Table(
        name,
        schema,
        _rollout(),
        _instant("at"),
        _code("objective"),
        _code("revision"),
        *before,
        reason,
        *(_double(figure, null=True) for figure in ("value", "bad", "total")),
        Column("detail", Integer, ForeignKey("texts.id"), nullable=True),
        _code("silent"),
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
        _id(),
        _rollout(),
        _double("at"),
        *(_text(name) for name in transition),
        _text("objective", null=True),
        Index("transitions_rollout", "rollout"),
    )
    Table(
        "breaches",
        schema,
        _rollout(),
        _text("objective"),
        _instant("at"),
        _text("detector"),
        *(_double(name) for name in ("statistic", "threshold")),
        *(_double(name, null=True) for name in ("bad", "total", "value")),
        _text("why"),
        _instant("closed_at", null=True),
        _double("detected_at", null=True),
        _code("late"),
        _code("unconfirmed"),
        PrimaryKeyConstraint("rollout", "objective", "at"),
    )
    exposure = ("percent", "cohort")
    for name, texts in (("exposures", (_text("kind"),)), ("readings", (_text("version"), _text("latch", null=True)))):
        reading = name == "readings"
        Table(
            name,
            schema,
            _id(),
            _rollout(),
            _double("at"),
            _double(exposure[0], null=reading),
            _code(exposure[1], null=reading),
            *texts,
            *((_text("error"),) if reading else ()),
            Index(f"{name}_rollout", "rollout", "at"),
        )


def _window_tables(schema: MetaData) -> None:
    """Slices with all they stand on, and the detectors' checkpoints (a cache)."""
    Table(
        "slices",
        schema,
        _rollout(),
        _instant("at"),
        _code("revision"),
        _text("verdict"),
        _text("body"),
        PrimaryKeyConstraint("rollout", "at", "revision"),
    )
    Table("checkpoints", schema, _rollout(), _instant("at"), _text("body"), PrimaryKeyConstraint("rollout", "at"))


def _people_tables(schema: MetaData) -> None:
    """What people are told and what they order; a command without outcome is pending."""
    Table(
        "notifications",
        schema,
        _id(),
        _rollout(),
        *(_text(name) for name in ("key", "kind", "severity", "summary", "details")),
        _double("at"),
        UniqueConstraint("rollout", "key"),
        Index("notifications_at", "at"),
    )
    Table("channels", schema, Column("name", Text, primary_key=True), _double("since"))
    Table(
        "deliveries",
        schema,
        Column("notification", Integer, ForeignKey("notifications.id"), nullable=False),
        _text("channel"),
        _code("attempts"),
        _double("sent_at", null=True),
        _double("next_try_at", null=True),
        _code("given_up"),
        _text("error"),
        PrimaryKeyConstraint("notification", "channel"),
        sqlite_with_rowid=False,
    )
    outcome = _text("outcome", null=True)
    Table(
        "commands",
        schema,
        _id(),
        _rollout(),
        *(_text(name) for name in ("verb", "by", "reason")),
        _double("at"),
        outcome,
        Index("commands_pending", "rollout", sqlite_where=outcome.is_(None), postgresql_where=outcome.is_(None)),
    )
    report = ("kind", "format", "path", "sha256")
    Table("reports", schema, _id(), _rollout(), _double("at"), *(_text(name) for name in report))


def _first_ledger(connection: Connection) -> None:
    schema = MetaData()
    _rule_tables(schema)
    for name in ("evaluations", "controls"):
        _figures_table(schema, name, _code("verdict"))
    for name in ("steps", "slice_measurements"):
        _figures_table(schema, name)
    _story_tables(schema)
    _window_tables(schema)
    _people_tables(schema)
    schema.create_all(connection, checkfirst=False)


def _flag_system(connection: Connection) -> None:
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
        _double("at"),
        *(_text(name) for name in change),
        _text("rollout", null=True),
        *(_text(name) for name in ("idem", "result")),
        *(_text(name, null=True) for name in ("before", "after")),
        _code("version", null=True),
        *(_text(name) for name in ("service_version", "error", "prev", "hash")),
        UniqueConstraint("prev"),
        Index("flag_changes_flag", "service", "flag", "id"),
        Index("flag_changes_idem", "service", "flag", "idem"),
    )
    Table(
        "drills",
        schema,
        _id(),
        _double("at"),
        *(_text(name) for name in ("service", "flag", "reader", "by", "why")),
        _code("runs"),
        *(_double(name) for name in ("within", "touched_at")),
        # Empty until it has ended.
        _double("finished_at", null=True),
        _code("passed", null=True),
        _double("worst", null=True),
        _text("report", null=True),
        Index("drills_finished", "finished_at"),
    )
    schema.create_all(connection, checkfirst=False)


STEPS: tuple[Step, ...] = (Step("0001_first_ledger", _first_ledger), Step("0002_flag_system", _flag_system))
"""All schema steps in order. Append only."""
