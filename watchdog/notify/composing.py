"""From rows to messages: composed once, in the order in which they were recorded, and kept while they are needed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from watchdog.errors import ConfigError
from watchdog.ledger import Ledger, StoredRollout
from watchdog.messages import About, Message, compose, open_incidents
from watchdog.model import NotifyRule, Rollout
from watchdog.rolloutfile import rollout_from_resolved

REPORT_WITHIN = 60.0
"""Seconds that the message of a sign-off waits for its report."""
REPORTS = {"interim": "interim", "signed_off": "final"}
"""Messages that come with a report, and its kind."""
_KEPT = 64
"""Rollouts whose messages are kept at hand."""


@dataclass(frozen=True, slots=True)
class Telling:
    """What the settings say of telling people: rules for rollouts that have none, addresses, pages a day."""

    defaults: NotifyRule = field(default_factory=NotifyRule)
    external_url: str = ""
    runbook_url: str = ""
    prometheus_url: str = ""
    budget: int | None = None
    pipelines: bool = False
    """Whether transitions go somewhere when a rollout does not say where."""


@dataclass(slots=True)
class _Story:
    """The messages of one rollout as far as they are read; None where the rules say not to tell."""

    about: About
    messages: dict[int, Message | None] = field(default_factory=dict)
    open: tuple[Message, ...] = ()
    last: int = 0


class Composer:
    """Composes for all channels of a process. Every method that asks the ledger raises LedgerError."""

    def __init__(self, ledger: Ledger, telling: Telling) -> None:
        self.ledger = ledger
        self.telling = telling
        self._stories: OrderedDict[int, _Story] = OrderedDict()
        self._lock = threading.Lock()

    def about(self, rollout_id: int, name: str) -> About:
        """What messages of this rollout say of it."""
        with self._lock:
            return self._story(rollout_id, name).about

    def about_rule(self, rollout: Rollout) -> About:
        """What messages of this rollout say of it, without the ledger: its rule is at hand. Waits for nothing."""
        return self._said_of(rollout.name, rollout.service, rollout.version, rollout.flag, rollout.notify)

    def message(self, rollout_id: int, name: str, number: int) -> Message | None:
        """The message of that number; None when the rules say not to tell it to anybody."""
        with self._lock:
            story = self._story(rollout_id, name)
            if number not in story.messages and number <= story.last:
                # On a server a transaction with smaller numbers may end later: what is open is folded anew.
                story.messages, story.open, story.last = {}, (), 0
            if number not in story.messages:
                self._read_on(rollout_id, story)
            return story.messages.get(number)

    def open(self, rollout_id: int, name: str) -> tuple[Message, ...]:
        """The newest message of each incident of the rollout that is open now."""
        with self._lock:
            story = self._story(rollout_id, name)
            self._read_on(rollout_id, story)
            return story.open

    def messages(self, rollout_id: int, name: str, numbers: Sequence[int]) -> list[Message]:
        """Those of these messages that are told at all."""
        found = (self.message(rollout_id, name, number) for number in numbers)
        return [message for message in found if message is not None]

    def report(self, rollout_id: int, message: Message) -> str | None:
        """The path of the report that comes with this message, empty where none does; None while it is not there."""
        kind = REPORTS.get(message.kind)
        if kind is None:
            return ""
        written = [r.path for r in self.ledger.reports(rollout_id) if r.kind == kind and r.format == "html"]
        return written[-1] if written else None

    def _story(self, rollout_id: int, name: str) -> _Story:
        story = self._stories.get(rollout_id)
        if story is None:
            stored = self.ledger.rollout(name)
            story = _Story(self._about(stored) if stored is not None else self._unknown(name))
            self._stories[rollout_id] = story
            if len(self._stories) > _KEPT:
                self._stories.popitem(last=False)
        self._stories.move_to_end(rollout_id)
        return story

    def _read_on(self, rollout_id: int, story: _Story) -> None:
        for number, notification in self.ledger.recorded(rollout_id, story.last):
            opened = tuple(message.incident for message in story.open)
            message = compose(number, notification, story.about, opened=opened)
            story.messages[number] = message
            if message is not None:
                story.open = open_incidents((*story.open, message))
            story.last = number

    def _about(self, stored: StoredRollout) -> About:
        try:
            rule = rollout_from_resolved(stored.resolved, stored.text).notify
        except ConfigError:
            rule = None  # a rule of another version: it is told as the daemon's settings say
        return self._said_of(stored.name, stored.service, stored.version, stored.flag, rule)

    def _said_of(self, name: str, service: str, version: str, flag: str, rule: NotifyRule | None) -> About:
        telling = self.telling
        urls = (telling.external_url, telling.runbook_url, telling.prometheus_url)
        return About(name, service, version, flag, rule, telling.defaults, *urls)

    def _unknown(self, name: str) -> About:
        return About(name, "", "", "", None, self.telling.defaults)
