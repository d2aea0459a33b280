"""What can be said of a rate from a count: exact intervals, runs of successes, quantiles. Pure.

Intervals are 90 % ones, 5 % on either side: an event that was never seen has then "at most 3 in the time that was
looked at", the rule of three.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

CONFIDENCE = 0.9
"""Share of intervals that hold what they were made for."""
SIDE = (1.0 - CONFIDENCE) / 2.0


def run_probability(rates: Sequence[float]) -> float:
    """The probability that independent slices with these pass rates all pass."""
    return math.prod(rates)


def expected_wait(rate: float, run: int) -> float:
    """Expected number of independent trials until the first `run` successes in a row, each of probability `rate`."""
    if rate >= 1.0:
        return float(run)
    whole = rate**run
    return (1.0 - whole) / ((1.0 - rate) * whole) if whole > 0.0 else math.inf


def count_interval(count: float, dispersion: float = 1.0) -> tuple[float, float]:
    """The means that a Poisson count leaves possible; more where `dispersion`, variance over mean, exceeds 1."""
    wider = max(1.0, dispersion)
    seen = count / wider
    low = _solve(lambda mean: _poisson_at_most(seen - 1.0, mean), 1.0 - SIDE) if seen > 0.0 else 0.0
    return low * wider, _solve(lambda mean: _poisson_at_most(seen, mean), SIDE) * wider


def _poisson_at_most(count: float, mean: float) -> float:
    """P(N <= count), continued to counts that are not whole: the incomplete gamma function Q(count + 1, mean)."""
    shape = count + 1.0
    if shape <= 0.0:
        return 0.0
    if mean <= 0.0:
        return 1.0
    if mean < shape + 1.0:
        return 1.0 - _lower_gamma(shape, mean)
    return _upper_gamma(shape, mean)


def _lower_gamma(shape: float, at: float) -> float:
    """P(shape, at) by its series, which is quick where `at` is small."""
    term = total = 1.0 / shape
    step = shape
    while abs(term) > 1e-15 * abs(total):
        step += 1.0
        term *= at / step
        total += term
    return total * math.exp(-at + shape * math.log(at) - math.lgamma(shape))


def _upper_gamma(shape: float, at: float) -> float:
    """Q(shape, at) by its continued fraction (Lentz), which is quick where `at` is large."""
    tiny = 1e-300
    b = at + 1.0 - shape
    c, d = 1.0 / tiny, 1.0 / b
    h = d
    for k in range(1, 10_000):
        factor = -k * (k - shape)
        b += 2.0
        d = factor * d + b
        d = 1.0 / (d if abs(d) > tiny else tiny)
        c = b + factor / c
        c = c if abs(c) > tiny else tiny
        h *= d * c
        if abs(d * c - 1.0) < 1e-14:
            break
    return h * math.exp(-at + shape * math.log(at) - math.lgamma(shape))


def _solve(falling: Callable[[float], float], wanted: float) -> float:
    """Where a function that falls from 1 to 0 takes this value."""
    low, high = 0.0, 1.0
    while falling(high) > wanted:
        low, high = high, 2.0 * high
    for _ in range(60):
        middle = 0.5 * (low + high)
        if falling(middle) > wanted:
            low = middle
        else:
            high = middle
    return high


def dispersion(counts: Sequence[int]) -> float:
    """Variance over mean of counts of equal stretches: 1 for independent events, more where they come in clumps."""
    if len(counts) < 3 or not any(counts):
        return 1.0
    mean = sum(counts) / len(counts)
    return max(1.0, sum((count - mean) ** 2 for count in counts) / (len(counts) - 1) / mean)


def chance_interval(
    chance: float, spoilt: float, share: float, least: float, dispersion: float = 1.0
) -> tuple[float, float]:
    """The interval of a chance that something is not spoilt.

    `spoilt` times it was seen to be spoilt, in a history of which one attempt is `share`. `least` stands for a chance
    of 0 that was only looked for so finely. The chance is taken to fall exponentially with the rate of what spoils it.
    """
    low, high = count_interval(spoilt, dispersion)
    if spoilt <= 0.0:
        return math.exp(-high * share), 1.0
    rate = -math.log(max(chance, least))
    return math.exp(-rate * high / spoilt), math.exp(-rate * low / spoilt)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the sorted numbers that at least `share` of them do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]
