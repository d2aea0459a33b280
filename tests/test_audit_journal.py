"""A ledger that is down costs no audit entry, delays no kill, and lets nothing be raised."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.auditing import FLAG, Audit, off, to
from tests.ledgers import run_child
from watchdog.audit import audited, open_changes
from watchdog.errors import FlagServiceError, LedgerError
from watchdog.ledger import open_ledger


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    return Audit(tmp_path, actions={"ops.shutdown": "emergency"})


def test_nothing_is_raised_without_a_record(audit: Audit) -> None:
    with audit.ledger_down():
        with pytest.raises(
            FlagServiceError, match=r"it is not raised to 10%, because that could not be recorded first"
        ):
            audit.service.set(FLAG, to(10))
        assert audit.flags.calls["set"] == 0
    assert audit.flags.read(FLAG).exposure.none


def test_a_kill_while_the_ledger_is_down_is_done_at_once_and_recorded_later_in_order(audit: Audit) -> None:
    audit.service.set(FLAG, to(50))
    with audit.ledger_down():
        audit.service.set(FLAG, to(20, why="lower"))
        audit.service.kill(FLAG, off(rollout="checkout-1"))
        assert audit.flags.read(FLAG).exposure.none
        assert "cannot be opened" in audit.changes.trouble
        assert (audit.changes.waiting, audit.journaled) == (2, 2)
    audit.later()
    audit.service.set("other", to(1))
    assert audit.told()[3:] == [("set", "applied"), ("kill", "applied")]
    assert [row.version for row in audit.rows()[-2:]] == [3, 4]
    assert audit.rows()[-1].id < audit.rows("other")[0].id
    assert (audit.changes.waiting, audit.journaled, audit.changes.trouble) == (0, 0, "")
    found = audit.changes.verify()
    assert (found.findings, found.waiting) == ((), 0)


def test_an_emergency_flag_is_switched_on_whatever_the_ledger_does(audit: Audit) -> None:
    with audit.ledger_down():
        assert audit.service.set("ops.shutdown", to(100)).exposure.percent == 100
    audit.later()
    audit.changes.flush()
    assert audit.told("ops.shutdown") == [("emergency", "applied")]


def test_what_a_dead_process_left_in_the_journal_is_taken_in_by_the_next(audit: Audit) -> None:
    audit.service.set(FLAG, to(50))
    with audit.ledger_down():
        audit.service.kill(FLAG, off())
    changes, service = audit.process()
    changes.prepare()
    assert audit.told()[-1] == ("kill", "applied")
    service.read(FLAG)
    assert audit.told()[-1] == ("kill", "applied")


def test_a_journal_that_is_taken_in_twice_is_recorded_once(audit: Audit) -> None:
    audit.service.set(FLAG, to(50))
    with audit.ledger_down():
        audit.service.kill(FLAG, off())
    left = audit.changes.journal.path.read_bytes()
    audit.changes.flush()
    audit.changes.journal.path.write_bytes(left)
    audit.changes.flush()
    assert audit.told().count(("kill", "applied")) == 1
    assert audit.changes.verify().sound


def test_a_line_that_was_torn_or_is_foreign_is_told_and_stands_in_nobodys_way(audit: Audit) -> None:
    audit.service.set(FLAG, to(50))
    with audit.ledger_down():
        audit.service.kill(FLAG, off())
    with audit.changes.journal.path.open("a") as file:
        file.write(json.dumps({"rollout": "x"}) + "\n" + '{"uid": "half')
    audit.changes.flush()
    assert audit.told()[-1] == ("kill", "applied")
    problems = [str(line["problem"]) for event, line in audit.lines if event == "flag audit"]
    assert any("is not a flag change" in one for one in problems)
    assert any("cannot be read" in one for one in problems)


def test_without_ledger_and_without_disk_the_entry_is_in_the_log_and_in_memory(audit: Audit) -> None:
    audit.service.set(FLAG, to(50))
    journal = audit.changes.journal.path
    with audit.ledger_down():
        journal.mkdir()
        audit.service.kill(FLAG, off(why="nowhere to write"))
        journal.rmdir()
        assert any("nowhere to write" in str(line.get("problem")) for _, line in audit.lines)
    audit.later()
    audit.changes.flush()
    assert audit.told()[-1] == ("kill", "applied")


def test_a_ledger_that_cannot_be_opened_at_all_leaves_the_journal(audit: Audit) -> None:
    audit.service.set(FLAG, to(50))
    with audit.ledger_down():
        tries = []

        def opening() -> object:
            tries.append(audit.now)
            return open_ledger(audit.url)

        changes = open_changes(audit.url, opening, lambda: audit.now)  # type: ignore[arg-type]
        service = audited(audit.flags, "flags", changes, lambda: audit.now)
        service.kill(FLAG, off("ada"))
        assert len(tries) == 1
        assert changes.trouble
        with pytest.raises(LedgerError, match="cannot be opened"):
            changes.verify()
    audit.changes.flush()
    assert audit.told()[-1] == ("kill", "applied")


KILL = """
import sys
from tests.test_audit_journal import kill_without_ledger
kill_without_ledger(sys.argv[1], sys.argv[2])
"""


def kill_without_ledger(url: str, who: str) -> None:
    """What each process of the next test does."""

    def opening() -> object:
        raise LedgerError("the ledger is away")

    changes = open_changes(url, opening, lambda: 1.7e9)  # type: ignore[arg-type]
    from watchdog.flags.memory import InMemoryFlags  # noqa: PLC0415 - runs in a process of its own

    service = audited(InMemoryFlags([FLAG]), "flags", changes, lambda: 1.7e9)
    for number in range(20):
        service.kill(FLAG, off(who, rollout=f"{who}-{number}"))


def test_processes_that_use_the_journal_while_another_takes_it_in_lose_nothing(audit: Audit) -> None:
    writers = [run_child(KILL, audit.url, who) for who in ("ada", "eve")]
    while any(writer.poll() is None for writer in writers):
        audit.changes.flush()
    for writer in writers:
        _, error = writer.communicate(timeout=60)
        assert writer.returncode == 0, error
    audit.changes.flush()
    rollouts = {row.change.rollout for row in audit.rows() if row.change.action == "kill"}
    assert rollouts == {f"{who}-{number}" for who in ("ada", "eve") for number in range(20)}
    assert audit.changes.verify().sound
