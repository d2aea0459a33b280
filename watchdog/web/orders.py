"""Orders of people, for the API and the pages alike: recorded, and carried out by the rollout's next tick.

Nothing here asks Prometheus or a flag service: whoever steers must be able to while those are away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from watchdog.account import Account
from watchdog.errors import Refused
from watchdog.ledger import Ledger, StoredRollout
from watchdog.model import Command, Mode, Waiver
from watchdog.proof import PREFLIGHT
from watchdog.steering import Effect, effect

COMMANDS = ("hold", "resume", "rollback", "stop", "start", "adopt")
VERBS = (*COMMANDS, "waive")
_STARTS = ("start", "adopt")


@dataclass(frozen=True, slots=True)
class Orders:
    """What people order. Methods raise Refused, LedgerError; `wake` is called with the name of the rollout."""

    ledger: Ledger
    clock: Callable[[], float]
    wake: Callable[[str], None]

    def effect(self, stored: StoredRollout, verb: str) -> Effect:
        """What a verb would do to a rollout now."""
        account = Account(self.ledger, stored)
        told = effect(account.status(), account.rollout, verb)
        if verb not in _STARTS or told.refused is not None or (why := self._taken(stored)) is None:
            return told
        return replace(told, sentences=(f"Nothing changes: {why}.",), exposure_after=told.exposure_before, refused=why)

    def command(self, stored: StoredRollout, verb: str, by: str, reason: str) -> Command:
        """Record a command of `COMMANDS` and wake the tick, which carries it out or says why not.

        A start that cannot be is refused at once: nothing would remind anybody of it.
        """
        if verb in _STARTS and (why := self.effect(stored, verb).refused) is not None:
            raise Refused(f"{verb} {stored.name}: {why}")
        now = self.clock()
        number = self.ledger.add_command(stored.name, verb, by, reason, now)
        self.wake(stored.name)
        return Command(number, verb, by, reason, now)

    def waive(self, stored: StoredRollout, by: str, reason: str, until: float) -> Waiver:
        """Record that a rollout may start without a preflight that held, until then (wall time)."""
        if (why := self.effect(stored, "waive").refused) is not None:
            raise Refused(f"waive {stored.name}: {why}")
        waiver = Waiver(PREFLIGHT, by, reason, self.clock(), until)
        self.ledger.add_waiver(stored.name, waiver)
        self.wake(stored.name)
        return waiver

    def _taken(self, stored: StoredRollout) -> str | None:
        """Whose the flag is, where it is another rollout's; None where this one may have it."""
        owner = self.ledger.active_on(stored.flag) if stored.mode is Mode.ACT else None
        if owner is None or owner.mode is not Mode.ACT:
            return None
        return (
            f"flag {stored.flag} is taken by {owner.name}, which is {owner.phase.value}; wait for its end, or stop it"
        )
