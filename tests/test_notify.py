"""Messages are sent from the ledger: each once, in order, whatever fails meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledgers import ledger_at
from tests.outbox import (
    AWAY,
    BUSY,
    DOWN,
    GONE,
    NO_KEY,
    Broken,
    Clock,
    InTwoParts,
    Outbox,
    Paced,
    texts,
)
from watchdog.errors import NotifierError
from watchdog.ledger import Ledger
from watchdog.messages import Message
from watchdog.metrics import Metrics
from watchdog.model import Severity
from watchdog.notifiers.base import Memo
from watchdog.notifiers.memory import InMemoryNotifier
from watchdog.notify import Sender
from watchdog.notify.lane import ROUND
from watchdog.notify.waits import LONGEST_WAIT, wait_after


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


def test_a_message_is_sent_once_on_every_channel(ledger: Ledger, outbox: Outbox, clock: Clock) -> None:
    slack, mail = InMemoryNotifier("slack"), InMemoryNotifier("email")
    sender = Sender(ledger, [slack, mail], clock)
    outbox.record("a", "b")
    assert sender.send_due(clock.now) == 4
    assert sender.send_due(clock.now) == 0
    assert texts(slack) == texts(mail) == ["a", "b"]
    assert slack.sent[0][0] == "checkout-2.14.0"
    assert slack.again == []
    assert sender.sentence == "slack: nothing is due; email: nothing is due"
    assert {delivery.sent_at for delivery in outbox.deliveries().values()} == {clock.now}


def test_a_restarted_sender_sends_nothing_again(
    ledger: Ledger, outbox: Outbox, slack: InMemoryNotifier, clock: Clock
) -> None:
    outbox.record("a")
    assert [Sender(ledger, [slack], clock).send_due(clock.now) for _ in range(3)] == [1, 0, 0]


def test_without_a_channel_messages_are_recorded_and_nothing_is_sent(
    ledger: Ledger, outbox: Outbox, clock: Clock
) -> None:
    metrics = Metrics()
    sender = Sender(ledger, [], clock, metrics)
    outbox.record("a")
    assert sender.send_due(clock.now) == 0
    assert sender.sentence == "there is no channel"
    assert len(ledger.notifications_of(outbox.rollout().id)) == 1
    assert b"slo_watchdog_notifications_unsent 0.0" in metrics.exposition()


def test_a_failed_message_is_tried_again_later_and_later(
    outbox: Outbox, slack: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    slack.fail(DOWN, times=7)
    outbox.record("a")
    waits = []
    for attempt in range(1, 8):
        assert sender.send_due(clock.now) == 0
        assert slack.attempts == attempt
        delivery = outbox.deliveries()["a"]
        assert (delivery.attempts, delivery.error) == (attempt, str(DOWN))
        assert delivery.next_try_at is not None
        waits.append(delivery.next_try_at - clock.now)
        clock.now = delivery.next_try_at - 0.001
        assert sender.send_due(clock.now) == 0
        assert slack.attempts == attempt
        clock.now = delivery.next_try_at
    for wait, wanted in zip(waits, (30, 60, 120, 240, 480, 900, 900), strict=True):
        assert 0.9 * wanted <= wait <= wanted
    assert sender.send_due(clock.now) == 1
    assert texts(slack) == ["a"]


def test_waits_are_the_same_on_every_run_and_differ_between_messages() -> None:
    assert wait_after(7, 3) == wait_after(7, 3)
    assert len({wait_after(message, 1) for message in range(100)}) > 90
    assert max(wait_after(message, 10_000) for message in range(100)) <= LONGEST_WAIT


def test_a_message_that_fails_holds_up_its_own_rollout_and_no_other(
    outbox: Outbox, slack: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    outbox.record("a", "b")
    outbox.record("c", "d", to="search-7")
    slack.fail(DOWN)
    assert sender.send_due(clock.now) == 2
    assert texts(slack) == ["c", "d"]
    clock.now += 30
    assert sender.send_due(clock.now) == 2
    assert texts(slack) == ["c", "d", "a", "b"], "nobody reads of an end before its beginning"
    assert slack.again == ["checkout-2.14.0:a"], "the failed attempt may have gone through"


def test_a_message_refused_for_good_is_not_tried_again_and_the_next_is_sent(
    outbox: Outbox, slack: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    slack.fail(GONE)
    outbox.record("a", "b")
    assert sender.send_due(clock.now) == 1
    clock.now += 86_400
    assert sender.send_due(clock.now) == 0
    assert texts(slack) == ["b"]
    given_up = outbox.deliveries()["a"]
    assert (given_up.given_up, given_up.withheld, given_up.error) == (True, False, str(GONE))


def test_an_unreachable_channel_is_paused_and_then_probed_with_the_most_severe_message(
    outbox: Outbox, slack: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    outbox.record("news")
    outbox.record("more", to="search-7")
    slack.fail(AWAY, times=2)
    assert sender.send_due(clock.now) == 0
    assert slack.attempts == 1, "what fails for the channel's sake is not tried with another message"
    outbox.record("fire", to="pay-3", kind="drift", severity=Severity.CRITICAL)
    clock.now += 26
    assert sender.send_due(clock.now) == 0
    assert slack.attempts == 1
    clock.now += 4
    assert sender.send_due(clock.now) == 0
    assert slack.attempts == 2, "one probe"
    assert outbox.deliveries(of="pay-3")["fire"].attempts == 1
    clock.now += 53
    assert sender.send_due(clock.now) == 0, "a channel that fails again is left alone for longer"
    assert slack.attempts == 2
    clock.now += 7
    assert sender.send_due(clock.now) == 3
    assert texts(slack) == ["fire", "news", "more"]


def test_a_channel_that_names_a_time_is_never_asked_before_it_whatever_happens(
    ledger: Ledger, outbox: Outbox, slack: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    outbox.record("a")
    slack.fail(BUSY)
    sender.send_due(clock.now)
    outbox.record("fire", to="pay-3", kind="drift", severity=Severity.CRITICAL)
    restarted = Sender(ledger, [slack], clock)
    clock.now += 119.999
    assert [one.send_due(clock.now) for one in (sender, restarted)] == [0, 0]
    assert restarted.sentence == "slack: 2 wait, it is left alone for 0 s"
    assert slack.attempts == 1
    clock.now += 0.001
    assert restarted.send_due(clock.now) == 2
    assert texts(slack) == ["fire", "a"]


def test_a_channel_that_may_be_asked_again_at_once_is_still_given_a_second(
    outbox: Outbox, slack: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    outbox.record("a")
    slack.fail(NotifierError("429", retry_after=0.0, everything=True), times=2)
    for attempts in (1, 2):
        assert sender.send_due(clock.now) == 0
        assert slack.attempts == attempts
        clock.now += 1.0
    assert sender.send_due(clock.now) == 1


def test_what_somebody_must_mend_is_waited_for_a_day(
    outbox: Outbox, slack: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    outbox.record("a", "b")
    slack.fail(NO_KEY, times=1000)
    began = clock.now
    while outbox.waiting():
        sender.send_due(clock.now)
        clock.now += 300
    assert clock.now - began >= 86_400
    assert slack.attempts < 110
    outbox.record("c")
    slack.fail(NO_KEY)
    sender.send_due(clock.now)
    slack.recover()
    clock.now += LONGEST_WAIT
    assert sender.send_due(clock.now) == 1
    assert texts(slack) == ["c"]


def test_a_message_in_two_parts_goes_on_without_being_a_failure(ledger: Ledger, outbox: Outbox, clock: Clock) -> None:
    slack, metrics = InTwoParts("slack"), Metrics()
    sender = Sender(ledger, [slack], clock, metrics)
    outbox.record("a", "b")
    assert sender.send_due(clock.now) == 0
    clock.now += 4.9
    assert sender.send_due(clock.now) == 0
    clock.now += 0.1
    assert sender.send_due(clock.now) == 1, "b's heading goes out now"
    clock.now += 5
    assert sender.send_due(clock.now) == 1
    assert texts(slack) == ["a", "b"]
    assert slack.again == [], "what went out is known"
    assert outbox.deliveries()["a"].attempts == 1
    assert b'slo_watchdog_notifications_total{channel="slack",result="failed"} 0.0' in metrics.exposition()


def test_the_channels_own_pace_is_kept_and_rollouts_do_not_wait_for_each_other(
    ledger: Ledger, outbox: Outbox, clock: Clock
) -> None:
    slack = Paced("slack", 1.0)
    sender = Sender(ledger, [slack], clock)
    outbox.record("a", "b", "c")
    outbox.record("x", to="search-7")
    assert sender.send_due(clock.now) == 2
    assert sender.lanes[0].next_due == clock.now + 1.0
    for _ in range(2):
        clock.now += 1.0
        assert sender.send_due(clock.now) == 1
    assert texts(slack) == ["a", "x", "b", "c"]


def test_one_channel_that_fails_keeps_nothing_from_another(ledger: Ledger, outbox: Outbox, clock: Clock) -> None:
    slack, mail = InMemoryNotifier("slack"), InMemoryNotifier("email")
    slack.fail(DOWN, times=100)
    sender = Sender(ledger, [slack, mail], clock)
    outbox.record("a", "b")
    assert sender.send_due(clock.now) == 2
    assert texts(mail) == ["a", "b"]


def test_a_channel_with_a_bug_costs_its_message_a_try_and_others_nothing(
    ledger: Ledger, outbox: Outbox, clock: Clock
) -> None:
    mail = InMemoryNotifier("email")
    sender = Sender(ledger, [Broken("slack"), mail], clock)
    outbox.record("a", "b")
    assert sender.send_due(clock.now) == 2
    assert texts(mail) == ["a", "b"]
    assert outbox.deliveries()["a"].error == "sending failed inside the watchdog: ZeroDivisionError; its log has more"


class Slow(InMemoryNotifier):
    """A channel that takes `seconds` for each message."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__("slack")
        self.clock = clock
        self.seconds = seconds

    def send(self, message: Message, memo: Memo, now: float, *, again: bool) -> str:
        self.clock.now += self.seconds
        return super().send(message, memo, now, again=again)


def test_a_slow_channel_ends_its_round_in_time_and_goes_on_in_the_next(
    ledger: Ledger, outbox: Outbox, clock: Clock
) -> None:
    slow = Slow(clock, ROUND / 2)
    sender = Sender(ledger, [slow], clock)
    outbox.record(*"abcde")
    assert sender.send_due(clock.now) == 3
    assert sender.sentence == "slack: sent 3 of 5, the rest follows"
    assert sender.send_due(clock.now) == 2
    assert texts(slow) == list("abcde")
