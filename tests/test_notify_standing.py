"""What a channel shows of a rollout is kept up to date: at its pace, after its messages, and once when it has ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.outbox import AWAY
from tests.rollouts import NOON
from tests.stage import MINUTE, Stage, a_rule
from watchdog.errors import NotifierError
from watchdog.messages import View
from watchdog.model import Phase
from watchdog.notifiers.base import Memo
from watchdog.notifiers.memory import InMemoryNotifier
from watchdog.notify import Sender, Telling


class Shown(InMemoryNotifier):
    """A channel that shows each rollout, and looks at it every five minutes."""

    every = 5.0 * MINUTE

    def __init__(self) -> None:
        super().__init__("slack")
        self.views: list[View] = []
        self.looks = 0
        self.trouble: NotifierError | None = None

    def refresh(self, view: View, memo: Memo, now: float) -> None:
        assert view.at == now
        self.looks += 1
        if self.trouble is not None:
            raise self.trouble
        memo.put("shown", view.phase)
        self.views.append(view)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()


@pytest.fixture
def slack(stage: Stage) -> Shown:
    shown = Shown()
    stage.sender = Sender(stage.ledger, [shown], stage.clock, telling=Telling(external_url="https://watchdog.example"))
    return shown


def test_a_rollout_is_shown_as_it_is(stage: Stage, slack: Shown) -> None:
    stage.run(NOON + 12 * MINUTE)
    view = slack.views[-1]
    assert (view.rollout, view.phase, view.desired, view.over) == ("checkout-2", "ramping", "50%", False)
    assert (view.required, view.hold, view.open) == (3, "", ())
    assert [(name, verdict) for name, verdict, _ in view.verdicts] == [("error_rate", "pass"), ("flag_ramp", "pass")]
    assert [link.text for link in view.links] == ["status", "report"]
    assert view.rule is None
    assert stage.ledger.memo("slack", stage.stored.id, "shown") == "ramping"


def test_it_is_looked_at_at_the_channels_pace_and_right_after_its_messages(stage: Stage, slack: Shown) -> None:
    stage.run(NOON + 2 * MINUTE)
    looks, told = slack.looks, len(slack.sent)
    stage.run(NOON + 4 * MINUTE)
    assert (slack.looks, len(slack.sent)) == (looks, told)
    stage.run(NOON + 8 * MINUTE)
    assert (slack.looks, len(slack.sent)) == (looks + 1, told)
    stage.command("hold", "lunch")
    stage.tick()
    assert len(slack.sent) == told + 1
    assert slack.views[-1].hold == "lunch (operator, by ada)"


def test_an_open_incident_is_shown_until_it_is_over(stage: Stage, slack: Shown) -> None:
    stage.run(NOON + 12 * MINUTE)
    stage.service.fails(stage.clock.now, stage.clock.now + 5 * MINUTE)
    stage.run(stage.clock.now + 4 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    view = slack.views[-1]
    assert [message.incident for message in view.open] == ["slo-watchdog:checkout-2:breach:error_rate"]
    assert (view.phase, view.over) == ("rolled_back", False)
    stage.run(stage.clock.now + 60 * MINUTE)
    assert (slack.views[-1].open, slack.views[-1].over) == ((), True)


def test_an_ended_rollout_is_shown_once_and_then_left(stage: Stage, slack: Shown) -> None:
    stage.run(NOON + 3 * MINUTE)
    stage.command("stop")
    stage.tick()
    assert slack.views[-1].over
    looks = slack.looks
    stage.run(stage.clock.now + 60 * MINUTE)
    assert slack.looks == looks


def test_who_wants_to_be_left_alone_is_shown_nothing_and_sent_nothing(stage: Stage, slack: Shown) -> None:
    stage.run(NOON + 2 * MINUTE)
    looks = slack.looks
    slack.trouble = NotifierError("429", retry_after=600.0, everything=True)
    stage.run(NOON + 9 * MINUTE)
    assert slack.looks == looks + 1
    attempts = slack.attempts
    slack.trouble = None
    stage.command("hold")
    stage.run(NOON + 14 * MINUTE)
    assert (slack.looks, slack.attempts) == (looks + 1, attempts)
    stage.run(NOON + 20 * MINUTE)
    assert slack.attempts > attempts
    assert slack.looks > looks + 1


def test_a_rollout_that_cannot_be_shown_costs_no_message(stage: Stage, slack: Shown) -> None:
    slack.trouble = NotifierError("message_not_found")
    stage.run(NOON + 30 * MINUTE)
    assert slack.views == []
    assert len(slack.sent) > 1


def test_a_message_that_failed_is_not_taken_for_news(stage: Stage, slack: Shown) -> None:
    slack.fail(AWAY)
    stage.run(NOON + 2 * MINUTE)
    assert slack.attempts == 2


def test_an_observation_is_not_shown(tmp_path: Path) -> None:
    stage, shown = Stage(tmp_path, a_rule(mode="observe")), Shown()
    stage.sender = Sender(stage.ledger, [shown], stage.clock)
    stage.run(NOON + 10 * MINUTE)
    assert shown.looks == 0
    stage.close()


def test_a_rollout_that_was_not_started_is_not_shown(tmp_path: Path) -> None:
    stage, shown = Stage(tmp_path, started=False), Shown()
    stage.sender = Sender(stage.ledger, [shown], stage.clock)
    stage.run(NOON + 10 * MINUTE)
    assert shown.looks == 0
    stage.close()
