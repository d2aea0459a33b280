"""One ledger, several senders, and a disk that fails: a message is claimed, sent and marked, in this order."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.ledgers import hurried, ledger_at
from tests.outbox import AWAY, BUSY, GONE, Clock, FailingLedger, Outbox, texts
from watchdog.ledger import CLAIM, Ledger
from watchdog.metrics import Metrics
from watchdog.notifiers.memory import InMemoryNotifier
from watchdog.notify import Sender


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = ledger_at(tmp_path / "watchdog.db")
    yield opened
    opened.close()


@pytest.fixture
def outbox(ledger: Ledger, clock: Clock) -> Outbox:
    return Outbox(ledger, clock)


@pytest.fixture
def slack() -> InMemoryNotifier:
    return InMemoryNotifier("slack")


@pytest.fixture
def sender(ledger: Ledger, slack: InMemoryNotifier, clock: Clock) -> Sender:
    return Sender(ledger, [slack], clock)


def test_two_senders_on_one_ledger_double_nothing(
    ledger: Ledger, outbox: Outbox, slack: InMemoryNotifier, sender: Sender, clock: Clock, tmp_path: Path
) -> None:
    with_other = Ledger(f"sqlite:///{tmp_path / 'watchdog.db'}")
    other = Sender(with_other, [slack], clock)
    outbox.record(*"abc")
    (first, *_) = outbox.waiting()
    assert ledger.claim(first.id, "slack", clock.now) is not None
    assert [sender.send_due(clock.now), other.send_due(clock.now)] == [0, 0], "somebody is at it"
    ledger.mark_sent(first.id, "slack", clock.now)
    assert [sender.send_due(clock.now), other.send_due(clock.now)] == [2, 0]
    assert texts(slack) == ["b", "c"]
    with_other.close()


def test_two_senders_side_by_side_share_the_work(outbox: Outbox, clock: Clock, tmp_path: Path) -> None:
    slack = InMemoryNotifier("slack")
    for team in range(5):
        outbox.record(*(f"{team} {number}" for number in range(10)), to=f"team-{team}")

    def work() -> None:
        own = hurried(Ledger(f"sqlite:///{tmp_path / 'watchdog.db'}"))
        sender = Sender(own, [slack], clock)
        while own.backlog("slack", clock.now, 1).waiting:
            sender.send_due(clock.now)
        own.close()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(work), pool.submit(work)]:
            done.result(60)
    assert sorted(texts(slack)) == sorted(f"{team} {number}" for team in range(5) for number in range(10))
    for team in range(5):
        mine = [text for text in texts(slack) if text.startswith(f"{team} ")]
        assert mine == [f"{team} {number}" for number in range(10)], "in order"


@pytest.fixture
def failing(ledger: Ledger, tmp_path: Path) -> Iterator[FailingLedger]:
    opened = FailingLedger(f"sqlite:///{tmp_path / 'watchdog.db'}")
    hurried(opened)
    yield opened
    opened.close()


def test_a_mark_that_could_not_be_written_is_written_later_and_the_message_not_sent_again(
    failing: FailingLedger, outbox: Outbox, slack: InMemoryNotifier, clock: Clock
) -> None:
    sender = Sender(failing, [slack], clock)
    outbox.record("a")
    failing.failing = frozenset({"mark_sent"})
    assert [sender.send_due(clock.now + second) for second in (0, 1, 2, CLAIM + 1)] == [1, 0, 0, 0]
    assert sender.sentence == "slack: nothing is sent while the ledger fails: the disk is full"
    failing.failing = frozenset()
    assert sender.send_due(clock.now + 100) == 0
    assert outbox.waiting() == ()
    assert texts(slack) == ["a"]


def test_a_failure_that_could_not_be_written_keeps_its_wait(
    failing: FailingLedger, outbox: Outbox, slack: InMemoryNotifier, clock: Clock
) -> None:
    slack.fail(BUSY)
    sender = Sender(failing, [slack], clock)
    outbox.record("a")
    failing.failing = frozenset({"mark_failed"})
    assert [sender.send_due(clock.now + second) for second in (0, 1, 119)] == [0, 0, 0]
    failing.failing = frozenset()
    assert [sender.send_due(clock.now + second) for second in (119.5, 120)] == [0, 1]
    assert slack.attempts == 2


def test_nothing_is_sent_that_could_not_be_claimed(
    failing: FailingLedger, outbox: Outbox, slack: InMemoryNotifier, clock: Clock
) -> None:
    sender = Sender(failing, [slack], clock)
    outbox.record("a")
    failing.failing = frozenset({"claim"})
    assert sender.send_due(clock.now) == 0
    assert slack.attempts == 0
    failing.failing = frozenset()
    assert sender.send_due(clock.now) == 1


def test_who_dies_between_sending_and_marking_repeats_once_and_says_that_it_may_be_a_repeat(
    failing: FailingLedger, outbox: Outbox, slack: InMemoryNotifier, clock: Clock
) -> None:
    outbox.record("a", "b")
    failing.failing = frozenset({"mark_sent"})
    dies = Sender(failing, [slack], clock)
    assert dies.send_due(clock.now) == 1
    assert dies.sentence == "slack: sent 1 of 2; the rest waits for the ledger"
    failing.failing = frozenset()
    restarted = Sender(failing, [slack], clock)
    assert restarted.send_due(clock.now + CLAIM - 1) == 0, "whoever began it may still be at it"
    assert restarted.send_due(clock.now + CLAIM) == 2
    assert texts(slack) == ["a", "a", "b"]
    assert slack.again == ["checkout-2.14.0:a"]
    assert len(slack.received) == 2


def test_an_unreadable_ledger_is_said_and_not_raised(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "broken.db"
    ledger = ledger_at(path)
    ledger.close()
    for leftover in tmp_path.glob("broken.db*"):
        leftover.unlink()
    path.write_bytes(b"this is no database" * 100)
    sender = Sender(ledger, [InMemoryNotifier("slack")], clock, Metrics())
    assert sender.send_due(clock.now) == 0
    assert sender.sentence.startswith("slack: nothing is sent while the ledger fails: ledger ")
    ledger.close()


def test_deliveries_and_what_waits_are_counted(
    ledger: Ledger, outbox: Outbox, slack: InMemoryNotifier, clock: Clock
) -> None:
    metrics = Metrics()
    sender = Sender(ledger, [slack], clock, metrics)
    outbox.record("a", "b", "c")
    slack.fail(GONE)
    slack.fail(AWAY)
    clock.now += 5
    sender.send_due(clock.now)
    exposed = metrics.exposition().decode()
    for result, count in (("sent", 0), ("failed", 1), ("refused", 1)):
        assert f'slo_watchdog_notifications_total{{channel="slack",result="{result}"}} {count}.0' in exposed
    assert "slo_watchdog_notifications_unsent 2.0" in exposed
    assert "slo_watchdog_notification_oldest_age_seconds 5.0" in exposed
    assert 'slo_watchdog_notification_channel_paused{channel="slack"} 1.0' in exposed
    clock.now += 30
    sender.send_due(clock.now)
    exposed = metrics.exposition().decode()
    assert "slo_watchdog_notifications_unsent 0.0" in exposed
    assert 'slo_watchdog_notification_channel_paused{channel="slack"} 0.0' in exposed
