"""What people are told while the ledger takes nothing: handed to the sender, and kept so that it is recorded later.

The tick hands over and goes on. A rollback has its own entry in the emergency journal; other pages that were told are
noted there, too, so that a restart does not leave an incident open of which the ledger has never heard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from watchdog.control import Control
from watchdog.errors import LedgerError
from watchdog.journal import Journal
from watchdog.model import Mode, Notification, Rollout, Severity

Tell = Callable[[int, Rollout, Notification], None]
"""Hands a notification that could not be recorded to the sender, with its rollout and the rollout's number."""
TOLD_AFTER = 60.0
"""Seconds for which nothing could be recorded, after which people are told of that itself."""
MOST_NOTED = 20
"""Pages of one outage that are noted in the journal: its reserve is for rollbacks."""
FAILING, WORKING = "ledger_failing", "ledger_working"


class Outage:
    """What one rollout's people are told without the ledger; with `tell` None nobody is."""

    def __init__(self, name: str, tell: Tell | None, journal: Journal | None) -> None:
        self.name = name
        self.since: float | None = None
        """Since when nothing could be recorded, wall time."""
        self._tell = tell
        self._journal = journal
        self._failing: Notification | None = None
        """What was told of the outage itself, until its end is recorded."""
        self._told: set[str] = set()
        self._to_note: list[Notification] = []
        self._noted: set[str] = set()

    def hand_over(self, rollout_id: int, rollout: Rollout, notifications: Iterable[Notification]) -> None:
        """Have people told of those that they were not told of yet. Returns at once."""
        if self._tell is None or rollout.mode is not Mode.ACT:
            return
        for notification in notifications:
            if notification.key not in self._told:
                self._told.add(notification.key)
                self._tell(rollout_id, rollout, notification)
                if notification.severity is Severity.CRITICAL and notification.kind != "rollback":
                    self._to_note.append(notification)

    def goes_on(self, rollout_id: int, rollout: Rollout, control: Control, now: float, error: LedgerError) -> None:
        """Nothing could be recorded at `now`: after a while that is told, while the rollout owns its flag."""
        self.since = now if self.since is None else self.since
        lasted = now - self.since
        if self._tell is None or self._failing is not None or lasted < TOLD_AFTER:
            return
        if not control.phase.active or rollout.mode is not Mode.ACT:
            return
        key, summary = f"{self.name}:{FAILING}:{self.since:.0f}", f"{self.name}: nothing can be recorded: {error}"
        details: dict[str, object] = {"since": self.since, "exposure": str(control.desired), "error": str(error)}
        self._failing = Notification(FAILING, key, Severity.CRITICAL, summary, now, details)
        self.hand_over(rollout_id, rollout, (self._failing,))

    def due_in(self, now: float) -> float | None:
        """In how many seconds people are to be told that it goes on; None when they were, or are not to be."""
        if self._tell is None or self.since is None or self._failing is not None:
            return None
        left = self.since + TOLD_AFTER - now
        return left if left > 0 else None

    def note(self) -> None:
        """Note in the journal what was told, once all that is more urgent is done; a restart finds it there."""
        for one in self._to_note:
            if self._journal is None or one.key in self._noted or len(self._noted) >= MOST_NOTED:
                continue
            self._noted.add(one.key)
            told = {
                "kind": one.kind,
                "key": one.key,
                "severity": one.severity.value,
                "summary": one.summary,
                "at": one.at,
                "details": one.details,
            }
            with suppress(LedgerError):
                self._journal.append({"rollout": self.name, "told": told})
        self._to_note.clear()

    def replayed(self, entries: Iterable[Mapping[str, Any]]) -> tuple[Notification, ...]:
        """What an earlier process told without recording it, by its entries in the journal."""
        found = tuple(told_in(entry) for entry in entries if "told" in entry)
        failing = [one for one in found if one.kind == FAILING]
        if failing:
            self._failing = failing[-1]
        self._noted.update(one.key for one in found)
        return found

    def end(self, now: float) -> tuple[Notification, ...]:
        """What is to be recorded of the outage itself with the first record that the ledger takes again."""
        if self._failing is None:
            return ()
        key = f"{self.name}:{WORKING}:{self._failing.key.rpartition(':')[2]}"
        summary = f"{self.name}: the ledger can be written again"
        details: dict[str, object] = {"since": self._failing.details.get("since")}
        return self._failing, Notification(WORKING, key, Severity.INFO, summary, now, details)

    def over(self) -> None:
        """Everything is recorded."""
        self.since = self._failing = None
        self._told.clear()
        self._noted.clear()
        self._to_note.clear()


def told_in(entry: Mapping[str, Any]) -> Notification:
    """The notification in an entry of the journal."""
    told = entry["told"]
    severity, details = Severity(told["severity"]), dict(told["details"])
    return Notification(told["kind"], told["key"], severity, told["summary"], float(told["at"]), details)
