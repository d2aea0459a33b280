"""What is told without the ledger: pages of a tick that could not be recorded, at once, beside the outbox.

Only channels that know a repeat by its key are told so: each of these messages comes again, recorded, when the ledger
is back. All of it is in memory, and nothing here asks the ledger.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import structlog

from watchdog.errors import NotifierError
from watchdog.ledger import Unsent
from watchdog.messages import About, Effect, Message, View, compose
from watchdog.messages.notices import TRANSITION
from watchdog.metrics import Metrics
from watchdog.model import Notification, Severity
from watchdog.notifiers.base import Notifier, Standing, repeats_known
from watchdog.notify.attempt import Attempt, Outcome, Result
from watchdog.notify.memo import Notes, NotesMemo
from watchdog.notify.rules import ABOUT_CHANNELS

KEPT = 100
"""Messages that are kept for a channel, the newest."""
LONGEST = 10.0
"""Seconds after which a round begins no further message of these: the channel may answer slowly."""
MOMENT = 0.001
_FIRST = -1_000_000_000
"""These have no number of the ledger yet: theirs grow from here, and are all below 0."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Handed:
    """One notification that could not be recorded, with what its message says of the rollout."""

    rollout_id: int
    about: About
    notification: Notification


@dataclass(slots=True)
class _Told:
    unsent: Unsent
    message: Message
    due: float | None
    """When it is to be tried, wall time; None when nothing is to be done but to wait for the recorded one."""
    taken: bool = False


class Aside:
    """One channel's messages that are told without the ledger. `hand` may be called from any thread, the rest not."""

    def __init__(self, notifier: Notifier, attempt: Attempt, metrics: Metrics | None = None) -> None:
        self.notifier = notifier
        self.metrics = metrics
        self.notes = Notes() if repeats_known(notifier) else None
        self.next_due: float | None = None
        """When there is something to do; None while there is not."""
        self.paused_until = 0.0
        """Until when the channel wants to be left alone, as its answers to these messages say."""
        self._attempt = attempt
        self._handed: deque[Handed] = deque(maxlen=KEPT)
        self._kept: deque[_Told] = deque(maxlen=KEPT)
        self._number = _FIRST
        self._stands_until = 0.0

    def hand(self, handed: Handed) -> None:
        """Have it told, if it is to wake somebody and this channel knows repeats. Returns at once."""
        if self.notes is not None:
            self._handed.append(handed)

    def round(self, now: float, paused_until: float = 0.0) -> int:
        """Send what is due; return how many the channel took. Raises nothing. Nothing goes before `paused_until`."""
        self.next_due = None
        if self.notes is None:
            return 0
        self._take_in(now)
        taken, begun = 0, self._attempt.clock()
        self.paused_until = max(self.paused_until, paused_until if self._kept else 0.0)
        for told in tuple(self._kept):
            if told.due is None or told.due > now or self.paused_until > now:
                continue
            if self._attempt.clock() - begun > LONGEST:
                break
            outcome = self._send(told, self.notes, now)
            now = max(now, self._attempt.clock())
            taken += outcome is not None and outcome.result is Result.SENT
        self._stand(self.notes, now)
        dues = [max(told.due, self.paused_until) for told in self._kept if told.due is not None]
        if isinstance(self.notifier, Standing) and any(told.taken for told in self._kept):
            dues.append(self._stands_until)
        self.next_due = min(dues, default=None)
        return taken

    def settled(self, message: Message) -> None:
        """The channel has done with this recorded message: what was told of its rollout up to then came with it."""
        if not self._kept or message.kind in ABOUT_CHANNELS:
            return
        for told in tuple(self._kept):
            if told.message.rollout == message.rollout and told.message.at <= message.at:
                self._kept.remove(told)

    def _take_in(self, now: float) -> None:
        while self._handed:
            handed = self._handed.popleft()
            if handed.notification.kind == TRANSITION:
                continue
            self._number += 1
            message = compose(self._number, handed.notification, handed.about)
            wakes = message is not None and message.effect in (Effect.OPEN, Effect.ESCALATE)
            if message is None or not wakes or message.severity is not Severity.CRITICAL:
                continue
            # A line in a list of changes has no key: it is left to the recorded message.
            message = replace(message, change=False)
            unsent = Unsent(self._number, handed.rollout_id, message.rollout, message.kind, message.at)
            self._kept.append(_Told(unsent, message, now))

    def _send(self, told: _Told, notes: Notes, now: float) -> Outcome | None:
        if (wait := self.notifier.ready_in(told.message, now)) > 0:
            told.due = now + max(wait, MOMENT)
            return None
        memo = NotesMemo(notes, told.unsent.rollout_id)
        outcome = self._attempt.send(told.unsent, told.message, memo, now, again=told.unsent.attempts > 0)
        told.due = outcome.next_try_at
        told.taken = outcome.result is Result.SENT
        if outcome.result is Result.FAILED:
            told.unsent = replace(told.unsent, attempts=told.unsent.attempts + 1)
        if outcome.pause and outcome.next_try_at is not None:
            self.paused_until = outcome.next_try_at
        if told.taken:
            for older in self._kept:
                if older.message.incident == told.message.incident and older.unsent.id < told.unsent.id:
                    older.due, older.taken = None, False  # this one speaks of it, and later than that one
        if self.metrics is not None and outcome.result is not Result.PARTLY:
            self.metrics.on_notification(self.notifier.name, outcome.result.value)
        log.warning(
            "told without the ledger",
            channel=self.notifier.name,
            message=told.message.key,
            result=outcome.result.value,
            why=outcome.error or told.message.summary,
        )
        return outcome

    def _stand(self, notes: Notes, now: float) -> None:
        """Repeat what stands only as long as it is repeated."""
        taken = [told for told in self._kept if told.taken]
        if not isinstance(self.notifier, Standing) or not taken or now < self._stands_until or now < self.paused_until:
            return
        self._stands_until = now + self.notifier.every
        for rollout_id in {told.unsent.rollout_id for told in taken}:
            messages = tuple(told.message for told in taken if told.unsent.rollout_id == rollout_id)
            one = messages[-1]
            where = (one.rollout, one.service, one.version, one.flag)
            view = View(*where, phase="", at=now, open=messages, rule=one.rule)
            try:
                self.notifier.refresh(view, NotesMemo(notes, rollout_id), now)
            except NotifierError as error:
                log.warning("channel", channel=self.notifier.name, rollout=one.rollout, why=f"not repeated: {error}")
