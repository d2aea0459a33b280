"""The `sequential:` and `confirm:` of an objective -> its detector, with the defaults that the rollout implies."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from watchdog.model import Confirm, Detector, NoiseRule, Sequential
from watchdog.quantities import format_duration, parse_number, promql_duration, shown
from watchdog.rolloutfile.fields import Section, grid, whole

_OF = re.compile(r"(\d{1,3}) +of +(\d{1,3})")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the rest of the rule says that an objective depends on. Durations in seconds."""

    interval: int
    scrape_interval: float
    cohorts: bool
    noise: NoiseRule | None = None
    """How alerts are counted; None where nobody tells of any."""
    explain_by: tuple[str, ...] = ()
    """The labels that breaches are explained by where an objective does not say."""

    @property
    def present(self) -> str:
        """Whether Prometheus was ingesting: samples of `up` in the last two scrapes (docs/decisions/present.md)."""
        return f"count(count_over_time(up[{promql_duration(2 * self.scrape_interval)}]))"

    @property
    def every(self) -> int:
        """The default detector step: 1 min, or 2 scrape intervals if longer, up to the next multiple of `interval`."""
        return math.ceil(max(60.0, 2 * self.scrape_interval) / self.interval) * self.interval


def read_detector(section: Section, allowed: Decimal, around: Surroundings) -> Detector:
    """The detector of an event objective that allows the share `allowed` of bad events."""
    if section.has("confirm"):
        if section.has("sequential"):
            section.problem("confirm", "stands beside sequential; an objective has one detector, so remove one")
        return read_confirm(section, around)
    place = "sequential" if section.has("sequential") else ""
    inner = section.section("sequential")
    every = _every(inner, around)
    above = inner.take("rollback_above", parse_number, 1.5)
    inner.close()
    if above < 1 and inner.sound("rollback_above"):
        inner.problem("rollback_above", f"is {above:g}; below 1 it would roll back a service that meets its target")
    elif allowed == 0:
        section.problem(place, "sequential cannot judge a target that allows no bad event at all; use confirm: 3 of 5")
    elif Decimal(str(above)) * allowed >= 1:
        section.problem(
            place,
            f"sequential looks for more than {above:g} times the allowed share of {float(allowed):g}, which no share "
            "of bad events can be; lower rollback_above, or use confirm: 3 of 5",
        )
    return Sequential(every, above)


def read_confirm(section: Section, around: Surroundings, *, scraped: bool = True) -> Confirm:
    """`confirm`, as a mapping or as `3 of 5`; `scraped` is False where no scrape lies behind the number."""
    given = section.data.get("confirm")
    if isinstance(given, str):
        fails, of = section.take("confirm", _fails_of, (3, 5))
        return Confirm(around.every, fails, of)
    inner = section.section("confirm")
    every = _every(inner, around, scraped=scraped)
    fails = inner.take("fails", whole(1, 10), 3)
    of = inner.take("of", whole(1, 10), max(5, fails))
    inner.close()
    if inner.sound("fails", "of") and fails > of:
        inner.problem("fails", f"is {fails} of {of}; it cannot be more than of")
    return Confirm(every, fails, of)


def _fails_of(found: Any) -> tuple[int, int]:
    match = _OF.fullmatch(str(found).strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]) <= 10:
        raise ValueError(f"found {shown(found)}, expected for example 3 of 5 (of at most 10)")
    return int(match[1]), int(match[2])


def _every(section: Section, around: Surroundings, *, scraped: bool = True) -> int:
    every = section.take("every", grid, around.every)
    least = 2 * around.scrape_interval
    if every % around.interval:
        section.problem(
            "every",
            f"is {format_duration(every)}, not a multiple of the interval of {format_duration(around.interval)}; "
            "a detector's steps lie on slots",
        )
    elif scraped and every < least:
        section.problem(
            "every",
            f"is {format_duration(every)}, shorter than 2 scrape intervals ({format_duration(least)}); "
            "a step needs two samples to count an increase, so write a longer every or scrape more often",
        )
    return every
