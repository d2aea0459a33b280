"""Is it on fire? Pure folds over disjoint detector steps, chosen by name (semantics 5).

`sequential` is an e-detector after Shin, Ramdas and Rinaldo: a mean of bets against "the share of bad events is at
most p". While that holds, the chance that it *ever* alarms is at most alpha, whatever the traffic or its bursts.
`confirm` counts failing steps and promises no rate.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from watchdog.model import Confirm, Detector, Measurement, Objective, Rollout, Sequential

BETS = (0.02, 0.05, 0.1, 0.2, 0.5, 0.9)
"""Stakes, as fractions of the largest that keeps every factor positive (1 / p)."""
new = tuple.__new__
"""Makes a named tuple of all its fields in half the time of its constructor; used in the innermost loops only."""
STEP_AGE = 10
"""`confirm` forgets a step that is older than this many steps."""
NEVER = 10_000
"""What `reach` answers when no number of failing steps would do."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """A detector's constants for one objective of one rollout."""

    detector: Detector
    threshold: float
    p: float = 0.0
    floor: float = 0.0
    """m: a step's events count as at least this many, so that one bad event cannot decide."""
    planned: float = 1.0
    bets: tuple[float, ...] = ()


class State(NamedTuple):
    """What a detector remembers. `used` counts the steps of the whole watch and is never set back."""

    used: int = 0
    wealth: tuple[float, ...] = (0.0,) * len(BETS)
    known: tuple[tuple[int, bool], ...] = ()
    """`confirm`: the newest known steps as (instant, failed)."""

    @property
    def statistic(self) -> float:
        """What is held against the threshold of `sequential`."""
        a, b, c, d, e, f = self.wealth
        return (a + b + c + d + e + f) / 6.0


class Step(NamedTuple):
    """One known detector step: counts, and (for `confirm`) whether it alone misses the target."""

    at: int
    failed: bool
    bad: float = 0.0
    total: float = 0.0


class Outcome(NamedTuple):
    """A fold's result: the new state, the statistic, and whether it crossed the threshold."""

    state: State
    statistic: float
    alarm: bool = False


def tuning(rollout: Rollout, objective: Objective) -> Tuning:
    """The constants of the objective's detector within this rollout."""
    return _tuning(objective.detector, objective.allowed, rollout.alpha, rollout.planned_steps(objective.detector))


def _tuning(detector: Detector, allowed: float, alpha: float, planned: int) -> Tuning:
    if isinstance(detector, Confirm):
        return Tuning(detector, threshold=float(detector.fails))
    p = detector.rollback_above * allowed
    return Tuning(detector, 1.0 / alpha, p, 0.3 / p, float(planned), tuple(bet / p for bet in BETS))


def fold(tuning: Tuning, state: State, step: Step) -> Outcome:
    """Take one known step into account. Only + and *, in time order: the same counts give the same bits."""
    if isinstance(tuning.detector, Sequential):
        return _sequential(tuning, state, step)
    return _confirm(tuning.detector, state, step)


def _sequential(tuning: Tuning, state: State, step: Step) -> Outcome:
    _, _, bad, total = step
    if total <= 0.0:
        return Outcome(state, state.statistic)
    # Written out, here and below: this is the innermost loop of a replay.
    if not 0.0 <= bad <= total:
        bad = min(max(bad, 0.0), total)
    planned, floor = tuning.planned, tuning.floor
    y = (bad - tuning.p * total) / max(total, floor)
    used = state.used + 1
    w = planned / ((planned + used - 1) * (planned + used))
    a, b, c, d, e, f = state.wealth
    i, j, k, l, m, n = tuning.bets  # noqa: E741 - six names for six bets
    a, b, c = (a + w) * (1.0 + i * y), (b + w) * (1.0 + j * y), (c + w) * (1.0 + k * y)
    d, e, f = (d + w) * (1.0 + l * y), (e + w) * (1.0 + m * y), (f + w) * (1.0 + n * y)
    statistic = (a + b + c + d + e + f) / 6.0
    state = new(State, (used, (a, b, c, d, e, f), ()))
    return new(Outcome, (state, statistic, statistic >= tuning.threshold))


def _confirm(detector: Confirm, state: State, step: Step) -> Outcome:
    oldest = step.at - STEP_AGE * detector.every
    known = (*state.known, (step.at, step.failed))[-detector.of :]
    if known[0][0] < oldest:
        known = tuple(item for item in known if item[0] >= oldest)
    fails = sum([failed for _, failed in known])
    new = State(state.used + 1, state.wealth, known)
    return Outcome(new, float(fails), fails >= detector.fails)


def evidence(tuning: Tuning, steps: Iterable[Step]) -> tuple[int, ...]:
    """The instants of the known steps that an alarm at the last of them rests on, oldest first.

    `sequential`: those since its statistic was last at zero: no more than all that had been staked by then, which is
    as much as it may be expected to have when nothing is wrong. `confirm`: the failing steps that it counted.
    """
    if isinstance(tuning.detector, Confirm):
        state = State()
        for step in steps:
            state = fold(tuning, state, step).state
        return tuple(at for at, failed in state.known if failed)
    state, found = State(), []
    for step in steps:
        if step.total <= 0.0:
            continue
        state, statistic, _ = fold(tuning, state, step)
        found.append(step.at)
        if statistic <= state.used / (tuning.planned + state.used):
            found.clear()
    return tuple(found)


def emptied(state: State) -> State:
    """The state after a breach closed or a person resumed: nothing gathered, the weights spent stay spent."""
    return State(used=state.used)


def silent_counts(tuning: Tuning) -> tuple[float, float]:
    """What a silent step of a `no_data: fail` objective counts as: m bad of m."""
    return tuning.floor, tuning.floor


def reach(detector: Detector, allowed: float, alpha: float, planned: int, events: float | None = None) -> int:
    """Steps to an alarm when every event is bad, from empty; `events` a step, or as many as matter when None.

    Counted at the end of the planned watch, where the weights are smallest: the worst case. `NEVER` when that
    traffic cannot raise an alarm.
    """
    if isinstance(detector, Confirm):
        return detector.fails
    constants = _tuning(detector, allowed, alpha, planned)
    total = constants.floor if events is None else events
    if events is None:
        total = max(total, 1.0)
    state = State(used=max(planned - 1, 0))
    for count in range(1, NEVER):
        outcome = fold(constants, state, Step(0, True, total, total))  # noqa: FBT003
        if outcome.alarm:
            return count
        state = outcome.state
    return NEVER


def step_of(tuning: Tuning, measurement: Measurement, *, failed: bool) -> Step:
    """The known step that a measurement stands for, silence included."""
    if measurement.silent:
        return Step(measurement.at, True, *silent_counts(tuning))  # noqa: FBT003
    at, _, bad, total, *_ = measurement
    return new(Step, (at, failed, bad or 0.0, total or 0.0))
