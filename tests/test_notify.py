"""Messages are sent from the ledger: each once, in order, whatever fails meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledgers import NOON, added, ledger_at, page
from watchdog.errors import LedgerError, NotifierError
from watchdog.ledger import Ledger, Record, StoredRollout
from watchdog.metrics import Metrics
from watchdog.model import Notification
from watchdog.notifiers.base import Notifier
from watchdog.notifiers.memory import InMemoryNotifier
from watchdog.notify import LONGEST_WAIT, ROUND, Sender, wait_after

DOWN = NotifierError("slack answered 503")
GONE = NotifierError("slack knows no channel #deploys", permanent=True)


class Clock:
    """Wall time that a test moves."""

    def __init__(self) -> None:
        self.now = float(NOON)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = ledger_at(tmp_path / "watchdog.db")
    yield opened
    opened.close()


@pytest.fixture
def rollout(ledger: Ledger) -> StoredRollout:
    return added(ledger)


def record(ledger: Ledger, rollout: StoredRollout, *keys: str) -> None:
    stored = ledger.rollout(rollout.name)
    assert stored is not None
    ledger.record(Record(stored.id, stored.revision, notifications=[page(key) for key in keys]))


def keys(channel: InMemoryNotifier) -> list[str]:
    return [notification.key for _, notification in channel.sent]


def test_a_message_is_sent_once_on_every_channel(ledger: Ledger, rollout: StoredRollout, clock: Clock) -> None:
    slack, pager = InMemoryNotifier("slack"), InMemoryNotifier("pagerduty")
    sender = Sender(ledger, [slack, pager], clock)
    record(ledger, rollout, "a", "b")
    assert sender.send_due(clock.now) == 4
    assert sender.send_due(clock.now) == 0
    assert keys(slack) == keys(pager) == ["a", "b"]
    assert slack.sent[0] == (rollout.name, page("a"))
    assert sender.sentence == "nothing is due"
    deliveries = [delivery for stored in ledger.notifications_of(rollout.id) for delivery in stored.deliveries]
    assert {delivery.sent_at for delivery in deliveries} == {clock.now}


def test_a_restarted_sender_sends_nothing_again(ledger: Ledger, rollout: StoredRollout, clock: Clock) -> None:
    slack = InMemoryNotifier("slack")
    record(ledger, rollout, "a")
    assert [Sender(ledger, [slack], clock).send_due(clock.now) for _ in range(3)] == [1, 0, 0]


def test_without_a_channel_messages_are_recorded_and_nothing_is_sent(
    ledger: Ledger, rollout: StoredRollout, clock: Clock
) -> None:
    metrics = Metrics()
    sender = Sender(ledger, [], clock, metrics)
    record(ledger, rollout, "a")
    assert sender.send_due(clock.now) == 0
    assert len(ledger.notifications_of(rollout.id)) == 1
    assert b"slo_watchdog_notifications_unsent 0.0" in metrics.exposition()


def test_a_failed_message_is_tried_again_later_and_later(ledger: Ledger, rollout: StoredRollout, clock: Clock) -> None:
    slack = InMemoryNotifier("slack")
    slack.fail(DOWN, times=7)
    sender = Sender(ledger, [slack], clock)
    record(ledger, rollout, "a")
    waits = []
    for attempt in range(1, 8):
        assert sender.send_due(clock.now) == 0
        assert slack.attempts == attempt
        ((delivery,),) = (stored.deliveries for stored in ledger.notifications_of(rollout.id))
        assert delivery.error == str(DOWN)
        assert delivery.next_try_at is not None
        waits.append(delivery.next_try_at - clock.now)
        clock.now = delivery.next_try_at - 0.001
        assert sender.send_due(clock.now) == 0
        assert slack.attempts == attempt
        clock.now = delivery.next_try_at
    for wait, wanted in zip(waits, (30, 60, 120, 240, 480, 900, 900), strict=True):
        assert 0.9 * wanted <= wait <= wanted
    assert sender.send_due(clock.now) == 1
    assert keys(slack) == ["a"]


def test_waits_are_the_same_on_every_run_and_differ_between_messages() -> None:
    assert wait_after(7, 3) == wait_after(7, 3)
    assert len({wait_after(message, 1) for message in range(100)}) > 90
    assert max(wait_after(message, 10_000) for message in range(100)) <= LONGEST_WAIT


def test_a_message_refused_for_good_is_not_tried_again_and_the_next_is_sent(
    ledger: Ledger, rollout: StoredRollout, clock: Clock
) -> None:
    slack = InMemoryNotifier("slack")
    slack.fail(GONE)
    sender = Sender(ledger, [slack], clock)
    record(ledger, rollout, "a", "b")
    assert sender.send_due(clock.now) == 1
    assert sender.sentence == "slack: sent 1 of 2, 1 refused for good"
    clock.now += 86_400
    assert sender.send_due(clock.now) == 0
    assert keys(slack) == ["b"]


def test_a_channel_that_fails_is_tried_once_a_round_and_keeps_no_later_message_back_for_ever(
    ledger: Ledger, rollout: StoredRollout, clock: Clock
) -> None:
    slack = InMemoryNotifier("slack")
    slack.fail(DOWN)
    sender = Sender(ledger, [slack], clock)
    record(ledger, rollout, "a", "b", "c")
    assert sender.send_due(clock.now) == 0
    assert slack.attempts == 1
    assert sender.sentence.startswith("slack: sent 0 of 3, one is tried again in ")
    assert sender.sentence.endswith(str(DOWN))
    clock.now += 1
    assert sender.send_due(clock.now) == 2
    clock.now += 30
    assert sender.send_due(clock.now) == 1
    assert keys(slack) == ["b", "c", "a"]


def test_one_channel_that_fails_keeps_nothing_from_another(
    ledger: Ledger, rollout: StoredRollout, clock: Clock
) -> None:
    slack, pager = InMemoryNotifier("slack"), InMemoryNotifier("pagerduty")
    slack.fail(DOWN, times=100)
    sender = Sender(ledger, [slack, pager], clock)
    record(ledger, rollout, "a", "b")
    assert sender.send_due(clock.now) == 2
    assert keys(pager) == ["a", "b"]


class Slow:
    """A channel that takes `seconds` for each message."""

    name = "slow"

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock = clock
        self.seconds = seconds
        self.sent: list[str] = []

    def send(self, notification: Notification, rollout: str) -> None:
        self.clock.now += self.seconds
        self.sent.append(notification.key)


def test_a_slow_channel_ends_its_round_in_time_and_goes_on_in_the_next(
    ledger: Ledger, rollout: StoredRollout, clock: Clock
) -> None:
    slow = Slow(clock, ROUND / 2)
    sender = Sender(ledger, [slow], clock)
    record(ledger, rollout, *"abcde")
    assert sender.send_due(clock.now) == 3
    assert sender.sentence == "slow: sent 3 of 5, it is slow; the rest follows"
    assert sender.send_due(clock.now) == 2
    assert slow.sent == list("abcde")


def test_channels_send_side_by_side(ledger: Ledger, rollout: StoredRollout, clock: Clock) -> None:
    together = threading.Barrier(2, timeout=10)

    class Meets(InMemoryNotifier):
        def send(self, notification: Notification, rollout: str) -> None:
            together.wait()
            super().send(notification, rollout)

    channels: list[Notifier] = [Meets("slack"), Meets("pagerduty")]
    record(ledger, rollout, "a")
    assert Sender(ledger, channels, clock).send_due(clock.now) == 2


def test_an_error_that_is_not_the_channels_own_is_raised_after_the_others_have_sent(
    ledger: Ledger, rollout: StoredRollout, clock: Clock
) -> None:
    class Broken(InMemoryNotifier):
        def send(self, notification: Notification, rollout: str) -> None:
            raise ZeroDivisionError

    pager = InMemoryNotifier("pagerduty")
    record(ledger, rollout, "a", "b")
    with pytest.raises(ZeroDivisionError):
        Sender(ledger, [Broken("broken"), pager], clock).send_due(clock.now)
    assert keys(pager) == ["a", "b"]


class Forgetful(Ledger):
    """A real ledger whose marks fail while `failing`: a full disk, between reading and writing."""

    failing = False

    def mark_sent(self, notification_id: int, channel: str, now: float) -> None:
        if self.failing:
            raise LedgerError("the disk is full")
        super().mark_sent(notification_id, channel, now)

    def mark_failed(
        self,
        notification_id: int,
        channel: str,
        now: float,
        error: str,
        next_try_at: float | None,
        *,
        permanent: bool,
    ) -> None:
        if self.failing:
            raise LedgerError("the disk is full")
        super().mark_failed(notification_id, channel, now, error, next_try_at, permanent=permanent)


@pytest.fixture
def forgetful(ledger: Ledger, tmp_path: Path) -> Iterator[Forgetful]:
    opened = Forgetful(f"sqlite:///{tmp_path / 'watchdog.db'}")
    yield opened
    opened.close()


def test_a_mark_that_could_not_be_written_is_written_later_and_the_message_not_sent_again(
    forgetful: Forgetful, rollout: StoredRollout, clock: Clock
) -> None:
    slack = InMemoryNotifier("slack")
    sender = Sender(forgetful, [slack], clock)
    record(forgetful, rollout, "a")
    forgetful.failing = True
    assert [sender.send_due(clock.now + second) for second in range(3)] == [1, 0, 0]
    forgetful.failing = False
    assert sender.send_due(clock.now + 10) == 0
    assert forgetful.unsent_count() == 0
    assert keys(slack) == ["a"]


def test_a_failure_that_could_not_be_written_keeps_its_wait(
    forgetful: Forgetful, rollout: StoredRollout, clock: Clock
) -> None:
    slack = InMemoryNotifier("slack")
    slack.fail(DOWN)
    sender = Sender(forgetful, [slack], clock)
    record(forgetful, rollout, "a")
    forgetful.failing = True
    assert [sender.send_due(clock.now + second) for second in (0, 1, 26)] == [0, 0, 0]
    assert slack.attempts == 1
    assert sender.send_due(clock.now + 30) == 1
    assert keys(slack) == ["a"]


def test_who_dies_between_sending_and_marking_repeats_once_with_the_same_key(
    forgetful: Forgetful, rollout: StoredRollout, clock: Clock
) -> None:
    slack = InMemoryNotifier("slack")
    record(forgetful, rollout, "a")
    forgetful.failing = True
    Sender(forgetful, [slack], clock).send_due(clock.now)
    forgetful.failing = False
    assert [Sender(forgetful, [slack], clock).send_due(clock.now) for _ in range(2)] == [1, 0]
    assert keys(slack) == ["a", "a"]
    assert len(slack.received) == 1


def test_an_unreadable_ledger_is_said_and_not_raised(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "broken.db"
    ledger = ledger_at(path)
    ledger.close()
    for leftover in tmp_path.glob("broken.db*"):
        leftover.unlink()
    path.write_bytes(b"this is no database" * 100)
    sender = Sender(ledger, [InMemoryNotifier("slack")], clock, Metrics())
    assert sender.send_due(clock.now) == 0
    assert sender.sentence.startswith("nothing is sent while the ledger fails: ledger ")
    ledger.close()


def test_deliveries_and_what_waits_are_counted(ledger: Ledger, rollout: StoredRollout, clock: Clock) -> None:
    slack, metrics = InMemoryNotifier("slack"), Metrics()
    sender = Sender(ledger, [slack], clock, metrics)
    record(ledger, rollout, "a", "b", "c")
    slack.fail(GONE)
    slack.fail(DOWN)
    clock.now += 5
    sender.send_due(clock.now)
    clock.now += 1
    sender.send_due(clock.now)
    exposed = metrics.exposition().decode()
    for result in ("sent", "failed", "refused"):
        assert f'slo_watchdog_notifications_total{{channel="slack",result="{result}"}} 1.0' in exposed
    assert "slo_watchdog_notifications_unsent 1.0" in exposed
    assert "slo_watchdog_notification_oldest_age_seconds 6.0" in exposed
