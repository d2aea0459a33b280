"""A channel that fails is told of on the others, once a day for each cause; and that it works again."""

from __future__ import annotations

import threading

from watchdog.errors import LedgerError
from watchdog.ledger import Ledger
from watchdog.model import Notification, Severity

FAILING, WORKING = "channel_failing", "channel_working"
SILENT_AFTER = 600.0
"""Seconds without a message taken, while messages wait, after which the others are told."""
REFUSED, UNUSABLE, SILENT = "refused", "unusable", "silent"
"""Causes: it refused a message for good; it takes none until somebody mends it; it has taken none lately."""
_WORDS = {
    REFUSED: "refused a message for good",
    UNUSABLE: "takes no messages until somebody mends it",
    SILENT: "has taken nothing for ten minutes, messages wait",
}
_DAY = 86_400.0


class Health:
    """What was told of channels, by all threads of the sender. What the ledger does not take now, it takes later."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._open: dict[tuple[str, int], tuple[str, str]] | None = None
        """Of which channels the people of which rollout were told: the message's key, and the cause."""
        self._later: dict[str, tuple[int, Notification]] = {}
        self._lock = threading.Lock()

    def failing(self, channel: str, rollout_id: int, rollout: str, cause: str, why: str, now: float) -> None:
        """Tell the others that a channel fails, unless they were told of this cause today."""
        whose = "" if cause == SILENT else f"{rollout}:"
        key = f"{whose}channel:{channel}:{cause}:{int(now // _DAY)}"
        summary = f"channel {channel} {_WORDS[cause]}: {why}"
        details: dict[str, object] = {"channel": channel, "cause": cause, "why": why}
        with self._lock:
            told = self._told()
            if cause == SILENT and told is not None and any(where[0] == channel for where in told):
                return  # they know
            if told is None or key not in {known for known, _ in told.values()}:
                self._tell(rollout_id, Notification(FAILING, key, Severity.WARNING, summary, now, details))
                if told is not None:
                    told[channel, rollout_id] = (key, cause)

    def working(self, channel: str, rollout_id: int, now: float) -> None:
        """The channel took a message of this rollout: whoever was told that it fails is told so."""
        with self._lock:
            told = self._told() or {}
            over = [
                (where, key)
                for where, (key, cause) in told.items()
                if where[0] == channel and (cause == SILENT or where[1] == rollout_id)
            ]
            for where, key in over:
                summary = f"channel {channel} takes messages again"
                details: dict[str, object] = {"channel": channel}
                self._tell(where[1], Notification(WORKING, f"{key}:working", Severity.INFO, summary, now, details))
                del told[where]

    def catch_up(self) -> None:
        """Record what the ledger did not take before."""
        with self._lock:
            for rollout_id, message in list(self._later.values()):
                self._tell(rollout_id, message)

    def _tell(self, rollout_id: int, message: Notification) -> None:
        try:
            self.ledger.tell_once(rollout_id, message)
        except LedgerError:
            self._later[message.key] = (rollout_id, message)
        else:
            self._later.pop(message.key, None)

    def _told(self) -> dict[tuple[str, int], tuple[str, str]] | None:
        """What is open, as the ledger has it; None while it cannot be read."""
        if self._open is None:
            try:
                told = self.ledger.of_kinds((FAILING, WORKING))
            except LedgerError:
                return None
            self._open = {}
            for rollout_id, message in told:
                where = (str(message.details.get("channel")), rollout_id)
                if message.kind == FAILING:
                    self._open[where] = (message.key, str(message.details.get("cause")))
                else:
                    self._open.pop(where, None)
        return self._open
