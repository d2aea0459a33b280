"""The nouns: what a rollout is, what was measured, what was concluded and what is to be done.

Instants on a grid are whole seconds since the Unix epoch (UTC, `int`); the wall clock is `float`
seconds since the epoch; durations are seconds; shares are fractions of 1; exposure is percent.
Everything here is frozen: a sample crosses `float -> Measurement -> Evaluation -> Decision -> row`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """What a slot says of one objective."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    UNKNOWN = "unknown"


class SliceVerdict(StrEnum):
    """What a slice says; `idle` is looked at, but with too little traffic to show anything."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    UNKNOWN = "unknown"
    IDLE = "idle"


class Reason(StrEnum):
    """Why there is no verdict, in the order in which they are judged: the first that holds is given."""

    UNREACHABLE = "unreachable"
    CLOCK_SKEW = "clock_skew"
    QUERY_ERROR = "query_error"
    PARTIAL = "partial"
    MANY_SERIES = "many_series"
    NO_DATA = "no_data"
    NOT_A_NUMBER = "not_a_number"
    STALE = "stale"
    LOW_TRAFFIC = "low_traffic"


REASONS: tuple[Reason, ...] = tuple(Reason)
ASKED_AGAIN = frozenset(
    {Reason.UNREACHABLE, Reason.QUERY_ERROR, Reason.NO_DATA, Reason.PARTIAL, Reason.CLOCK_SKEW}
)
"""Reasons that later data can cure; the others are facts about the data that is there."""


class Phase(StrEnum):
    """Where a rollout is. The last three are terminal; an operator's rollback is accepted in all."""

    PENDING = "pending"  # seen, not started
    RAMPING = "ramping"  # raising exposure, one step at a time
    SOAKING = "soaking"  # at its final exposure, collecting good slices
    ROLLING_BACK = "rolling_back"  # rollback recorded, the flag does not read it yet
    ROLLED_BACK = "rolled_back"
    SIGNED_OFF = "signed_off"
    STOPPED = "stopped"

    @property
    def terminal(self) -> bool:
        """True when the rollout has ended and its flag is no longer steered."""
        return self in TERMINAL

    @property
    def active(self) -> bool:
        """True while the rollout owns its flag."""
        return self in ACTIVE


TERMINAL = frozenset({Phase.ROLLED_BACK, Phase.SIGNED_OFF, Phase.STOPPED})
ACTIVE = frozenset({Phase.RAMPING, Phase.SOAKING, Phase.ROLLING_BACK})


class OnBreach(StrEnum):
    """What a breach of an objective does."""

    ROLLBACK = "rollback"
    HOLD = "hold"
    PAGE = "page"


class Mode(StrEnum):
    """`observe` records everything and changes nothing."""

    ACT = "act"
    OBSERVE = "observe"


class Comparison(StrEnum):
    """How a number is held against its limit."""

    BELOW = "below"
    AT_MOST = "at_most"
    ABOVE = "above"
    AT_LEAST = "at_least"


SAME = 1e-9
"""Relative difference under which a measured number *equals* its limit (docs/decisions/equality.md)."""


@dataclass(frozen=True, slots=True)
class Target:
    """A limit and the side of it that is good. For event objectives a share, of bad or of good events."""

    comparison: Comparison
    limit: float

    def met_by(self, number: float) -> bool:
        """Whether `number` keeps the target; numbers within `SAME` of the limit count as equal to it."""
        if math.isclose(number, self.limit, rel_tol=SAME, abs_tol=0.0):
            return self.comparison in (Comparison.AT_MOST, Comparison.AT_LEAST)
        if self.comparison in (Comparison.BELOW, Comparison.AT_MOST):
            return number < self.limit
        return number > self.limit

    @property
    def of_good(self) -> bool:
        """True for `above` and `at_least`: on an event objective the limit speaks of good events."""
        return self.comparison in (Comparison.ABOVE, Comparison.AT_LEAST)

    def __str__(self) -> str:
        return f"{self.comparison.value.replace('_', ' ')} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Sequential:
    """The e-detector for event objectives; see semantics 5. `every` in seconds."""

    every: int
    rollback_above: float = 1.5

    name = "sequential"


@dataclass(frozen=True, slots=True)
class Confirm:
    """`fails` failing steps among the newest `of` known ones, none older than ten steps."""

    every: int
    fails: int = 3
    of: int = 5

    name = "confirm"


Detector = Sequential | Confirm

INTERNAL_OBJECTIVES = ("flag_ramp", "rollback_capability", "alert_noise")
STANDARD_OBJECTIVES = (
    "test_pass_rate",
    "error_rate",
    "latency_p95",
    "availability",
    "flag_ramp",
    "rollback_capability",
    "alert_noise",
)
"""The seven of a standard post-deploy watch (semantics 4)."""


class Kind(StrEnum):
    """Where an objective's numbers come from."""

    EVENT = "event"  # bad of total, from Prometheus
    VALUE = "value"  # one number, from Prometheus
    INTERNAL = "internal"  # measured by the watchdog itself


@dataclass(frozen=True, slots=True)
class Objective:
    """One SLO of one rollout, with how it is measured, detected and pooled. See semantics 3-6."""

    name: str
    kind: Kind
    target: Target
    detector: Detector
    on_breach: OnBreach
    bad: str | None = None
    total: str | None = None
    value: str | None = None
    internal: str | None = None
    allowed: float = 0.0
    """p0: the allowed share of bad events (event objectives)."""
    range: float = 300.0
    min_events: float = 1.0
    min_slice_events: float = 0.0
    pool_window: bool = False
    silence_fails: bool = False
    """`no_data: fail`."""
    present: str = "count(up)"
    outside: bool = False
    fresh: str | None = None
    max_age: float = 120.0

    @property
    def gates(self) -> bool:
        """Whether a ramp step waits for this objective (all Prometheus objectives do)."""
        return self.kind is not Kind.INTERNAL

    @property
    def queries(self) -> tuple[str, ...]:
        """The PromQL templates, in the order bad, total or value."""
        return tuple(query for query in (self.bad, self.total, self.value) if query is not None)

    @property
    def uses_cohort(self) -> bool:
        """Whether the objective is split by the rollout's cohorts."""
        return any("$cohort" in query for query in self.queries)

    @property
    def uses_range(self) -> bool:
        """Whether every query follows `$range`; only then can steps and slices be asked exactly."""
        return bool(self.queries) and all("$range" in query for query in self.queries)


@dataclass(frozen=True, slots=True)
class WindowRule:
    """How many consecutive good slices make a complete window, and the budgets for what is not known."""

    slices: int = 48
    slice: int = 3600
    max_gap: float = 1800.0
    max_idle: int = 24

    @property
    def seconds(self) -> int:
        """The shortest time in which a window can be completed."""
        return self.slices * self.slice


@dataclass(frozen=True, slots=True)
class Exposure:
    """Who has the feature: a percentage of all, and whether the canary cohort has it besides."""

    percent: float = 0.0
    cohort: bool = False

    @property
    def none(self) -> bool:
        """Nobody is exposed."""
        return self.percent == 0.0 and not self.cohort

    def __str__(self) -> str:
        return f"{self.percent:g}%" + (" and the cohort" if self.cohort else "")


NOBODY = Exposure()


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One planned step: what is exposed after it, and how long after the step before it is due."""

    exposure: Exposure
    after: float


@dataclass(frozen=True, slots=True)
class Ramp:
    """The plan from first to last exposure. `seconds` is its shortest duration."""

    strategy: str
    start: float
    to: float
    steps: tuple[PlanStep, ...]
    seconds: float
    cohort: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RollbackRule:
    """Where a rollback takes the flag, within which time, and how long its effect is watched."""

    to: float = 0.0
    within: float = 900.0
    verify: float = 1800.0


@dataclass(frozen=True, slots=True)
class Cohorts:
    """Label matchers for `$cohort`: who has the feature and who does not."""

    exposed: str
    control: str | None = None


@dataclass(frozen=True, slots=True)
class Rollout:
    """The frozen rule of one rollout: what to watch, how to ramp and when to take it back."""

    name: str
    service: str
    version: str
    flag: str
    objectives: tuple[Objective, ...]
    window: WindowRule
    ramp: Ramp
    rollback: RollbackRule
    mode: Mode = Mode.ACT
    interval: int = 30
    delay: float = 30.0
    scrape_interval: float = 15.0
    start_at: float | None = None
    auto_start: bool = False
    false_rollback: float = 0.01
    settle: float = 900.0
    blind_after: float = 600.0
    resume_after: float = 300.0
    waive: dict[str, str] = field(default_factory=dict)
    late_breach: OnBreach = OnBreach.ROLLBACK
    cohorts: Cohorts | None = None
    tick_deadline: float = 10.0
    write_timeout: float = 5.0
    propagation: float = 0.0
    text: str = ""
    sha256: str = ""
    resolved: str = ""
    """The rule with every default, standard objective and daemon setting that shapes a verdict, as JSON."""

    @property
    def live_within(self) -> float:
        """How far past due the newest slot may be and still be acted on."""
        return max(2 * self.interval, 10.0)

    @property
    def alpha(self) -> float:
        """False-breach budget of one objective: the rollout's, shared among those that roll back."""
        sharing = sum(1 for o in self.objectives if o.on_breach is OnBreach.ROLLBACK)
        return self.false_rollback / max(1, sharing)

    def planned_steps(self, detector: Detector) -> int:
        """H: detector steps of the whole watch, ramp and window."""
        return max(1, round((self.ramp.seconds + self.window.seconds) / detector.every))

    def step_range(self, detector: Detector) -> float:
        """`$range` of a detector step: disjoint increments need one scrape more than the step."""
        return detector.every + self.scrape_interval

    def objective(self, name: str) -> Objective:
        """The objective of that name; KeyError when there is none."""
        for objective in self.objectives:
            if objective.name == name:
                return objective
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Measurement:
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


@dataclass(frozen=True, slots=True)
class Evaluation:
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
    latch: str | None = None
    """Name of the rollout whose rollback killed this flag, where the service can hold it."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The ramp stands still until a person resumes it."""

    cause: str  # operator | breach | drift | internal_error
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
class Transition:
    """Something that happened to a rollout, with its sentence. `source` and `target` are phases."""

    at: float
    kind: str
    source: Phase
    target: Phase
    why: str
    by: str = "watchdog"
    objective: str | None = None


class Severity(StrEnum):
    """Who must hear of it: `critical` wakes somebody, `warning` waits for the day, `info` is for the record."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


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
