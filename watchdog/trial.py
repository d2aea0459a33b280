"""A harmless message through a channel, directly and at once: neither the outbox nor a running daemon has part in it.

A channel gets it as it gets every message, so that its answer is what real ones would meet. Nothing is kept of it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from watchdog.config.notifysettings import NotifySettings
from watchdog.errors import ConfigError, NotifierError, NotYet
from watchdog.messages import Effect, Link, Message, rollout_links
from watchdog.model import NotifyRule, Rollout, Severity
from watchdog.notifiers import CHANNELS, open_channels
from watchdog.notifiers.base import Notifier

PAGER, PIPELINES = "pagerduty", "on_transition"
TO_PEOPLE = tuple(name for name in CHANNELS if name != PIPELINES)
"""The channels that people listen to."""
WITHIN = 30.0
"""Seconds that a channel has for its whole answer, however its own timeouts add up."""
PATIENCE = 5.0
"""Seconds that are waited for a second part, such as the same message in a simpler layout."""
_PARTS = 3
_OWN = {PAGER: "routing_key_file", "slack": "slack_channel", "email": "email_to", PIPELINES: "on_transition"}


@dataclass(frozen=True, slots=True)
class Wish:
    """Which channel is tried, and for whom: with a rollout's name and rule its own routing, else the daemon's.

    `page`: PagerDuty gets an incident, which is ended at once, in place of a line in the list of changes.
    """

    channel: str
    rollout: str = ""
    rule: NotifyRule | None = None
    external_url: str = ""
    page: bool = False


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of it: the channel's answer in words, after so many seconds."""

    wish: Wish
    ok: bool
    answer: str
    seconds: float


def configured(settings: NotifySettings, rule: NotifyRule | None = None) -> tuple[str, ...]:
    """The channels that are used: those of the settings, and the hook that a rollout brings."""
    own = rule is not None and rule.on_transition is not None
    return tuple(name for name in CHANNELS if getattr(settings, name) is not None or (own and name == PIPELINES))


def own_ways(settings: NotifySettings, rollout: Rollout) -> Iterator[tuple[str, str, object]]:
    """(channel, key, where to) of all that a rollout tells elsewhere than the daemon's settings say."""
    rule = rollout.notify or NotifyRule()
    for channel, key in _OWN.items():
        to = getattr(rule, key)
        if to and to != _usual(settings, channel):
            yield channel, key, to


def _usual(settings: NotifySettings, channel: str) -> object:
    if channel == "slack" and settings.slack is not None:
        return settings.slack.channel
    return settings.email.to if channel == "email" and settings.email is not None else None


def try_channels(settings: NotifySettings, wishes: Sequence[Wish], within: float = WITHIN) -> list[Tried]:
    """Send them all at the same time; what came of each, in their order, after `within` seconds at the latest.

    Raises nothing: what cannot be opened or sent is told as its answer.
    """
    attempts = [_Attempt(settings, wish) for wish in wishes]
    for attempt in attempts:
        attempt.thread.start()
    until = time.monotonic() + within
    for attempt in attempts:
        attempt.thread.join(max(0.0, until - time.monotonic()))
    return [attempt.result(within) for attempt in attempts]


class _Attempt:
    """One try in a thread of its own, which is left behind when it hangs."""

    def __init__(self, settings: NotifySettings, wish: Wish) -> None:
        self.settings = settings
        self.wish = wish
        self.thread = threading.Thread(target=self._run, name=f"test-{wish.channel}", daemon=True)
        self._tried: Tried | None = None

    def result(self, within: float) -> Tried:
        """What came of it so far."""
        if self._tried is not None:
            return self._tried
        hangs = f"{self.wish.channel}: no whole answer within {within:g} s; it may still arrive"
        broke = f"{self.wish.channel}: sending failed inside the watchdog"
        return Tried(self.wish, ok=False, answer=hangs if self.thread.is_alive() else broke, seconds=within)

    def _run(self) -> None:
        begun, ok = time.monotonic(), True
        answers: list[str] = []
        try:
            channel = _opened(self.settings, self.wish.channel)
            try:
                for message in _messages(self.wish):
                    answers.append(_sent(channel, message))  # noqa: PERF401 - what came before a failure counts
            finally:
                channel.close()
        except (NotifierError, ConfigError) as error:
            ok = False
            answers.append(str(error))
        self._tried = Tried(self.wish, ok, "; ".join(answers), time.monotonic() - begun)


def _opened(settings: NotifySettings, name: str) -> Notifier:
    """One channel and none of the others, whose wrong keys are their own trouble. Raises ConfigError."""
    alone = settings.model_copy(update={other: None for other in CHANNELS if other != name})
    return next(channel for channel in open_channels(alone) if channel.name == name)


def _messages(wish: Wish) -> list[Message]:
    """The message to send; for a page its begin and its end."""
    rollout, now = wish.rollout, time.time()
    whose = f"the rollout {rollout}" if rollout else "slo-watchdog"
    links = rollout_links(wish.external_url, rollout) if rollout else ()
    if wish.external_url and not rollout:
        links = (Link("slo-watchdog", wish.external_url),)
    message = Message(
        id=0,
        key=f"{rollout or 'slo-watchdog'}:test:{now:.3f}:{secrets.token_hex(4)}",
        kind="test",
        severity=Severity.INFO,
        effect=Effect.TELL,
        rollout=rollout,
        service="",
        version="",
        flag="",
        at=now,
        summary=f"A test message of {whose}: whoever reads it will hear of what happens. Nothing has happened.",
        todo="Nothing: somebody has asked for a test.",
        links=links,
        rule=wish.rule,
    )
    if not (wish.page and wish.channel == PAGER):
        return [message]
    return [replace(message, effect=Effect.OPEN), replace(message, effect=Effect.RESOLVE)]


def _sent(channel: Notifier, message: Message) -> str:
    """What the channel answered. Raises NotifierError."""
    memo = _Forgotten()
    for _ in range(_PARTS):
        try:
            return channel.send(message, memo, time.time(), again=False)
        except NotYet as wait:
            if wait.retry_after is None or wait.retry_after > PATIENCE:
                raise
            time.sleep(wait.retry_after)
    raise NotifierError(f"{channel.name}: the message went out in parts, and the last one did not follow")


@dataclass(slots=True)
class _Forgotten:
    """A memo that nobody keeps: what is tried leaves no trace in the ledger."""

    values: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        return self.values.get(name)

    def put(self, name: str, value: str) -> None:
        self.values[name] = value
