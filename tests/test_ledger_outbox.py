"""What people were told is read back; commands are pending until a tick says what came of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledgers import NOON, a_rollout, added, ledger_at, page
from watchdog.errors import LedgerError, Refused
from watchdog.ledger import Ledger, Record, StoredReport, StoredRollout
from watchdog.model import Command, Notification, Severity


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = ledger_at(tmp_path / "watchdog.db")
    yield opened
    opened.close()


@pytest.fixture
def rollout(ledger: Ledger) -> StoredRollout:
    return added(ledger)


def test_a_rollouts_messages_are_read_back_in_order_without_those_that_only_pipelines_get(
    ledger: Ledger, rollout: StoredRollout
) -> None:
    for_pipelines = Notification("transition", "t", Severity.INFO, "started", NOON)
    ledger.record(Record(rollout.id, 0, notifications=[page("a"), for_pipelines, page("b")]))
    assert [item.notification for item in ledger.notifications_of(rollout.id)] == [page("a"), page("b")]
    assert [message.key for _, message in ledger.recorded(rollout.id)] == ["a", "t", "b"]


def test_who_listens_is_told_of_what_was_recorded_and_of_reports(ledger: Ledger, rollout: StoredRollout) -> None:
    heard: list[int] = []
    ledger.told = lambda: heard.append(len(ledger.notifications_of(rollout.id)))
    ledger.record(Record(rollout.id, 0))
    ledger.record(Record(rollout.id, 1, notifications=[page("a")]))
    ledger.save_report(rollout.id, "interim", "html", "reports/a.html", "ab", NOON)
    assert ledger.tell_once(rollout.id, page("a")) is False
    assert ledger.tell_once(rollout.id, page("b")) is True
    assert heard == [1, 1, 2]


def test_a_command_is_pending_until_a_tick_records_its_outcome(ledger: Ledger, rollout: StoredRollout) -> None:
    other = added(ledger, a_rollout("b"))
    hold = ledger.add_command(rollout.name, "hold", "ada", "lunch", NOON + 0.5)
    stop = ledger.add_command(rollout.name, "stop", "ben", "no longer wanted", NOON + 1.5)
    assert ledger.any_pending() == {rollout.id}
    assert ledger.pending_commands(rollout.id) == [
        Command(hold, "hold", "ada", "lunch", NOON + 0.5),
        Command(stop, "stop", "ben", "no longer wanted", NOON + 1.5),
    ]
    assert ledger.pending_commands(other.id) == []
    ledger.record(Record(other.id, 0, commands_done=[(hold, "not its own")]))
    ledger.record(Record(rollout.id, 0, commands_done=[(hold, "held at 10%"), (stop, "stopped")]))
    ledger.record(Record(rollout.id, 1, commands_done=[(hold, "a second outcome")]))
    assert ledger.any_pending() == set()
    assert [(command.id, outcome) for command, outcome in ledger.commands(rollout.id)] == [
        (hold, "held at 10%"),
        (stop, "stopped"),
    ]


def test_a_command_for_an_unknown_rollout_is_refused(ledger: Ledger) -> None:
    with pytest.raises(Refused, match=r"rollout typo: the ledger .* has none of that name"):
        ledger.add_command("typo", "hold", "ada", "", NOON)


def test_reports_are_noted_and_an_amended_one_is_one_more(ledger: Ledger, rollout: StoredRollout) -> None:
    ledger.save_report(rollout.id, "interim", "html", "reports/a.html", "ab", NOON + 0.5)
    ledger.save_report(rollout.id, "interim", "html", "reports/a-2.html", "cd", NOON + 1.5)
    assert ledger.reports(rollout.id) == [
        StoredReport(NOON + 0.5, "interim", "html", "reports/a.html", "ab"),
        StoredReport(NOON + 1.5, "interim", "html", "reports/a-2.html", "cd"),
    ]


def test_a_fact_about_nothing_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="refused a row: FOREIGN KEY"):
        ledger.save_report(7, "interim", "html", "reports/a.html", "ab", NOON)
