"""The in-memory channel keeps what it is given, and fails as told."""

from __future__ import annotations

import pytest

from watchdog.errors import ConfigError, NotifierError
from watchdog.model import Notification, Severity
from watchdog.notifiers import open_channel
from watchdog.notifiers.base import Notifier
from watchdog.notifiers.memory import InMemoryNotifier

BUSY = NotifierError("pager: 503; expected 202; it is tried again.")


def page(key: str, summary: str = "error_rate breached") -> Notification:
    return Notification("breach", key, Severity.CRITICAL, summary, at=1000.0)


def test_messages_are_kept_in_order_with_their_rollout() -> None:
    channel = InMemoryNotifier()
    channel.send(page("a"), "checkout-1")
    channel.send(page("b"), "checkout-2")

    assert [(rollout, sent.key) for rollout, sent in channel.sent] == [("checkout-1", "a"), ("checkout-2", "b")]


def test_a_repeat_is_seen_in_the_log_but_reaches_people_once() -> None:
    channel = InMemoryNotifier()
    channel.send(page("a"), "checkout-1")
    channel.send(page("a"), "checkout-1")

    assert len(channel.sent) == 2
    assert list(channel.received) == ["a"]


def test_a_scripted_failure_delivers_nothing_and_then_the_channel_works_again() -> None:
    channel = InMemoryNotifier("pager")
    channel.fail(BUSY, times=2)

    for _ in range(2):
        with pytest.raises(NotifierError, match="503"):
            channel.send(page("a"), "checkout-1")
    channel.send(page("a"), "checkout-1")

    assert channel.attempts == 3
    assert len(channel.sent) == 1


def test_an_acknowledgement_can_get_lost_after_delivery() -> None:
    channel = InMemoryNotifier()
    channel.fail(BUSY, after=True)

    with pytest.raises(NotifierError):
        channel.send(page("a"), "checkout-1")

    assert len(channel.sent) == 1


def test_recovering_forgets_the_script() -> None:
    channel = InMemoryNotifier()
    channel.fail(BUSY, times=100)
    channel.recover()
    channel.send(page("a"), "checkout-1")

    assert len(channel.sent) == 1


def test_channels_are_opened_by_name_and_an_unknown_one_is_refused() -> None:
    channel: Notifier = open_channel("memory")

    assert channel.name == "memory"
    with pytest.raises(ConfigError, match=r"notify\.pigeon: is not a known channel; expected one of memory"):
        open_channel("pigeon")
