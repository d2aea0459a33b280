"""A channel that was away is told what still matters: nothing is lost, and nothing is told twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledgers import ledger_at
from tests.outbox import AWAY, Clock, Outbox, Paced, texts
from watchdog.errors import NotifierError
from watchdog.ledger import CLAIM, Ledger
from watchdog.messages import Effect, Message
from watchdog.model import NotifyRule, Quiet, Severity
from watchdog.notifiers.base import Memo
from watchdog.notifiers.memory import InMemoryNotifier
from watchdog.notify import Sender, Telling

HOUR = 3600.0


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


def away(slack: InMemoryNotifier, sender: Sender, clock: Clock) -> None:
    """The channel cannot be reached, and the sender has noticed."""
    slack.fail(AWAY, times=1000)
    sender.send_due(clock.now)


def back(slack: InMemoryNotifier, sender: Sender, clock: Clock, after: float = 900.0) -> int:
    """The channel can be reached again after so many seconds, and the next try is made."""
    slack.recover()
    clock.now += after
    return sender.send_due(clock.now)


def assert_accounted(outbox: Outbox, slack: InMemoryNotifier) -> None:
    """Each message was sent once, or another one that was sent stands for it."""
    counted = Counter(text for _, message in slack.sent for text in (message.summary, *message.earlier))
    deliveries = {key: found for key, found in outbox.deliveries().items() if not found.withheld}
    assert counted == Counter(list(deliveries))
    assert all((d.sent_at is None) != (d.superseded_by is None) for d in deliveries.values())


def test_of_an_incident_only_the_newest_news_is_told_and_it_names_the_older(
    outbox: Outbox, slack: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    outbox.record("a page that fails")
    away(slack, sender, clock)
    for number in range(3):
        outbox.add(outbox.breach(number=number))
        clock.now += 60
    outbox.record("and something else")
    assert back(slack, sender, clock) == 3
    assert texts(slack) == ["a page that fails", "breach error_rate 2", "and something else"]
    assert slack.sent[1][1].earlier == ("breach error_rate 0", "breach error_rate 1")
    deliveries = outbox.deliveries()
    (newest,) = (n.id for n in outbox.ledger.notifications_of(outbox.rollout().id) if n.notification.key.endswith("2"))
    assert [deliveries[f"breach error_rate {n}"].superseded_by for n in (0, 1, 2)] == [newest, newest, None]
    assert_accounted(outbox, slack)


def test_an_incident_that_is_over_before_anybody_was_told_is_told_once_by_its_end(
    outbox: Outbox, slack: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    outbox.record("first")
    away(slack, sender, clock)
    outbox.add(outbox.breach(), outbox.breach(number=1))
    clock.now += 60
    outbox.add(outbox.recovered())
    outbox.add(outbox.breach("latency"))
    assert back(slack, sender, clock) == 3
    assert texts(slack) == ["first", "recovered error_rate 0", "breach latency 0"]
    end = slack.sent[1][1]
    assert (end.effect, end.earlier) == (Effect.RESOLVE, ("breach error_rate 0", "breach error_rate 1"))
    assert_accounted(outbox, slack)


def test_an_incident_that_came_back_is_not_taken_for_its_first_end(
    outbox: Outbox, slack: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    outbox.add(outbox.breach())
    away(slack, sender, clock)
    clock.now += 10
    outbox.add(outbox.recovered())
    clock.now += 60
    outbox.add(outbox.breach(number=1))
    assert back(slack, sender, clock) == 2
    assert texts(slack) == ["recovered error_rate 0", "breach error_rate 1"]
    assert_accounted(outbox, slack)


def test_quiet_news_of_an_incident_is_as_loud_as_the_alarm_that_it_stands_for(
    outbox: Outbox, slack: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    outbox.record("first", to="search-7")
    away(slack, sender, clock)
    outbox.add(outbox.message("rollback", "rollback", Severity.CRITICAL, objective="error_rate"))
    clock.now += 5
    outbox.add(outbox.message("rolled back", "rolled_back", Severity.INFO, objective="error_rate"))
    assert back(slack, sender, clock) == 2
    assert texts(slack) == ["rolled back", "first"], "the most severe first"
    assert (slack.sent[0][1].severity, slack.sent[0][1].broadcast) == (Severity.CRITICAL, True)
    assert slack.sent[0][1].earlier == ("rollback",)


def test_only_the_newest_of_old_steps_is_told(
    outbox: Outbox, slack: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    outbox.record("first")
    away(slack, sender, clock)
    for percent in range(10, 60, 10):
        outbox.record(f"{percent}%", kind="step", severity=Severity.INFO)
        clock.now += 300
        sender.send_due(clock.now)
    assert back(slack, sender, clock) == 2
    assert texts(slack) == ["first", "50%"]
    assert slack.sent[1][1].earlier == ("10%", "20%", "30%", "40%")


def test_what_is_recorded_late_is_no_backlog_of_the_channel(
    outbox: Outbox, slack: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    first, second = outbox.breach(), outbox.breach(number=1)
    clock.now += HOUR
    outbox.add(first, second)
    assert sender.send_due(clock.now) == 2
    assert texts(slack) == ["breach error_rate 0", "breach error_rate 1"]


def test_what_a_message_stands_for_is_known_after_a_restart(
    ledger: Ledger, outbox: Outbox, slack: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    for number in range(4):
        outbox.add(outbox.breach(number=number))
        slack.fail(AWAY)
        sender = Sender(ledger, [slack], clock)
        sender.send_due(clock.now)
        clock.now += 900
    assert Sender(ledger, [slack], clock).send_due(clock.now) == 1
    assert slack.sent[0][1].earlier == tuple(f"breach error_rate {number}" for number in range(3))
    assert_accounted(outbox, slack)


def test_what_somebody_else_is_sending_is_not_stood_for(
    ledger: Ledger, outbox: Outbox, slack: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    outbox.add(outbox.breach())
    sender.lanes[0].round(clock.now, news=lambda: True)
    clock.now += 60
    outbox.add(outbox.breach(number=1))
    assert ledger.claim(outbox.waiting()[0].id, "slack", clock.now) is not None
    assert sender.send_due(clock.now) == 0
    clock.now += CLAIM
    assert sender.send_due(clock.now) == 1
    assert texts(slack) == ["breach error_rate 1"]


def test_a_channel_away_for_a_day_loses_nothing_and_doubles_nothing(
    ledger: Ledger, outbox: Outbox, slack: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    slack.fail(AWAY, times=1000)
    end = clock.now + 24 * HOUR
    number = 0
    while clock.now < end:
        outbox.record(f"{number}%", kind="step", severity=Severity.INFO)
        if number % 5 == 0:
            outbox.add(outbox.breach(number=number))
        if number % 5 == 3:
            outbox.add(outbox.recovered(number=number))
        if number % 40 == 0:
            sender = Sender(ledger, [slack], clock)  # it is restarted now and then
        sender.send_due(clock.now)
        number += 1
        clock.now += 600
    assert slack.attempts < 130, "every fifteen minutes once, not more"
    assert texts(slack) == []
    assert back(slack, sender, clock) <= 60
    sender.send_due(clock.now)
    assert outbox.waiting() == ()
    assert_accounted(outbox, slack)


def test_a_storm_of_429_costs_no_message_and_no_request_is_early(ledger: Ledger, outbox: Outbox, clock: Clock) -> None:
    class Limited(InMemoryNotifier):
        """Takes every fifth request; after a refusal it wants two seconds."""

        free_at = 0.0

        def send(self, message: Message, memo: Memo, now: float, *, again: bool) -> str:
            assert clock.now >= self.free_at, "earlier than allowed"
            if self.attempts % 5 != 4:
                self.free_at = clock.now + 2.0
                self.fail(NotifierError("429", retry_after=2.0, everything=True))
            return super().send(message, memo, now, again=again)

    slack = Limited("slack")
    sender = Sender(ledger, [slack], clock)
    outbox.record(*(f"{number}" for number in range(50)))
    while outbox.waiting():
        sender.send_due(clock.now)
        clock.now += 0.5
    assert texts(slack) == [f"{number}" for number in range(50)]
    assert slack.attempts == 250


def test_a_burst_of_three_hundred_is_sent_at_the_channels_pace_and_what_is_urgent_first(
    ledger: Ledger, outbox: Outbox, clock: Clock
) -> None:
    slack = Paced("slack", 1.0)
    sender = Sender(ledger, [slack], clock)
    for team in range(3):
        outbox.record(*(f"{team} {number}" for number in range(100)), to=f"team-{team}")
    outbox.record("fire", to="pay-3", kind="drift", severity=Severity.CRITICAL)
    began = clock.now
    while any(lane.waiting for lane in sender.lanes) or not slack.sent:
        sender.send_due(clock.now)
        clock.now = max(clock.now + 0.01, sender.lanes[0].next_due or 0.0)
    assert texts(slack)[0] == "fire"
    assert Counter(texts(slack)) == Counter(["fire", *(f"{team} {n}" for team in range(3) for n in range(100))])
    assert 99.0 <= clock.now - began <= 101.0


def test_messages_held_back_by_quiet_hours_do_not_hold_up_what_is_urgent(
    ledger: Ledger, outbox: Outbox, slack: InMemoryNotifier, clock: Clock
) -> None:
    minute = int(clock.now % 86_400 // 60)
    rules = NotifyRule(quiet=Quiet(minute - 60, minute + 60))
    sender = Sender(ledger, [slack], clock, telling=Telling(rules))
    outbox.record("for the day")
    outbox.add(outbox.breach())
    assert sender.send_due(clock.now) == 1
    assert texts(slack) == ["breach error_rate 0"]
    assert sender.lanes[0].waiting == ()
    assert sender.lanes[0].next_due == clock.now + 60 * 60
    clock.now += 60 * 60
    assert sender.send_due(clock.now) == 1


def test_what_was_over_before_the_quiet_hours_ended_opens_nothing_in_the_morning(
    ledger: Ledger, outbox: Outbox, slack: InMemoryNotifier, clock: Clock
) -> None:
    minute = int(clock.now % 86_400 // 60)
    sender = Sender(ledger, [slack], clock, telling=Telling(NotifyRule(quiet=Quiet(minute - 60, minute + 60))))
    outbox.add(outbox.message("it drifts", "drift", Severity.WARNING))
    outbox.add(outbox.message("blind still", "blind", Severity.WARNING))
    assert sender.send_due(clock.now) == 0
    outbox.add(outbox.message("drift over", "drift_over", Severity.INFO))
    assert sender.send_due(clock.now) == 1
    clock.now += 3600
    sender.send_due(clock.now)
    effects = {message.summary: message.effect for _, message in slack.sent}
    assert effects == {"drift over": Effect.RESOLVE, "it drifts": Effect.TELL, "blind still": Effect.OPEN}


def test_a_sign_off_waits_for_its_report_but_not_for_ever(
    ledger: Ledger, outbox: Outbox, slack: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    outbox.record("interim", kind="interim", severity=Severity.INFO)
    assert sender.send_due(clock.now) == 0
    ledger.save_report(outbox.rollout().id, "interim", "html", "reports/a.html", "ab", clock.now)
    assert sender.send_due(clock.now) == 1
    assert slack.sent[0][1].report == "reports/a.html"
    outbox.record("signed off", kind="signed_off", severity=Severity.INFO)
    clock.now += 59
    assert sender.send_due(clock.now) == 0
    clock.now += 1
    assert sender.send_due(clock.now) == 1
    assert slack.sent[1][1].report == ""


def test_news_that_stand_for_an_alarm_do_not_wait_for_the_morning(
    ledger: Ledger, outbox: Outbox, slack: InMemoryNotifier, clock: Clock
) -> None:
    minute = int(clock.now % 86_400 // 60)
    telling = Telling(NotifyRule(quiet=Quiet(minute + 60, minute + 600)))
    outbox.add(outbox.message("alarm", "drift", Severity.CRITICAL))
    slack.fail(AWAY, times=100)
    Sender(ledger, [slack], clock, telling=telling).send_due(clock.now)
    clock.now += 1800
    outbox.add(outbox.message("less of it", "drift", Severity.WARNING))
    Sender(ledger, [slack], clock, telling=telling).send_due(clock.now)
    slack.recover()
    clock.now += 7200
    assert Sender(ledger, [slack], clock, telling=telling).send_due(clock.now) == 1
    assert (texts(slack), slack.sent[0][1].severity) == (["less of it"], Severity.CRITICAL)
