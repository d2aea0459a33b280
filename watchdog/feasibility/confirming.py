"""What `confirm: n of m` finds and how often it is wrong, exactly, if steps fail independently of each other. Pure."""

from __future__ import annotations

from watchdog.model import Confirm

POWER = 0.8


def alarm_chance(rule: Confirm, failing: float, steps: int) -> float:
    """The chance of an alarm within so many steps, each of which fails with probability `failing`."""
    keep = (1 << (rule.of - 1)) - 1
    states, alarmed = {0: 1.0}, 0.0
    for _ in range(steps):
        after: dict[int, float] = {}
        for newest, chance in states.items():
            good, bad = (newest << 1) & keep, ((newest << 1) | 1) & keep
            after[good] = after.get(good, 0.0) + chance * (1.0 - failing)
            if newest.bit_count() + 1 >= rule.fails:
                alarmed += chance * failing
            else:
                after[bad] = after.get(bad, 0.0) + chance * failing
        states = after
    return alarmed


def smallest_failing(rule: Confirm, steps: int) -> float | None:
    """The smallest share of failing steps that is found within `steps` in POWER of the cases; None if none is."""
    if steps < rule.fails:
        return None
    low, high = 0.0, 1.0
    while high - low > 0.001:
        middle = 0.5 * (low + high)
        if alarm_chance(rule, middle, steps) >= POWER:
            high = middle
        else:
            low = middle
    return high
