"""What the tests of the Slack channel share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.channels import NOON, Notes, told, view
from tests.slackserver import TOKEN, SlackServer
from watchdog.config.notifysettings import SlackSettings
from watchdog.errors import NotYet
from watchdog.messages import Message, View
from watchdog.model import NotifyRule
from watchdog.notifiers.base import Notifier
from watchdog.notifiers.slack import Slack, open_slack

PATIENCE = 5.0


def opened(server: SlackServer, **changes: Any) -> Slack:
    """The channel by token."""
    given = {"token": TOKEN, "channel": "#deploys", "url": server.url, "timeout": PATIENCE, **changes}
    channel = open_slack(SlackSettings.model_validate(given))
    assert isinstance(channel, Slack)
    return channel


def deliver(slack: Notifier, message: Message, memo: Notes, now: float = NOON, *, again: bool = False) -> str:
    """What the sender does: wait as long as it is told, and come again."""
    for _ in range(10):
        now += slack.ready_in(message, now)
        try:
            return slack.send(message, memo, now, again=again)
        except NotYet as wait:
            now, again = now + (wait.retry_after or 0.0), True
    raise AssertionError("the message never went out")


def to(channel: str, **changes: Any) -> Message:
    """A message of a rollout with a channel of its own."""
    return told(rule=NotifyRule(slack_channel=channel), **changes)


def moved(**changes: Any) -> View:
    """A rollout's state in the middle of its window."""
    facts = {"desired": "25%", "actual": "25%", "required": 48, "current": 2, "strip": ("pass", "fail", "pass", "pass")}
    return replace(view(), **{**facts, "verdicts": (("error_rate", "pass", "0.02% is at most 0.1%"),), **changes})
