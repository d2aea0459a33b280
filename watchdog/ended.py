"""Which rollouts on record need no ticks any more, for a daemon that starts."""

from __future__ import annotations

from contextlib import suppress

from watchdog.control import Control, left_alone
from watchdog.ledger import Ledger, StoredRollout
from watchdog.model import Phase

AMENDED_FOR = 2 * 86400
"""How far back from its end a signed-off rollout is looked through for unanswered slots after a restart."""


def ended(ledger: Ledger, stored: StoredRollout, now: float) -> bool:
    """Whether nothing is left to do: the report is written, and nothing that could follow is waited for."""
    if _undone(stored):
        return False
    match stored.phase:
        case Phase.SIGNED_OFF:
            written = any(report.kind == "final" for report in ledger.reports(stored.id))
            return written and not ledger.unknown_slots(stored.id, (stored.last_slot or 0) - AMENDED_FOR)
        case Phase.ROLLED_BACK:
            with suppress(KeyError, TypeError, ValueError):  # a damaged row is its tick's to complain of
                return left_alone(Control.from_dict(dict(stored.control)), now)
    return stored.phase is Phase.STOPPED


def _undone(stored: StoredRollout) -> bool:
    """Whether an ended rollout has something to do yet beside its flag; a damaged row is its tick's to complain of."""
    deeds = stored.control.get("deeds")
    return stored.phase.terminal and isinstance(deeds, list) and any("told" not in deed["escalated"] for deed in deeds)
