"""What a rollout is: its objectives, window, ramp and rollback, frozen when it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from watchdog.model.telling import NotifyRule
from watchdog.model.vocabulary import Comparison, Kind, Mode, OnBreach

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

EMERGENCY_FLAGS = ("ops.shutdown", "ops.read-only", "ops.maintenance")
"""Switches that a service obeys at once. Off is their safe default; none of them is ever ramped."""

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


@dataclass(frozen=True, slots=True)
class NoiseRule:
    """How alerts are counted: which severities wake somebody, and two durations in seconds.

    After `heartbeat` without a word from Alertmanager nobody can tell what fired; what nobody has classified for
    `grace` is held to be false.
    """

    pages: tuple[str, ...] = ("critical", "page")
    heartbeat: float = 900.0
    grace: float = 43_200.0


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
    present: str = "count(count_over_time(up[30s]))"
    outside: bool = False
    emergency: str | None = None
    """The emergency flag that a breach of this objective switches on."""
    fresh: str | None = None
    max_age: float = 120.0
    noise: NoiseRule | None = None
    """How alerts are counted (`alert_noise` only)."""
    explain_by: tuple[str, ...] = ()
    """Labels by which the bad events of a breach are split, to show who contributed most."""

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
    """Who has the feature: a percentage of all, and besides them the canary cohort and whole audiences.

    `audiences` are names, sorted; the flag service's settings say whom each name means.
    """

    percent: float = 0.0
    cohort: bool = False
    audiences: tuple[str, ...] = ()

    @property
    def none(self) -> bool:
        """Nobody is exposed."""
        return self.percent == 0.0 and not self.cohort and not self.audiences

    def __str__(self) -> str:
        besides = ["the cohort"] if self.cohort else []
        besides += [f"audience {name}" for name in self.audiences]
        return " and ".join([f"{self.percent:g}%", *besides])


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
class Secondary:
    """Another place that is killed with the rollout's flag: a flag of another configured service."""

    service: str
    flag: str


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
    on_shared_cause: OnBreach = OnBreach.ROLLBACK
    """What a breach does when the control cohort fails, too; a file with `cohorts.control` says hold by default."""
    cohorts: Cohorts | None = None
    also: tuple[Secondary, ...] = ()
    notify: NotifyRule | None = None
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

    def compares(self, objective: Objective) -> bool:
        """Whether a breach of this objective can be held against the control cohort."""
        control = self.cohorts.control if self.cohorts is not None else None
        return objective.kind is Kind.EVENT and objective.uses_cohort and control is not None

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
