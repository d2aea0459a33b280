"""Schema steps: in order, once, whole or not at all, and never backwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect

from tests.ledgers import added, made_ledger, run_child
from watchdog import migrations
from watchdog.errors import LedgerError
from watchdog.ledger import tables
from watchdog.ledger.codes import REASONS, VERDICTS
from watchdog.ledger.database import Database
from watchdog.migrations import STEPS, SchemaRefused, Step
from watchdog.model import Reason, Verdict

NOW = 1_700_000_000.5


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'watchdog.db'}")
    yield opened
    opened.close()


def migrate(database: Database, *steps: Step) -> list[str]:
    return migrations.migrate(database.reading, database.writing, steps, NOW)


def creates(name: str) -> Step:
    return Step(f"create {name}", lambda connection: run(connection, f"CREATE TABLE {name} (id INTEGER)"))


def run(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement)


def table_names(database: Database) -> set[str]:
    with database.reading() as connection:
        return set(inspect(connection).get_table_names())


def test_steps_are_applied_in_order_and_once(database: Database) -> None:
    assert migrate(database, creates("a"), creates("b")) == ["create a", "create b"]
    assert migrate(database, creates("a"), creates("b")) == []
    assert migrate(database, creates("a"), creates("b"), creates("c")) == ["create c"]
    with database.reading() as connection:
        assert migrations.applied(connection) == ["create a", "create b", "create c"]


def test_a_step_that_fails_leaves_nothing_of_itself_and_is_tried_again(database: Database) -> None:
    def fails_half_way(connection: Connection) -> None:
        run(connection, "CREATE TABLE b (id INTEGER)")
        run(connection, "CREATE TABLE a (id INTEGER)")

    with pytest.raises(LedgerError, match="table a already exists"):
        migrate(database, creates("a"), Step("create b", fails_half_way))
    assert table_names(database) == {"schema_steps", "a"}
    assert migrate(database, creates("a"), creates("b")) == ["create b"]


KILLED = """
import os, signal, sys
from watchdog import migrations
from watchdog.ledger.database import Database
database = Database(sys.argv[1])
def first(connection):
    connection.exec_driver_sql("CREATE TABLE a (id INTEGER)")
def dies(connection):
    connection.exec_driver_sql("CREATE TABLE b (id INTEGER)")
    os.kill(os.getpid(), signal.SIGKILL)
steps = (migrations.Step("create a", first), migrations.Step("create b", dies))
migrations.migrate(database.reading, database.writing, steps, 0.0)
"""


def test_a_migration_killed_in_the_middle_goes_on_at_the_next_start(database: Database, tmp_path: Path) -> None:
    child = run_child(KILLED, f"sqlite:///{tmp_path / 'watchdog.db'}")
    child.communicate(timeout=30)
    assert child.returncode == -9
    assert table_names(database) == {"schema_steps", "a"}
    assert migrate(database, creates("a"), creates("b")) == ["create b"]


def test_a_program_killed_before_its_first_step_leaves_an_empty_ledger(tmp_path: Path) -> None:
    path = tmp_path / "watchdog.db"
    path.touch()
    ledger = made_ledger(path)
    assert ledger.rollouts() == []
    ledger.close()


def test_a_newer_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "watchdog.db"
    ledger = made_ledger(path)
    stored = added(ledger)
    newer = (*STEPS, creates("tomorrow"))
    migrations.migrate(ledger.reading, ledger.writing, newer, NOW)
    ledger.close()
    with pytest.raises(
        LedgerError, match=r"watchdog\.db is not one that .*does not know \(create tomorrow\); run the newer"
    ):
        made_ledger(path)
    untouched = Database(f"sqlite:///{path}")
    with untouched.reading() as connection:
        assert connection.exec_driver_sql("SELECT name FROM rollouts").scalar_one() == stored.name
    untouched.close()


def test_steps_in_another_order_are_refused(database: Database) -> None:
    migrate(database, creates("a"), creates("b"))
    with pytest.raises(SchemaRefused, match=r"\(create a, create b\)"):
        migrate(database, creates("b"), creates("a"))


def test_programs_that_start_together_migrate_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'watchdog.db'}"
    opens = "import sys; from watchdog.ledger import open_ledger; open_ledger(sys.argv[1]).close()"
    children = [run_child(opens, url) for _ in range(3)]
    said = [child.communicate(timeout=60) for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], said
    ledger = made_ledger(tmp_path / "watchdog.db")
    with ledger.reading() as connection:
        assert migrations.applied(connection) == [step.name for step in STEPS]
    ledger.close()


def test_the_statements_name_the_columns_that_the_steps_make(tmp_path: Path) -> None:
    ledger = made_ledger(tmp_path / "watchdog.db")
    with ledger.reading() as connection:
        found = inspect(connection)
        made = {name: {column["name"] for column in found.get_columns(name)} for name in found.get_table_names()}
    ledger.close()
    del made["schema_steps"]
    assert made == {table.name: {column.name for column in table.c} for table in tables.ALL}


def test_figures_are_written_in_the_order_of_their_columns(tmp_path: Path) -> None:
    ledger = made_ledger(tmp_path / "watchdog.db")
    with ledger.reading() as connection:
        for table in (tables.EVALUATIONS, tables.CONTROLS, tables.STEPS, tables.SLICE_MEASUREMENTS):
            columns = [column["name"] for column in inspect(connection).get_columns(table.name)]
            assert columns == [column.name for column in table.c]
    ledger.close()


def test_every_verdict_and_reason_has_its_own_code() -> None:
    assert len(set(VERDICTS.values())) == len(VERDICTS) == len(Verdict)
    assert len(set(REASONS.values())) == len(REASONS) == len(Reason)


def test_a_ledger_survives_loss_of_the_process_by_being_in_wal_with_full_sync(tmp_path: Path) -> None:
    ledger = made_ledger(tmp_path / "watchdog.db")
    with ledger.reading() as connection:
        asked = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in asked]
    ledger.close()
    assert found == ["wal", 2, 1, 5000]
    assert [path.name for path in tmp_path.iterdir()] == ["watchdog.db"]
