"""Each channel has a thread of its own: one that hangs delays no other, and news go out at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ledgers import ledger_at
from tests.outbox import AWAY, Clock, Outbox, texts
from watchdog.ledger import Ledger
from watchdog.messages import Message
from watchdog.metrics import Metrics
from watchdog.notifiers.base import Memo
from watchdog.notifiers.memory import InMemoryNotifier
from watchdog.notify import Sender

DEADLINE = 20.0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = ledger_at(tmp_path / "watchdog.db")
    yield opened
    opened.close()


@pytest.fixture
def outbox(ledger: Ledger) -> Outbox:
    return Outbox(ledger, Now())


class Now(Clock):
    """The real time."""

    def __call__(self) -> float:
        return time.time()

    @property
    def now(self) -> float:
        return time.time()

    @now.setter
    def now(self, _: float) -> None:
        """Real time is not for setting."""


class Hanging(InMemoryNotifier):
    """A channel that takes nothing until somebody lets go of it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.reached = threading.Event()
        self.let_go = threading.Event()

    def send(self, message: Message, memo: Memo, now: float, *, again: bool) -> str:
        self.reached.set()
        self.let_go.wait(DEADLINE)
        return super().send(message, memo, now, again=again)


class BrokenOnce(InMemoryNotifier):
    """A channel with a fault of ours outside of sending, which shows once."""

    faults = 1

    def ready_in(self, message: Message, now: float) -> float:
        if self.faults:
            self.faults -= 1
            raise ZeroDivisionError
        return super().ready_in(message, now)


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def test_news_are_sent_at_once_when_somebody_says_so(ledger: Ledger, outbox: Outbox) -> None:
    slack = InMemoryNotifier("slack")
    sender = Sender(ledger, [slack], time.time)
    ledger.told = sender.wake
    sender.start()
    for number in range(5):
        outbox.record(f"{number}")
        until(lambda number=number: len(slack.sent) == number + 1)  # type: ignore[misc]
    sender.stop(DEADLINE)
    assert texts(slack) == list("01234")
    assert slack.closed


def test_messages_of_another_process_are_found_without_a_word(ledger: Ledger, outbox: Outbox) -> None:
    slack = InMemoryNotifier("slack")
    sender = Sender(ledger, [slack], time.time)
    sender.start()
    until(lambda: sender.sentence == "slack: nothing is due")
    outbox.record("a")
    until(lambda: texts(slack) == ["a"])
    sender.stop(DEADLINE)


def test_a_channel_that_hangs_delays_neither_another_nor_the_end(ledger: Ledger, outbox: Outbox) -> None:
    slack, mail = Hanging("slack"), InMemoryNotifier("email")
    sender = Sender(ledger, [slack, mail], time.time)
    ledger.told = sender.wake
    sender.start()
    outbox.record("a", "b")
    assert slack.reached.wait(DEADLINE)
    until(lambda: texts(mail) == ["a", "b"])
    outbox.record("c")
    until(lambda: texts(mail) == ["a", "b", "c"])
    sender.stop(0.2)
    assert (mail.closed, slack.closed) == (True, False)
    assert texts(slack) == []
    slack.let_go.set()
    until(lambda: not any(thread.name == "notify-slack" for thread in threading.enumerate()))


def test_what_is_recorded_last_is_sent_before_the_end(ledger: Ledger, outbox: Outbox) -> None:
    slack = Hanging("slack")
    sender = Sender(ledger, [slack], time.time)
    sender.start()
    outbox.record("a")
    assert slack.reached.wait(DEADLINE)
    outbox.record("b")
    threading.Timer(0.05, slack.let_go.set).start()
    sender.stop(DEADLINE)
    assert texts(slack) == ["a", "b"]


def test_a_paused_channel_ends_without_another_try(ledger: Ledger, outbox: Outbox) -> None:
    slack = InMemoryNotifier("slack")
    slack.fail(AWAY, times=100)
    sender = Sender(ledger, [slack], time.time)
    sender.start()
    outbox.record("a")
    until(lambda: slack.attempts == 1)
    sender.stop(DEADLINE)
    assert slack.attempts == 1
    assert len(outbox.waiting()) == 1


def test_a_sender_that_never_started_can_be_stopped(ledger: Ledger) -> None:
    slack = InMemoryNotifier("slack")
    sender = Sender(ledger, [slack], time.time)
    sender.wake()
    sender.stop(1.0)
    assert slack.closed


def test_a_fault_in_a_round_ends_neither_the_channel_nor_goes_unseen(ledger: Ledger, outbox: Outbox) -> None:
    slack, metrics = BrokenOnce("slack"), Metrics()
    sender = Sender(ledger, [slack], time.time, metrics)
    ledger.told = sender.wake
    sender.start()
    outbox.record("a")
    until(lambda: texts(slack) == ["a"])
    sender.stop(DEADLINE)
    labels = {"rollout": "notify-slack", "kind": "internal"}
    assert metrics.registry.get_sample_value("slo_watchdog_job_errors_total", labels) == 1
