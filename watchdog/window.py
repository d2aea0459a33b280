"""Was this hour good? A pure fold over slices (semantics 6): derived, never counted up in place.

`judge` gives one objective's verdict on one slice; `Windows` folds slices, in order, into the interim window (at any
exposure) and the final one (slices wholly at the last exposure). Late data refolds from the start: cheap, and right.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from watchdog.evaluate import describe_target, share_met, strict
from watchdog.model import (
    SAME,
    Breach,
    Kind,
    Measurement,
    Objective,
    ObjectiveSlice,
    Reason,
    Rollout,
    Slice,
    SliceVerdict,
)
from watchdog.quantities import format_number, format_share

MEASURED_SHARE = 0.95
"""A slice of which fewer slots were measured is unknown."""
FAILED_SHARE = 0.05
"""A slice judged by its slots fails when more of the measured ones fail."""
GAP_SHARE = 0.05
"""The share of a window that may be unmeasured in all."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The window began anew. `at` is the breach when there was one, else the slice's end."""

    at: int
    objective: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Window:
    """Progress of one window. `current` and `longest` count consecutive passing slices, `gap` unmeasured slots."""

    required: int
    current: int = 0
    longest: int = 0
    completed_at: int | None = None
    idle: int = 0
    gap: int = 0
    began_at: int | None = None
    resets: tuple[Reset, ...] = ()


@dataclass(frozen=True, slots=True)
class Looked:
    """How one objective's slots of a slice were looked at."""

    slots: int
    measured: int
    failed: int
    passed: int


def judge(objective: Objective, looked: Looked, pooled: Measurement | None, breach: Breach | None) -> ObjectiveSlice:
    """One objective over one slice. `pool: window` objectives that pass here are judged by the window's budget."""
    bad = pooled.bad if pooled is not None else None
    total = pooled.total if pooled is not None else None
    value = pooled.value if pooled is not None else None

    def verdict(found: SliceVerdict, why: str) -> ObjectiveSlice:
        return ObjectiveSlice(
            objective.name, found, looked.measured, looked.failed, looked.slots, value, bad, total, why
        )

    if breach is not None:
        return verdict(SliceVerdict.FAIL, f"{objective.name} breached: {breach.why}")
    if looked.measured < MEASURED_SHARE * looked.slots:
        return verdict(SliceVerdict.UNKNOWN, f"{objective.name}: {looked.measured} of {looked.slots} slots measured")
    if pooled is None or pooled.silent:
        return verdict(*_by_slots(objective, looked))
    nobody = objective.uses_cohort and pooled.reason is Reason.LOW_TRAFFIC
    if nobody and objective.kind is Kind.VALUE:
        return verdict(SliceVerdict.IDLE, f"{objective.name}: nobody was in the cohort")
    if pooled.reason is not None and not nobody:
        return verdict(SliceVerdict.UNKNOWN, f"{objective.name} {pooled.reason.value}: {pooled.detail}")
    if objective.kind is Kind.EVENT:
        return verdict(*_by_events(objective, bad or 0.0, total or 0.0))
    met = value is not None and objective.target.met_by(value)
    why = f"{objective.name} {format_number(value or 0.0)}, wanted {describe_target(objective)}"
    return verdict(SliceVerdict.PASS if met else SliceVerdict.FAIL, why)


def _by_slots(objective: Objective, looked: Looked) -> tuple[SliceVerdict, str]:
    if looked.passed + looked.failed == 0:
        return SliceVerdict.IDLE, f"{objective.name}: no slot had traffic to judge"
    why = f"{objective.name}: {looked.failed} of {looked.measured} measured slots failed"
    failing = looked.failed > FAILED_SHARE * looked.measured
    return (SliceVerdict.FAIL if failing else SliceVerdict.PASS), why


def _by_events(objective: Objective, bad: float, total: float) -> tuple[SliceVerdict, str]:
    counts = f"{format_number(bad)} bad of {format_number(total)}"
    if objective.pool_window:
        idle = total <= 0.0
        return (SliceVerdict.IDLE if idle else SliceVerdict.PASS), f"{objective.name}: {counts}"
    if total <= 0.0 or total < objective.min_slice_events * (1.0 - SAME):
        why = f"{objective.name}: {format_number(total)} events, {format_number(objective.min_slice_events)} needed"
        return SliceVerdict.IDLE, why
    why = f"{objective.name} {format_share(bad / total)} bad ({counts}), wanted {describe_target(objective)}"
    return (SliceVerdict.PASS if share_met(objective, bad, total) else SliceVerdict.FAIL), why


def combine(verdicts: Iterable[SliceVerdict]) -> SliceVerdict:
    """The slice's verdict: fail, else unknown, else idle, else pass."""
    found = set(verdicts)
    for verdict in (SliceVerdict.FAIL, SliceVerdict.UNKNOWN, SliceVerdict.IDLE):
        if verdict in found:
            return verdict
    return SliceVerdict.PASS


@dataclass(slots=True)
class Fold:
    """One window being folded; give it slices in order. `window` is its result so far."""

    rollout: Rollout
    latches: bool = True
    """Whether the first completion is kept for good (interim) or lost with the next reset (final)."""
    window: Window = field(init=False)
    pools: dict[str, list[float]] = field(default_factory=dict)
    run: int = 0
    """Consecutive unmeasured slots that reach up to the newest slice's end."""
    broken: tuple[int, int] | None = None
    """The slice (start, end) that a breach has already reset."""
    newest: int = 0
    """The end of the newest slice folded."""

    def __post_init__(self) -> None:
        self.window = Window(self.rollout.window.slices)

    def add(self, item: Slice) -> Slice:
        """Fold one slice; returns it with the verdicts that depend on this window."""
        item = self._pooled(item)
        self.newest = item.end
        rule, window = self.rollout.window, self.window
        began = window.began_at if window.began_at is not None else item.end - rule.slice
        window = replace(window, began_at=began)
        if item.verdict is SliceVerdict.PASS:
            current = window.current + 1
            window = replace(window, current=current, longest=max(window.longest, current))
            self.run = 0
            self.window = window
            if current % rule.slices == 0:
                self._completed(item.end)
            return item
        self.window = window
        if item.verdict is SliceVerdict.FAIL:
            self._fail(item)
        elif item.verdict is SliceVerdict.IDLE:
            self._idle(item)
        else:
            self._unknown(item)
        return item

    def break_at(self, breach: Breach, *, rolled_back: bool) -> None:
        """A breach resets at once; the slice in which it lies fails later without a second reset.

        A slice that was folded already (a breach in its last slot, or in a back-filled stretch) has reset by itself:
        what was earned since stays, and only a rollback's breach at zero progress is still to be recorded.
        """
        length = self.rollout.window.slice
        end = -(-breach.at // length) * length
        reset = Reset(breach.at, breach.objective, breach.why)
        if breach.at <= self.newest or self.broken == (end - length, end):
            told = any((r.at, r.objective) == (reset.at, reset.objective) for r in self.window.resets)
            if rolled_back and not told:
                self.window = replace(self.window, resets=(*self.window.resets, reset))
            return
        self._reset(reset, always=rolled_back)
        self.broken = (end - length, end)

    def _completed(self, at: int) -> None:
        done = self.window.completed_at if self.window.completed_at is not None else at
        self.window = replace(self.window, completed_at=done, idle=0, gap=0, began_at=at)
        self.pools.clear()

    def _fail(self, item: Slice) -> None:
        self.run = 0
        if self.broken == (item.end - self.rollout.window.slice, item.end):
            self._begin_anew()
            return
        guilty = next(o for o in item.objectives if o.verdict is SliceVerdict.FAIL)
        breach = min(item.breaches, key=lambda found: found.at, default=None)
        if breach is not None:
            self._reset(Reset(breach.at, breach.objective, breach.why), always=False)
        else:
            self._reset(Reset(item.end, guilty.objective, guilty.why), always=False)
        self._begin_anew()

    def _idle(self, item: Slice) -> None:
        self.run = 0
        idle = self.window.idle + 1
        self.window = replace(self.window, idle=idle)
        if idle > self.rollout.window.max_idle:
            quiet = next(o for o in item.objectives if o.verdict is SliceVerdict.IDLE)
            why = f"{idle} idle slices, more than max_idle {self.rollout.window.max_idle}: {quiet.why}"
            self._reset(Reset(item.end, quiet.objective, why), always=False)
            self._begin_anew()

    def _unknown(self, item: Slice) -> None:
        rule, interval = self.rollout.window, self.rollout.interval
        longest, self.run, total = _runs(item, rule.slice, interval, self.run)
        gap = self.window.gap + total
        self.window = replace(self.window, gap=gap)
        spent = None
        if longest * interval > rule.max_gap:
            spent = f"{longest * interval} s in a row were not measured, more than max_gap {rule.max_gap:g} s"
        elif gap * interval > GAP_SHARE * rule.seconds:
            spent = f"{gap * interval} s were not measured, more than {GAP_SHARE:.0%} of the window"
        if spent is not None:
            blind = next((o for o in item.objectives if o.verdict is SliceVerdict.UNKNOWN), None)
            why = f"{spent}: {blind.why}" if blind is not None else spent
            self._reset(Reset(item.end, blind.objective if blind else None, why), always=False)
            self._begin_anew()

    def _reset(self, reset: Reset, *, always: bool) -> None:
        if self.window.current > 0 or always:
            self.window = replace(self.window, resets=(*self.window.resets, reset))
        self._begin_anew()

    def _begin_anew(self) -> None:
        done = self.window.completed_at if self.latches else None
        self.window = replace(self.window, current=0, idle=0, gap=0, began_at=None, completed_at=done)
        self.pools.clear()

    def _pooled(self, item: Slice) -> Slice:
        """Judge the `pool: window` objectives of a slice by the error budget of the window that is being folded."""
        judged = []
        for found in item.objectives:
            objective = self.rollout.objective(found.objective)
            breached = any(breach.objective == found.objective for breach in item.breaches)
            # A recorded slice carries the verdict of the window it was folded into first: it is judged again.
            counted = found.verdict is not SliceVerdict.UNKNOWN and found.total is not None and not breached
            if objective.pool_window and counted:
                judged.append(self._budget(objective, found))
            else:
                judged.append(found)
        verdict = combine(o.verdict for o in judged)
        why = next((o.why for o in judged if o.verdict is verdict), "") if verdict is not SliceVerdict.PASS else ""
        return replace(item, objectives=tuple(judged), verdict=verdict, why=why)

    def _budget(self, objective: Objective, found: ObjectiveSlice) -> ObjectiveSlice:
        pool = self.pools.setdefault(objective.name, [0.0, 0.0, 0.0])
        pool[0] += found.bad or 0.0
        pool[1] += found.total or 0.0
        pool[2] += 1.0
        full = pool[1] / pool[2] * self.rollout.window.slices
        if not found.total or full < objective.min_slice_events * (1.0 - SAME):
            why = f"{objective.name}: {format_number(full)} events in a window, {objective.min_slice_events:g} needed"
            return replace(found, verdict=SliceVerdict.IDLE, why=why)
        budget = objective.allowed * full
        spent = pool[0] > budget * (1.0 + SAME) or (strict(objective) and pool[0] >= budget * (1.0 - SAME))
        why = f"{objective.name}: {format_number(pool[0])} bad since the window began, budget {format_number(budget)}"
        return replace(found, verdict=SliceVerdict.FAIL if spent else SliceVerdict.PASS, why=why)


def _runs(item: Slice, length: int, interval: int, carried: int) -> tuple[int, int, int]:
    """Longest run of unmeasured slots (with what is carried in), the run that reaches the slice's end, and the sum."""
    first, longest, open_run, total = item.end - length + interval, 0, 0, 0
    for start, end in item.unmeasured:
        slots = (end - start) // interval + 1
        total += slots
        run = slots + (carried if start == first else 0)
        longest = max(longest, run)
        open_run = run if end == item.end else 0
    return longest, open_run, total


@dataclass(slots=True)
class Windows:
    """The interim and the final window, folded side by side."""

    rollout: Rollout
    interim: Fold = field(init=False)
    final: Fold = field(init=False)

    def __post_init__(self) -> None:
        self.interim = Fold(self.rollout)
        self.final = Fold(self.rollout, latches=False)

    def add(self, item: Slice) -> Slice:
        """Fold one slice into both; returns it as the interim window judged it."""
        judged = self.interim.add(item)
        if item.exposure is not None and item.exposure.percent == self.rollout.ramp.to:
            self.final.add(item)
        else:
            self.final = Fold(self.rollout, latches=False)
        return judged

    def break_at(self, breach: Breach, *, rolled_back: bool) -> None:
        """A breach resets both windows at once."""
        self.interim.break_at(breach, rolled_back=rolled_back)
        self.final.break_at(breach, rolled_back=False)
