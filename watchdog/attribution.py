"""Is it the flag? The bad events of a breach, split between who has the feature and who does not. Pure.

If both cohorts fail alike, each bad event falls on the exposed with the chance that any event does, so the bad events
of the exposed are binomial given all bad events: an exact test that needs no failure rate. Both ways to be wrong are
bounded (docs/decisions/attribution.md): to blame the flag for what it shares, and to excuse it where it fails much
more often. Whatever is neither is unknown, and unknown takes the flag back, as without a control cohort.
"""

from __future__ import annotations

import math

from watchdog.model import Attribution, Blame, Counts, Detector, Rollout
from watchdog.quantities import format_number, format_share

ALPHA = 0.01
"""The chance that a breach with a cause that both cohorts share is ever blamed on the flag."""
BETA = 0.01
"""The chance, at one look, that a flag which makes failures `WORSE` times as likely is excused."""
WORSE = 2.0
"""The ratio of failures (as odds) between exposed and control that must not be overlooked."""
TINY = 1e-18
"""A term this much smaller than the sum so far ends the sum."""


def at_least(bad: int, total: int, share: float) -> float:
    """The chance of `bad` or more among `total` events of which each is bad with the chance `share`, exactly.

    Sums from the count outwards, away from the mean, in as many terms as a few standard deviations have: 10^7 events
    take some ten thousand. The tail that is summed is the smaller one, so small chances keep their digits.
    """
    if bad <= 0:
        return 1.0
    if bad > total or share <= 0.0:
        return 0.0
    if share >= 1.0:
        return 1.0
    if bad > total * share:
        return min(1.0, _upwards(bad, total, share))
    return max(0.0, 1.0 - _downwards(bad - 1, total, share))


def at_most(bad: int, total: int, share: float) -> float:
    """The chance of `bad` or fewer among `total` events of which each is bad with the chance `share`, exactly."""
    return at_least(total - bad, total, 1.0 - share)


def _upwards(first: int, total: int, share: float) -> float:
    odds = share / (1.0 - share)
    term = found = _one(first, total, share)
    for count in range(first, total):
        term *= (total - count) / (count + 1) * odds
        found += term
        if term <= found * TINY:
            break
    return found


def _downwards(last: int, total: int, share: float) -> float:
    odds = (1.0 - share) / share
    term = found = _one(last, total, share)
    for count in range(last, 0, -1):
        term *= count / (total - count + 1) * odds
        found += term
        if term <= found * TINY:
            break
    return found


def _one(bad: int, total: int, share: float) -> float:
    """The chance of exactly so many."""
    ways = math.lgamma(total + 1) - math.lgamma(bad + 1) - math.lgamma(total - bad + 1)
    return math.exp(ways + bad * math.log(share) + (total - bad) * math.log1p(-share))


def level(number: int) -> float:
    """The chance of a wrong blame that comparison `number` of a breach (from 1) may have; all of them sum to ALPHA."""
    return ALPHA / (number * (number + 1))


def attribute(  # noqa: PLR0913 - they are the record
    objective: str,
    breach_at: int,
    *,
    number: int,
    first: int,
    last: int,
    steps: int,
    exposed: Counts,
    control: Counts,
    allowed: float,
) -> Attribution:
    """Compare two cohorts; the arguments are as in `Attribution`. Equal arguments give an equal finding, to the bit."""
    verdict, why, chances = _judged(exposed, control, allowed, level(number))
    return Attribution(
        objective, breach_at, number, first, last, steps, exposed, control, allowed, verdict, why, *chances
    )


def again(found: Attribution) -> Attribution:
    """The same comparison, made anew from its recorded counts: an honest record is equal to it."""
    return attribute(
        found.objective,
        found.breach_at,
        number=found.number,
        first=found.first,
        last=found.last,
        steps=found.steps,
        exposed=found.exposed,
        control=found.control,
        allowed=found.allowed,
    )


Chances = tuple[float | None, float | None, float | None]


def _judged(exposed: Counts, control: Counts, allowed: float, alpha: float) -> tuple[Blame, str, Chances]:
    exposed, control = clipped(exposed), clipped(control)
    counts = f"{_said(exposed)} of the exposed fail, {_said(control)} of the control"
    bad, total = exposed.bad + control.bad, exposed.total + control.total
    if exposed.total == 0 or control.total == 0:
        empty = "exposed" if exposed.total == 0 else "control"
        return Blame.UNKNOWN, f"nobody was seen in the {empty} cohort", (None, None, None)
    if bad == 0:
        return Blame.UNKNOWN, f"nothing failed: {counts}", (None, None, None)
    among = exposed.total / total
    p_value = at_least(exposed.bad, bad, among)
    p_control = at_least(control.bad, control.total, allowed)
    p_worse = at_most(exposed.bad, bad, WORSE * among / (1.0 - among + WORSE * among))
    chances = (p_value, p_control, p_worse)
    if p_value <= alpha:
        return Blame.FLAG, f"who has the feature fails more often: {counts} (p {p_value:.2g})", chances
    if p_control <= ALPHA and p_worse <= BETA:
        return Blame.SHARED, f"both cohorts fail: the flag is probably not the cause; {counts}", chances
    if p_control > ALPHA:
        return Blame.UNKNOWN, f"the control is not seen to break the objective: {counts}", chances
    return Blame.UNKNOWN, f"too few failures to tell the cohorts apart: {counts}", chances


def clipped(counts: Counts) -> Counts:
    """Counts as they can be: no more bad events than events, none below zero."""
    total = max(0, counts.total)
    return Counts(min(max(0, counts.bad), total), total)


def _said(counts: Counts) -> str:
    share = counts.share
    shown = f"{format_share(share)} " if share is not None else ""
    return f"{shown}({format_number(float(counts.bad))} of {format_number(float(counts.total))})"


def unanswered(objective: str, breach_at: int, last: int, number: int, allowed: float, why: str) -> Attribution:
    """That the cohorts could not be compared, and why."""
    nobody = Counts(0, 0)
    return Attribution(objective, breach_at, number, last, last, 0, nobody, nobody, allowed, Blame.UNKNOWN, why)


def patience(rollout: Rollout, detector: Detector) -> int:
    """For how many steps a shared cause is believed after it was last seen, and over how many it is looked for.

    Were the control good from some moment on, the newest look that still saw it fail has none of its steps after that
    moment plus `patience` steps, and is believed for as many more: together with what any rollback needs, that is
    within `rollback.within`. 0 where there is no such time: then nothing is held for a shared cause.
    """
    needed = rollout.interval + rollout.delay + rollout.tick_deadline + rollout.write_timeout + rollout.propagation
    spare = rollout.rollback.within - needed - rollout.scrape_interval - detector.every
    return max(0, math.floor(spare / (2 * detector.every) + 1e-9))
