"""What is found about the cause of a breach: whose failures it rests on, and what they have in common."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Blame(StrEnum):
    """What a comparison of the two cohorts says of a breach."""

    FLAG = "flag"  # those who have the feature fail significantly more often than those who do not
    SHARED = "shared"  # those who do not have it break the objective too, and about as badly
    UNKNOWN = "unknown"  # too few events, or no answer: neither can be said


@dataclass(frozen=True, slots=True)
class Counts:
    """Whole events of one cohort over a breach's evidence."""

    bad: int
    total: int

    @property
    def share(self) -> float | None:
        """The share of bad events; None where nobody came."""
        return self.bad / self.total if self.total > 0 else None


@dataclass(frozen=True, slots=True)
class Attribution:
    """Both cohorts compared over the detector steps `first` to `last` that end in it, `steps` of them counted.

    `number` counts the comparisons that the breach of `objective` at `breach_at` could have had so far, one a step.
    `p_value` is the chance of so many failures among the exposed if both fail alike, `p_control` that of so many in
    the control if it keeps its objective, `p_worse` that of so few among the exposed if they fail much more often.
    """

    objective: str
    breach_at: int
    number: int
    first: int
    last: int
    steps: int
    exposed: Counts
    control: Counts
    allowed: float
    verdict: Blame
    why: str
    p_value: float | None = None
    p_control: float | None = None
    p_worse: float | None = None


@dataclass(frozen=True, slots=True)
class SharedCause:
    """A breach for which nothing was taken back because both cohorts fail, while that goes on.

    `at` is the breach's step, `steps` how many the cohorts are compared over, `seen_at` the newest slot at which the
    control was known to fail, too.
    """

    objective: str
    at: int
    steps: int
    seen_at: int


@dataclass(frozen=True, slots=True)
class Contributor:
    """One value of a label, with its bad events over a breach's range.

    `share` is of all bad events, `rate` of its own `total`; for an objective that is a number, `rate` is that number.
    """

    label: str
    value: str
    bad: float | None = None
    share: float | None = None
    total: float | None = None
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Contributors:
    """Who contributed most to a breach, in the `seconds` up to it; `problem` says what could not be found out."""

    objective: str
    breach_at: int
    asked_at: float
    seconds: float
    found: tuple[Contributor, ...] = ()
    problem: str = ""
