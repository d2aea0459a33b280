"""What one tick found out: how the flag reads, and what was measured and folded."""

from __future__ import annotations

from dataclasses import dataclass, field

from watchdog.cohorts import Compared
from watchdog.ledger import BreachFact
from watchdog.model import Breach, Contributors, FlagReading, Measurement
from watchdog.observe import Facts
from watchdog.reask import Key
from watchdog.recall import Recalled
from watchdog.watch import Found


@dataclass(frozen=True, slots=True)
class Look:
    """The flag as this tick read it, or why it could not be read."""

    reading: FlagReading | None
    error: str = ""


@dataclass(slots=True)
class Batch:
    """What one tick measured and folded."""

    found: list[Found] = field(default_factory=list)
    facts: Facts = field(default_factory=Facts)
    changed: dict[Key, Measurement] = field(default_factory=dict)
    opened: list[tuple[Breach, bool]] = field(default_factory=list)
    closed: list[Breach] = field(default_factory=list)
    unconfirmed: list[BreachFact] = field(default_factory=list)
    checkpoint: tuple[int, str] | None = None
    behind: bool = False
    compared: Compared = field(default_factory=dict)
    """What the cohorts say of the breaches that were found, and of those that are held for a shared cause."""
    contributed: list[Contributors] = field(default_factory=list)
    """Who contributed to breaches of earlier ticks, as it has been answered by now."""

    def measured(self, grid: str) -> list[tuple[str, Measurement]]:
        """Every new measurement of one grid, by objective."""
        fresh = [(name, m) for name, measured in self.facts.of(grid).items() for m in measured]
        return fresh + [(name, m) for (kind, name, _), m in self.changed.items() if kind == grid]


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a tick found: when, what was measured, the flag, and the breaches to decide on (with late or not)."""

    now: float
    batch: Batch
    look: Look
    opened: tuple[tuple[Breach, bool], ...]


def learn(memory: Recalled, facts: Learnt) -> None:
    """Remember the breaches that were found, decided on or not."""
    for breach, late in facts.opened:
        memory.known_breaches.setdefault((breach.objective, breach.at), BreachFact(breach, facts.now, late))
    for fact in facts.batch.unconfirmed:
        memory.known_breaches[fact.breach.objective, fact.breach.at] = fact
