"""A ledger with many rollouts under way: one is really ticked through two days, the others are copies of its facts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench import shop
from bench.made import MadeSource
from watchdog.flags.memory import InMemoryFlags
from watchdog.ledger import Ledger, Record
from watchdog.model import Rollout
from watchdog.rolloutfile import DaemonFacts, parse_rollout
from watchdog.tick import RolloutTick

SLICES = 48
RECENT = 600
"""Seconds of evaluations that each copy gets."""


def made(number: int) -> Rollout:
    """One of the rollouts."""
    name = f"checkout-{number}"
    return parse_rollout(shop.rule(name, flag=f"flag-{number}"), f"{name}.yaml", DaemonFacts())


class Many:
    """`count` rollouts of seven objectives in a ledger, each with 48 slices behind it at `end` (a full hour)."""

    def __init__(self, ledger: Ledger, count: int, end: int, tell: Callable[[str], None] = lambda _: None) -> None:
        self.ledger, self.end, self.tell = ledger, end, tell
        self.start = end - SLICES * shop.HOUR
        self.rollouts = [made(number) for number in range(count)]
        self.flags = InMemoryFlags([rollout.flag for rollout in self.rollouts])
        self.source = MadeSource(self.rollouts[0])
        first = self.add(self.rollouts[0])
        self.ticks = {self.rollouts[0].name: first}
        first.tick(float(self.start))
        for at in range(self.start + shop.HOUR, end + 1, shop.HOUR):
            first.tick(at + 31.0)
        self.facts = self._facts(self.rollouts[0])
        for rollout in self.rollouts[1:]:
            self._copy(rollout)
        for rollout in self.rollouts:
            self.ticks[rollout.name] = RolloutTick(rollout.name, ledger, self.source, self.flags, lambda: float(end))

    def add(self, rollout: Rollout) -> RolloutTick:
        """A pending rollout with its tick."""
        self.ledger.add_rollout(rollout, file=f"{rollout.name}.yaml", engine="bench", now=self.start)
        return RolloutTick(rollout.name, self.ledger, self.source, self.flags, lambda: float(self.end))

    def _facts(self, rollout: Rollout) -> dict[str, Any]:
        """What the first one's engine recorded, as the fields of a Record."""
        ledger, stored = self.ledger, self.ledger.rollout(rollout.name)
        if stored is None or stored.last_slot is None:
            raise RuntimeError("the rollout that the others are copied from never ticked")
        span = (stored.last_slot - RECENT, stored.last_slot)
        return {
            "phase": stored.phase,
            "started_at": stored.started_at,
            "last_slot": stored.last_slot,
            "control": stored.control,
            "evaluations": ledger.evaluations(stored.id, None, *span),
            "steps": ledger.steps(stored.id, None, *span),
            "slice_measurements": ledger.slice_measurements(stored.id, None, 0, stored.last_slot),
            "slices": ledger.slices(stored.id),
            "transitions": ledger.transitions(stored.id),
            "exposures": ledger.exposures(stored.id),
            "readings": ledger.readings(stored.id)[-5:],
            "checkpoint": ledger.checkpoint(stored.id),
        }

    def _copy(self, rollout: Rollout) -> None:
        stored = self.ledger.add_rollout(rollout, file=f"{rollout.name}.yaml", engine="bench", now=self.start)
        self.ledger.record(Record(stored.id, stored.revision, **self.facts))
        reading = self.flags.read(rollout.flag)
        wanted = self.flags.read(self.rollouts[0].flag).exposure
        if reading.exposure != wanted:
            self.flags.changed_by_person(rollout.flag, wanted)

    def tick(self, name: str, now: float) -> None:
        """One tick of one of them."""
        self.ticks[name].tick(now)
        self.tell(name)
