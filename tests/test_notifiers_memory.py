"""The in-memory channel keeps what it is given, and fails as told."""

from __future__ import annotations

import pytest

from watchdog.errors import NotifierError
from watchdog.messages import About, Message, compose
from watchdog.model import Notification, NotifyRule, Severity
from watchdog.notifiers.base import Notifier, Standing
from watchdog.notifiers.memory import InMemoryNotifier

BUSY = NotifierError("pager: 503; expected 202; it is tried again.")


class Forgetful:
    """A memo for a channel that remembers nothing."""

    def get(self, name: str) -> str | None:
        raise AssertionError(name)

    def put(self, name: str, value: str) -> None:
        raise AssertionError(name, value)


def page(key: str, rollout: str = "checkout-1") -> Message:
    about = About(rollout, "checkout", "1", "new-checkout", None, NotifyRule())
    found = compose(1, Notification("breach", key, Severity.CRITICAL, "error_rate breached", at=1000.0), about)
    assert found is not None
    return found


def send(channel: Notifier, message: Message, *, again: bool = False) -> None:
    channel.send(message, Forgetful(), 1000.0, again=again)


def test_messages_are_kept_in_order_with_their_rollout() -> None:
    channel = InMemoryNotifier()
    send(channel, page("a"))
    send(channel, page("b", "checkout-2"))
    assert [(rollout, sent.key) for rollout, sent in channel.sent] == [
        ("checkout-1", "checkout-1:a"),
        ("checkout-2", "checkout-2:b"),
    ]


def test_a_repeat_is_seen_in_the_log_but_reaches_people_once() -> None:
    channel = InMemoryNotifier()
    send(channel, page("a"))
    send(channel, page("a"), again=True)
    assert len(channel.sent) == 2
    assert list(channel.received) == channel.again == ["checkout-1:a"]


def test_a_scripted_failure_delivers_nothing_and_then_the_channel_works_again() -> None:
    channel = InMemoryNotifier("pager")
    channel.fail(BUSY, times=2)
    for _ in range(2):
        with pytest.raises(NotifierError, match="503"):
            send(channel, page("a"))
    send(channel, page("a"))
    assert channel.attempts == 3
    assert len(channel.sent) == 1


def test_an_acknowledgement_can_get_lost_after_delivery() -> None:
    channel = InMemoryNotifier()
    channel.fail(BUSY, after=True)
    with pytest.raises(NotifierError):
        send(channel, page("a"))
    assert len(channel.sent) == 1


def test_recovering_forgets_the_script() -> None:
    channel = InMemoryNotifier()
    channel.fail(BUSY, times=100)
    channel.recover()
    send(channel, page("a"))
    assert len(channel.sent) == 1


def test_it_is_a_channel_without_a_limit_and_shows_no_state() -> None:
    channel: Notifier = InMemoryNotifier()
    assert channel.name == "memory"
    assert channel.ready_in(page("a"), 1000.0) == 0
    assert not isinstance(channel, Standing)
    channel.close()
