"""The sender with the real clients of PagerDuty and Slack, against servers that enforce what these publish."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.answering import reply
from tests.ledgers import hurried, ledger_at
from tests.outbox import Clock, FailingLedger, Outbox
from tests.pagerdutyserver import KEY, PagerDutyServer, busy
from tests.slacking import opened
from tests.slackserver import SlackServer, lost
from watchdog.ledger import CLAIM, Ledger
from watchdog.model import Severity
from watchdog.notifiers.pagerduty import PagerDuty
from watchdog.notify import Sender

DEADLINE = 20.0


class Now(Clock):
    """The real time."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return time.time()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[FailingLedger]:
    ledger_at(tmp_path / "watchdog.db").close()
    made = FailingLedger(f"sqlite:///{tmp_path / 'watchdog.db'}")
    hurried(made)
    yield made
    made.close()


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_pagerduty_is_not_asked_earlier_than_it_allows(ledger: Ledger) -> None:
    with PagerDutyServer(KEY) as server:
        server.next(busy(2), busy(2))
        sender = Sender(ledger, [PagerDuty(KEY, server.url)], time.time)
        ledger.told = sender.wake
        sender.start()
        outbox = Outbox(ledger, Now())
        outbox.add(outbox.breach())
        outbox.record("drift", to="search-7", kind="drift", severity=Severity.CRITICAL)
        until(lambda: len(server.incidents) == 2)
        sender.stop(DEADLINE)
        times = [asked.at for asked in server.asked]
    assert [asked.status for asked in server.asked] == [429, 429, 202, 202]
    assert times[1] - times[0] >= 2.0
    assert times[2] - times[1] >= 2.0


def test_an_incident_is_one_through_every_crash(ledger: FailingLedger) -> None:
    clock = Clock()
    with PagerDutyServer(KEY) as server:
        outbox = Outbox(ledger, clock)
        for number in range(3):
            outbox.add(outbox.breach(number=number))
            ledger.failing = frozenset({"mark_sent"})
            Sender(ledger, [PagerDuty(KEY, server.url)], clock).send_due(clock.now)
            ledger.failing = frozenset()
            clock.now += CLAIM
            Sender(ledger, [PagerDuty(KEY, server.url)], clock).send_due(clock.now)
        assert (len(server.incidents), server.wakes) == (1, 1)
        outbox.add(outbox.recovered())
        Sender(ledger, [PagerDuty(KEY, server.url)], clock).send_due(clock.now)
        assert server.open == []
        assert outbox.waiting("pagerduty") == ()


def test_slack_keeps_its_pace_in_a_burst_and_gets_each_message_once_through_crashes(ledger: FailingLedger) -> None:
    clock = Clock()
    outbox = Outbox(ledger, clock)
    with SlackServer(paced=True, clock=clock, wall=clock) as server:
        outbox.record(*(f"message {number}" for number in range(30)))
        outbox.record("of another team", to="search-7")
        sender, crashes = Sender(ledger, [opened(server)], clock), 0
        while outbox.waiting():
            if crashes < 3 and len(server.messages) > 8 * (crashes + 1):
                ledger.failing = frozenset({"mark_sent"})
                crashes += sender.send_due(clock.now)
                ledger.failing = frozenset()
                sender = Sender(ledger, [opened(server)], clock)
                server.fail("chat.postMessage", lost(reply(500)))
            sender.send_due(clock.now)
            clock.now += 1.0
        keys = Counter(message.metadata["event_payload"]["key"] for message in server.messages)
    assert crashes == 3
    parents = {f"parent:{name}:0" for name in ("checkout-2.14.0", "search-7")}
    messages = {f"checkout-2.14.0:message {number}" for number in range(30)} | {"search-7:of another team"}
    assert keys == Counter(parents | messages), "each once, and each rollout has one thread"
