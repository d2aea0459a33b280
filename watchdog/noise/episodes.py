"""Episodes: one firing of one alert each; and pages: the episodes of one template that overlap, which wake once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from watchdog.model import NoiseRule

ALERTMANAGER = "alertmanager"
OWN = "watchdog"
"""The source of pages that this program sent itself."""
DAY = 86_400.0


class Label(StrEnum):
    """What a person says of an episode."""

    FALSE_POSITIVE = "false_positive"
    TRUE_POSITIVE = "true_positive"
    NOT_ACTIONABLE = "not_actionable"  # true, and nothing to be done: it should not have woken anybody
    ACKNOWLEDGED = "acknowledged"
    SILENCED = "silenced"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as a message of Alertmanager tells it. Times are wall clock; `ended_at` None while it fires."""

    fingerprint: str
    alertname: str
    service: str
    severity: str
    started_at: float
    ended_at: float | None = None
    group_key: str = ""
    url: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Episode:
    """One firing of one alert. Times are wall clock.

    `seen_at` and `end_seen_at` are when this program was told of its begin and end: before, nobody here could know.
    `by_person` says that a person ended it.
    """

    id: str
    source: str
    fingerprint: str
    alertname: str
    service: str
    severity: str
    started_at: float
    seen_at: float
    ended_at: float | None = None
    end_seen_at: float | None = None
    notified: int = 1
    group_key: str = ""
    url: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    by_person: bool = False

    @property
    def begun_at(self) -> float:
        """When it began; never later than when it was heard of, whatever the sender's clock says."""
        return min(self.started_at, self.seen_at)

    def end_known(self, at: float) -> float | None:
        """When it ended, as far as that was known at `at`."""
        if self.ended_at is None or self.end_seen_at is None or self.end_seen_at > at:
            return None
        return max(self.begun_at, min(self.ended_at, self.end_seen_at))

    def wakes(self, rule: NoiseRule) -> bool:
        """Whether it is a page: only those are counted."""
        return self.source == OWN or self.severity in rule.pages


@dataclass(frozen=True, slots=True)
class Said:
    """A label that somebody gave. `at` is when it was recorded, `happened_at` when the thing itself was done."""

    id: int
    episode: str
    label: Label
    by: str
    why: str
    at: float
    happened_at: float


@dataclass(frozen=True, slots=True)
class BreachSpan:
    """A breach of a service, from its detector step to its end. `internal`: of an objective that is measured here."""

    rollout: str
    service: str
    objective: str
    at: int
    closed_at: int | None = None
    internal: bool = False

    def until(self, at: float) -> float:
        """Its end as far as it was known at `at`; infinity while it is open."""
        return float(self.closed_at) if self.closed_at is not None and self.closed_at <= at else math.inf


@dataclass(frozen=True, slots=True)
class Page:
    """Episodes of one template (alert, service and group) that overlap: one event for whoever is woken by them."""

    episodes: tuple[Episode, ...]
    started_at: float
    ended_at: float | None
    wakes: bool

    @property
    def first(self) -> Episode:
        """The episode that began it; the page goes by its id."""
        return self.episodes[0]

    @property
    def template(self) -> tuple[str, ...]:
        """What flapping is counted by."""
        return template(self.first)

    @property
    def seen_at(self) -> float:
        """When somebody was woken first."""
        return min(episode.seen_at for episode in self.episodes)

    @property
    def by_person(self) -> bool:
        """Whether a person ended it."""
        return self.ended_at is not None and any(episode.by_person for episode in self.episodes)


def template(episode: Episode) -> tuple[str, ...]:
    """Source, alert, service and group: what makes episodes alike."""
    return (episode.source, episode.alertname.strip(), episode.service, episode.group_key)


def pages(episodes: Iterable[Episode], rule: NoiseRule, at: float) -> list[Page]:
    """The pages that were known at `at`, by time. Repeats, replicas and instances of one group are one page."""
    groups: dict[tuple[tuple[str, ...], bool], list[Episode]] = {}
    for episode in episodes:
        if episode.seen_at <= at:
            groups.setdefault((template(episode), episode.wakes(rule)), []).append(episode)
    found: list[Page] = []
    for (_, wakes), members in groups.items():
        members.sort(key=lambda one: (one.begun_at, one.id))
        found += _merged(members, at, wakes=wakes)
    return sorted(found, key=lambda page: (page.started_at, page.first.id))


def _merged(members: Sequence[Episode], at: float, *, wakes: bool) -> list[Page]:
    """Members in order of their beginnings -> one page for each run of them without a pause."""
    found: list[Page] = []
    run: list[Episode] = []
    end = -math.inf
    for episode in members:
        if run and episode.begun_at > end:
            found.append(_page(run, end, wakes=wakes))
            run, end = [], -math.inf
        run.append(episode)
        known = episode.end_known(at)
        end = max(end, math.inf if known is None else known)
    if run:
        found.append(_page(run, end, wakes=wakes))
    return found


def _page(run: Sequence[Episode], end: float, *, wakes: bool) -> Page:
    return Page(tuple(run), run[0].begun_at, None if math.isinf(end) else end, wakes)
