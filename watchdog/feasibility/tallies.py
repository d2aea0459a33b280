"""The fold of `watchdog.window` over numbers alone: no sentences, no records, some fifty times as fast.

Windows are drawn by the hundred thousand slices, so the rules of semantics 6 stand here a second time. A property test
holds the two equal slice by slice, on histories of every kind.
"""

from __future__ import annotations

from collections.abc import Sequence

from watchdog.evaluate import strict
from watchdog.model import SAME, Objective, Rollout, Slice, SliceVerdict
from watchdog.window import GAP_SHARE

RANK = {SliceVerdict.PASS: 0, SliceVerdict.IDLE: 1, SliceVerdict.UNKNOWN: 2, SliceVerdict.FAIL: 3}
"""The worst verdict of an objective is that of the slice."""
PASS, IDLE, UNKNOWN, FAIL = range(4)

Pool = tuple[int, float, float]
"""Which `pool: window` objective, its bad events in the slice, and all."""
Gap = tuple[int, bool, bool]
"""Unmeasured slots in a row, whether they begin the slice, whether they end it."""


class Slices:
    """A history as numbers, of the whole rule or, with `only`, as if that objective were alone."""

    def __init__(self, rollout: Rollout, slices: Sequence[Slice], only: str | None = None) -> None:
        self.rule, self.interval = rollout.window, rollout.interval
        objectives = [o for o in rollout.objectives if only in (None, o.name)]
        self.pooled = [o for o in objectives if o.pool_window]
        names = frozenset(o.name for o in objectives)
        places = {o.name: place for place, o in enumerate(self.pooled)}
        self.ends = [item.end for item in slices]
        self.verdicts: list[int] = []
        """The worst verdict of those that do not depend on the window."""
        self.pools: list[tuple[Pool, ...]] = []
        self.gaps: list[tuple[Gap, ...]] = []
        for item in slices:
            self._add(item, names, places)

    def _add(self, item: Slice, names: frozenset[str], places: dict[str, int]) -> None:
        breached = {breach.objective for breach in item.breaches}
        worst, pools = PASS, []
        for part in item.objectives:
            if part.objective not in names:
                continue
            place = places.get(part.objective)
            counted = part.verdict is not SliceVerdict.UNKNOWN and part.total is not None
            if place is not None and counted and part.objective not in breached:
                pools.append((place, part.bad or 0.0, part.total or 0.0))
            else:
                worst = max(worst, RANK[part.verdict])
        first = item.end - self.rule.slice + self.interval
        gaps = [((b - a) // self.interval + 1, a == first, b == item.end) for a, b in item.unmeasured]
        self.verdicts.append(worst)
        self.pools.append(tuple(pools))
        self.gaps.append(tuple(gaps) if worst is UNKNOWN else ())

    def __len__(self) -> int:
        return len(self.verdicts)


class Tally:
    """One window being folded: give it indices of slices in order."""

    def __init__(self, slices: Slices) -> None:
        self._slices = slices
        self._limits = [_limits(objective) for objective in slices.pooled]
        self._pools = [[0.0, 0.0, 0.0] for _ in slices.pooled]
        self._idle = self._gap = self._run = 0
        self.current = 0
        """Passing slices in a row."""
        self.complete = False
        self.anew = False
        """Whether the newest slice made the window begin anew."""

    def add(self, index: int) -> None:
        """Fold one slice."""
        slices = self._slices
        verdict, self.anew = slices.verdicts[index], False
        if pools := slices.pools[index]:
            verdict = max(verdict, self._budgets(pools))
        if verdict == PASS:
            self._run = 0
            self.current += 1
            if self.current % slices.rule.slices == 0:
                self.complete = True
                self._clear()
        elif verdict == FAIL:
            self._run = 0
            self._begin_anew()
        elif verdict == IDLE:
            self._run = 0
            self._idle += 1
            if self._idle > slices.rule.max_idle:
                self._begin_anew()
        else:
            self._unknown(slices.gaps[index])

    def _budgets(self, pools: Sequence[Pool]) -> int:
        worst, slices = PASS, self._slices.rule.slices
        for place, bad, total in pools:
            allowed, needed, less = self._limits[place]
            pool = self._pools[place]
            pool[0] += bad
            pool[1] += total
            pool[2] += 1.0
            full = pool[1] / pool[2] * slices
            if not total or full < needed * (1.0 - SAME):
                worst = max(worst, IDLE)
            else:
                budget = allowed * full
                if pool[0] > budget * (1.0 + SAME) or (less and pool[0] >= budget * (1.0 - SAME)):
                    worst = FAIL
        return worst

    def _unknown(self, gaps: Sequence[Gap]) -> None:
        rule, interval = self._slices.rule, self._slices.interval
        longest = open_run = 0
        for count, begins, ends in gaps:
            self._gap += count
            run = count + (self._run if begins else 0)
            longest = max(longest, run)
            open_run = run if ends else 0
        self._run = open_run
        if longest * interval > rule.max_gap or self._gap * interval > GAP_SHARE * rule.seconds:
            self._begin_anew()

    def _begin_anew(self) -> None:
        self.current, self.anew = 0, True
        self._clear()

    def _clear(self) -> None:
        self._idle = self._gap = 0
        for pool in self._pools:
            pool[0] = pool[1] = pool[2] = 0.0


def _limits(objective: Objective) -> tuple[float, float, bool]:
    """The allowed share, the events that a full window needs, and whether meeting the budget exactly misses it."""
    return objective.allowed, objective.min_slice_events, strict(objective)
