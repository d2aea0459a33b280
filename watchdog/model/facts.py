"""What was measured, concluded, done and said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from watchdog.model.rule import Exposure
from watchdog.model.vocabulary import Phase, Reason, Severity, SliceVerdict, Verdict


class Measurement(NamedTuple):
    """One answer for one objective at one instant, or the reason why there is none.

    `value` for value and internal objectives; `bad` and `total` for event objectives (floats: they come from
    `increase()`). `silent` marks an empty answer of a `no_data: fail` objective while Prometheus was ingesting.
    """

    at: int
    value: float | None = None
    bad: float | None = None
    total: float | None = None
    reason: Reason | None = None
    detail: str = ""
    silent: bool = False


class Evaluation(NamedTuple):
    """A measurement held against its target. `reason` is given exactly when the verdict is unknown."""

    at: int
    verdict: Verdict
    reason: Reason | None = None
    value: float | None = None
    bad: float | None = None
    total: float | None = None
    detail: str = ""
    silent: bool = False

    @property
    def measured(self) -> bool:
        """Somebody looked: a verdict, or too little traffic for one."""
        return self.verdict is not Verdict.UNKNOWN or self.reason is Reason.LOW_TRAFFIC


@dataclass(frozen=True, slots=True)
class Breach:
    """A detector's finding that an objective is broken. `at` is its step; `detected_at` is wall time."""

    objective: str
    at: int
    detector: str
    statistic: float
    threshold: float
    bad: float | None = None
    total: float | None = None
    value: float | None = None
    why: str = ""
    closed_at: int | None = None


@dataclass(frozen=True, slots=True)
class FlagReading:
    """What the flag service said: the exposure it serves, its version, and the latch of an earlier rollback."""

    exposure: Exposure
    version: str = ""
    """The service's own word for this state of the flag; it changes with every change of the flag, whoever makes it."""
    latch: str | None = None
    """Name of the rollout whose rollback killed this flag, where the service can hold it."""
    idem: str = ""
    """Idempotency key of the last change that was made through us, where the service can hold it."""
    members: tuple[str, ...] = ()
    """The targeting keys of the cohort."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The ramp stands still until a person resumes it."""

    cause: str  # operator | breach | shared_cause | drift | emergency | internal_error
    by: str
    since: float
    why: str


@dataclass(frozen=True, slots=True)
class Rollback:
    """The stamps of one rollback, wall time, in the order in which they happen."""

    cause: str
    detected_at: float
    decided_at: float
    acted_at: float | None = None
    confirmed_at: float | None = None
    recovered_at: float | None = None
    escalated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deed:
    """Something done for safety beside the rollout's own flag, with stamps of its own; tried until confirmed.

    `kind` is `kill` (a flag of another service goes with the rollout's) or `emergency` (an emergency flag goes on).
    """

    kind: str
    service: str
    flag: str
    why: str
    decided_at: float
    acted_at: float | None = None
    confirmed_at: float | None = None
    error: str = ""
    escalated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Transition:
    """Something that happened to a rollout, with its sentence. `source` and `target` are phases."""

    at: float
    kind: str
    source: Phase
    target: Phase
    why: str
    by: str = "watchdog"
    objective: str | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """One recorded message. Unsent until sent; `key` makes a repeat harmless."""

    kind: str
    key: str
    severity: Severity
    summary: str
    at: float
    details: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Command:
    """An operator's command: start, adopt, hold, resume, rollback or stop, with who and why."""

    id: int
    verb: str
    by: str
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Proof:
    """What a preflight said of one rule. `at` is wall time, `score` percent, rounded down.

    `failed` and `waived` count its blockers that did not hold: those that stand in the way, and those that the rule's
    own `waive.preflight` excuses. `sha256` is that of the recorded result.
    """

    id: int
    at: float
    failed: int
    waived: int
    score: int
    sha256: str = ""

    @property
    def holds(self) -> bool:
        """Whether every blocker held, none of them excused."""
        return self.failed == 0 and self.waived == 0


@dataclass(frozen=True, slots=True)
class Waiver:
    """Somebody's word that a rollout may start without what `name` asks for. `at` and `until` are wall time."""

    name: str
    by: str
    why: str
    at: float
    until: float


@dataclass(frozen=True, slots=True)
class Series:
    """What one expression answered, instant by instant (one instant, or a stretch of the grid).

    An instant in neither dict had an empty answer. `values` may hold NaN and infinities as Prometheus gave them.
    """

    values: dict[int, float] = field(default_factory=dict)
    problems: dict[int, tuple[Reason, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObjectiveSlice:
    """One objective over one slice: its own verdict, the pooled figures and how many slots were looked at."""

    objective: str
    verdict: SliceVerdict
    measured: int
    failed: int
    slots: int
    value: float | None = None
    bad: float | None = None
    total: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice of the window. `end` is its grid instant; it owns the slots in (end - length, end].

    `unmeasured` are runs of slots (first, last) that no objective's budget excuses; `exposure` is the confirmed
    exposure throughout, None when it changed inside; `final` is False while a slot of it may still be asked again.
    """

    end: int
    verdict: SliceVerdict
    objectives: tuple[ObjectiveSlice, ...]
    unmeasured: tuple[tuple[int, int], ...] = ()
    exposure: Exposure | None = None
    final: bool = True
    breaches: tuple[Breach, ...] = ()
    why: str = ""
