"""What a channel shows of each rollout, brought up to date: at its own pace, and right after its messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import structlog

from watchdog.errors import ConfigError, NotifierError, NotYet
from watchdog.ledger import Ledger, StoredRollout
from watchdog.model import Mode
from watchdog.notifiers.base import Notifier, Standing
from watchdog.notify.composing import Composer
from watchdog.notify.memo import LedgerMemo
from watchdog.notify.view import over, view_of
from watchdog.notify.waits import FIRST_WAIT

STALE = 7 * 86_400.0
"""Seconds after which an ended rollout is left as it is shown, even with an incident that nobody ever closed."""
log = structlog.get_logger()


class Board:
    """The standing side of one channel; does nothing for channels that have none."""

    def __init__(self, notifier: Notifier, ledger: Ledger, composer: Composer) -> None:
        self.notifier: Standing | None = notifier if isinstance(notifier, Standing) else None
        self.name = notifier.name
        self.ledger = ledger
        self.composer = composer
        self.next_due: float | None = None
        """When something is to be looked at again, wall time."""
        self._due: dict[int, float] = {}
        self._touched: set[int] = set()
        self._over: set[int] = set()
        """Rollouts whose end is shown."""

    def touch(self, rollout_id: int) -> None:
        """A message of this rollout went out: what is shown of it follows at once."""
        if self.notifier is not None:
            self._touched.add(rollout_id)
            self._over.discard(rollout_id)

    def refresh(self, now: float, news: Callable[[], bool]) -> float | None:
        """Show every rollout whose time has come; until when the channel wants to be left alone, None when it does not.

        Ends early when `news` says that there are messages to send. Raises LedgerError.
        """
        if self.notifier is None or (not self._touched and self.next_due is not None and now < self.next_due):
            return None
        self.next_due = now + self.notifier.every
        for stored in self._to_show(now):
            if news():
                self.next_due = now
                return None
            try:
                self._show(self.notifier, stored, now)
            except ConfigError as error:
                log.warning("channel", channel=self.name, rollout=stored.name, why=f"not shown: {error}")
            except NotYet as error:
                self._later(stored.id, now + (error.retry_after or 0.0))
            except NotifierError as error:
                log.warning("channel", channel=self.name, rollout=stored.name, why=f"not up to date: {error}")
                if error.everything and not error.permanent:
                    return now + (error.retry_after if error.retry_after is not None else FIRST_WAIT)
                self._later(stored.id, now + max(self.notifier.every, error.retry_after or 0.0))
        return None

    def _to_show(self, now: float) -> Iterator[StoredRollout]:
        for stored in self.ledger.rollouts():
            if stored.id in self._over or stored.started_at is None or stored.mode is not Mode.ACT:
                continue  # observation tells nobody
            if stored.id not in self._touched and now < self._due.get(stored.id, 0.0):
                self.next_due = min(self.next_due or now, self._due[stored.id])
                continue
            if not self._forgotten(stored, now):
                yield stored

    def _forgotten(self, stored: StoredRollout, now: float) -> bool:
        """Whether it ended so long ago that nobody looks at it."""
        if not stored.phase.terminal or stored.id in self._touched:
            return False
        last = stored.last_slot if stored.last_slot is not None else stored.created_at
        if now - last < STALE:
            return False
        self._over.add(stored.id)
        return True

    def _show(self, notifier: Standing, stored: StoredRollout, now: float) -> None:
        opened = self.composer.open(stored.id, stored.name)
        about = self.composer.about(stored.id, stored.name)
        self._later(stored.id, now + notifier.every)
        notifier.refresh(
            view_of(self.ledger, stored, about, opened, now), LedgerMemo(self.ledger, self.name, stored.id), now
        )
        self._touched.discard(stored.id)
        if over(stored, opened):
            self._over.add(stored.id)

    def _later(self, rollout_id: int, at: float) -> None:
        self._due[rollout_id] = at
        self.next_due = at if self.next_due is None else min(self.next_due, at)
        self._touched.discard(rollout_id)
