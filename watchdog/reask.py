"""Which unanswered instants to ask for again, and when (semantics 2). Pure arithmetic over what was asked when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from watchdog.model import Rollout
from watchdog.observe import Ask

YOUNG_EVERY = 60.0
"""Seconds between askings while a slot is younger than `settle`."""
OLD_EVERY = 3600.0
MOST = 10_000
"""Instants of one range query."""

Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Again:
    """What to ask now: one bounded stretch per objective and grid, and the instants in it that are wanted."""

    asks: tuple[Ask, ...]
    wanted: frozenset[Key]


NOTHING_AGAIN = Again((), frozenset())


def again(
    rollout: Rollout, unanswered: Mapping[Key, float], now: float, newest: int, recovered: frozenset[str]
) -> Again:
    """`recovered` names objectives whose source has just begun to answer again: their old instants are due at once."""
    horizon = newest - rollout.window.seconds
    due: dict[tuple[str, str], list[int]] = {}
    for (grid, name, at), asked in unanswered.items():
        young = now - at < rollout.settle
        since = now - asked
        if at > horizon and (since >= (YOUNG_EVERY if young else OLD_EVERY) or (name in recovered and not young)):
            due.setdefault((grid, name), []).append(at)
    asks: list[Ask] = []
    wanted: set[Key] = set()
    for (grid, name), instants in due.items():
        ask = _ask(rollout, grid, name, instants)
        asks.append(ask)
        wanted.update((grid, name, at) for at in instants if at >= ask.first)
    return Again(tuple(asks), frozenset(wanted))


def _ask(rollout: Rollout, grid: str, name: str, instants: list[int]) -> Ask:
    objective = rollout.objective(name)
    step, seconds = {
        "slot": (rollout.interval, objective.range),
        "step": (objective.detector.every, rollout.step_range(objective.detector)),
        "slice": (rollout.window.slice, float(rollout.window.slice)),
    }[grid]
    last = max(instants)
    first = max(min(instants), last - (MOST - 1) * step)
    return Ask(objective, grid, first, last, step, seconds)


def forget(rollout: Rollout, unanswered: dict[Key, float], newest: int) -> None:
    """Drop what lies further back than the window: it will not be asked for any more."""
    horizon = newest - rollout.window.seconds
    for key in [key for key in unanswered if key[2] <= horizon]:
        del unanswered[key]


def unsettled(rollout: Rollout, unanswered: Mapping[Key, float], now: float, start: int | None, end: int) -> bool:
    """Whether a slice that ended in (start, end] may still be turned.

    It may while a slot of it is unanswered, until `settle` after the slice's end; an unfinished slice is not asked for.
    """
    if start is None:
        return False
    length = rollout.window.slice
    last = end // length * length
    return any(start < at <= last and now < -(-at // length) * length + rollout.settle for _, _, at in unanswered)
