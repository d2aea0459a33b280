"""What a page turned out to be: false, true, or nobody can tell yet. The rules of semantics 9, in this file only."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from watchdog.model import NoiseRule
from watchdog.noise.episodes import OWN, BreachSpan, Episode, Label, Page, Said, pages
from watchdog.quantities import format_duration, rfc3339

MARGIN = 300.0
"""Seconds on either side of a page in which its service must have been well for the page to be false."""
SHORT = 300.0
"""A page that ended by itself sooner than this, in seconds, needed nobody."""
FLAPS, FLAP_WITHIN = 3, 3600.0
"""So many pages of one template in so many seconds are flapping."""
SILENCED_WITHIN = 900.0
"""A page that was silenced within so many seconds told nobody anything."""
RECORDED = 300.0
"""Seconds that the slots around a page get to be recorded before they are looked at: live and replay see the same."""

VERDICTS = {
    Label.FALSE_POSITIVE: "false_positive",
    Label.NOT_ACTIONABLE: "false_positive",
    Label.TRUE_POSITIVE: "true_positive",
}


class Looked(StrEnum):
    """What the slots of a service said over a stretch of time."""

    CLEAR = "clear"  # every slot was judged, and all passed
    FAILED = "failed"
    UNKNOWN = "unknown"  # a slot was unknown, or nobody watched the service


Look = Callable[[str, float, float], Looked]
"""(service, first, last) -> what its slots said."""


class Class(StrEnum):
    """What a page turned out to be."""

    FALSE_POSITIVE = "false_positive"
    TRUE_POSITIVE = "true_positive"
    UNCLASSIFIED = "unclassified"


@dataclass(frozen=True, slots=True)
class Judged:
    """A page with what it turned out to be, why, and who says so: `rule`, a person, or nobody."""

    page: Page
    found: Class
    why: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """Everything that is known of alerts; the functions here use what was known at a time. `heard` is in order."""

    episodes: Sequence[Episode] = ()
    said: Sequence[Said] = ()
    breaches: Sequence[BreachSpan] = ()
    heard: Sequence[int] = ()
    look: Look = lambda _service, _first, _last: Looked.UNKNOWN


def classify(known: Known, rule: NoiseRule, at: float) -> list[Judged]:
    """Every page that was known at `at`, by time, classified by what was known then."""
    all_pages = pages(known.episodes, rule, at)
    starts: dict[tuple[str, ...], list[float]] = {}
    for page in all_pages:
        starts.setdefault(page.template, []).append(page.started_at)
    labels: dict[str, list[Said]] = {}
    for said in sorted(known.said, key=lambda one: (one.at, one.id)):
        if said.at <= at:
            labels.setdefault(said.episode, []).append(said)
    breaches = [breach for breach in known.breaches if breach.at <= at]
    found = []
    for page in all_pages:
        own = [said for episode in page.episodes for said in labels.get(episode.id, ())]
        flaps = flapping(starts[page.template], page.started_at)
        found.append(_judge(page, own, breaches, known.look, at, flaps=flaps))
    return found


def flapping(starts: Sequence[float], at: float) -> bool:
    """Whether the page that started at `at` is one of `FLAPS` within `FLAP_WITHIN`. `starts` are in order."""
    first, last = bisect_left(starts, at - FLAP_WITHIN), bisect_right(starts, at + FLAP_WITHIN)
    near = starts[first:last]
    runs = zip(near, near[FLAPS - 1 :], strict=False)
    return any(begin <= at <= end and end - begin <= FLAP_WITHIN for begin, end in runs)


def _judge(
    page: Page,
    said: Iterable[Said],
    breaches: Iterable[BreachSpan],
    look: Look,
    at: float,
    *,
    flaps: bool,
) -> Judged:
    ordered = sorted(said, key=lambda one: (one.at, one.id))
    verdict = next((one for one in reversed(ordered) if one.label in VERDICTS), None)
    if verdict is not None:
        why = f"{verdict.label.value.replace('_', ' ')}: {verdict.why}"
        return Judged(page, Class(VERDICTS[verdict.label]), why, verdict.by)
    met = next((breach for breach in breaches if overlaps(page, breach, at)), None)
    if met is not None:
        return Judged(page, Class.TRUE_POSITIVE, f"{met.objective} was breached at {rfc3339(met.at)}", "rule")
    if page.by_person:
        return Judged(page, Class.TRUE_POSITIVE, "a person took it up and ended it", "rule")
    if not page.wakes:
        return Judged(page, Class.UNCLASSIFIED, "wakes nobody")
    return _automatic(page, ordered, look, at, flaps=flaps)


def overlaps(page: Page, breach: BreachSpan, at: float) -> bool:
    """Whether the page and the breach of its service overlap, as far as was known at `at`.

    A breach of what is measured here, such as `alert_noise` itself, makes nobody's alert true, but our own page of it.
    """
    first = page.first
    if breach.internal:
        own = first.source == OWN and first.group_key == breach.rollout
        if not (own and first.alertname == f"breach:{breach.objective}"):
            return False
    elif not breach.service or breach.service != first.service:
        return False
    end = math.inf if page.ended_at is None else page.ended_at
    return page.started_at <= breach.until(at) and breach.at <= end


def _automatic(page: Page, said: Sequence[Said], look: Look, at: float, *, flaps: bool) -> Judged:
    """Whether the rules alone call it false: the service was well, and the page passed without anybody."""
    silenced = min((one.happened_at for one in said if one.label is Label.SILENCED), default=math.inf)
    soon = silenced - page.started_at <= SILENCED_WITHIN
    # Alertmanager does not tell of the end of what is silenced: such a page is looked at up to its silence.
    end = min(
        math.inf if page.ended_at is None else page.ended_at, max(silenced, page.started_at) if soon else math.inf
    )
    if math.isinf(end):
        return Judged(page, Class.UNCLASSIFIED, "still firing")
    why = _passed_by(page, said, silenced, soon=soon, flaps=flaps)
    if not why:
        return Judged(page, Class.UNCLASSIFIED, "nobody said what it was")
    if at < end + MARGIN + RECORDED:
        return Judged(page, Class.UNCLASSIFIED, "the minutes after it are not over yet")
    looked = look(page.first.service, page.started_at - MARGIN, end + MARGIN)
    if looked is Looked.CLEAR:
        return Judged(page, Class.FALSE_POSITIVE, f"{why}, and every slot around it passed", "rule")
    around = "a slot around it failed" if looked is Looked.FAILED else "not every slot around it was judged"
    return Judged(page, Class.UNCLASSIFIED, f"{why}, but {around}")


def _passed_by(page: Page, said: Sequence[Said], silenced: float, *, soon: bool, flaps: bool) -> str:
    """Why the page needed nobody, in words; empty when nothing says so."""
    taken_up = any(one.label is Label.ACKNOWLEDGED for one in said)
    if page.ended_at is not None and not taken_up and page.ended_at - page.started_at < SHORT:
        return f"over by itself after {format_duration(round(page.ended_at - page.started_at))}"
    if flaps:
        return f"one of {FLAPS} or more within an hour"
    if soon:
        return f"silenced after {format_duration(round(max(0.0, silenced - page.started_at)))}"
    return ""
