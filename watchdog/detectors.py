"""Each objective's detector as it stands: its statistic against the threshold at which it would call a breach.

Folded again from the ledger's facts, so it can be told while Prometheus is away.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from watchdog.ledger import Ledger
from watchdog.model import Sequential
from watchdog.quantities import format_number
from watchdog.recall import recall

ARMED, OPEN, BLIND = "armed", "open", "blind"


@dataclass(frozen=True, slots=True)
class DetectorState:
    """One detector as of grid instant `at`.

    `statistic` and `threshold` are evidence (`sequential`), or failing steps among the newest `of` (`confirm`; `of` is
    None for the other). `state`: `armed`, `open` during a breach, `blind` while it is given nothing to judge.
    """

    objective: str
    detector: str
    at: int
    state: str
    statistic: float
    threshold: float
    of: int | None = None

    @property
    def standing(self) -> str:
        """The state for people."""
        return "breach open" if self.state == OPEN else self.state

    @property
    def words(self) -> str:
        """How near it is to a breach, for people."""
        if self.of is None:
            return f"{format_number(self.statistic)} of {format_number(self.threshold)} needed"
        return f"{self.statistic:g} failing steps among the last {self.of}, {self.threshold:g} needed"


def detector_states(ledger: Ledger, name: str) -> list[DetectorState]:
    """Every detector in the order of the rule; none before the start. Raises LedgerError, KeyError for no rollout."""
    memory = recall(ledger, name)
    watch = memory.watch
    if watch is None:
        return []
    found = []
    for objective in memory.rollout.objectives:
        track, detector = watch.tracks[objective.name], objective.detector
        state = OPEN if track.open is not None else BLIND if track.blind else ARMED
        if isinstance(detector, Sequential):
            evidence = min(track.detector.statistic, sys.float_info.max)
            figures: tuple[float, float, int | None] = (evidence, watch.tunings[objective.name].threshold, None)
        else:
            failing = sum(failed for _, failed in track.detector.known)
            figures = (float(failing), float(detector.fails), detector.of)
        found.append(DetectorState(objective.name, detector.name, watch.at, state, *figures))
    return found
