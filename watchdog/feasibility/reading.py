"""Reads the last days of a service: the live engine over them, without a flag and without decisions.

Nobody has the feature yet, so `$cohort` is asked of everybody, and its counts are taken in the share that will have it
at the end of the ramp. Objectives of the watchdog's own are left out: traffic says nothing of them.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from watchdog.errors import SourceError
from watchdog.feasibility.past import DAY, Past, PastSlice
from watchdog.model import (
    Cohorts,
    Evaluation,
    Kind,
    OnBreach,
    Reason,
    Rollout,
    SliceVerdict,
    Verdict,
)
from watchdog.observe import Facts, Source, asks, observe, slots
from watchdog.watch import Watch

EVERYBODY = 'job=~".*"'
"""A matcher that every series meets, whatever its labels, at any place of a selector."""
CHUNK = 5_040
"""Slots asked for at once: a range query of Prometheus has at most 11,000 points."""
MOST_SLOTS = 60_480
"""Slots, and detector steps, that are looked at: seven days, 10 s apart. Shorter distances get fewer days."""

Progress = Callable[[float], None]


def without_internal(rollout: Rollout) -> Rollout:
    """The rule without the watchdog's own objectives, everybody in the cohort; each alpha as in the whole rule."""
    kept = tuple(o for o in rollout.objectives if o.kind is not Kind.INTERNAL)
    sharing = sum(o.on_breach is OnBreach.ROLLBACK for o in kept)
    alpha = rollout.alpha * max(1, sharing)
    cohorts = Cohorts(EVERYBODY) if rollout.cohorts is not None else None
    return replace(rollout, objectives=kept, false_rollback=alpha, cohorts=cohorts)


def read(
    rollout: Rollout,
    source: Source,
    now: float,
    days: float,
    within: float,
    on_progress: Progress = lambda _share: None,
    clock: Callable[[], float] = time.monotonic,
) -> Past:
    """Ask for the `days` before `now`, chunk by chunk, all `within` so many seconds, and fold them.

    Raises SourceError where a question was not answered: a hole of our own making is no history.
    """
    rule = without_internal(rollout)
    length = rule.window.slice
    finest = min([rule.interval, *(o.detector.every for o in rule.objectives)])
    wanted = days * DAY
    last = math.floor((now - rule.delay) / length) * length
    first = last - max(1, math.floor(min(wanted, MOST_SLOTS * finest) / length)) * length
    left_out = tuple(o.name for o in rollout.objectives if o.kind is Kind.INTERNAL)
    past = Past(rule, first, last, left_out=left_out, wanted=wanted)
    folded = _Folded(past)
    until = clock() + within
    with ThreadPoolExecutor(1, thread_name_prefix="feasibility") as ahead:
        for facts, after, upto in _chunks(past, source, ahead, lambda: max(0.1, until - clock())):
            folded.take(facts, after, upto)
            on_progress((upto - first) / (last - first))
    folded.finish()
    return past


def _chunks(
    past: Past, source: Source, ahead: ThreadPoolExecutor, left: Callable[[], float]
) -> Iterator[tuple[Facts, int, int]]:
    """The next chunk is asked while this one is folded."""
    length = CHUNK * past.rollout.interval
    spans = [(at, min(at + length, past.last)) for at in range(past.first, past.last, length)]

    def ask(span: tuple[int, int]) -> Future[Facts]:
        return ahead.submit(lambda: observe(past.rollout, source, asks(past.rollout, *span), left()))

    coming = ask(spans[0])
    for index, (after, until) in enumerate(spans):
        facts = coming.result()
        if index + 1 < len(spans):
            coming = ask(spans[index + 1])
        yield facts, after, until


class _Folded:
    """Folds chunks into a past."""

    def __init__(self, past: Past) -> None:
        rule = past.rollout
        self.past = past
        self.watch = Watch(rule, past.first)
        self.seen: dict[str, int] = {}
        self.split = frozenset(o.name for o in rule.objectives if o.uses_cohort)
        self.takes_back = frozenset(o.name for o in rule.objectives if o.on_breach is OnBreach.ROLLBACK)
        self.blocked: list[int] = []
        self.waits: Counter[tuple[str, str]] = Counter()
        self.taken_back: int | None = None

    def take(self, facts: Facts, after: int, until: int) -> None:
        """Fold one chunk. Raises SourceError for a question without an answer."""
        _answered(facts)
        rule, past = self.past.rollout, self.past
        for name, measured in facts.steps.items():
            past.steps.setdefault(name, []).extend(measured)
        if rule.ramp.to < 100.0:
            _scaled(facts, self.split, rule.ramp.to / 100.0)
        for slot in slots(rule, facts, after, until, lambda _at: {}):
            found = self.watch.fold(slot, lambda _start, _end: None)
            number = (slot.at - 1) % rule.window.slice // rule.interval
            if self._blocks(slot.at, found.evaluations):
                self.blocked.append(number)
            for breach in found.opened:
                past.breaches.append(breach)
                if breach.objective in self.takes_back and self.taken_back is None:
                    self.taken_back = number
            if found.closed_slice is not None:
                past.slices.append(
                    PastSlice(found.closed_slice, tuple(self.blocked), dict(self.waits), self.taken_back)
                )
                self.blocked, self.taken_back = [], None
                self.waits.clear()

    def _blocks(self, at: int, evaluations: Mapping[str, Evaluation]) -> bool:
        """Whether a step that is due at this slot would wait."""
        blocks = False
        for name, evaluation in evaluations.items():
            if name not in self.seen and _is_data(evaluation):
                self.seen[name] = at
            if evaluation.verdict is Verdict.PASS:
                continue
            reason = evaluation.reason
            if reason is Reason.LOW_TRAFFIC and name in self.split:
                continue
            self.waits[name, reason.value if reason is not None else evaluation.verdict.value] += 1
            blocks = True
        return blocks

    def finish(self) -> None:
        """Leave out what was before there was data of every objective."""
        past, length = self.past, self.past.rollout.window.slice
        past.unseen = tuple(o.name for o in past.rollout.objectives if o.name not in self.seen)
        if past.unseen:
            past.slices = []
            return
        began = max(self.seen.values(), default=past.first)
        past.slices = [item for item in past.slices if item.slice.end >= began]
        if past.slices and began > past.first + length:
            leading = past.slices[0].slice
            if leading.verdict is SliceVerdict.UNKNOWN:
                del past.slices[0]
        begin = past.start
        past.steps = {name: [step for step in taken if step.at > begin] for name, taken in past.steps.items()}
        past.breaches = [breach for breach in past.breaches if breach.at > begin]


def _is_data(evaluation: Evaluation) -> bool:
    """Whether there was a number: silence that counts as failure is none, nor is an empty cohort."""
    return evaluation.total is not None or (evaluation.reason is None and not evaluation.silent)


def _answered(facts: Facts) -> None:
    for grid in ("slot", "step", "slice"):
        for name, measured in facts.of(grid).items():
            for one in measured:
                if one.reason is Reason.UNREACHABLE or one.reason is Reason.QUERY_ERROR:
                    permanent = one.reason is Reason.QUERY_ERROR
                    raise SourceError(f"the history of {name} could not be read: {one.detail}", permanent=permanent)


def _scaled(facts: Facts, names: frozenset[str], share: float) -> None:
    """What the exposed will be at the end of the ramp, of everybody's counts."""
    for column in (facts.slots, facts.steps, facts.slices):
        for name in names & column.keys():
            column[name] = [
                one._replace(bad=(one.bad or 0.0) * share, total=one.total * share) if one.total is not None else one
                for one in column[name]
            ]
