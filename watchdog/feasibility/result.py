"""What came of it: figures, sentences, and the plain data of `feasibility --json`. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from watchdog.quantities import format_duration, format_share, rfc3339

MOST_TIMES = 20
"""Of breaches, so many are given with their times; all are counted."""


class Outlook(StrEnum):
    """Whether a sign-off is possible at all."""

    FEASIBLE = "feasible"
    HOPELESS = "hopeless"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason against: why, with numbers, and what to do. `objective` is None where it is nobody's own."""

    objective: str | None
    why: str
    todo: str


@dataclass(frozen=True, slots=True)
class Data:
    """How much history there is: slices by verdict, their share of good ones by hour of the day (UTC)."""

    start: int
    end: int
    slices: int
    passed: int
    failed: int
    idle: int
    unknown: int
    by_hour: tuple[tuple[int, int, int], ...]
    """(hour, slices that begin in it, good ones of them)."""
    asked: float
    """Seconds that were asked for."""


@dataclass(frozen=True, slots=True)
class WindowChance:
    """The chance that a window, begun at any time, is complete before it begins anew, and its 90 % interval."""

    chance: float
    low: float
    high: float
    spoilt: int
    """Spells in the history at which a window would have begun anew."""
    attempts: int
    stretch: float
    by_hour: bool


@dataclass(frozen=True, slots=True)
class SignOff:
    """Simulated watches from start to sign-off. Times are seconds from the start; None where too few get there."""

    watches: int
    share: float
    """Signed off within `patience`; `low` to `high` is its 90 % interval, from the number of breaches there were."""
    low: float
    high: float
    taken_back: float
    patience: float
    planned: float
    expected: float | None
    """Mean over those that were signed off."""
    median: float | None
    p80: float | None
    p90: float | None
    ramp_planned: float
    ramp_expected: float | None
    ramp_p90: float | None
    passable: float
    """The share of slots at which a due step would have been taken."""


@dataclass(frozen=True, slots=True)
class FalseRollbacks:
    """What a detector did on the history. `per_watch` is what that makes of a whole watch, `high` its upper 95 % bound.

    `guaranteed` is the share of alpha that the detector keeps whatever the traffic, None where it promises nothing.
    """

    objective: str
    on_breach: str
    breaches: tuple[int, ...]
    per_watch: float
    high: float
    guaranteed: float | None


@dataclass(frozen=True, slots=True)
class Detectable:
    """The smallest bad share among the exposed that is found within `within` seconds in 80 % of the cases.

    `exposure` is percent. None: not even if all of their requests failed. `splits`: the objective itself counts the
    exposed only, so `split` is what it will find; else it is `pooled`, and `split` what `$cohort` would find.
    """

    objective: str
    exposure: float
    within: float
    usual: float
    pooled: float | None
    split: float | None
    splits: bool


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A `confirm` objective: the share of failing steps that is found within `within` seconds, and the usual share."""

    objective: str
    rule: str
    soonest: float
    within: float
    failing: float | None
    usual: float


@dataclass(frozen=True, slots=True)
class Feasibility:
    """The answer. `found` and `todo` are fit for a preflight's check; the rest is None where there was no history."""

    rollout: str
    outlook: Outlook
    found: str
    todo: str
    waived: str | None
    refusals: tuple[Refusal, ...]
    data: Data
    window: WindowChance | None = None
    sign_off: SignOff | None = None
    false_rollbacks: tuple[FalseRollbacks, ...] = ()
    detectable: tuple[Detectable, ...] = ()
    confirmed: tuple[Confirmed, ...] = ()
    assumed: tuple[str, ...] = ()
    """Objectives of the watchdog's own, which are taken to pass."""
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether a sign-off is possible."""
        return self.outlook is Outlook.FEASIBLE

    @property
    def splits(self) -> bool:
        """Whether it was looked at what the exposed alone would show."""
        return any(one.split is not None for one in self.detectable) or any(one.splits for one in self.detectable)

    def as_data(self) -> dict[str, Any]:
        """The object of `feasibility --json`. Durations are seconds, shares fractions, exposures percent."""
        found = asdict(self)
        found["outlook"] = self.outlook.value
        data = found["data"]
        data["from"], data["to"] = rfc3339(data.pop("start")), rfc3339(data.pop("end"))
        data["by_hour"] = [{"hour": hour, "slices": n, "good": good} for hour, n, good in self.data.by_hour]
        for item in found["false_rollbacks"]:
            item["count"] = len(item["breaches"])
            item["breaches"] = [rfc3339(at) for at in item["breaches"][:MOST_TIMES]]
        return found


def spoken(seconds: float) -> str:
    """`9.4 days`, `14 h`: a length of time as people say it."""
    if seconds >= 2 * 86_400:
        return f"{seconds / 86_400:.1f} days"
    if seconds >= 2 * 3600:
        return f"{seconds / 3600:.1f} h"
    return format_duration(round(seconds))


def percent(share: float) -> str:
    """A share in words, two digits of what is small: `97%`, `0.43%`, `99.7%`; never a rounded 0 % or 100 %."""
    if share <= 0.0 or share >= 1.0:
        return f"{100 * min(1.0, max(0.0, share)):g}%"
    if share < 1e-5:
        return "below 0.001%"
    if share > 0.999:
        return "above 99.9%"
    if share > 0.985:
        return f"{100 * share:.3g}%"
    return format_share(float(f"{share:.2g}"))
