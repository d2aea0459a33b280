"""Causes in the ledger: recorded with the tick, sealed with it, read back to the bit, and added to older ledgers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import inspect

from tests.ledgers import NOON, added, ledger_at
from watchdog import migrations
from watchdog.attribution import attribute
from watchdog.errors import LedgerConflict, LedgerError
from watchdog.ledger import Ledger, Record
from watchdog.ledger.database import Database
from watchdog.ledger.verify import verify
from watchdog.migrations import STEPS
from watchdog.model import Attribution, Contributor, Contributors, Counts


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = ledger_at(tmp_path / "watchdog.db")
    yield opened
    opened.close()


def an_attribution(number: int = 1) -> Attribution:
    counts = {"exposed": Counts(150, 3000), "control": Counts(3001, 60000)}
    return attribute("error_rate", NOON, number=number, first=NOON - 240, last=NOON, steps=5, allowed=0.001, **counts)


def some_contributors(value: str = "/pay") -> Contributors:
    found = (Contributor("route", value, 0.1 + 0.2, 1 / 3, 900.0, 1e-9), Contributor("pod", "a-1"))
    return Contributors("error_rate", NOON, NOON + 31.25, 240.0, found, "version: no answer")


def test_what_is_found_reads_back_to_the_bit_in_the_order_in_which_it_was_recorded(ledger: Ledger) -> None:
    stored = added(ledger)
    looks, told = [an_attribution(1), an_attribution(2)], [some_contributors()]
    ledger.record(Record(stored.id, 0, attributions=looks, contributors=told, caused_at=NOON + 30.5))
    assert ledger.attributions(stored.id) == looks
    assert ledger.contributors(stored.id) == told
    assert ledger.attributions(stored.id + 1) == []


def test_text_that_no_database_can_hold_is_kept_readable(ledger: Ledger) -> None:
    stored = added(ledger)
    ledger.record(Record(stored.id, 0, contributors=[some_contributors("a\0b\ud800")]))
    (found,) = ledger.contributors(stored.id)
    assert found.found[0].value.startswith("a")


def test_a_tick_that_lost_the_race_leaves_no_cause_either(ledger: Ledger) -> None:
    stored = added(ledger)
    ledger.record(Record(stored.id, 0))
    with pytest.raises(LedgerConflict):
        ledger.record(Record(stored.id, 0, attributions=[an_attribution()]))
    assert ledger.attributions(stored.id) == []


def test_causes_are_part_of_the_sealed_history_and_a_changed_one_is_found(ledger: Ledger) -> None:
    stored = added(ledger)
    ledger.record(Record(stored.id, 0, attributions=[an_attribution()], caused_at=NOON + 30.5))
    assert [table for table, _ in ledger.rows_of(stored.id)].count("causes") == 1
    assert list(verify(ledger, {}).wrong) == []
    with ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE causes SET body = replace(body, 'shared', 'flag')")
    assert list(verify(ledger, {}).wrong) != []


def test_a_damaged_row_is_a_sentence(ledger: Ledger) -> None:
    stored = added(ledger)
    ledger.record(Record(stored.id, 0, attributions=[an_attribution()]))
    with ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE causes SET body = '{'")
    with pytest.raises(LedgerError, match="a row of causes is damaged"):
        ledger.attributions(stored.id)


def test_the_schema_of_before_gets_the_table_and_nothing_that_is_there_changes(tmp_path: Path) -> None:
    """Through the steps themselves: rows of the older schema are there afterwards."""
    path = tmp_path / "old.db"
    database = Database(f"sqlite:///{path}")
    position = next(place for place, step in enumerate(STEPS) if step.name == "0008_causes")
    migrations.migrate(database.reading, database.writing, STEPS[:position], NOON)
    with database.writing() as connection:
        assert "causes" not in inspect(connection).get_table_names()
        connection.exec_driver_sql(
            "INSERT INTO rollouts VALUES (1, 'old-1', 'shop', '1', 'f', 'act', 't', 'ab', '{}', 'f.yaml', '0.1.0', 1.0)"
        )
        connection.exec_driver_sql("INSERT INTO heads VALUES (1, 0, 'pending', NULL, NULL, '{}')")
    database.close()
    ledger = ledger_at(path)
    assert [one.name for one in ledger.rollouts()] == ["old-1"]
    assert ledger.attributions(1) == []
    ledger.record(Record(1, 0, attributions=[an_attribution()]))
    assert ledger.attributions(1) == [an_attribution()]
    ledger.close()


def test_a_record_names_nothing_by_default() -> None:
    record = Record(1, 0)
    assert (record.attributions, record.contributors) == ((), ())
    assert replace(record, attributions=(an_attribution(),)).attributions == (an_attribution(),)
