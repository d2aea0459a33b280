"""What a process did for a rollout that another one leads by now: told to that one, through the ledger.

While no process reaches the ledger, the last holder of a lease still takes its rollout's flag back, and notes that in
its own emergency journal. If another has taken the lease before the note could be recorded, its decisions stand: what
was noted comes to it as a command to hold, with the whole story, and pages that were told are recorded as told.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from watchdog.journal import Journal
from watchdog.ledger import Ledger
from watchdog.model import Phase
from watchdog.outage import told_in
from watchdog.quantities import rfc3339

ENGINE = "slo-watchdog"


class Handover:
    """Brings one process's notes to whoever leads their rollouts. `look` is cheap while there are none."""

    def __init__(self, journal: Journal, ledger: Ledger) -> None:
        self.journal = journal
        self.ledger = ledger
        self._done: set[str] = set()

    def look(self, held: Collection[str]) -> None:
        """Hand over what is of a rollout that this process does not hold. Raises LedgerError: try again later."""
        if not self.journal.path.exists():
            return
        entries = self.journal.entries()
        foreign = [entry for entry in entries if entry.get("rollout") not in held]
        for entry in foreign:
            mark = json.dumps(entry, sort_keys=True)
            if mark not in self._done:
                hand_over(self.ledger, entry)
                self._done.add(mark)
        if foreign and len(foreign) == len(entries):
            self.journal.settle()


def hand_over(ledger: Ledger, entry: Mapping[str, Any]) -> None:
    """Tell of one entry of a journal. Raises LedgerError."""
    stored = ledger.rollout(str(entry.get("rollout")))
    if stored is None:
        return
    if "told" in entry:
        ledger.tell_once(stored.id, told_in(entry))
    elif stored.phase.active and stored.phase is not Phase.ROLLING_BACK:
        at = float(entry["at"])
        why = (
            f"at {rfc3339(int(at))} a process that could not reach the ledger took the flag back: {entry.get('why')}; "
            "another one leads the rollout since, and had not decided so"
        )
        ledger.add_command(stored.name, "hold", ENGINE, why, at)
