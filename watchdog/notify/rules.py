"""Who is told what, and when: routing between channels, quiet hours, reports that are waited for, pages a day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from watchdog.ledger import PIPELINES, Ledger, Unsent
from watchdog.messages import Effect, Message, held_until
from watchdog.model import Notification, Severity
from watchdog.notify.composing import REPORT_WITHIN, REPORTS, Composer
from watchdog.notify.queue import standing_for

PAGER = "pagerduty"
"""The channel that wakes people, whose pages have a budget."""
DAY = 86_400.0
ABOUT_CHANNELS = frozenset({"channel_failing", "channel_working"})
SPENT = "page_budget"
"""The kind of the message that says that the pages of a day are used up."""


@dataclass(frozen=True, slots=True)
class Ready:
    """To be sent as soon as the channel can take it."""

    message: Message


@dataclass(frozen=True, slots=True)
class Held:
    """To be sent, but not before wall time `until`. What comes after it does not wait for it."""

    until: float


@dataclass(frozen=True, slots=True)
class Withheld:
    """Not for this channel; the sentence says why."""

    why: str


class Rules:
    """What one channel is told. Raises LedgerError."""

    def __init__(self, channel: str, composer: Composer) -> None:
        self.channel = channel
        self.composer = composer

    def judge(self, unsent: Unsent, earlier: Sequence[int], now: float) -> Ready | Held | Withheld:
        """What is to be done with a message at wall time `now`; it stands for the `earlier` ones."""
        about = self.composer.about(unsent.rollout_id, unsent.rollout)
        message = self.composer.message(unsent.rollout_id, unsent.rollout, unsent.id)
        if message is None:
            return Withheld(f"the rules tell nobody of {unsent.kind}: its severity is none")
        if message.kind in ABOUT_CHANNELS and message.details.get("channel") == self.channel:
            return Withheld("it is about this channel: the others are told")
        message = standing_for(message, self.composer.messages(unsent.rollout_id, unsent.rollout, earlier))
        own = about.rule.on_transition if about.rule is not None else None
        if self.channel == PIPELINES and own is None and not self.composer.telling.pipelines:
            return Withheld("neither the rollout nor the settings have an on_transition")
        if unsent.attempts == 0 and (until := held_until(message, about, now)) is not None:
            return Held(until)
        if message.kind in REPORTS and now < unsent.at + REPORT_WITHIN:
            report = self.composer.report(unsent.rollout_id, message)
            if report is None:
                return Held(unsent.at + REPORT_WITHIN)
        if message.effect is Effect.OPEN and held_until(message, about, unsent.at) is not None:
            # The end of an incident is not held back: it may have been told while this waited.
            open_now = {one.incident for one in self.composer.open(unsent.rollout_id, unsent.rollout)}
            if message.incident not in open_now:
                return Ready(replace(message, effect=Effect.TELL))
        return Ready(message)


class Budget:
    """The watchdog's own pages: so many in 24 hours, and what is not critical goes to the other channels after that."""

    def __init__(self, ledger: Ledger, composer: Composer, clock: Callable[[], float]) -> None:
        self.ledger = ledger
        self.composer = composer
        self.clock = clock

    def refuses(self, unsent: Unsent, message: Message) -> str | None:
        """Why this message does not go to the pager; None when it may. Raises LedgerError."""
        limit = self.composer.telling.budget
        if limit is None or message.severity is Severity.CRITICAL or not _is_page(message):
            return None
        now = self.clock()
        pages = self._pages_since(now - DAY)
        if pages < limit:
            return None
        why = f"{pages} pages in 24 hours are the budget of {limit}: what is not critical goes to the other channels"
        details: dict[str, object] = {"channel": PAGER, "budget": limit, "pages": pages}
        told = Notification(SPENT, f"{SPENT}:{int(now // DAY)}", Severity.WARNING, why, now, details)
        self.ledger.tell_once(unsent.rollout_id, told)
        return why

    def _pages_since(self, since: float) -> int:
        names = {stored.id: stored.name for stored in self.ledger.rollouts()}
        sent = self.ledger.sent_since(PAGER, since)
        messages = (self.composer.message(rollout, names[rollout], number) for number, rollout in sent)
        return sum(message is not None and _is_page(message) for message in messages)


def _is_page(message: Message) -> bool:
    return message.effect in (Effect.OPEN, Effect.ESCALATE) and message.severity is not Severity.INFO
