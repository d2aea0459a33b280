"""One channel's way out: what is due is sent in order, paced and paused as the channel wants it.

A message is claimed in the ledger before it is sent, and marked after. Who dies in between sends it once more, told
that it may be a repeat; who merely cannot write to the ledger remembers, and marks it when the ledger is back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from watchdog.errors import LedgerError
from watchdog.ledger import Backlog, Ledger, Unsent
from watchdog.messages import Message
from watchdog.metrics import Metrics
from watchdog.notifiers.base import Notifier
from watchdog.notify.aside import Aside
from watchdog.notify.attempt import Attempt, Outcome, Result, write_down
from watchdog.notify.composing import Composer
from watchdog.notify.health import REFUSED, SILENT, SILENT_AFTER, UNUSABLE, Health
from watchdog.notify.memo import LedgerMemo
from watchdog.notify.queue import Item, Queue, Queues, queues, standing_for
from watchdog.notify.rules import PAGER, Budget, Held, Ready, Rules, Withheld
from watchdog.notify.standing import Board

AT_HAND = 2000
"""Messages of one channel that are looked at together, the oldest."""
ROUND = 10.0
"""Seconds after which a round begins no further message."""
COUNT = 10.0
"""Seconds between two looks at what waits for a paused channel."""
MOMENT = 0.001
"""Seconds that a wait has at least. Nanoseconds, added to wall time, are nothing: it would be asked without end."""
LOOK_BACK = 600.0
"""Seconds between two looks through the whole outbox; between them only what is new is looked for."""


class Lane:
    """One channel with its own state. One thread at a time runs its rounds; nothing here waits for another channel."""

    def __init__(
        self,
        notifier: Notifier,
        ledger: Ledger,
        composer: Composer,
        health: Health,
        clock: Callable[[], float],
        metrics: Metrics | None = None,
    ) -> None:
        self.notifier = notifier
        self.name = notifier.name
        self.ledger = ledger
        self.composer = composer
        self.health = health
        self.clock = clock
        self.metrics = metrics
        self.sentence = f"{self.name}: nothing was sent yet"
        self.next_due: float | None = None
        """When there is something to do, as far as this lane knows; None when it waits for news only."""
        self.waiting: tuple[Unsent, ...] = ()
        """What waits, oldest first, without what quiet hours hold back."""
        self.taken_at = clock()
        """When the channel last took something, or its lane was made."""
        self.paused_until = 0.0
        self.sends: Callable[[], bool] = lambda: True
        """Whether this process sends what is recorded; where several share a ledger, one does."""
        self._trouble = "it has not answered yet"
        self._attempt = Attempt(notifier, clock)
        self.aside = Aside(notifier, self._attempt, metrics)
        self._rules = Rules(self.name, composer)
        self._budget = Budget(ledger, composer, clock) if self.name == PAGER else None
        self._board = Board(notifier, ledger, composer)
        self._unrecorded: dict[int, tuple[Unsent, Outcome]] = {}
        """What came of attempts that the ledger has not heard of."""
        self._stood_for: dict[int, tuple[int, ...]] = {}
        """Which older messages the waiting ones stand for."""
        self._seen: dict[int, float] = {}
        """When each waiting message was first seen."""
        self._sent = 0
        self._after = 0
        self._looked_back_at: float | None = None
        self._looked_at: float | None = None

    def round(self, now: float, *, seconds: float = ROUND, news: Callable[[], bool] = lambda: False) -> int:
        """Send what is due at wall time `now`; return how many the channel took. Raises nothing.

        Ends early when `news` says that something new was recorded, so that the most severe goes first.
        """
        # Before anything is asked of the ledger, which may take its time to fail.
        self._sent = self.aside.round(now, self.paused_until)
        self.next_due = self.aside.next_due
        if self._sent:
            self.taken_at = now = max(now, self.clock())
        self.health.catch_up()
        try:
            self._catch_up()
            if not self.sends():
                self._stand_by(now)
                return self._sent
            if self._nothing_new(now):
                return self._sent
            self._send_all(self._look(now), now, seconds, news)
            self.tell_of_silence(max(now, self.clock()))
            self._refresh(max(now, self.clock()), news)
        except LedgerError as error:
            self.sentence = f"{self.name}: nothing is sent while the ledger fails: {error}"
        return self._sent

    def _stand_by(self, now: float) -> None:
        """Another process sends: what it sees is not known here, and not this channel's silence."""
        self.waiting, self.taken_at, self._looked_back_at = (), now, None
        self.sentence = f"{self.name}: another process sends"

    def _nothing_new(self, now: float) -> bool:
        """Whether a look would be for nothing: the channel is paused, and what waits was counted a moment ago."""
        counted = self._looked_at is not None and 0 <= now - self._looked_at < COUNT
        if now < self.paused_until and counted:
            self._wake_at(self.paused_until)
            return True
        self._looked_at = now
        return False

    # --- what there is ----------------------------------------------------------------------------------------------

    def _look(self, now: float) -> Queues:
        """What waits, without what is not told and what newer messages stand for; both are settled here."""
        backlog = self._backlog(now)
        own = self.paused_until if self._unrecorded else 0.0
        self.paused_until = max(backlog.paused_until or 0.0, self.aside.paused_until, own)
        # Messages may be recorded late: they are a backlog of the channel only when it did not take them.
        failed = any(unsent.attempts for unsent in backlog.waiting)
        self._seen = {one.id: one.at if failed else self._seen.get(one.id, now) for one in backlog.waiting}
        items, withheld = [], dict[int, str]()
        for unsent in filter(None, map(self._as_remembered, backlog.waiting)):
            match self._rules.judge(unsent, self._stood_for.get(unsent.id, ()), now):
                case Ready(message):
                    items.append(Item(unsent, message, self._seen[unsent.id]))
                case Withheld(why):
                    withheld[unsent.id] = why
                case Held(until):
                    self._wake_at(until)
        found, stands = queues(items, now)
        if withheld:
            self.ledger.mark_not_told(self.name, withheld)
        if stands:
            self.ledger.supersede(self.name, stands, now)
            self._stood_for = self.ledger.stood_for(self.name)
        return found

    def _backlog(self, now: float) -> Backlog:
        """The outbox from the first message on that this channel has not settled."""
        if self._looked_back_at is None or not 0 <= now - self._looked_back_at < LOOK_BACK:
            # On a server a transaction with smaller numbers may end later than one with greater.
            self._after, self._looked_back_at = 0, now
            self._stood_for = self.ledger.stood_for(self.name)
        backlog = self.ledger.backlog(self.name, now, AT_HAND, self._after)
        self._after = backlog.waiting[0].id - 1 if backlog.waiting else max(self._after, backlog.newest)
        return backlog

    def _as_remembered(self, unsent: Unsent) -> Unsent | None:
        """The row with what the ledger has not heard of yet; None for what needs nothing any more."""
        if unsent.id not in self._unrecorded:
            return unsent
        _, outcome = self._unrecorded[unsent.id]
        if outcome.result in (Result.SENT, Result.REFUSED):
            return None
        return replace(unsent, next_try_at=outcome.next_try_at, attempts=unsent.attempts + 1)

    # --- sending ----------------------------------------------------------------------------------------------------

    def _send_all(self, found: Queues, now: float, seconds: float, news: Callable[[], bool]) -> None:
        begun, total, said = self.clock(), sum(len(queue.items) for queue in found), "nothing is due"
        if total and now < self.paused_until:
            said = f"{total} wait, it is left alone for {self.paused_until - now:.0f} s"
        while now >= self.paused_until and (queue := found.first(now)) is not None:
            if self.clock() - begun > seconds or news():
                said, self.next_due = f"sent {self._sent} of {total}, the rest follows", now
                break
            outcome = self._send(queue, now)
            now = max(now, self.clock())
            if outcome is None:
                continue
            self._sent += outcome.result is Result.SENT
            if outcome.result in (Result.SENT, Result.REFUSED):
                found.took(queue)
            said = f"sent {self._sent} of {total}" + (f"; {outcome.result}: {outcome.error}" if outcome.error else "")
            if self._unrecorded:
                said = f"{said}; the rest waits for the ledger"
                break
        self.sentence = f"{self.name}: {said}"
        self.waiting = tuple(sorted((item.unsent for queue in found for item in queue.items), key=lambda one: one.id))
        due = found.next_due()
        if due is not None:
            self._wake_at(max(due, self.paused_until))

    def _send(self, queue: Queue, now: float) -> Outcome | None:
        """Send the queue's first message, if the channel's pace, its budget and other senders let it go now."""
        item = queue.items[0]
        unsent = item.unsent
        if self._budget is not None and (why := self._budget.refuses(unsent, item.message)) is not None:
            self.ledger.mark_not_told(self.name, {unsent.id: why})
            del queue.items[0]
            return None
        if (wait := self.notifier.ready_in(item.message, now)) > 0:
            queue.not_before = now + max(wait, MOMENT)
            return None
        claim = self.ledger.claim(unsent.id, self.name, now)
        if claim is None:  # another sender has it; the next look says how that ended
            queue.items.clear()
            self._wake_at(now + 1.0)
            return None
        message = self._whole(unsent, claim.earlier) or item.message
        report = self.composer.report(unsent.rollout_id, message) or ""
        message = replace(message, report=report, effect=item.message.effect)
        memo = LedgerMemo(self.ledger, self.name, unsent.rollout_id, self.aside.notes)
        outcome = self._attempt.send(unsent, message, memo, now, again=claim.again)
        self._record(unsent, outcome)
        if outcome.result in (Result.SENT, Result.REFUSED):
            self.aside.settled(message)
        if outcome.next_try_at is not None:
            queue.not_before = outcome.next_try_at
        return outcome

    def _whole(self, unsent: Unsent, earlier: Sequence[int]) -> Message | None:
        """The message with all that it stands for."""
        message = self.composer.message(unsent.rollout_id, unsent.rollout, unsent.id)
        stood_for = self.composer.messages(unsent.rollout_id, unsent.rollout, earlier)
        return standing_for(message, stood_for) if message is not None else None

    def _record(self, unsent: Unsent, outcome: Outcome) -> None:
        """Keep, count and tell of what came of an attempt."""
        self._unrecorded[unsent.id] = (unsent, outcome)
        self._trouble = outcome.error or self._trouble
        if outcome.pause and outcome.next_try_at is not None:
            self.paused_until = outcome.next_try_at
        if self.metrics is not None and outcome.result is not Result.PARTLY:
            self.metrics.on_notification(self.name, outcome.result.value)
        if outcome.result in (Result.SENT, Result.PARTLY):
            self.taken_at = outcome.at
            self._board.touch(unsent.rollout_id)
        if outcome.result is Result.SENT:
            self.health.working(self.name, unsent.rollout_id, outcome.at)
        elif outcome.unusable or outcome.result is Result.REFUSED:
            cause = UNUSABLE if outcome.unusable else REFUSED
            who = (self.name, unsent.rollout_id, unsent.rollout)
            self.health.failing(*who, cause, outcome.error, outcome.at)
        self._catch_up(quietly=True)

    def _catch_up(self, *, quietly: bool = False) -> None:
        """Write down what could not be written before. Raises LedgerError, unless `quietly`."""
        for number, (unsent, outcome) in list(self._unrecorded.items()):
            try:
                write_down(self.ledger, self.name, unsent, outcome)
            except LedgerError:
                if quietly:
                    return
                raise
            del self._unrecorded[number]

    # --- what else --------------------------------------------------------------------------------------------------

    def silent(self, now: float) -> bool:
        """Whether messages wait, and the channel has taken nothing for long."""
        return bool(self.waiting) and now - max(self.taken_at, self.waiting[0].at) >= SILENT_AFTER

    def tell_of_silence(self, now: float) -> None:
        """Have the other channels told when this one is silent; any thread may ask."""
        if self.silent(now):
            first = self.waiting[0]
            self.health.failing(self.name, first.rollout_id, first.rollout, SILENT, self._trouble, now)

    def _refresh(self, now: float, news: Callable[[], bool]) -> None:
        """Bring what the channel shows of each rollout up to date."""
        if now >= self.paused_until:
            pause = self._board.refresh(now, news)
            if pause is not None:
                self.paused_until = pause
                self.ledger.pause(self.name, pause)
        if self._board.next_due is not None:
            self._wake_at(max(self._board.next_due, self.paused_until))

    def _wake_at(self, at: float) -> None:
        self.next_due = at if self.next_due is None else min(self.next_due, at)
