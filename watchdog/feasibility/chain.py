"""Possible futures from the past: stretches of past slices one after another, each at its own time of day.

A stationary bootstrap: the next slice is the one that followed in the past or, with a chance that makes stretches a day
long on average, any slice of the same hour of the day. So nights stay nights and what comes in clumps stays in clumps.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from random import Random

DAY = 86_400
HOUR = 3600
STRETCH = DAY
"""Mean length of a stretch, in seconds."""
FEWEST_DAYS = 3
"""With fewer days of history than these, the time of day is not kept: there would be nothing to choose from."""


class Chain:
    """Draws indices of past slices, which end at `ends`, `length` seconds apart. Chance comes from `random`."""

    def __init__(self, ends: Sequence[int], length: int, random: Random) -> None:
        self._count = len(ends)
        self._random = random
        seconds = self._count * length
        self.by_hour = seconds >= FEWEST_DAYS * DAY
        self.stretch = min(STRETCH, seconds / 4.0)
        """Mean length of a stretch: a day, or a quarter of a short history."""
        self._jump = min(1.0, length / self.stretch)
        grain = max(length, HOUR)
        self._phases = [(end - length) % DAY // grain if self.by_hour else 0 for end in ends]
        self._next = [end % DAY // grain if self.by_hour else 0 for end in ends]
        self._alike: dict[int, list[int]] = {}
        for index, phase in enumerate(self._phases):
            self._alike.setdefault(phase, []).append(index)
        self._all = list(range(self._count))

    def branch(self) -> Chain:
        """The same chain with chances of its own: how much it draws changes nothing for whoever draws after it."""
        other = copy(self)
        other._random = Random(self._random.getrandbits(64))  # noqa: S311, SLF001 - chances to be repeated; its own
        return other

    def begin(self) -> int:
        """Any past slice."""
        return int(self._random.random() * self._count)

    def after(self, index: int) -> int:
        """The slice after this one."""
        if index + 1 < self._count and self._random.random() >= self._jump:
            return index + 1
        alike = self._alike.get(self._next[index], self._all)
        return alike[int(self._random.random() * len(alike))]
