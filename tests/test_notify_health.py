"""A channel that fails is told of elsewhere, once; pages have a budget; pipelines get their transitions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ledgers import ledger_at
from tests.outbox import AWAY, GONE, NO_KEY, Clock, FailingLedger, Outbox, texts
from tests.rollouts import rollout as a_rule
from tests.stage import Stage
from tests.stage import a_rule as a_staged_rule
from watchdog import __version__
from watchdog.ledger import PIPELINES, Ledger, Record
from watchdog.model import Notification, NotifyRule, Severity
from watchdog.notifiers.memory import InMemoryNotifier
from watchdog.notify import Sender, Telling

DAY = 86_400.0


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
def mail() -> InMemoryNotifier:
    return InMemoryNotifier("email")


@pytest.fixture
def sender(ledger: Ledger, slack: InMemoryNotifier, mail: InMemoryNotifier, clock: Clock) -> Sender:
    return Sender(ledger, [slack, mail], clock)


def kinds(channel: InMemoryNotifier) -> list[str]:
    return [message.kind for _, message in channel.sent]


def run(sender: Sender, clock: Clock, seconds: float, every: float = 60.0) -> None:
    end = clock.now + seconds
    while clock.now < end:
        sender.send_due(clock.now)
        clock.now += every
    sender.send_due(clock.now)


def test_a_message_refused_for_good_is_told_on_the_other_channels_only(
    outbox: Outbox, slack: InMemoryNotifier, mail: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    outbox.record("a")
    slack.fail(GONE)
    run(sender, clock, 60)
    assert kinds(mail) == ["window_reset", "channel_failing"]
    assert texts(mail)[1] == f"channel slack refused a message for good: {GONE}"
    assert kinds(slack) == []
    outbox.record("b")
    run(sender, clock, 60)
    assert kinds(slack) == ["window_reset"]
    assert kinds(mail) == ["window_reset", "channel_failing", "window_reset", "channel_working"]
    failing, working = mail.sent[1][1], mail.sent[3][1]
    assert failing.incident == working.incident == "slo-watchdog:checkout-2.14.0:channel:slack"


def test_a_cause_is_told_once_a_day_however_often_it_occurs(
    ledger: Ledger, outbox: Outbox, slack: InMemoryNotifier, mail: InMemoryNotifier, clock: Clock
) -> None:
    clock.now = clock.now // DAY * DAY
    for number in range(5):
        sender = Sender(ledger, [slack, mail], clock)
        slack.fail(GONE)
        outbox.record(f"{number}")
        run(sender, clock, 60)
        outbox.record(f"{number} again")
        run(sender, clock, 60)
    assert kinds(mail).count("channel_failing") == 1
    assert kinds(mail).count("channel_working") == 1
    clock.now += DAY
    slack.fail(GONE)
    outbox.record("tomorrow")
    run(sender, clock, 60)
    assert kinds(mail).count("channel_failing") == 2


def test_a_revoked_key_is_told_at_once_and_nothing_is_lost_until_it_is_mended(
    outbox: Outbox, slack: InMemoryNotifier, mail: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    outbox.record("a", "b")
    slack.fail(NO_KEY, times=3)
    run(sender, clock, 60)
    assert texts(mail)[2] == f"channel slack takes no messages until somebody mends it: {NO_KEY}"
    run(sender, clock, 3600)
    assert texts(slack) == ["a", "b"]
    assert kinds(mail)[3:] == ["channel_working"]


def test_a_channel_that_takes_nothing_for_ten_minutes_is_told_of_once_for_all_rollouts(
    outbox: Outbox, slack: InMemoryNotifier, mail: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    slack.fail(AWAY, times=1000)
    outbox.record("a")
    outbox.record("x", to="search-7")
    run(sender, clock, 540)
    assert "channel_failing" not in kinds(mail)
    run(sender, clock, 120)
    assert kinds(mail).count("channel_failing") == 1
    assert "has taken nothing for ten minutes" in texts(mail)[-1]
    assert str(AWAY) in texts(mail)[-1]
    run(sender, clock, 3600)
    assert kinds(mail).count("channel_failing") == 1
    slack.recover()
    run(sender, clock, 900)
    assert kinds(mail)[-1] == "channel_working"
    assert sorted(texts(slack)) == ["a", "x"]


def test_after_a_restart_it_is_known_that_people_wait_to_hear_of_the_channel(
    ledger: Ledger, outbox: Outbox, slack: InMemoryNotifier, mail: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    slack.fail(AWAY, times=1000)
    outbox.record("a")
    run(sender, clock, 700)
    slack.recover()
    run(Sender(ledger, [slack, mail], clock), clock, 900)
    assert kinds(mail) == ["window_reset", "channel_failing", "channel_working"]


def test_a_channel_with_nothing_to_send_is_not_silent(
    outbox: Outbox, mail: InMemoryNotifier, sender: Sender, clock: Clock
) -> None:
    run(sender, clock, 3600)
    outbox.record("a")
    sender.send_due(clock.now)
    assert kinds(mail) == ["window_reset"]


def test_what_the_ledger_does_not_take_is_told_later(
    ledger: Ledger, outbox: Outbox, slack: InMemoryNotifier, mail: InMemoryNotifier, clock: Clock, tmp_path: Path
) -> None:
    failing = FailingLedger(ledger._engine.url.render_as_string())
    sender = Sender(failing, [slack, mail], clock)
    outbox.record("a")
    slack.fail(GONE)
    failing.failing = frozenset({"tell_once", "of_kinds"})
    run(sender, clock, 60)
    assert kinds(mail) == ["window_reset"]
    failing.failing = frozenset()
    run(sender, clock, 60)
    assert kinds(mail) == ["window_reset", "channel_failing"]
    failing.close()


def test_a_kind_that_the_rules_silence_is_settled_with_a_sentence(
    ledger: Ledger, outbox: Outbox, slack: InMemoryNotifier, clock: Clock
) -> None:
    sender = Sender(ledger, [slack], clock, telling=Telling(NotifyRule(severities={"window_reset": "none"})))
    outbox.record("a")
    assert sender.send_due(clock.now) == 0
    delivery = outbox.deliveries()["a"]
    assert delivery.withheld
    assert delivery.error == "the rules tell nobody of window_reset: its severity is none"


def test_a_used_up_budget_keeps_back_what_is_not_critical_and_says_so_once(
    ledger: Ledger, outbox: Outbox, slack: InMemoryNotifier, clock: Clock
) -> None:
    pager = InMemoryNotifier("pagerduty")
    sender = Sender(ledger, [pager, slack], clock, telling=Telling(budget=2))

    def page(number: int, severity: Severity) -> None:
        outbox.add(outbox.message(f"drift {number}", "drift", severity))
        run(sender, clock, 60)

    page(1, Severity.WARNING)
    page(2, Severity.CRITICAL)
    page(3, Severity.WARNING)
    page(4, Severity.CRITICAL)
    page(5, Severity.WARNING)
    assert [text for text in texts(pager) if text.startswith("drift")] == ["drift 1", "drift 2", "drift 4"]
    assert [text for text in texts(slack) if text.startswith("drift")] == [f"drift {n}" for n in range(1, 6)]
    assert kinds(slack).count("page_budget") == 1
    why = outbox.deliveries("pagerduty")["drift 3"]
    assert why.withheld
    assert why.error == "2 pages in 24 hours are the budget of 2: what is not critical goes to the other channels"
    clock.now += DAY
    page(6, Severity.WARNING)
    assert texts(pager)[-1] == "drift 6"


def test_news_that_wake_nobody_are_not_counted(ledger: Ledger, outbox: Outbox, clock: Clock) -> None:
    pager = InMemoryNotifier("pagerduty")
    sender = Sender(ledger, [pager], clock, telling=Telling(budget=1))
    outbox.record("a", "b", "c")
    outbox.record("started", kind="start", severity=Severity.INFO)
    outbox.add(outbox.message("drift", "drift", Severity.WARNING))
    assert sender.send_due(clock.now) == 5


def a_transition(number: int) -> Notification:
    return Notification("transition", f"t{number}", Severity.INFO, f"transition {number}", 1_700_049_600.0 + number)


def test_pipelines_get_transitions_only_and_people_get_none(
    ledger: Ledger, outbox: Outbox, slack: InMemoryNotifier, clock: Clock
) -> None:
    pipelines = InMemoryNotifier(PIPELINES)
    sender = Sender(ledger, [pipelines, slack], clock, telling=Telling(pipelines=True))
    outbox.record("a")
    outbox.add(a_transition(1), a_transition(2))
    assert sender.send_due(clock.now) == 3
    assert (texts(pipelines), texts(slack)) == (["transition 1", "transition 2"], ["a"])


def test_every_transition_of_a_rollout_that_acts_reaches_its_pipeline_once(tmp_path: Path) -> None:
    stage, pipelines = Stage(tmp_path), InMemoryNotifier(PIPELINES)
    for _ in range(3):
        stage.restart()
        stage.sender = Sender(stage.ledger, [pipelines], stage.clock, telling=Telling(pipelines=True))
        stage.run(stage.clock.now + 300)
    stage.command("rollback")
    stage.run(stage.clock.now + 300)
    told = [(message.details["kind"], message.details["why"]) for _, message in pipelines.sent]
    assert told == [(happened.kind, happened.why) for happened in stage.ledger.transitions(stage.stored.id)]
    assert len({message.key for _, message in pipelines.sent}) == len(told) == 4
    assert pipelines.sent[-1][1].details["exposure"] == {"percent": 0.0, "cohort": False, "audiences": []}
    stage.close()


def test_an_observation_tells_pipelines_nothing(tmp_path: Path) -> None:
    stage, pipelines = Stage(tmp_path, a_staged_rule(mode="observe")), InMemoryNotifier(PIPELINES)
    stage.sender = Sender(stage.ledger, [pipelines], stage.clock, telling=Telling(pipelines=True))
    stage.run(stage.clock.now + 900)
    assert stage.told()
    assert pipelines.sent == []
    stage.close()


def test_without_a_hook_transitions_are_settled_and_a_rollout_may_bring_its_own(
    ledger: Ledger, outbox: Outbox, clock: Clock
) -> None:
    pipelines = InMemoryNotifier(PIPELINES)
    sender = Sender(ledger, [pipelines], clock)
    outbox.add(a_transition(1))
    own = a_rule(
        rollout="with-hook", notify="{on_transition: {url: https://ci.example/hook, secret_file: hook.secret}}"
    )
    stored = ledger.add_rollout(own, file="a.yaml", engine=__version__, now=clock.now)
    ledger.record(Record(stored.id, 0, notifications=[a_transition(2)]))
    assert sender.send_due(clock.now) == 1
    assert texts(pipelines) == ["transition 2"]
    assert ledger.backlog(PIPELINES, clock.now, 10).waiting == ()
