"""How many false alarms there were, between what is certain and what nobody has denied; and how good the alerts are."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from watchdog.model import NoiseRule
from watchdog.noise.classify import MARGIN, RECORDED, Class, Judged, Known, classify, overlaps
from watchdog.noise.episodes import DAY, BreachSpan, Episode, Said, template


@dataclass(frozen=True, slots=True)
class Count:
    """False pages of a stretch of time: at least `lower`, at most `upper`.

    `upper` adds what nobody has classified for longer than the grace; `young` is unclassified, and not yet in it.
    """

    lower: int = 0
    upper: int = 0
    young: int = 0
    true: int = 0
    pages: int = 0
    often: tuple[tuple[str, int], ...] = ()
    """Names of the alerts behind `upper`, with how many pages each, the most frequent first."""


def concerns(judged: Judged, service: str | None) -> bool:
    """Whether a page counts for a service: its own pages, and those of which nobody says whose they are."""
    return service is None or judged.page.first.service in (service, "")


def count(found: Iterable[Judged], rule: NoiseRule, first: float, last: float, at: float) -> Count:
    """The pages that started in (first, last], as they are classified at `at`."""
    lower = young = true = total = 0
    behind: Counter[str] = Counter()
    for judged in found:
        page = judged.page
        if not page.wakes or not first < page.started_at <= last:
            continue
        total += 1
        if judged.found is Class.TRUE_POSITIVE:
            true += 1
        elif judged.found is Class.FALSE_POSITIVE:
            lower += 1
            behind[page.first.alertname] += 1
        elif page.started_at <= at - rule.grace:
            behind[page.first.alertname] += 1
        else:
            young += 1
    return Count(lower, sum(behind.values()), young, true, total, _often(behind))


def _often(behind: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(behind.items(), key=lambda pair: (-pair[1], pair[0])))


class Counting:
    """The rolling count over 24 h, asked slot after slot: what cannot have changed is not counted again.

    Pages of one template know nothing of those of another, so each template is counted by itself.
    """

    def __init__(self, known: Known, rule: NoiseRule, service: str | None) -> None:
        self.rule = rule
        self._parts = _parts(known, rule, service)
        marks = {(at, place) for place, part in enumerate(self._parts) for at in _changes(part, rule)}
        marks.update((at, place) for at in _spans(known.breaches) for place in range(len(self._parts)))
        self._marks = sorted(marks)
        self._instants = [at for at, _ in self._marks]
        self._counts = [Count()] * len(self._parts)
        self._seen = 0
        self._total = Count()

    def at(self, at: float) -> Count:
        """The count over (at - 24 h, at], by what was known at `at`."""
        seen = bisect_right(self._instants, at)
        if seen == self._seen:
            return self._total
        first, self._seen = (self._seen, seen) if seen > self._seen else (0, seen)
        changed = {place for _, place in self._marks[first:seen]} if first else range(len(self._parts))
        for place in changed:
            found = classify(_near(self._parts[place], at), self.rule, at)
            self._counts[place] = count(found, self.rule, at - DAY, at, at)
        self._total = _sum(self._counts)
        return self._total


def _parts(known: Known, rule: NoiseRule, service: str | None) -> list[Known]:
    """What is known of each template whose pages count for the service."""
    episodes: dict[tuple[str, ...], list[Episode]] = {}
    for one in known.episodes:
        if one.wakes(rule) and (service is None or one.service in (service, "")):
            episodes.setdefault(template(one), []).append(one)
    said: dict[str, list[Said]] = {}
    for label in known.said:
        said.setdefault(label.episode, []).append(label)
    return [
        Known(members, [label for one in members for label in said.get(one.id, ())], known.breaches, (), known.look)
        for members in episodes.values()
    ]


def _sum(counts: Iterable[Count]) -> Count:
    lower = upper = young = true = pages = 0
    behind: Counter[str] = Counter()
    for one in counts:
        lower, upper, young = lower + one.lower, upper + one.upper, young + one.young
        true, pages = true + one.true, pages + one.pages
        behind.update(dict(one.often))
    return Count(lower, upper, young, true, pages, _often(behind))


def _near(known: Known, at: float) -> Known:
    """Without what ended before the 24 h and what is needed to judge them."""
    since = at - DAY - 2 * MARGIN - 7200.0
    episodes = [one for one in known.episodes if one.seen_at > since or one.ended_at is None or one.ended_at > since]
    return Known(episodes, known.said, known.breaches, (), known.look)


def _changes(known: Known, rule: NoiseRule) -> set[float]:
    """Every instant from which on the count of a template may be another one, its service's breaches left out."""
    found: set[float] = set()
    for one in known.episodes:
        begun = one.begun_at
        found.update((one.seen_at, begun + DAY, begun + rule.grace, begun + MARGIN + RECORDED))
        if one.ended_at is not None and one.end_seen_at is not None:
            ended = one.end_known(one.end_seen_at) or 0.0
            found.update((one.end_seen_at, ended + MARGIN + RECORDED))
    for said in known.said:
        found.update((said.at, said.happened_at + MARGIN + RECORDED))
    return found


def _spans(breaches: Iterable[BreachSpan]) -> set[float]:
    return {float(at) for one in breaches for at in (one.at, one.closed_at) if at is not None}


@dataclass(frozen=True, slots=True)
class Quality:
    """How good the alerts of a stretch of time are. None where there is nothing to divide by. Times in seconds."""

    precision: float | None = None
    recall: float | None = None
    breaches: int = 0
    found: int = 0
    """Breaches that at least one page overlapped."""
    detected_in: float | None = None
    """Median time from a breach to its first page; negative when the page came first."""
    reset_in: float | None = None
    """Median time from the end of a breach to the end of its pages."""


def quality(found: Sequence[Judged], breaches: Iterable[BreachSpan], counted: Count, at: float) -> Quality:
    """Precision over what is classified, recall over what is measured in Prometheus. `found` are pages at `at`."""
    judged = counted.lower + counted.true
    detected, reset = [], []
    total = 0
    for breach in breaches:
        if breach.internal or breach.at > at:
            continue
        total += 1
        met = [one.page for one in found if one.page.wakes and overlaps(one.page, breach, at)]
        if not met:
            continue
        detected.append(min(page.seen_at for page in met) - breach.at)
        ends = [page.ended_at for page in met]
        if breach.closed_at is not None and breach.closed_at <= at and None not in ends:
            reset.append(max(end for end in ends if end is not None) - breach.closed_at)
    return Quality(
        precision=counted.true / judged if judged else None,
        recall=len(detected) / total if total else None,
        breaches=total,
        found=len(detected),
        detected_in=median(detected) if detected else None,
        reset_in=median(reset) if reset else None,
    )
