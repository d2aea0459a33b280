"""What a person reads when the ledger cannot be used, and what is left in it when a write is cut short."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event

from tests.ledgers import NOON, added, happened, made_ledger, page, passed, run_child
from watchdog.errors import LedgerError
from watchdog.ledger import Record, open_ledger


def test_a_directory_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "watchdog.db").mkdir()
    with pytest.raises(LedgerError, match=r"ledger .*watchdog\.db cannot be opened: it must be a file, in a directory"):
        made_ledger(tmp_path / "watchdog.db")


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"the directory .*nowhere does not exist; create it"):
        made_ledger(tmp_path / "nowhere" / "watchdog.db")


def test_a_place_that_nobody_can_write_is_refused() -> None:
    with pytest.raises(LedgerError, match=r"ledger /proc/watchdog\.db cannot be opened"):
        open_ledger("sqlite:////proc/watchdog.db")


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "watchdog.db"
    path.write_text("rollouts: []\n" * 100)
    with pytest.raises(LedgerError, match=r"watchdog\.db is not a ledger: name another file"):
        made_ledger(path)
    assert path.read_text() == "rollouts: []\n" * 100


def test_the_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "watchdog.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE customers (id)")
    with pytest.raises(LedgerError, match=r"holds tables of another program \(customers\)"):
        made_ledger(path)


def test_a_damaged_ledger_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "watchdog.db"
    ledger = made_ledger(path)
    stored = added(ledger)
    ledger.record(Record(stored.id, 0, evaluations=[("error_rate", passed(NOON + 30 * n, n / 7)) for n in range(2000)]))
    ledger.close()
    whole = path.read_bytes()
    with sqlite3.connect(path) as connection:
        (tables,) = connection.execute("SELECT max(rootpage) FROM sqlite_master").fetchone()
    connection.close()
    kept = tables * 4096  # the first page of every table; the evaluations have more
    path.write_bytes(whole[:kept] + os.urandom(len(whole) - kept))
    says = r"watchdog\.db is damaged: stop the watchdog, move it away"
    with pytest.raises(LedgerError, match=says), closing(made_ledger(path)) as damaged:
        damaged.evaluations(stored.id, None, 0, 2**40)


@contextmanager
def another_writer(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_a_locked_ledger_can_be_opened_and_read_but_says_that_it_is_locked(tmp_path: Path) -> None:
    path = tmp_path / "watchdog.db"
    ledger = made_ledger(path)
    stored = added(ledger)
    with another_writer(path):
        reader = made_ledger(path)
        assert reader.rollout(stored.name) == stored
        reader.ping()
        reader.close()
        with pytest.raises(LedgerError, match=r"watchdog\.db is locked by another program for longer than 5 s"):
            ledger.record(Record(stored.id, 0))
    assert ledger.record(Record(stored.id, 0)) == 1
    ledger.close()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sqlite://", "one in memory forgets"),
        ("sqlite:///:memory:", "one in memory forgets"),
        ("watchdog.db", "the address is not understood; write sqlite:///FILE"),
        ("mysql://host/db", "mysql is not supported; use sqlite:///FILE"),
        ("postgresql+psycopg://me:hunter2@127.0.0.1:1/db", r"postgresql\+psycopg://me:\*\*\*@127.0.0.1:1/db cannot be"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_with_what_to_write(url: str, sentence: str) -> None:
    with pytest.raises(LedgerError, match=sentence) as refused:
        open_ledger(url)
    assert "hunter2" not in str(refused.value)


def test_a_full_disk_keeps_nothing_of_the_tick_and_the_next_one_works_when_there_is_room(tmp_path: Path) -> None:
    ledger = made_ledger(tmp_path / "watchdog.db")
    stored = added(ledger)
    with ledger.reading() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    # SQLite itself refuses to grow beyond this, with the error of a full disk.
    limits = [f"PRAGMA max_page_count = {pages + 1}", "PRAGMA max_page_count = 1000000"]
    event.listen(ledger._engine, "begin", lambda connection: connection.exec_driver_sql(limits[0]))
    many = [("error_rate", passed(NOON + 30 * n, n / 7)) for n in range(2000)]
    tick = Record(stored.id, 0, evaluations=many, notifications=[page("a")])
    with pytest.raises(LedgerError, match=r"watchdog\.db cannot grow, the disk is full: free space"):
        ledger.record(tick)
    assert ledger.rollout(stored.name) == stored
    assert ledger.evaluations(stored.id, None, 0, 2**40) == []
    limits.pop(0)
    assert ledger.record(tick) == 1
    assert len(ledger.evaluations(stored.id, None, 0, 2**40)) == 2000
    ledger.close()


QUOTA = """
import resource, sys
from watchdog.errors import LedgerError
from watchdog.ledger import Record, open_ledger
from watchdog.model import Evaluation, Verdict
ledger = open_ledger(sys.argv[1])
stored = ledger.rollouts()[0]
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
revision = 0
try:
    while True:
        ats = range(revision * 100, revision * 100 + 100)
        evaluations = [("error_rate", Evaluation(at, Verdict.PASS, value=at / 7)) for at in ats]
        revision = ledger.record(Record(stored.id, revision, evaluations=evaluations))
except LedgerError as exc:
    print(revision, exc)
"""


def test_a_file_size_limit_ends_in_a_sentence_and_every_recorded_tick_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "watchdog.db"
    ledger = made_ledger(path)
    stored = added(ledger)
    child = run_child(QUOTA, f"sqlite:///{path}")
    said, complaint = child.communicate(timeout=60)
    assert child.returncode == 0, complaint
    assert "cannot be read or written, the disk refuses" in said
    now = ledger.rollout(stored.name)
    assert now is not None
    assert now.revision == int(said.split()[0]) > 0
    assert len(ledger.evaluations(stored.id, None, -1, 2**40)) == now.revision * 100
    ledger.close()


WRITER = """
import sys
from tests.ledgers import happened, page, passed, step
from watchdog.ledger import Record, open_ledger
ledger = open_ledger(sys.argv[1])
stored = ledger.rollouts()[0]
revision = stored.revision
while True:
    at = 30 * (revision + 1)
    answers = {"evaluations": [("error_rate", passed(at)), ("latency_p95", passed(at))]}
    story = {"transitions": [happened("seen", at)], "notifications": [page(str(at), at)]}
    steps = [("error_rate", step(at))]
    head = {"last_slot": at, "control": {"revision": revision + 1}}
    revision = ledger.record(Record(stored.id, revision, steps=steps, **head, **answers, **story))
    print(revision, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_whole_ticks(tmp_path: Path) -> None:
    path = tmp_path / "watchdog.db"
    ledger = made_ledger(path)
    stored = added(ledger)
    for ticks in (1, 3, 8, 15):
        child = run_child(WRITER, f"sqlite:///{path}")
        assert child.stdout is not None
        said = [int(child.stdout.readline()) for _ in range(ticks)][-1]
        child.kill()
        child.communicate(timeout=30)
        now = ledger.rollout(stored.name)
        assert now is not None
        assert now.revision >= said
        assert now.control == {"revision": now.revision}
        assert now.last_slot == 30 * now.revision
        assert len(ledger.evaluations(stored.id, None, 0, 2**40)) == 2 * now.revision
        assert len(ledger.steps(stored.id, None, 0, 2**40)) == now.revision
        assert len(ledger.transitions(stored.id)) == len(ledger.notifications_of(stored.id)) == now.revision
        with ledger.reading() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
    ledger.close()


def test_an_error_inside_a_transaction_keeps_nothing(tmp_path: Path) -> None:
    ledger = made_ledger(tmp_path / "watchdog.db")
    stored = added(ledger)
    with pytest.raises(TypeError, match="not JSON serializable"):
        ledger.record(Record(stored.id, 0, transitions=[happened("start")], control={"set": {1}}))
    assert ledger.rollout(stored.name) == stored
    assert ledger.transitions(stored.id) == []
    ledger.close()
