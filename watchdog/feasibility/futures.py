"""Windows and whole watches drawn from the past: how often and when they end in a sign-off.

Slices count as they do in the live window, with its budgets for idle and unknown ones and the error budget of a window
for `pool: window`; a ramp waits where the live one would.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from watchdog.feasibility.chain import Chain
from watchdog.feasibility.past import PastSlice
from watchdog.feasibility.tallies import PASS, Slices, Tally
from watchdog.model import Rollout

PATIENCE = 60 * 86_400
"""Seconds after which a simulated watch is given up, or three times the plan if that is longer."""
MOST_FOLDED = 200_000
"""Slices that are folded for whole watches; hopeless ones, which never end, are drawn less often."""
FEWEST_WATCHES = 60
STEPS_A_SLICE = 10
"""Ramp steps that cost as much as a folded slice."""


def patience(rollout: Rollout) -> float:
    """How long a watch may take at most, in seconds."""
    return max(float(PATIENCE), 3.0 * (rollout.ramp.seconds + rollout.window.seconds))


def spoilt(slices: Slices) -> list[int]:
    """The indices of the slices at which a window began anew, in the past as it was: the first of each spell."""
    tally, found, before = Tally(slices), [], False
    for index in range(len(slices)):
        tally.add(index)
        if tally.anew and not before:
            found.append(index)
        before = tally.anew
    return found


@dataclass(frozen=True, slots=True)
class Never:
    """What a history rules out for whatever is drawn from it, so that nothing is drawn in vain for weeks.

    Services that nobody uses are like that: all their slices are idle, and no step is ever taken.
    """

    completes: bool
    """No window: no slice ever passes."""
    passes: bool
    """No ramp step: every slot of every slice is blocked."""
    breaches: bool
    """No slice takes the flag back."""

    @classmethod
    def of(cls, rollout: Rollout, past: Sequence[PastSlice], slices: Slices) -> Never:
        """What can be seen without drawing."""
        slots = rollout.window.slice // rollout.interval
        return cls(
            completes=PASS not in slices.verdicts,
            passes=all(len(item.blocked) >= slots for item in past),
            breaches=all(item.taken_back is None for item in past),
        )


NOTHING_RULED_OUT = Never(completes=False, passes=False, breaches=False)


def window_chance(slices: Slices, chain: Chain, attempts: int) -> float:
    """The share of windows, begun at any time, that are complete before they begin anew."""
    if PASS not in slices.verdicts:
        return 0.0
    return sum(_completes(slices, chain) for _ in range(attempts)) / attempts


def _completes(slices: Slices, chain: Chain) -> bool:
    tally, at = Tally(slices), chain.begin()
    while True:
        tally.add(at)
        if tally.complete or tally.anew:
            return tally.complete
        at = chain.after(at)


@dataclass(frozen=True, slots=True)
class Watched:
    """How one simulated watch went, in seconds from its start; None for what did not come about."""

    ramped: float | None = None
    signed_off: float | None = None
    taken_back: float | None = None
    waited: float = 0.0
    """Seconds that due steps waited."""


def watches(
    rollout: Rollout,
    past: Sequence[PastSlice],
    slices: Slices,
    chain: Chain,
    most: int,
    never: Never | None = None,
) -> Iterator[Watched]:
    """Up to `most` whole watches, each started at any time; fewer where they are long.

    What can `never` be is looked up in the history, unless it is given; it changes how long this takes, and no watch.
    """
    never = never or Never.of(rollout, past, slices)
    spent, drawn = 0, 0
    while drawn < most and (spent < MOST_FOLDED or drawn < FEWEST_WATCHES):
        watch = _Watch(rollout, past, slices, chain.branch(), never)
        yield watch.run()
        spent += watch.folded + len(rollout.ramp.steps) // STEPS_A_SLICE
        drawn += 1


class _Watch:
    """One watch: the ramp slot by slot, then the final window slice by slice."""

    def __init__(self, rollout: Rollout, past: Sequence[PastSlice], slices: Slices, chain: Chain, never: Never) -> None:
        self.rollout, self.past, self.slices, self.chain, self.never = rollout, past, slices, chain, never
        self.slots = rollout.window.slice // rollout.interval
        self.patience = math.ceil(patience(rollout) / rollout.window.slice)
        self.path = [chain.begin()]
        self.folded = 0

    def run(self) -> Watched:
        start = self.path[0] * 7919 % self.slots  # any slot of its slice, without asking chance again
        at, exposed, waited = start, None, 0
        for step in self.rollout.ramp.steps:
            due = at + math.ceil(step.after / self.rollout.interval)
            taken = self._passing(due)
            if taken is None:
                return self._ended(start, exposed, None, None, due, waited)
            waited += taken - due
            at = taken
            if exposed is None:
                exposed = at
        return self._soak(start, exposed if exposed is not None else at, at, waited)

    def _past(self, number: int) -> int:
        """The index of the past slice that stands for slice `number` of this watch."""
        while len(self.path) <= number:
            self.path.append(self.chain.after(self.path[-1]))
        return self.path[number]

    def _passing(self, due: int) -> int | None:
        """The first slot from `due` on at which a step is taken; None when patience ends."""
        if self.never.passes:
            return None
        number, slot = divmod(due, self.slots)
        while number < self.patience:
            blocked = self.past[self._past(number)].blocked
            if len(blocked) < self.slots:
                free = slot
                for other in blocked:
                    if other == free:
                        free += 1
                if free < self.slots:
                    return number * self.slots + free
            number, slot = number + 1, 0
        return None

    def _soak(self, start: int, exposed: int, ramped: int, waited: int) -> Watched:
        tally, number = Tally(self.slices), -(-(ramped + 1) // self.slots)  # the next whole slice
        if self.never.completes and self.never.breaches and number < self.patience:
            self.folded, number = self.patience - number, self.patience
        while number < self.patience:
            tally.add(self._past(number))
            self.folded += 1
            number += 1
            if tally.complete:
                last = number * self.slots - 1
                return self._ended(start, exposed, ramped, last, last, waited)
        return self._ended(start, exposed, ramped, None, number * self.slots, waited)

    def _ended(
        self, start: int, exposed: int | None, ramped: int | None, signed: int | None, until: int, waited: int
    ) -> Watched:
        """What was, up to the first breach that takes the flag back from anybody."""
        interval = self.rollout.interval
        back = self._taken_back(exposed, until) if exposed is not None else None
        if back is not None:
            ramped = ramped if ramped is not None and ramped <= back else None
            signed = None

        def seconds(slot: int | None) -> float | None:
            return float((slot - start) * interval) if slot is not None else None

        return Watched(seconds(ramped), seconds(signed), seconds(back), float(waited * interval))

    def _taken_back(self, exposed: int, until: int) -> int | None:
        for number in range(exposed // self.slots, min(len(self.path), -(-until // self.slots))):
            slot = self.past[self.path[number]].taken_back
            if slot is not None and exposed < number * self.slots + slot <= until:
                return number * self.slots + slot
        return None
