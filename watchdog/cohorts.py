"""Asks both cohorts about a breach, over exactly the detector steps that it rests on, and has them compared.

The same function serves a live tick and a replay: it asks for the same instants, so the same data gives the same
finding. What is not answered is `unknown`, never an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from watchdog import detect
from watchdog.attribution import attribute, unanswered
from watchdog.control import Timeline
from watchdog.evaluate import missed
from watchdog.model import (
    Attribution,
    Breach,
    Confirm,
    Counts,
    Kind,
    Measurement,
    Objective,
    Reason,
    Rollout,
    SharedCause,
)
from watchdog.observe import Ask, Source, observe
from watchdog.watch import Watch

LOOKBACK = 240
"""Steps in which the beginning of a breach's evidence is looked for."""
KNOWN_SHARE = 0.5
"""Of fewer of the steps than this, known for both cohorts, nothing is concluded."""

Key = tuple[str, int]
"""A breach: its objective and its step."""
Compared = dict[Key, Attribution]


@dataclass(frozen=True, slots=True)
class Question:
    """A breach whose cohorts are to be compared, up to the step `last`.

    Over its evidence, or over exactly `steps` steps. Steps from before `since`, when the detector began empty or
    exposure last changed, are left out.
    """

    breach: Breach
    since: int
    last: int
    steps: int | None = None


def fresh(rollout: Rollout, watch: Watch, timeline: Timeline, opened: Iterable[Breach]) -> list[Question]:
    """What to ask of breaches that were just found; nothing where there is no control to ask."""
    return [
        Question(breach, max(began(watch, breach), _changed(timeline, breach.at)), breach.at)
        for breach in opened
        if rollout.compares(rollout.objective(breach.objective))
    ]


def began(watch: Watch, breach: Breach) -> int:
    """When the detector that found a breach began empty, or earlier: an episode that is over left no trace of it."""
    since = watch.tracks[breach.objective].since
    return since if since < breach.at else int(watch.started_at)


def going_on(
    rollout: Rollout, watch: Watch, timeline: Timeline, shared: Iterable[SharedCause], after: int
) -> list[Question]:
    """What to ask of breaches that are held for a shared cause and still open, if a step has ended since `after`."""
    found = []
    for cause in shared:
        breach = watch.tracks[cause.objective].open
        every = rollout.objective(cause.objective).detector.every
        last = watch.at // every * every
        if breach is not None and breach.at == cause.at and last > max(after, cause.at):
            since = max(int(watch.started_at), _changed(timeline, last))
            found.append(Question(breach, since, last, cause.steps))
    return found


def _changed(timeline: Timeline, until: int) -> int:
    """When exposure last changed: before, another part of all events was the exposed cohort's."""
    return max((at for at, _, _ in timeline.entries if at <= until), default=0)


def compare(rollout: Rollout, source: Source, questions: Sequence[Question], deadline: float | None) -> Compared:
    """The findings, by breach. Never raises; `deadline` is in seconds, for all of them together."""
    wanted: list[Ask] = []
    for question in questions:
        wanted += _asks(rollout, question, "step", "control")
    facts = observe(rollout, source, wanted, deadline)
    found: Compared = {}
    for question in questions:
        name = question.breach.objective
        exposed = _within(question, rollout, facts.steps.get(name, ()))
        control = _within(question, rollout, facts.controls.get(name, ()))
        found[name, question.breach.at] = _compared(rollout, question, exposed, control)
    return found


def rests_on(rollout: Rollout, source: Source, breach: Breach, since: int, deadline: float | None) -> float:
    """Over how many seconds up to its step a breach rests on events; the objective's own range where that is unknown.

    `since` is when its detector began empty.
    """
    objective = rollout.objective(breach.objective)
    if objective.kind is not Kind.EVENT or not objective.uses_range:
        return objective.range
    question = Question(breach, since, breach.at)
    facts = observe(rollout, source, _asks(rollout, question, "step"), deadline)
    steps = {one.at: one for one in facts.steps.get(objective.name, ())}
    evidence = _evidence(rollout, objective, steps)
    return float(breach.at - evidence[0] + objective.detector.every) if evidence else objective.range


def _asks(rollout: Rollout, question: Question, *grids: str) -> list[Ask]:
    objective, last = rollout.objective(question.breach.objective), question.last
    first, every = _first(rollout, question), objective.detector.every
    seconds = rollout.step_range(objective.detector)
    return [Ask(objective, grid, first, last, every, seconds) for grid in grids if first <= last]


def _first(rollout: Rollout, question: Question) -> int:
    """The oldest step that may be counted: it began after `since`."""
    every = rollout.objective(question.breach.objective).detector.every
    steps = LOOKBACK if question.steps is None else question.steps
    return max(question.last - (steps - 1) * every, -(-question.since // every) * every + every)


def _within(question: Question, rollout: Rollout, measured: Iterable[Measurement]) -> dict[int, Measurement]:
    """The answers to this question among those of its objective."""
    first = _first(rollout, question)
    return {one.at: one for one in measured if first <= one.at <= question.last}


def _compared(
    rollout: Rollout, question: Question, exposed: dict[int, Measurement], control: dict[int, Measurement]
) -> Attribution:
    breach, last = question.breach, question.last
    objective = rollout.objective(breach.objective)
    number = (last - breach.at) // objective.detector.every + 1
    rest = _evidence(rollout, objective, exposed) if question.steps is None else tuple(sorted(exposed))
    both = [at for at in rest if _known(exposed.get(at)) and _known(control.get(at))]
    if not both or len(both) < KNOWN_SHARE * len(rest):
        why = _why(rest, exposed, control)
        return unanswered(objective.name, breach.at, last, number, objective.allowed, why)
    # Both cohorts are asked with one range: what overlaps is counted once, as for the detector.
    overlap = objective.detector.every / rollout.step_range(objective.detector) if objective.uses_range else 1.0
    return attribute(
        objective.name,
        breach.at,
        number=number,
        first=both[0],
        last=last,
        steps=len(both),
        exposed=_sum(both, exposed, 1.0),
        control=_sum(both, control, overlap),
        allowed=objective.allowed,
    )


def _evidence(rollout: Rollout, objective: Objective, exposed: dict[int, Measurement]) -> tuple[int, ...]:
    tuning = detect.tuning(rollout, objective)
    counts_failing = isinstance(tuning.detector, Confirm)
    known = (one for _, one in sorted(exposed.items()) if one.reason is None)
    steps = [detect.step_of(tuning, one, failed=counts_failing and missed(objective, one)) for one in known]
    return detect.evidence(tuning, [step for step in steps if step.total > 0.0])


def _known(measurement: Measurement | None) -> bool:
    """Whether a cohort's events of a step are known; that nobody was there is known, too."""
    return measurement is not None and (measurement.reason is None or measurement.reason is Reason.LOW_TRAFFIC)


def _sum(instants: Sequence[int], measured: dict[int, Measurement], scale: float) -> Counts:
    bad = sum(measured[at].bad or 0.0 for at in instants) * scale
    total = sum(measured[at].total or 0.0 for at in instants) * scale
    return Counts(round(bad), round(total))


def _why(rest: Sequence[int], exposed: dict[int, Measurement], control: dict[int, Measurement]) -> str:
    """Why the cohorts cannot be compared: by the newest step of which one is not known."""
    for at in sorted({*rest, *exposed}, reverse=True):
        for name, measured in (("exposed", exposed), ("control", control)):
            one = measured.get(at)
            if one is not None and not _known(one):
                reason = one.reason.value if one.reason is not None else "unknown"
                return f"the {name} cohort cannot be counted: {reason}: {one.detail}"
    return "no step of it could be counted since exposure last changed"
