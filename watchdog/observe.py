"""Asks Prometheus for everything that a stretch of the grid needs, and turns the answers into facts.

The same function serves one live slot (instant queries), a back-filled outage and a replay (range queries): the two
forms give identical values, so it makes no difference to a verdict which one was used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from watchdog.evaluate import NOTHING, Answers, evaluate, measure
from watchdog.ledger import Drilled
from watchdog.model import Evaluation, Kind, Measurement, Objective, Reason, Rollout, Series, Verdict
from watchdog.prometheus import Range
from watchdog.quantities import format_duration, rfc3339
from watchdog.queries import expressions
from watchdog.watch import Slot

Progress = Callable[[int, int], None]

PROOF_LASTS = 7 * 86_400.0
"""Seconds for which a drill proves that a rollback reaches readers."""


class Source(Protocol):
    """What is asked: Prometheus, or a fake that answers like it. Never raises."""

    def instants(self, expressions: Sequence[str], at: int, deadline: float | None = None) -> list[Series]:
        """Each expression's answer at one instant."""
        ...

    def ranges(
        self, requests: Sequence[Range], deadline: float | None = None, on_progress: Progress | None = None
    ) -> list[Series]:
        """Each request's answer over its stretch of the grid."""
        ...


@dataclass(frozen=True, slots=True)
class Ask:
    """One objective on one grid: the instants first, first + step .. last, with `$range` of `seconds`."""

    objective: Objective
    grid: str  # slot | step | slice | control
    first: int
    last: int
    step: int
    seconds: float

    @property
    def instants(self) -> range:
        """The instants asked for."""
        return range(self.first, self.last + 1, self.step)


@dataclass(slots=True)
class Facts:
    """Measurements by grid and objective."""

    slots: dict[str, list[Measurement]] = field(default_factory=dict)
    steps: dict[str, list[Measurement]] = field(default_factory=dict)
    slices: dict[str, list[Measurement]] = field(default_factory=dict)
    controls: dict[str, list[Measurement]] = field(default_factory=dict)

    def of(self, grid: str) -> dict[str, list[Measurement]]:
        """The measurements of one grid."""
        return {"slot": self.slots, "step": self.steps, "slice": self.slices, "control": self.controls}[grid]


def asks(rollout: Rollout, after: int, until: int) -> list[Ask]:
    """What the slots in (after, until] need, with the steps and slices that end in there."""
    wanted: list[Ask] = []
    for objective in rollout.objectives:
        if objective.kind is Kind.INTERNAL:
            continue
        every, slice_ = objective.detector.every, rollout.window.slice
        wanted += _grid(objective, "slot", after, until, rollout.interval, objective.range)
        wanted += _grid(objective, "step", after, until, every, rollout.step_range(objective.detector))
        if objective.kind is Kind.EVENT or "$range" in (objective.value or ""):
            wanted += _grid(objective, "slice", after, until, slice_, float(slice_))
        if objective.uses_cohort and rollout.cohorts is not None and rollout.cohorts.control:
            wanted += _grid(objective, "control", after, until, rollout.interval, objective.range)
    return wanted


def _grid(objective: Objective, grid: str, after: int, until: int, step: int, seconds: float) -> list[Ask]:
    first, last = (after // step + 1) * step, until // step * step
    return [Ask(objective, grid, first, last, step, seconds)] if first <= last else []


def observe(
    rollout: Rollout,
    source: Source,
    wanted: Sequence[Ask],
    deadline: float | None = None,
    on_progress: Progress | None = None,
) -> Facts:
    """Ask everything in parallel; whatever goes wrong is a reason in a measurement."""
    requests: dict[Range, Series] = {}
    for ask in wanted:
        for expression in _expressions(rollout, ask):
            requests.setdefault(Range(expression, ask.first, ask.last, ask.step), NOTHING)
    _answer(source, requests, deadline, on_progress)
    silence = _silence(rollout, source, wanted, requests, deadline)
    facts = Facts()
    for ask in wanted:
        answers = _answers(rollout, ask, requests, silence)
        scale = 1.0
        if ask.grid == "step" and ask.objective.uses_range:
            scale = ask.objective.detector.every / ask.seconds
        measured = measure(ask.objective, answers, ask.instants, scale)
        facts.of(ask.grid).setdefault(ask.objective.name, []).extend(measured)
    return facts


def _answer(
    source: Source, requests: dict[Range, Series], deadline: float | None, on_progress: Progress | None = None
) -> None:
    wanted = list(requests)
    if not wanted:
        return
    at = wanted[0].start
    if all(one.start == one.end == at for one in wanted):
        found = source.instants([one.expression for one in wanted], at, deadline)
    else:
        found = source.ranges(wanted, deadline, on_progress)
    requests.update(zip(wanted, found, strict=True))


def _expressions(rollout: Rollout, ask: Ask) -> Iterable[str]:
    return expressions(rollout, ask.objective, ask.seconds, control=ask.grid == "control").values()


def _answers(rollout: Rollout, ask: Ask, requests: Mapping[Range, Series], silence: Mapping[str, Series]) -> Answers:
    roles = expressions(rollout, ask.objective, ask.seconds, control=ask.grid == "control")
    found = {role: requests[Range(text, ask.first, ask.last, ask.step)] for role, text in roles.items()}
    answers = Answers(
        found.get("bad", NOTHING), found.get("total", NOTHING), found.get("value", NOTHING), found.get("fresh")
    )
    present = silence.get(ask.objective.present)
    if ask.objective.silence_fails and present is not None:
        return replace(answers, ingesting=_ingesting(present, ask.seconds, rollout.interval))
    return answers


def _silence(
    rollout: Rollout,
    source: Source,
    wanted: Sequence[Ask],
    requests: Mapping[Range, Series],
    deadline: float | None,
) -> dict[str, Series]:
    """The answers to each `present:` around where its `no_data: fail` objectives answered nothing, slot by slot."""
    spans: dict[str, tuple[int, int]] = {}
    for ask in wanted:
        if not ask.objective.silence_fails:
            continue
        roles = expressions(rollout, ask.objective, ask.seconds)
        series = requests[Range(roles.get("total") or roles["value"], ask.first, ask.last, ask.step)]
        empty = [at for at in ask.instants if at not in series.values and at not in series.problems]
        if empty:
            first = _up(int(empty[0] - 2 * ask.seconds), rollout.interval)
            known = spans.get(ask.objective.present, (first, empty[-1]))
            spans[ask.objective.present] = (min(known[0], first), max(known[1], empty[-1]))
    present = {Range(text, first, last, rollout.interval): NOTHING for text, (first, last) in spans.items()}
    _answer(source, present, deadline)
    return {asked.expression: series for asked, series in present.items()}


def _ingesting(present: Series, seconds: float, interval: int) -> Callable[[int], bool]:
    values = present.values

    def ingesting(at: int) -> bool:
        return all(slot in values for slot in range(_up(int(at - 2 * seconds), interval), at + 1, interval))

    return ingesting


def _up(at: int, step: int) -> int:
    return -(-at // step) * step


def slots(
    rollout: Rollout,
    facts: Facts,
    after: int,
    until: int,
    internal: Callable[[int], dict[str, Evaluation]],
    excused: Callable[[int], frozenset[str]] | None = None,
) -> Iterator[Slot]:
    """The slots in (after, until], oldest first, ready to be folded; `internal` judges our own objectives."""
    judged = ((name, _judged(rollout.objective(name), measured)) for name, measured in facts.slots.items())
    evaluations = _by_instant(judged)
    steps, pooled = _by_instant(facts.steps.items()), _by_instant(facts.slices.items())
    internals = [o for o in rollout.objectives if o.kind is Kind.INTERNAL]
    interval = rollout.interval
    for at in range((after // interval + 1) * interval, until + 1, interval):
        found, taken = evaluations.get(at, {}), steps.get(at, {})
        if internals:
            own = internal(at)
            found.update(own)
            for objective in internals:
                if at % objective.detector.every == 0 and objective.name in own:
                    taken[objective.name] = as_step(own[objective.name])
        ended = pooled.get(at, {}) if at % rollout.window.slice == 0 else {}
        yield Slot(at, found, taken, ended, excused(at) if excused is not None else frozenset())


def rollback_capability(objective: Objective, drilled: Iterable[Drilled] | None, at: int) -> Evaluation:
    """Whether a drill that ended in the week before `at` took its flag back in time, in its worst run.

    The value is the worst run of the best such drill, in seconds, and the bound itself where none passed. `drilled` are
    the drills that ended, by time, None when nobody could look.
    """
    if drilled is None:
        return Evaluation(at, Verdict.UNKNOWN, Reason.UNREACHABLE, detail="the ledger could not be read for its drills")
    recent = [drill for drill in drilled if at - PROOF_LASTS < drill.finished_at <= at]
    worst = min((d.worst for d in recent if d.passed and d.worst is not None), default=objective.target.limit)
    if objective.target.met_by(worst):
        return Evaluation(at, Verdict.PASS, value=worst)
    ended = f"; the newest, at {rfc3339(recent[-1].finished_at)}, failed" if recent else "; run `slo-watchdog drill`"
    within = format_duration(objective.target.limit)
    return Evaluation(
        at, Verdict.FAIL, value=worst, detail=f"no drill under {within} has passed in the last 7 days{ended}"
    )


def _judged(objective: Objective, measured: Iterable[Measurement]) -> Iterator[Evaluation]:
    return (evaluate(objective, measurement) for measurement in measured)


Fact = TypeVar("Fact", Measurement, Evaluation)


def _by_instant(columns: Iterable[tuple[str, Iterable[Fact]]]) -> dict[int, dict[str, Fact]]:
    """Columns of facts, one for each objective, as rows: what there is of each instant."""
    rows: defaultdict[int, dict[str, Fact]] = defaultdict(dict)
    for name, column in columns:
        for fact in column:
            rows[fact[0]][name] = fact
    return rows


def as_step(evaluation: Evaluation) -> Measurement:
    """An internal objective's slot as its detector step."""
    return Measurement(evaluation.at, value=evaluation.value, reason=evaluation.reason, detail=evaluation.detail)
