"""Each transaction that adds to a history is sealed with it: by whom it may be, and beside whom."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledgers import NOON, a_rollout, added, happened, ledger_at, page, unknown
from tests.sealing import HOUR, NAME, breach, checked, lived, tick
from watchdog import migrations
from watchdog.errors import LedgerConflict
from watchdog.journal import Journal
from watchdog.ledger import BreachFact, Ledger, Record, tables
from watchdog.ledger.canon import SHAPES, encode
from watchdog.ledger.codes import number
from watchdog.ledger.database import Database
from watchdog.ledger.sealcheck import Check
from watchdog.ledger.seals import GENESIS, OWN, Lines, of_stream, seal_hash
from watchdog.ledger.verify import verify
from watchdog.migrations import STEPS
from watchdog.model import Evaluation, Measurement, Phase, Verdict


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = ledger_at(tmp_path / "watchdog.db")
    yield opened
    opened.close()


def seals(ledger: Ledger, chain: int) -> list[tuple[int, int]]:
    """Each seal's number with how many rows it covers."""
    found, rows = [], 0
    for table, row in ledger.own_rows() if chain == OWN else ledger.rows_of(chain):
        if table == "seals":
            found.append((row["number"], rows))
            rows = 0
        elif row["seal"] is not None:
            rows += 1
    return found


def test_every_transaction_that_adds_facts_adds_one_seal_and_no_other_does(ledger: Ledger) -> None:
    stored = added(ledger)
    assert seals(ledger, stored.id) == [(1, 8)], "the rule and its seven objectives"
    assert tick(ledger, stored, 1, 0) == 1
    assert seals(ledger, stored.id)[1:] == [(2, 9)], "seven slots and two steps"
    assert tick(ledger, stored, 1, 1) == 2
    ledger.record(Record(stored.id, 2, control={"a": 1}))
    ledger.backlog("slack", NOON, 10)
    ledger.put_memo("slack", stored.id, "thread", "1")
    assert seals(ledger, stored.id)[2:] == [], "the same answers again, a head, a channel: nothing was added"
    with pytest.raises(LedgerConflict):
        tick(ledger, stored, 2, 0)
    assert seals(ledger, stored.id)[2:] == [], "what was refused is sealed as little as it is kept"
    ledger.tell_once(stored.id, page("a"))
    ledger.tell_once(stored.id, page("a"))
    assert seals(ledger, stored.id)[2:] == [(3, 1)]
    assert ledger.seal(stored.id) is not None
    assert checked_all(ledger) == []


def checked_all(ledger: Ledger) -> list[str]:
    return [f"{one.rollout}: {one.what}" for one in verify(ledger, {}).wrong]


def test_the_hash_is_what_the_page_says_it_is(ledger: Ledger) -> None:
    """Recomputed here from the stream by hand, as docs/ledger.md describes it."""
    stored = added(ledger)
    tick(ledger, stored, 1, 0, transitions=[happened("start")])
    prev, lines = GENESIS, Lines()
    for table, row in ledger.rows_of(stored.id):
        if table == "seals":
            assert seal_hash(row, prev, lines.facts, lines.dense) == row["sha256"]
            prev, lines = row["sha256"], Lines()
        elif (found := of_stream(table, row)) is not None:
            lines.add(*found)
    newest = ledger.seal(stored.id)
    assert newest is not None
    assert (newest.number, newest.sha256) == (2, prev)


def test_values_are_sealed_as_every_database_gives_them_back(ledger: Ledger) -> None:
    """The sign of a zero, numbers that are whole, the largest and smallest ones, odd words."""
    stored = added(ledger)
    odd = [0.0, -0.0, 1e308, 5e-324, 0.1 + 0.2, 1 / 3, float("inf"), float("nan"), 2.0**53]
    answers = [Evaluation(NOON + 30 * n, Verdict.PASS, value=value, bad=value, total=1) for n, value in enumerate(odd)]
    words = [
        unknown(NOON + 9000 + n, detail=said) for n, said in enumerate(('"\\', "\0", "\ud83d", "\u2028 é", "x" * 300))
    ]
    ledger.record(Record(stored.id, 0, evaluations=[("error_rate", one) for one in (*answers, *words)]))
    late = Measurement(NOON, bad=-0.0, total=7)
    said = [happened("\u2713", NOON)]
    ledger.record(Record(stored.id, 1, Phase.RAMPING, steps=[("latency_p95", late)], transitions=said))
    assert checked_all(ledger) == []
    assert number(-0.0) == 0.0
    assert str(number(-0.0)) == "0.0"


def test_what_becomes_of_earlier_facts_is_sealed_when_it_does(ledger: Ledger) -> None:
    stored = added(ledger)
    ledger.record(Record(stored.id, 0, breaches=[BreachFact(breach(NOON), NOON + 1.0)]))
    ledger.record(Record(stored.id, 1, breaches=[BreachFact(breach(NOON), NOON + 1.0)]))
    assert len(seals(ledger, stored.id)) == 2, "said again, nothing became of it"
    ledger.record(Record(stored.id, 2, breaches=[BreachFact(breach(NOON, NOON + 60), NOON + 1.0)]))
    ledger.record(Record(stored.id, 3, breaches=[BreachFact(breach(NOON), NOON + 1.0, unconfirmed=True)]))
    assert seals(ledger, stored.id)[2:] == [(3, 0), (4, 0)]
    (only,) = ledger.breaches(stored.id)
    assert (only.breach.closed_at, only.unconfirmed) == (NOON + 60, True)
    assert checked_all(ledger) == []


def test_threads_that_write_to_one_history_leave_one_chain(ledger: Ledger) -> None:
    stored = added(ledger)
    crowd = [
        threading.Thread(
            target=lambda n=n: [ledger.add_command(NAME, "hold", "ada", f"{n}.{k}", NOON) for k in range(8)]
        )
        for n in range(4)
    ]
    for one in crowd:
        one.start()
    for revision in range(8):
        tick(ledger, stored, revision, revision)
    for one in crowd:
        one.join(60)
    assert len(seals(ledger, stored.id)) == 1 + 8 + 32
    assert checked_all(ledger) == []


def test_a_stream_that_is_cut_reordered_or_doubled_anywhere_is_found(ledger: Ledger) -> None:
    """Exhaustive over a small one, as a bundle or an export is handed over."""
    stored = added(ledger)
    tick(ledger, stored, 1, 0, transitions=[happened("start")], phase=Phase.RAMPING)
    tick(ledger, stored, 2, 1, notifications=[page("a")])
    ledger.add_command(NAME, "hold", "ada", "a look", NOON)
    stream = list(ledger.rows_of(stored.id))
    last = next(place for place in reversed(range(len(stream))) if stream[place][0] == "seals")
    anchors = {stream[last][1]["number"]: stream[last][1]["sha256"]}

    def wrong(rows: list[tuple[str, dict[str, object]]]) -> bool:
        check = Check(stored.id, anchors)
        for table, row in rows:
            check.add(table, row)
        check.end()
        return bool(check.findings)

    assert not wrong(stream)
    for place in range(last + 1):
        assert wrong(stream[:place] + stream[place + 1 :]), f"without {stream[place]}"
        assert wrong([*stream[: place + 1], *stream[place:]]), f"twice {stream[place]}"
        if place < last:
            swapped = [*stream[:place], stream[place + 1], stream[place], *stream[place + 2 :]]
            assert wrong(swapped), f"{stream[place]} after the next"
        table, row = stream[place]
        for column, value in row.items():
            changed = f"{value}x" if isinstance(value, str) else 12345 if not isinstance(value, bool) else not value
            assert wrong([*stream[:place], (table, {**row, column: changed}), *stream[place + 1 :]]), (
                f"{table}.{column}"
            )
            left_out = {name: kept for name, kept in row.items() if name != column}
            assert wrong([*stream[:place], (table, left_out), *stream[place + 1 :]]), f"{table} without {column}"


def older(path: Path) -> Ledger:
    """A ledger as version 0.1 left it: rows, and no seals."""
    ledger = ledger_at(path)
    lived(ledger)
    lived(ledger, a_rollout("cart-3", flag="new-cart"))
    with ledger.writing() as connection:
        connection.exec_driver_sql("DELETE FROM seals")
        for table in tables.FACTS.values():
            if table.name != "rollouts":
                connection.exec_driver_sql(f"UPDATE {table.name} SET seal = NULL")  # noqa: S608
    ledger.close()
    return ledger


def test_what_an_upgrade_finds_is_sealed_as_found_and_goes_on_from_there(tmp_path: Path) -> None:
    older(tmp_path / "old.db")
    ledger = ledger_at(tmp_path / "old.db")
    found = verify(ledger, {})
    assert found.wrong == []
    assert [one.seals for one in found.chains] == [1, 1, 1]
    assert all(one.found_at is not None for one in found.chains)
    stored = next(one for one in ledger.rollouts() if one.name == NAME)
    tick(ledger, stored, 50, stored.revision, transitions=[happened("advanced")], phase=Phase.RAMPING)
    ledger.close()
    again = ledger_at(tmp_path / "old.db")
    assert again.seal(stored.id) is not None
    assert [one.seals for one in verify(again, {}).chains] == [1, 2, 1]
    for statement, says in (
        ("UPDATE transitions SET why = 'x' WHERE id = 1", "transitions row 1 was edited"),
        (
            "DELETE FROM evaluations WHERE rollout = 1 AND at = 1700049690",
            "rows of evaluations are there, 23 were sealed",
        ),
        ("UPDATE steps SET bad = 7 WHERE rollout = 1", "one of the measurements that it covers as found was edited"),
        ("UPDATE breaches SET closed_at = NULL", "its closed_at is none, the seals say"),
    ):
        with again.writing() as connection:
            savepoint = connection.begin_nested()
            connection.exec_driver_sql(statement)
            whats = [one.what for one in checked(connection, 1)]
            savepoint.rollback()
        assert says in whats[0], whats
    again.close()


def test_an_upgrade_that_was_killed_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    older(path)
    ledger = ledger_at(path)
    with ledger.writing() as connection:  # as if it died after the first rollout
        connection.exec_driver_sql("DELETE FROM seals WHERE rollout IN (0, 2)")
        first = connection.exec_driver_sql("SELECT sha256 FROM seals").scalar_one()
    ledger.close()
    again = ledger_at(path)
    assert checked_all(again) == []
    with again.reading() as connection:
        kept = connection.exec_driver_sql("SELECT sha256 FROM seals WHERE rollout = 1").scalar_one()
    again.close()
    assert kept == first


def test_once_sealed_a_rollout_without_seals_is_never_sealed_as_found_again(tmp_path: Path) -> None:
    path = tmp_path / "watchdog.db"
    ledger = ledger_at(path)
    lived(ledger)
    with ledger.writing() as connection:
        connection.exec_driver_sql("DELETE FROM seals WHERE rollout = 1")
    ledger.close()
    again = ledger_at(path)
    assert any("which is not there" in one for one in checked_all(again))
    again.close()


def test_the_schema_of_before_becomes_one_with_seals_without_touching_a_row(tmp_path: Path) -> None:
    """Through the steps themselves: a row of the older schema is there afterwards, and covered by no seal yet."""
    database = Database(f"sqlite:///{tmp_path / 'old.db'}")
    position = next(place for place, step in enumerate(STEPS) if step.name == "0007_seals")
    migrations.migrate(database.reading, database.writing, STEPS[:position], NOON)
    with database.writing() as connection:
        connection.exec_driver_sql(
            "INSERT INTO rollouts VALUES (1, 'old-1', 'shop', '1', 'f', 'act', 't', 'ab', '{}', 'f.yaml', '0.1.0', 1.0)"
        )
        connection.exec_driver_sql("INSERT INTO heads VALUES (1, 0, 'pending', NULL, NULL, '{}')")
        connection.exec_driver_sql("INSERT INTO objectives VALUES (1, 0, 'error_rate')")
        connection.exec_driver_sql("INSERT INTO evaluations VALUES (1, 30, 0, 0, 0, NULL, 0.5, 1, 2, NULL, 0)")
    database.close()
    ledger = ledger_at(tmp_path / "old.db")
    rows = [(table, row["seal"]) for table, row in ledger.rows_of(1) if table != "seals"]
    assert rows == [("rollouts", 1), ("objectives", 1), ("evaluations", 1), ("heads", None)]
    assert checked_all(ledger) == []
    ledger.close()


def test_what_an_outage_kept_is_sealed_when_it_is_recorded(tmp_path: Path, ledger: Ledger) -> None:
    """The emergency journal holds it until then; the seal has the time at which the ledger took it."""
    stored = added(ledger)
    journal = Journal(tmp_path / "watchdog.db.journal")
    journal.append({"rollout": NAME, "phase": "ramping", "at": NOON})
    tick(
        ledger,
        stored,
        1,
        0,
        transitions=[happened("rollback", NOON - HOUR, Phase.ROLLING_BACK)],
        phase=Phase.ROLLING_BACK,
    )
    rows = dict(ledger.rows_of(stored.id))
    assert rows["transitions"]["at"] == NOON - HOUR
    assert rows["seals"]["at"] > NOON, "sealed now, whenever it happened"
    assert checked_all(ledger) == []


def test_a_canonical_line_is_json_without_a_second_way_to_write_it() -> None:
    assert encode(["é", 0.1, 1e22, None, True]) == '["\\u00e9",0.1,1e+22,null,true]'
    assert len({shape.rank for shape in SHAPES.values()}) == len(SHAPES)


def test_nothing_that_a_tick_writes_is_left_out_of_the_shapes(ledger: Ledger) -> None:
    """A column that is added to a table of facts belongs into its shape, or into the list of those that do not."""
    beside = {"drills": {"touched_at"}}  # when it last began a run: it says that the drill lives, and ends with it
    for name, table in tables.FACTS.items():
        columns = {column.name for column in table.c} - {"seal", "rollout"} - beside.get(name, set())
        assert columns == set(SHAPES[name].columns) - {"rollout"}, name
