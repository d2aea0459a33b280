"""While the ledger takes nothing, people are woken all the same: at once, once, and the record follows later."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.answering import Answering, reply
from tests.pagerdutyserver import KEY, PagerDutyServer, busy, down
from tests.rollouts import NOON
from tests.stage import MINUTE, LedgerDown, Stage
from watchdog.errors import FlagServiceError, LedgerError, NotifierError
from watchdog.ledger import Ledger
from watchdog.messages import Message
from watchdog.model import Notification, Phase, Severity
from watchdog.notifiers.alertmanager import Alertmanager
from watchdog.notifiers.base import Memo, Notifier, repeats_known
from watchdog.notifiers.email import Email, Server
from watchdog.notifiers.memory import InMemoryNotifier
from watchdog.notifiers.pagerduty import PagerDuty
from watchdog.notifiers.slack import Slack
from watchdog.notifiers.transitions import open_transitions
from watchdog.notifiers.webhook import WebhookChannel
from watchdog.notify import Sender
from watchdog.notify.aside import KEPT
from watchdog.tick import RolloutTick

HALF = NOON + 12 * MINUTE
DEADLINE = 20.0
BREACH = "slo-watchdog:checkout-2:breach:error_rate"
LEDGER = "slo-watchdog:checkout-2:ledger"
BOTH = pytest.mark.parametrize("failing", ["writes", "all"])


class Forgetful(InMemoryNotifier):
    """A channel that shows every repeat to people, as Slack does."""

    repeats_known = False


class NoWrites(LedgerDown):
    """A channel's memo cannot be written then, either."""

    def __getattr__(self, name: str) -> Any:
        if name == "put_memo" and self.down == "writes":
            return super().__getattr__("record")
        return super().__getattr__(name)


class Broken(Stage):
    """A stage at 50 % with a pager and a chat, and a ledger that can be made to fail."""

    def __init__(self, path: Path, *channels: Notifier) -> None:
        self.chat = Forgetful("chat")
        self.channels: Sequence[Notifier] = (*channels, self.chat)
        super().__init__(path)
        self.number = self.stored.id
        self.run(HALF)
        assert self.percent == 50.0

    def start_up(self, **_: object) -> None:
        super().start_up()
        self.front = NoWrites(self.ledger)
        using: Ledger = self.front  # type: ignore[assignment]
        self.sender = Sender(using, self.channels, self.clock)
        ports = (using, self.service, self.flags, self.clock, self.journal)
        self.ticker = RolloutTick(self.rule.name, *ports, tell=self.sender.without_ledger)

    def breaks(self, failing: str = "writes") -> None:
        """The service fails, and a moment before that is certain, so does the ledger."""
        self.service.fails(HALF, HALF + 5 * MINUTE)
        self.run(HALF + 110)
        assert self.percent == 50.0
        self.front.down = failing

    def until_rolled_back(self) -> None:
        while self.percent:
            self.tick(10.0)

    def chatted(self, *kinds: str) -> list[str]:
        return [message.kind for _, message in self.chat.sent if message.kind in kinds]

    def recorded(self, *kinds: str) -> list[Notification]:
        found = self.ledger.notifications_of(self.stored.id)
        return [item.notification for item in found if item.notification.kind in kinds]


@pytest.fixture
def server() -> Iterator[PagerDutyServer]:
    with PagerDutyServer(KEY) as started:
        yield started


@pytest.fixture
def stage(tmp_path: Path, server: PagerDutyServer) -> Iterator[Broken]:
    made = Broken(tmp_path, PagerDuty(KEY, server.url))
    yield made
    made.close()


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


# --- a rollback -----------------------------------------------------------------------------------------------------


@BOTH
def test_a_rollback_pages_at_once_and_its_record_is_the_same_incident(
    stage: Broken, server: PagerDutyServer, failing: str
) -> None:
    changes = len(server.changes)
    stage.breaks(failing)
    stage.until_rolled_back()
    assert server.open == [BREACH], "told in the very round of the rollback"
    assert server.wakes == 1
    assert stage.phase is Phase.RAMPING, "the ledger knows nothing yet"
    assert stage.chatted("rollback") == [], "a chat shows repeats, so it waits for the record"
    assert len(server.changes) == changes, "and so do changes, which nobody can tell apart"
    stage.run(stage.clock.now + 30)
    stage.front.down = None
    stage.run(HALF + 6 * MINUTE)
    assert server.wakes == 1
    assert [incident.dedup_key for incident in server.incidents] == [BREACH]
    keys = [event["payload"]["custom_details"]["message"] for event in server.incident(BREACH).events]
    (rollback,) = stage.recorded("rollback")
    assert keys[:2] == [rollback.key, rollback.key], "one message, recorded later under the same key"
    assert stage.chatted("rollback", "rolled_back") == ["rollback", "rolled_back"]
    assert len(server.changes) == changes + 2
    stage.run(HALF + 15 * MINUTE)
    assert server.open == []
    assert server.wakes == 1
    stage.check_row_keys()


@BOTH
def test_a_restart_while_the_ledger_is_down_wakes_nobody_again(
    stage: Broken, server: PagerDutyServer, failing: str
) -> None:
    stage.breaks(failing)
    stage.until_rolled_back()
    stage.restart()
    stage.front.down = "writes"  # whoever cannot even read it does not start
    stage.tick(10.0)
    stage.tick(10.0)
    assert (server.wakes, server.open) == (1, [BREACH])
    assert stage.phase is Phase.RAMPING
    stage.restart()
    stage.run(HALF + 15 * MINUTE)
    assert stage.told("rollback", "rolled_back") == ["rollback", "rolled_back"]
    assert server.wakes == 1
    assert server.open == []
    assert stage.chatted("rollback") == ["rollback"]
    assert len(stage.recorded("rollback")) == 1
    assert stage.journal.entries() == []


def test_an_escalation_wakes_again_and_its_record_does_not(stage: Broken, server: PagerDutyServer) -> None:
    stage.breaks()
    stage.flags.fail(FlagServiceError("down"), on=("kill", "set"), times=1000)
    stage.run(HALF + 4 * MINUTE)
    assert server.wakes == 3, "the rollback; that it is not confirmed; and the ledger"
    assert server.incident(BREACH).severity == "critical"
    stage.front.down = None
    stage.flags.recover()
    stage.run(HALF + 8 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    assert server.wakes == 3
    assert len(stage.recorded("rollback_unconfirmed")) == 1


def test_a_page_that_fails_is_tried_again_without_the_ledger(stage: Broken, server: PagerDutyServer) -> None:
    server.next(down(500))
    stage.breaks()
    stage.until_rolled_back()
    assert server.wakes == 0
    asked = len(server.asked)
    stage.sender.send_due(stage.clock.now + 20)
    assert len(server.asked) == asked, "it waits as every failed message does"
    stage.clock.now += 31
    stage.sender.send_due(stage.clock.now)
    assert server.open == [BREACH]
    stage.sender.send_due(stage.clock.now + 900)
    assert server.wakes == 1
    assert len(server.incident(BREACH).events) == 1


def test_a_channel_that_wants_to_be_left_alone_is(stage: Broken, server: PagerDutyServer) -> None:
    server.next(busy(120))
    stage.breaks()
    stage.until_rolled_back()
    asked, at = len(server.asked), stage.clock.now
    stage.front.down = None
    stage.tick(20.0)
    assert len(server.asked) == asked, "the recorded message keeps to what the channel said, too"
    stage.run(at + 121)
    stage.tick()
    assert server.wakes == 1


def test_what_was_not_taken_is_left_to_the_record_once_that_is_taken(stage: Broken, server: PagerDutyServer) -> None:
    server.next(down(500))
    stage.breaks()
    stage.until_rolled_back()
    stage.front.down = None
    stage.tick(2.0)
    stage.run(stage.clock.now + 2 * MINUTE)
    assert server.wakes == 1
    asked = len(server.asked)
    stage.sender.send_due(stage.clock.now + 900)
    assert len(server.asked) == asked


# --- the ledger itself ----------------------------------------------------------------------------------------------


@BOTH
def test_a_ledger_that_fails_for_a_minute_is_told_and_that_it_works_again(
    stage: Broken, server: PagerDutyServer, failing: str
) -> None:
    stage.front.down = failing
    stage.run(HALF + 40)
    assert server.incidents == [], "a short one is nobody's trouble"
    stage.run(HALF + 4 * MINUTE)
    assert server.open == [LEDGER]
    assert server.wakes == 1
    assert "the ledger is down" in server.incident(LEDGER).summaries[0]
    assert "Free the disk" in server.incident(LEDGER).details["what to do"]
    stage.run(HALF + 12 * MINUTE)
    assert len(server.incident(LEDGER).events) == 1, "told once"
    stage.front.down = None
    stage.run(HALF + 14 * MINUTE)
    assert (server.open, server.wakes) == ([], 1)
    assert stage.chatted("ledger_failing", "ledger_working") == ["ledger_failing", "ledger_working"]
    stage.front.down = failing
    stage.run(HALF + 17 * MINUTE)
    assert server.wakes == 2, "another outage is another page"
    stage.front.down = None
    stage.run(HALF + 19 * MINUTE)
    assert server.open == []
    stage.check_row_keys()


def test_a_restart_does_not_forget_that_the_ledger_was_told_to_fail(stage: Broken, server: PagerDutyServer) -> None:
    stage.front.down = "writes"
    stage.run(HALF + 4 * MINUTE)
    stage.restart()
    stage.run(HALF + 6 * MINUTE)
    assert (server.open, server.wakes) == ([], 1)
    assert [one.kind for one in stage.recorded("ledger_failing", "ledger_working")] == [
        "ledger_failing",
        "ledger_working",
    ]
    assert stage.journal.entries() == []
    stage.run(HALF + 12 * MINUTE)
    assert server.wakes == 1


def test_a_drift_that_was_told_before_a_restart_is_recorded_after_it(stage: Broken, server: PagerDutyServer) -> None:
    stage.front.down = "writes"
    stage.turned_to(90)
    stage.tick(1.0)
    assert server.wakes == 1
    (incident,) = server.incidents
    assert incident.open
    stage.restart()
    stage.run(HALF + 2 * MINUTE)
    (told,) = stage.recorded("drift")
    assert told.key == incident.events[0]["payload"]["custom_details"]["message"]
    assert server.wakes == 1


# --- other channels -------------------------------------------------------------------------------------------------


def test_alertmanager_is_told_the_same_alert_until_the_record_follows(tmp_path: Path) -> None:
    with Answering().always(reply(200)) as server:
        stage = Broken(tmp_path, Alertmanager(server.url))
        stage.breaks("all")
        stage.until_rolled_back()
        began = len(server.asked)
        (alert,) = json.loads(server.asked[-1].body)
        assert alert["labels"]["cause"] == "breach:error_rate"
        stage.run(HALF + 8 * MINUTE)
        assert len(server.asked) >= began + 5, "it stands only as long as it is repeated"
        stage.front.down = None
        stage.run(HALF + 20 * MINUTE)
        alerts = [alert for asked in server.asked for alert in json.loads(asked.body)]
        rollbacks = [one for one in alerts if one["labels"].get("cause") == "breach:error_rate"]
        assert {json.dumps(one["labels"]) for one in rollbacks} == {json.dumps(alert["labels"])}
        count = len(server.asked)
        stage.run(HALF + 30 * MINUTE)
        assert len(server.asked) == count, "and it is over"
        stage.close()


def test_only_channels_that_know_repeats_are_told_without_the_ledger() -> None:
    mail = Email(Server("127.0.0.1", 25), "a@example.com", ["b@example.com"])
    known: list[Notifier] = [PagerDuty(KEY), Alertmanager("http://127.0.0.1:1"), mail, InMemoryNotifier()]
    assert all(repeats_known(channel) for channel in known)
    others: list[Notifier] = [WebhookChannel("http://127.0.0.1:1"), open_transitions(None), Forgetful()]
    assert not any(repeats_known(channel) for channel in others)
    assert not hasattr(Slack, "repeats_known")


# --- the sender -----------------------------------------------------------------------------------------------------


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


def a_drift(number: int = 0) -> Notification:
    return Notification("drift", f"drift:{number}", Severity.CRITICAL, f"drift {number}", NOON + number)


def test_handing_over_waits_for_nothing_and_each_channel_has_its_thread(tmp_path: Path) -> None:
    hanging, pager = Hanging("email"), InMemoryNotifier("pager")
    stage = Broken(tmp_path)
    stage.front.down = "all"
    sender = Sender(stage.front, [hanging, pager], time.time)  # type: ignore[arg-type]
    sender.start()
    for number in range(3):
        sender.without_ledger(stage.number, stage.rule, a_drift(number))
        until(lambda number=number: len(pager.sent) == number + 1)  # type: ignore[misc]
    assert hanging.reached.is_set()
    assert hanging.sent == []
    hanging.let_go.set()
    until(lambda: len(hanging.sent) == 3)
    sender.stop(DEADLINE)
    stage.close()


def test_what_waits_in_memory_is_bounded_and_the_newest_is_kept(tmp_path: Path) -> None:
    pager = InMemoryNotifier("pager")
    stage = Broken(tmp_path)
    stage.front.down = "all"
    sender = Sender(stage.front, [pager], stage.clock)  # type: ignore[arg-type]
    pager.fail(NotifierError("away", everything=True))
    for number in range(3 * KEPT):
        sender.without_ledger(stage.number, stage.rule, a_drift(number))
    sender.send_due(stage.clock.now)
    assert pager.attempts == 1, "it is unreachable: one try is enough"
    sender.send_due(stage.clock.now + 31)
    assert len(pager.sent) <= KEPT
    assert pager.sent[-1][1].summary == f"drift {3 * KEPT - 1}"


def test_what_need_not_wake_anybody_waits_for_the_record(tmp_path: Path) -> None:
    pager = InMemoryNotifier("pager")
    stage = Broken(tmp_path)
    stage.front.down = "all"
    sender = Sender(stage.front, [pager], stage.clock)  # type: ignore[arg-type]
    for kind, severity in (
        ("rolled_back", Severity.INFO),
        ("window_reset", Severity.WARNING),
        ("drift", Severity.WARNING),
    ):
        sender.without_ledger(stage.number, stage.rule, Notification(kind, kind, severity, kind, NOON))
    sender.send_due(stage.clock.now)
    assert pager.sent == []
    with pytest.raises(LedgerError):
        stage.front.rollouts()
