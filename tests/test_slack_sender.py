"""Slack behind the real sender and a real ledger: what is recorded arrives, once, in order, within Slack's limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.answering import Reply, reply
from tests.ledgers import NOON, a_rollout, ledger_at
from tests.slacking import opened
from tests.slackserver import SlackServer, limited, lost
from tests.webserver import NAME, Site
from watchdog.ledger import Ledger
from watchdog.model import Notification, Severity
from watchdog.notify import Sender

DAY = 86_400.0


class Clock:
    """Wall time that only the test moves."""

    def __init__(self) -> None:
        self.now = NOON + 0.5

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Iterator[SlackServer]:
    with SlackServer(paced=True, clock=clock, wall=clock) as server:
        yield server


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = ledger_at(tmp_path / "watchdog.db")
    yield ledger
    ledger.close()


def recorded(ledger: Ledger, at: float, *, rollouts: int, each: int) -> list[str]:
    """So many window resets of so many rollouts, by their summaries."""
    said = []
    for number in range(rollouts):
        rollout = a_rollout(f"shop-{number}", flag=f"flag-{number}")
        stored = ledger.add_rollout(rollout, file=f"shop-{number}.yaml", engine="0.1.0", now=at)
        for count in range(each):
            said.append(f"reset {count} of shop-{number}")
            key = f"shop-{number}:window_reset:{count}"
            ledger.tell_once(stored.id, Notification("window_reset", key, Severity.WARNING, said[-1], at, {}))
    return said


def run(sender: Sender, clock: Clock, seconds: float, step: float = 0.25) -> None:
    end = clock.now + seconds
    while clock.now < end:
        sender.send_due(clock.now)
        clock.now += step


def arrived(server: SlackServer) -> Counter[str]:
    """How often each summary stands in a thread."""
    replies = [message.text.splitlines()[0] for message in server.messages if message.thread]
    return Counter(line.removeprefix("Warning: ") for line in replies)


def test_a_backlog_arrives_once_and_in_order_within_the_limit(
    server: SlackServer, ledger: Ledger, clock: Clock
) -> None:
    said = recorded(ledger, clock.now, rollouts=4, each=5)
    run(Sender(ledger, [opened(server)], clock), clock, 30)
    assert arrived(server) == Counter(said)
    assert len(server.top()) == 4
    for parent in server.top():
        lines = [message.text.splitlines()[0] for message in server.thread(parent.ts)]
        assert lines == sorted(lines)
    assert len(server.of("chat.postMessage")) == 24  # not one was refused


def test_after_a_day_without_slack_everything_is_there(server: SlackServer, ledger: Ledger, clock: Clock) -> None:
    said = recorded(ledger, clock.now, rollouts=2, each=3)
    server.fail("chat.postMessage", *[reply(503)] * 5000)
    sender = Sender(ledger, [opened(server)], clock)
    run(sender, clock, DAY, step=300)
    refused = len(server.calls)
    assert refused < 150
    server.recover()
    run(sender, clock, 1000, step=2)
    assert {line: count for line, count in arrived(server).items() if line in said} == dict.fromkeys(said, 1)


def test_no_request_comes_before_retry_after_has_passed(server: SlackServer, ledger: Ledger, clock: Clock) -> None:
    said = recorded(ledger, clock.now, rollouts=2, each=3)
    server.fail("chat.postMessage", *[limited(2)] * 4)
    run(Sender(ledger, [opened(server)], clock), clock, 25)
    instants = [call.at for call in server.calls[:5]]
    assert all(later - earlier >= 2.0 for earlier, later in pairwise(instants))
    assert arrived(server) == Counter(said)


def test_who_dies_after_posting_does_not_post_again(server: SlackServer, ledger: Ledger, clock: Clock) -> None:
    said = recorded(ledger, clock.now, rollouts=1, each=2)
    run(Sender(ledger, [opened(server)], clock), clock, 0.5)
    server.fail("chat.postMessage", lost(Reply(hang=True)))
    clock.now += 2
    Sender(ledger, [opened(server, timeout=0.3)], clock).send_due(clock.now)
    run(Sender(ledger, [opened(server)], clock), clock, 200, step=1)
    assert arrived(server) == Counter(said)


def test_the_state_of_a_rollout_follows_its_ticks(server: SlackServer, clock: Clock, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.add()
    sender = Sender(site.ledger, [opened(server)], clock)
    for _ in range(15):
        clock.now = site.now
        site.tick(1)
        run(sender, clock, 10, step=1)
    site.ledger.close()
    (parent,) = server.top()
    assert NAME in parent.words
    assert "error_rate: pass" in parent.words
    assert parent.before
    assert server.thread(parent.ts)
    assert len(server.of("chat.update")) <= 1 + 15 * 30 / 60 + len(server.thread(parent.ts))
