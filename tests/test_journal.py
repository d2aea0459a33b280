"""The emergency journal: what is appended is there after any crash, until it was recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ledgers import run_child
from watchdog.errors import LedgerError
from watchdog.journal import RESERVE, Journal, journal_path


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "watchdog.db.journal")


def test_what_is_appended_is_there_for_the_next_program(journal: Journal) -> None:
    assert journal.entries() == []
    journal.append({"rollout": "checkout-2.14.0", "why": "5 % ü\nbad", "at": 1.25})
    journal.append({"rollout": "b"})
    assert Journal(journal.path).entries() == [
        {"rollout": "checkout-2.14.0", "why": "5 % ü\nbad", "at": 1.25},
        {"rollout": "b"},
    ]
    assert journal.torn is None


def test_a_torn_last_line_is_left_out_and_said(journal: Journal) -> None:
    journal.append({"n": 1})
    journal.append({"n": 2})
    journal.path.write_bytes(journal.path.read_bytes()[:-4])
    assert journal.entries() == [{"n": 1}]
    assert journal.torn is not None
    assert "line 2 cannot be read" in journal.torn


def test_a_torn_line_does_not_swallow_the_next_entry(journal: Journal) -> None:
    journal.path.write_bytes(b'{"n": 1}\n{"n": 2, "wh')
    journal.append({"n": 3})
    assert journal.entries() == [{"n": 1}, {"n": 3}]
    assert journal.torn is not None
    journal.path.write_bytes(b'{"n": 1}\n')
    journal.entries()
    assert journal.torn is None


def test_settling_removes_what_was_read_and_keeps_what_came_since(journal: Journal) -> None:
    journal.append({"n": 1})
    assert journal.entries() == [{"n": 1}]
    journal.append({"n": 2})
    journal.settle()
    assert journal.entries() == [{"n": 2}]
    journal.settle()
    assert journal.entries() == []
    assert not journal.path.exists()
    assert journal.path.with_name("watchdog.db.journal.settled").read_bytes() == b'{"n":2}\n'
    journal.settle()


def test_without_reading_nothing_is_settled(journal: Journal) -> None:
    journal.append({"n": 1})
    Journal(journal.path).settle()
    assert journal.entries() == [{"n": 1}]


def test_the_reserve_is_set_aside_and_comes_back_after_settling(journal: Journal) -> None:
    reserve = journal.path.with_name("watchdog.db.journal.reserve")
    journal.prepare()
    assert reserve.stat().st_size == RESERVE
    journal.append({"n": 1})
    reserve.unlink()
    journal.entries()
    journal.settle()
    assert reserve.stat().st_size == RESERVE


LIMITED = """
import resource, sys
from pathlib import Path
from watchdog.errors import LedgerError
from watchdog.journal import Journal
journal = Journal(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    for n in range(100):
        journal.append({"n": n})
except LedgerError as exc:
    print(n, exc)
"""


def test_an_entry_that_does_not_fit_is_refused_whole(journal: Journal) -> None:
    child = run_child(LIMITED, str(journal.path))
    said, complaint = child.communicate(timeout=30)
    assert child.returncode == 0, complaint
    fitted = int(said.split()[0])
    assert fitted > 5
    assert f"emergency journal {journal.path}: " in said
    assert journal.entries() == [{"n": n} for n in range(fitted)]
    assert journal.torn is None


def test_on_a_full_disk_the_reserve_is_given_up_before_an_entry_is_refused(journal: Journal) -> None:
    journal.path.symlink_to("/dev/full")
    journal.prepare()
    with pytest.raises(LedgerError, match="No space left on device; give this user a directory"):
        journal.append({"n": 1})
    assert not journal.path.with_name("watchdog.db.journal.reserve").exists()


def test_a_journal_that_cannot_be_written_says_where_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    with pytest.raises(LedgerError, match=r"emergency journal .*journal: Is a directory; give this user a directory"):
        Journal(tmp_path / "journal").append({"n": 1})


def test_a_writer_killed_at_any_moment_loses_no_entry_that_it_confirmed(journal: Journal) -> None:
    writes = (
        "import sys; from pathlib import Path; from watchdog.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "n = len(journal.entries())\n"
        "while True:\n"
        "    journal.append({'n': n, 'why': 'x' * 5000}); n += 1; print(n, flush=True)\n"
    )
    for lines in (1, 4, 9):
        child = run_child(writes, str(journal.path))
        assert child.stdout is not None
        confirmed = [int(child.stdout.readline()) for _ in range(lines)][-1]
        child.kill()
        child.communicate(timeout=30)
        found = journal.entries()
        assert [entry["n"] for entry in found] == list(range(len(found)))
        assert len(found) >= confirmed


def test_the_journal_lies_beside_the_ledger() -> None:
    assert journal_path("sqlite:////var/lib/watchdog/watchdog.db") == Path("/var/lib/watchdog/watchdog.db.journal")
    assert journal_path("postgresql+psycopg://me:secret@host/ledger") == Path("ledger.journal")
