"""Messages are due until a channel took them; commands are pending until a tick says what came of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledgers import NOON, a_rollout, added, ledger_at, page
from watchdog.errors import LedgerError, Refused
from watchdog.ledger import Delivery, Ledger, Record, StoredReport, StoredRollout, Unsent
from watchdog.model import Command

CHANNELS = ("pagerduty", "slack")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = ledger_at(tmp_path / "watchdog.db")
    yield opened
    opened.close()


@pytest.fixture
def rollout(ledger: Ledger) -> StoredRollout:
    return added(ledger)


def due(ledger: Ledger, now: float = NOON, limit: int = 10) -> list[tuple[str, str]]:
    return [(unsent.channel, unsent.notification.key) for unsent in ledger.unsent(CHANNELS, now, limit)]


def test_a_message_is_due_on_every_channel_until_each_took_it(ledger: Ledger, rollout: StoredRollout) -> None:
    ledger.record(Record(rollout.id, 0, notifications=[page("a"), page("b")]))
    first = ledger.unsent(CHANNELS, NOON, 10)[0]
    assert first == Unsent(first.id, rollout.name, "pagerduty", page("a"))
    assert due(ledger) == [("pagerduty", "a"), ("slack", "a"), ("pagerduty", "b"), ("slack", "b")]
    assert (ledger.unsent_count(), ledger.oldest_unsent_age(NOON + 7.5)) == (4, 7.5)
    ledger.mark_sent(first.id, "pagerduty", NOON + 1)
    assert due(ledger) == [("slack", "a"), ("pagerduty", "b"), ("slack", "b")]
    for unsent in ledger.unsent(CHANNELS, NOON, 10):
        ledger.mark_sent(unsent.id, unsent.channel, NOON + 2)
    assert due(ledger) == []
    assert (ledger.unsent_count(), ledger.oldest_unsent_age(NOON + 9)) == (0, 0.0)


def test_the_limit_is_of_each_channel_so_that_one_cannot_starve_another(ledger: Ledger, rollout: StoredRollout) -> None:
    ledger.record(Record(rollout.id, 0, notifications=[page("a"), page("b"), page("c")]))
    assert due(ledger, limit=1) == [("pagerduty", "a"), ("slack", "a")]


def test_a_failed_message_is_due_again_when_its_time_comes(ledger: Ledger, rollout: StoredRollout) -> None:
    ledger.record(Record(rollout.id, 0, notifications=[page("a")]))
    (unsent, _) = ledger.unsent(CHANNELS, NOON, 10)
    ledger.mark_failed(unsent.id, "pagerduty", NOON, "503", NOON + 60, permanent=False)
    assert due(ledger, NOON + 59) == [("slack", "a")]
    assert ledger.unsent_count() == 2
    assert [(again.channel, again.attempts) for again in ledger.unsent(CHANNELS, NOON + 60, 10)] == [
        ("pagerduty", 1),
        ("slack", 0),
    ]
    ledger.mark_failed(unsent.id, "pagerduty", NOON + 60, "still 503", NOON + 120, permanent=False)
    ledger.mark_sent(unsent.id, "pagerduty", NOON + 121)
    (stored,) = ledger.notifications_of(rollout.id)
    assert stored.notification == page("a")
    assert stored.deliveries == (Delivery("pagerduty", 3, NOON + 121, None, given_up=False, error="still 503"),)


def test_a_message_refused_for_good_is_not_due_again(ledger: Ledger, rollout: StoredRollout) -> None:
    ledger.record(Record(rollout.id, 0, notifications=[page("a")]))
    (unsent, _) = ledger.unsent(CHANNELS, NOON, 10)
    ledger.mark_failed(unsent.id, "slack", NOON, "no such channel", None, permanent=True)
    assert due(ledger, NOON + 1e6) == [("pagerduty", "a")]
    assert ledger.unsent_count() == 1


def test_without_a_channel_a_message_is_recorded_and_not_due(ledger: Ledger, rollout: StoredRollout) -> None:
    ledger.record(Record(rollout.id, 0, notifications=[page("a")]))
    assert ledger.unsent([], NOON, 10) == []
    assert (ledger.unsent_count(), ledger.oldest_unsent_age(NOON)) == (0, 0.0)
    assert len(ledger.notifications_of(rollout.id)) == 1


def test_a_channel_added_later_is_not_told_the_whole_past(ledger: Ledger, rollout: StoredRollout) -> None:
    ledger.record(Record(rollout.id, 0, notifications=[page("old", NOON - 86_401.0), page("recent", NOON - 86_400.0)]))
    assert due(ledger, NOON) == [("pagerduty", "recent"), ("slack", "recent")]


def test_a_known_channel_is_told_however_late_it_is(tmp_path: Path) -> None:
    before = ledger_at(tmp_path / "watchdog.db")
    rollout = added(before)
    assert due(before, NOON) == []
    before.record(Record(rollout.id, 0, notifications=[page("a", NOON + 1.0)]))
    before.close()
    restarted = ledger_at(tmp_path / "watchdog.db")
    assert due(restarted, NOON + 30 * 86_400) == [("pagerduty", "a"), ("slack", "a")]
    restarted.close()


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
