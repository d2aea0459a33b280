"""A service's last days, as the live engine judges them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from watchdog.model import Breach, Measurement, Rollout, Slice

DAY = 86_400


@dataclass(frozen=True, slots=True)
class PastSlice:
    """One slice that was, and what a ramp would have met in it; slots are counted from 0 within the slice."""

    slice: Slice
    blocked: tuple[int, ...] = ()
    """The slots at which a due step would have waited."""
    waits: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """At how many of them each (objective, reason or `fail`) had a part in it."""
    taken_back: int | None = None
    """The slot of the first breach that would have taken the flag back."""


@dataclass(slots=True)
class Past:
    """A service's last days under a rollout's rule. `slices` follow each other without a hole, oldest first."""

    rollout: Rollout
    """The rule as it was asked: Prometheus objectives only, with the share of alpha that each has in the whole rule."""
    first: int
    last: int
    slices: list[PastSlice] = field(default_factory=list)
    breaches: list[Breach] = field(default_factory=list)
    steps: dict[str, list[Measurement]] = field(default_factory=dict)
    """What the detectors were asked, by objective; of `$cohort`, everybody's counts."""
    unseen: tuple[str, ...] = ()
    """Objectives of which there is no data at all."""
    left_out: tuple[str, ...] = ()
    wanted: float = 0.0
    """Seconds that were asked for, before short intervals cut them."""

    @property
    def start(self) -> int:
        """Where the slices that count begin."""
        return self.slices[0].slice.end - self.rollout.window.slice if self.slices else self.last

    def waits(self, objective: str) -> Counter[str]:
        """At how many slots the objective would have kept a step waiting, by reason."""
        counted: Counter[str] = Counter()
        for item in self.slices:
            for (name, reason), count in item.waits.items():
                if name == objective:
                    counted[reason] += count
        return counted

    @property
    def seconds(self) -> int:
        """How much history there is."""
        return self.last - self.start
