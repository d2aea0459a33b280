"""What a rulebook is made of: objectives, budgets, thresholds and alerts as sources; groups of rules as the product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

SEVERITIES = ("critical", "warning", "info", "none")
"""`none` is for the alert that always fires, and goes to the dead man's switch only."""
EMPTY: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Shown:
    """One more recording of an objective, for people: `record` without its level, and its expression."""

    record: str
    expr: str


@dataclass(frozen=True, slots=True)
class Indicator:
    """An objective with what the generator needs: its two queries over `$range`, or its one value.

    `by` are the labels of its series; without any, the queries are taken as they are and `labels` are attached.
    """

    name: str
    bad: str
    total: str
    value: str
    comparison: str
    limit: Decimal
    """The allowed share of bad events; of a value its limit."""
    by: tuple[str, ...]
    labels: Mapping[str, str]
    service: str
    """The label of its series that names the service."""
    total_name: str
    bad_name: str
    alert: str
    first: str
    silence_fails: bool = False
    shown: tuple[Shown, ...] = ()
    latency: Decimal | None = None
    """Seconds of the bucket that the queries count; None where they count none."""

    @property
    def counts(self) -> bool:
        """Whether it counts events, and so has a budget."""
        return bool(self.total)

    @property
    def target(self) -> Decimal:
        """The share of good events that it asks for."""
        return 1 - self.limit


@dataclass(frozen=True, slots=True)
class Limit:
    """An objective that the watchdog measures itself: only its limit is recorded."""

    name: str
    limit: Decimal


@dataclass(frozen=True, slots=True)
class Burn:
    """A pair of ranges, in seconds, and the share of the budget that may go in the long one."""

    severity: str
    budget: Decimal
    long: int
    short: int


@dataclass(frozen=True, slots=True)
class Budget:
    """The burns of one period, in seconds."""

    period: int
    burns: tuple[Burn, ...]

    def factor(self, burn: Burn) -> Decimal:
        """How many times the allowed share of bad events this burn is."""
        return burn.budget * self.period / burn.long


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows file; times in seconds."""

    budgets: tuple[Budget, ...]
    min_bad: Decimal
    absent_at_least: int
    absent_memory: int
    faster: int = 1
    """All times of the rules are divided by this; more than 1 is for drills only."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number that alerts and dashboards refer to. `written` is what `$key` becomes where PromQL needs a literal."""

    key: str
    record: str
    number: Decimal
    written: str
    why: str
    is_time: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of Prometheus: a recording when `record` is given, else an alert.

    `hold` is its `for`, `keep` its `keep_firing_for`, as written.
    """

    expr: str
    record: str = ""
    alert: str = ""
    hold: str = ""
    keep: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other, every `interval` seconds."""

    name: str
    interval: int
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Links:
    """Where the pages of alerts are: `runbooks`/NAME and `dashboards`/PATH."""

    runbooks: str = "/runbooks"
    dashboards: str = "/d"


@dataclass(frozen=True, slots=True)
class Pack:
    """One file of hand-written alerts: the groups of its area, still with `$key` in them."""

    area: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that rules are generated from."""

    indicators: tuple[Indicator, ...]
    limits: tuple[Limit, ...]
    windows: Windows
    thresholds: tuple[Threshold, ...]
    packs: tuple[Pack, ...]
