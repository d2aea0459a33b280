"""Whatever somebody changes in a ledger by plain SQL is found and named: each table, each column, each row."""

# ruff: noqa: S608 - tampering is SQL made of the names of tables and columns
from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection

from tests.ledgers import ledger_at
from tests.processes import Installation
from tests.sealing import NAME, chain_of, found_after, full, keys, where
from watchdog.ledger import Ledger
from watchdog.ledger.canon import SHAPES
from watchdog.ledger.seals import OWN
from watchdog.ledger.verify import verify

TABLES = tuple(SHAPES)
ADDED = tuple(name for name in TABLES if name not in ("rollouts", "prunings"))
"""Tables to whose rows one can be added; of rollouts a row is a chain of its own."""


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    opened = full(tmp_path_factory.mktemp("verify") / "watchdog.db")
    yield opened
    opened.close()


@pytest.fixture
def copy(ledger: Ledger, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil for good."""
    with ledger.reading() as connection, closing(sqlite3.connect(tmp_path / "watchdog.db")) as target:
        source = connection.connection.driver_connection
        assert isinstance(source, sqlite3.Connection)
        source.backup(target)
    return tmp_path / "watchdog.db"


def other(kind: str, column: str) -> str:
    """Another value of a column, in SQL."""
    if column == "verdict":
        return "CASE verdict WHEN 0 THEN 2 ELSE 0 END"
    if column == "reason":
        return "coalesce(reason, 0) % 9 + 1" if kind == "code" else "coalesce(reason, '') || 'x'"
    if kind == "b":
        return f"1 - coalesce({column}, 0)"
    return f"coalesce({column}, '') || 'x'" if kind == "s" else f"coalesce({column}, 0) + 5000"


def columns(table: str) -> list[tuple[str, str]]:
    """Each column that a shape has and how to give it another value."""
    shape = SHAPES[table]
    coded = {"reason", "detail", "objective"} if shape.dense else set()
    kinds = ["code" if name in coded else kind for name, kind in zip(shape.columns, shape.kinds, strict=True)]
    if table == "slices":
        coded = set()
    return [
        (name, "coalesce(verdict, '') || 'x'" if (table, name) == ("slices", "verdict") else other(kind, name))
        for name, kind in zip(shape.columns, kinds, strict=True)
    ]


def test_an_untouched_ledger_is_whole(ledger: Ledger) -> None:
    assert found_after(ledger) == {}
    found = verify(ledger, {})
    assert (found.sound, found.wrong) == (True, [])
    assert [one.rollout for one in found.chains] == [None, NAME, "cart-3"]
    assert found.notes == [
        "6 frozen reports are not where they were written, seen from here; the ledger holds their sha256"
    ]


def test_every_table_of_facts_has_a_history_in_this_ledger(ledger: Ledger) -> None:
    short = [name for name in TABLES if name not in ("rollouts", "prunings") and len(keys(ledger, name)) < 3]
    assert short == [], "each table needs three rows, or its tampering is not tested"


@pytest.mark.parametrize("table", [name for name in TABLES if name != "prunings"])
def test_a_changed_column_is_found_and_its_row_is_named(ledger: Ledger, table: str) -> None:
    row = keys(ledger, table)[0]
    for column, value in columns(table):
        found = found_after(ledger, f"UPDATE {table} SET {column} = {value} WHERE {row}")
        assert list(found) == [chain_of(table)], f"{table}.{column}"
        # Of its key a row is found by: then it stands where another row was sealed, or is not there.
        assert table in found[chain_of(table)][0] or (table, column) == ("objectives", "name"), (
            f"{table}.{column}: {found}"
        )


@pytest.mark.parametrize("table", [name for name in TABLES if name not in ("rollouts", "prunings")])
def test_a_dropped_row_is_found_wherever_it_stood(ledger: Ledger, table: str) -> None:
    rows = keys(ledger, table)
    for row in (rows[0], rows[len(rows) // 2], rows[-1]):
        found = found_after(ledger, f"DELETE FROM {table} WHERE {row}")
        assert list(found) == [chain_of(table)], row
        if table != "objectives":  # without its name, every measurement of the objective is another one
            assert f"a row of {table} is missing" in found[chain_of(table)][0], f"{row}: {found}"


@pytest.mark.parametrize("sealed", ["seal", "NULL", "seal + 1", "999"])
@pytest.mark.parametrize("table", ADDED)
def test_an_added_row_is_found_whatever_seal_it_names(ledger: Ledger, table: str, sealed: str) -> None:
    row = keys(ledger, table)[0]
    with ledger.reading() as connection:
        names = [one.name for one in connection.exec_driver_sql(f"PRAGMA table_info({table})").all()]
    new = {"id": "(SELECT max(id) + 1 FROM " + table + ")", "seal": sealed, "key": "key || '+'"}
    if "id" not in names:
        key = {"objectives": "objective", "preflight_verdicts": "rollout"}.get(table, "at")
        new |= {key: f"{key} || '+'" if key == "rollout" else f"{key} + 7", "name": "name || '+'"}
    chosen = ", ".join(new.get(name, name) for name in names)
    found = found_after(ledger, f"INSERT INTO {table} SELECT {chosen} FROM {table} WHERE {row}")
    assert list(found) == [chain_of(table)]
    assert table in found[chain_of(table)][0], found


@pytest.mark.parametrize("table", [name for name in TABLES if name not in ("rollouts", "prunings")])
def test_two_rows_in_the_other_order_are_found(ledger: Ledger, table: str) -> None:
    """Rows of two seals change places: each then names the other's seal, and has the other's number."""
    rows = keys(ledger, table)
    first, second = rows[0], rows[-1]
    swapped = [
        f"UPDATE {table} SET seal = -1 WHERE {first}",
        f"UPDATE {table} SET seal = (SELECT seal FROM {table} WHERE {second}) WHERE seal = -1",
    ]
    if table == "objectives":  # all of one seal: two names change places
        swapped = [
            f"UPDATE objectives SET name = 'aside' WHERE {first}",
            f"UPDATE objectives SET name = 'test_pass_rate' WHERE {second}",
            f"UPDATE objectives SET name = 'alert_noise' WHERE {first}",
        ]
    found = found_after(ledger, *swapped)
    assert list(found) == [chain_of(table)]
    assert table in found[chain_of(table)][0] or table == "objectives", found


def test_numbers_of_rows_that_change_places_are_found(ledger: Ledger) -> None:
    found = found_after(
        ledger,
        "UPDATE transitions SET id = -1 WHERE id = 1",
        "UPDATE transitions SET id = 1 WHERE id = 2",
        "UPDATE transitions SET id = 2 WHERE id = -1",
    )
    assert "transitions row" in found[1][0]


def test_a_sentence_that_many_rows_refer_to_cannot_be_changed_unseen(ledger: Ledger) -> None:
    found = found_after(ledger, "UPDATE texts SET text = 'all was well'", chains=(OWN, 1, 2))
    assert set(found) == {1, 2}
    assert "evaluations" in found[1][0]
    assert "latency_p95" in found[1][0]


@pytest.mark.parametrize("column", ["at", "said", "dense", "sha256", "number", "tags"])
def test_an_edited_seal_is_found(ledger: Ledger, column: str) -> None:
    value = {"at": "at + 1", "said": "'[]'", "dense": "zeroblob(32)", "sha256": "zeroblob(32)", "number": "40"}
    new = value.get(column, "CAST(substr(tags, 1, length(tags) - 1) || x'00' AS BLOB)")
    for number in (1, 3):
        found = found_after(ledger, f"UPDATE seals SET {column} = {new} WHERE rollout = 1 AND number = {number}")
        assert list(found) == [1], f"{column} of seal {number}"
        assert f"seal {number}" in found[1][0], found


def test_removed_seals_are_found_with_what_they_covered(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        last = connection.exec_driver_sql("SELECT max(number) FROM seals WHERE rollout = 1").scalar_one()
    assert "seal 1 of this rollout cannot be found" in found_after(ledger, _remove(1))[1][0]
    assert "seal 5 of this rollout cannot be found" in found_after(ledger, _remove(5))[1][0]
    assert "which is not there" in found_after(ledger, _remove(last))[1][0]
    assert "names seal 1, which is not there" in found_after(ledger, "DELETE FROM seals WHERE rollout = 1")[1][0]


def _remove(number: int) -> str:
    return f"DELETE FROM seals WHERE rollout = 1 AND number = {number}"


def _count(connection: Connection, what: str) -> int:
    return int(connection.exec_driver_sql(f"SELECT count(*) FROM {what}").scalar_one())


def cut(ledger: Ledger) -> tuple[int, list[str]]:
    """The newest seal of the first rollout, and how somebody removes it with all that it covers."""
    with ledger.reading() as connection:
        last = connection.exec_driver_sql("SELECT max(number) FROM seals WHERE rollout = 1").scalar_one()
        tables = [name for name in TABLES if not SHAPES[name].own and name != "rollouts"]
        of_it = f"WHERE rollout = 1 AND seal = {last}"
        counts = {name: _count(connection, f"{name} {of_it}") for name in tables}
    rows = [f"DELETE FROM {name} {of_it}" for name, count in counts.items() if count]
    return last, [*rows, _remove(last)]


def test_a_history_without_its_newest_seal_is_only_found_by_who_kept_it(ledger: Ledger, copy: Path) -> None:
    """As docs/ledger.md says: what was cut off whole leaves no trace in the ledger itself."""
    last, statements = cut(ledger)
    kept = ledger.seal(1)
    assert kept is not None
    assert kept.number == last
    assert found_after(ledger, *statements) == {}
    with closing(sqlite3.connect(copy)) as spoiled:
        for statement in statements:
            spoiled.execute(statement)
        spoiled.commit()
    opened = ledger_at(copy)
    found = verify(opened, {NAME: {last: kept.sha256}})
    opened.close()
    (only,) = found.wrong
    assert (only.rollout, only.seal) == (NAME, last)
    assert f"the history ends at {last - 1}: the newest rows were cut off" in only.what


def test_a_rewritten_history_is_only_found_by_who_kept_a_seal(ledger: Ledger) -> None:
    kept = ledger.seal(1)
    assert kept is not None
    found = verify(ledger, {NAME: {kept.number: kept.sha256, 3: "ab" * 32}, "gone-1": {1: "ab" * 32}})
    said = [(one.rollout, one.what) for one in found.wrong]
    assert [name for name, _ in said] == [NAME, "gone-1"]
    assert "seal 3 has another hash than was kept outside, abababababab: history was rewritten" in said[0][1]


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (
            "UPDATE heads SET phase = 'signed_off' WHERE rollout = 1",
            "phase is signed_off, its last transition says ramping",
        ),
        ("DELETE FROM heads WHERE rollout = 2", "its row in heads is gone"),
        ("UPDATE breaches SET closed_at = NULL WHERE closed_at IS NOT NULL", "its closed_at is none, the seals say 17"),
        ("UPDATE commands SET outcome = 'refused' WHERE id = 1", "its outcome is refused, the seals say held"),
        ("UPDATE drills SET worst = 0.1 WHERE id = 3", "its worst is 0.1, the seals say 1.5"),
        ("DELETE FROM seals WHERE rollout = 0 AND number > 1", "does not know that it was added"),
        ("INSERT INTO texts (id, digest, text) VALUES (999, x'00', 'nobody said it')", ""),
        ("DELETE FROM texts WHERE id = (SELECT max(detail) FROM evaluations)", "that is not there"),
        ("CREATE TABLE souvenirs (id)", "table souvenirs is not one of a ledger"),
        ("DROP TABLE memos", "table memos is gone"),
        ("ALTER TABLE channels ADD COLUMN mine", "table channels has the columns mine, name"),
        ("CREATE TRIGGER later AFTER INSERT ON memos BEGIN DELETE FROM memos; END", "there is a trigger later"),
        ("UPDATE schema_steps SET name = '0009_other' WHERE position = 9", "does not know (0009_other)"),
    ],
)
def test_what_is_wrong_beside_the_chains_is_named(copy: Path, statement: str, says: str) -> None:
    site = Installation(copy.parent, "http://127.0.0.1:1")
    with closing(sqlite3.connect(copy)) as spoiled:
        spoiled.execute(statement)
        spoiled.commit()
    done = site.run("ledger", "verify")
    refused = "does not know (" in says
    assert done.status == (2 if refused else 1 if says else 0), done.out + done.err
    assert says in (done.err if refused else done.out)


def test_a_whole_rollout_that_was_removed_is_missed(copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as spoiled:
        for name in TABLES:
            if not SHAPES[name].own:
                spoiled.execute(f"DELETE FROM {name} WHERE {where(name).replace('1', '2')}")
        for name in ("heads", "seals"):
            spoiled.execute(f"DELETE FROM {name} WHERE rollout = 2")
        spoiled.commit()
    opened = ledger_at(copy)
    whats = [one.what for one in verify(opened, {}).wrong]
    opened.close()
    assert "rollout cart-3 (number 2) was added once and is gone" in whats


def test_a_report_that_was_changed_since_it_was_frozen_is_named(tmp_path: Path, copy: Path) -> None:
    report = tmp_path / "final.html"
    report.write_text("<p>signed off</p>")
    opened = ledger_at(copy)
    opened.save_report(1, "final", "html", str(report), hashlib.sha256(report.read_bytes()).hexdigest(), 1.0)
    assert verify(opened, {}).sound
    report.write_text("<p>signed off, and very well</p>")
    (only,) = verify(opened, {}).wrong
    opened.close()
    assert (only.part, only.rollout) == ("reports", NAME)
    assert f"{report} was changed: its sha256 is" in only.what


def test_the_command_says_what_it_found_and_exits_by_it(copy: Path) -> None:
    site = Installation(copy.parent, "http://127.0.0.1:1")
    done = site.run("ledger", "verify", "--json")
    assert (done.status, done.data["ok"]) == (0, True)
    head = done.data["rollouts"][0]["seal"]
    kept = f"{NAME}={head['number']}:{head['sha256']}"
    assert site.run("ledger", "verify", "--anchor", kept).status == 0
    with closing(sqlite3.connect(copy)) as spoiled:
        spoiled.execute("UPDATE transitions SET by = 'bob' WHERE id = 2")
        spoiled.commit()
    done = site.run("ledger", "verify", "--anchor", kept)
    assert done.status == 1
    assert f"NOT WHOLE: {NAME}: transitions row 2 was edited" in done.out
    done = site.run("ledger", "verify", "--json")
    assert done.data["findings"][0]["seal"] == 10
    assert site.run("ledger", "verify", "--anchor", "7:ab").status == 2
    copy.write_bytes(copy.read_bytes()[:9000] + b"\x5a" * 40_000)
    done = site.run("ledger", "verify")
    assert done.status == 2
    assert "is damaged" in done.err
    assert json.loads(site.run("ledger", "verify", "--json").out or "null") is None
    shutil.rmtree(copy.parent / "reports", ignore_errors=True)
