"""What a drill may take, and which flag it must not touch."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from watchdog.config.settings import Settings
from watchdog.errors import ConfigError, Refused
from watchdog.ledger import Ledger
from watchdog.model import ACTIVE, EMERGENCY_FLAGS, RollbackRule, Rollout
from watchdog.rolloutfile import rollout_from_resolved

DEFAULT_WITHIN = RollbackRule().within
LEAST_PATIENCE = 30.0
PROPAGATIONS = 10.0
"""A drill waits for a reader this many times as long as a change may take by the settings, and 30 s at least."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Who wants a drill and why; `flag` and `runs` where they are not those of the settings."""

    by: str
    why: str
    flag: str | None = None
    runs: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One drill: `runs` kills of `flag`. All durations in seconds.

    `within` is the bound that every run must keep, `patience` after which a run is given up; `propagation` is the
    declared worst case to a reader, which stands in where no reader is there to measure it.
    """

    flag: str
    runs: int
    by: str
    why: str
    within: float = DEFAULT_WITHIN
    propagation: float = 0.0
    least_patience: float = LEAST_PATIENCE

    @property
    def on_patience(self) -> float:
        """How long a run waits for the reader to see the flag on."""
        return max(PROPAGATIONS * self.propagation, self.least_patience)

    @property
    def patience(self) -> float:
        """How long it waits for off: not longer than the bound, and nobody waits 15 min for a broken reader."""
        return min(self.within, self.on_patience)

    @property
    def longest_run(self) -> float:
        """How long one run can take: on, a random wait, off, and the calls to the service."""
        return self.on_patience + self.patience + 2.0 * LEAST_PATIENCE


def make_plan(settings: Settings, rollouts: Iterable[Rollout], wish: Wish) -> Plan:
    """The plan under these settings; its bound is the smallest of the rollouts'."""
    drill, propagation = settings.drill, settings.flags.worst_propagation
    flag, runs = wish.flag or drill.flag, wish.runs or drill.runs
    return Plan(flag, runs, wish.by, wish.why, smallest_within(rollouts), propagation)


def smallest_within(rollouts: Iterable[Rollout]) -> float:
    """The smallest `rollback.within` of the rollouts, 15 min without any."""
    return min((rollout.rollback.within for rollout in rollouts), default=DEFAULT_WITHIN)


def bound_rollouts(ledger: Ledger, configured: Iterable[Rollout]) -> list[Rollout]:
    """The rollouts whose bound a drill must keep: those of the files, and whatever runs by the ledger."""
    active = []
    for stored in ledger.rollouts(ACTIVE):
        with suppress(ConfigError):  # a damaged row: its rollout is held back, and told of, where it would tick
            active.append(rollout_from_resolved(stored.resolved, stored.text, stored.name))
    return [*configured, *active]


def refuse_flag(flag: str, ledger: Ledger, configured: Iterable[Rollout]) -> None:
    """Raise Refused for a flag that means something to anybody: a drill switches it on for everybody."""
    owner = next((stored.name for stored in ledger.rollouts() if stored.flag == flag), None)
    owner = owner or next((rollout.name for rollout in configured if rollout.flag == flag), None)
    beside = next((r.name for r in configured if any(other.flag == flag for other in r.also)), None)
    if owner is None and beside is None and flag not in EMERGENCY_FLAGS:
        return
    whose = f"the flag of rollout {owner}" if owner else f"killed with rollout {beside}"
    if owner is None and beside is None:
        whose = "an emergency flag"
    raise Refused(
        f"drill: {flag} is {whose}, and a drill switches its flag on for everybody; name a flag that nothing uses "
        "(drill.flag)"
    )
