"""Answers -> Measurement -> Evaluation. Pure: the table of reasons in semantics 3 is this file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import isfinite, isnan

from watchdog.model import (
    SAME,
    Comparison,
    Evaluation,
    Kind,
    Measurement,
    Objective,
    Reason,
    Series,
    Verdict,
)
from watchdog.quantities import format_duration, format_number, format_share

NOTHING = Series()
PASS, FAIL = Verdict.PASS, Verdict.FAIL  # looked up once, not for each of a replay's slots
new = tuple.__new__
"""Makes a named tuple of all its fields in half the time of its constructor; used in the innermost loops only."""
RANK = {reason: rank for rank, reason in enumerate(Reason)}

Ingesting = Callable[[int], bool]
"""Whether Prometheus itself was ingesting around an instant (`present:` over the two ranges before)."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What an objective's expressions answered over a stretch of one grid."""

    bad: Series = NOTHING
    total: Series = NOTHING
    value: Series = NOTHING
    fresh: Series | None = None
    ingesting: Ingesting | None = field(default=None)


def measure(objective: Objective, answers: Answers, instants: Iterable[int], scale: float = 1.0) -> list[Measurement]:
    """One measurement per instant. `scale` turns the counts of overlapping detector ranges into increments."""
    if objective.kind is Kind.EVENT:
        return _events(objective, answers, instants, scale)
    return _values(objective, answers, instants)


# The hot loops of a replay: what is plainly a number is taken as such here, all else is looked at in turn below.


def _events(objective: Objective, answers: Answers, instants: Iterable[int], scale: float) -> list[Measurement]:
    bads, totals = answers.bad.values, answers.total.values
    plain = not (answers.bad.problems or answers.total.problems or answers.fresh is not None)
    found = []
    for at in instants:
        total, bad = totals.get(at), bads.get(at, 0.0)
        if plain and total is not None and isfinite(total) and isfinite(bad):
            found.append(new(Measurement, (at, None, bad * scale, total * scale, None, "", False)))
        else:
            found.append(_event(objective, answers, at, scale))
    return found


def _values(objective: Objective, answers: Answers, instants: Iterable[int]) -> list[Measurement]:
    values = answers.value.values
    plain = not answers.value.problems and answers.fresh is None
    found = []
    for at in instants:
        value = values.get(at)
        if plain and value is not None and isfinite(value):
            found.append(new(Measurement, (at, value, None, None, None, "", False)))
        else:
            found.append(_value(objective, answers, at))
    return found


def _event(objective: Objective, answers: Answers, at: int, scale: float) -> Measurement:
    if answers.bad.problems or answers.total.problems or answers.fresh is not None:
        problem = _worst(answers.bad.problems.get(at), answers.total.problems.get(at), _fresh_problem(answers, at))
        if problem is not None:
            return Measurement(at, reason=problem[0], detail=problem[1])
    total = answers.total.values.get(at)
    if total is None:
        return _empty(objective, answers, at)
    bad = answers.bad.values.get(at, 0.0)
    if not (isfinite(total) and isfinite(bad)):
        return Measurement(at, reason=Reason.NOT_A_NUMBER, detail=f"bad is {bad}, total is {total}")
    return _stale(objective, answers, at) or Measurement(at, bad=bad * scale, total=total * scale)


def _value(objective: Objective, answers: Answers, at: int) -> Measurement:
    if answers.value.problems or answers.fresh is not None:
        problem = _worst(answers.value.problems.get(at), _fresh_problem(answers, at))
        if problem is not None:
            return Measurement(at, reason=problem[0], detail=problem[1])
    value = answers.value.values.get(at)
    if value is None:
        return _empty(objective, answers, at)
    if not isfinite(value):
        if objective.uses_cohort and isnan(value):
            return Measurement(at, reason=Reason.LOW_TRAFFIC, detail="nobody is in the cohort (the query gave NaN)")
        return Measurement(at, reason=Reason.NOT_A_NUMBER, detail=f"the query gave {value}")
    return _stale(objective, answers, at) or Measurement(at, value=value)


def _worst(*problems: tuple[Reason, str] | None) -> tuple[Reason, str] | None:
    found = [problem for problem in problems if problem is not None]
    return min(found, key=lambda problem: RANK[problem[0]]) if found else None


def _fresh_problem(answers: Answers, at: int) -> tuple[Reason, str] | None:
    problem = answers.fresh.problems.get(at) if answers.fresh is not None else None
    return (problem[0], f"fresh: {problem[1]}") if problem is not None else None


def _empty(objective: Objective, answers: Answers, at: int) -> Measurement:
    if objective.uses_cohort:
        return Measurement(at, reason=Reason.LOW_TRAFFIC, detail="nobody is in the cohort (the query answered nothing)")
    if objective.silence_fails and answers.ingesting is not None and answers.ingesting(at):
        return Measurement(at, silent=True, detail="no data although Prometheus was ingesting: silence is failure here")
    return Measurement(at, reason=Reason.NO_DATA, detail="the query answered nothing")


def _stale(objective: Objective, answers: Answers, at: int) -> Measurement | None:
    if answers.fresh is None:
        return None
    newest = answers.fresh.values.get(at)
    if newest is None or not isfinite(newest):
        return Measurement(at, reason=Reason.STALE, detail="fresh: the query gave no time of a newest sample")
    age = at - newest
    if age > objective.max_age:
        detail = f"the newest sample is {age:.0f} s old, older than max_age {objective.max_age:g} s"
        return Measurement(at, reason=Reason.STALE, detail=detail)
    return None


def evaluate(objective: Objective, measurement: Measurement) -> Evaluation:
    """Hold one slot's measurement against the objective's target."""
    at, value, bad, total, reason, detail, silent = measurement
    if reason is not None:
        return Evaluation(at, Verdict.UNKNOWN, reason, detail=detail)
    if silent:
        return Evaluation(at, Verdict.FAIL, detail=detail, silent=True)
    if bad is not None and total is not None:
        if total <= 0.0 or total < objective.min_events * (1.0 - SAME):
            return Evaluation(at, Verdict.UNKNOWN, Reason.LOW_TRAFFIC, None, bad, total)
        verdict = PASS if share_met(objective, bad, total) else FAIL
        return new(Evaluation, (at, verdict, None, None, bad, total, "", False))
    if value is None:
        return Evaluation(at, Verdict.UNKNOWN, Reason.NO_DATA, detail="nothing was measured")
    return Evaluation(at, PASS if objective.target.met_by(value) else FAIL, None, value)


def share_met(objective: Objective, bad: float, total: float) -> bool:
    """Whether `bad` of `total` (> 0) keeps an event objective: judged on the bad share, where equality is exact."""
    share, allowed = bad / total, objective.allowed
    if abs(share - allowed) <= SAME * max(share, allowed):
        return not strict(objective)
    return share < allowed


def strict(objective: Objective) -> bool:
    """Whether a number equal to the limit misses it (`below`, `above`)."""
    return objective.target.comparison in (Comparison.BELOW, Comparison.ABOVE)


def missed(objective: Objective, measurement: Measurement) -> bool:
    """Whether a known detector step alone misses the target (what `confirm` counts)."""
    if measurement.silent:
        return True
    if measurement.bad is not None and measurement.total is not None:
        return measurement.total > 0.0 and not share_met(objective, measurement.bad, measurement.total)
    return measurement.value is not None and not objective.target.met_by(measurement.value)


def sentence(objective: Objective, evaluation: Evaluation | Measurement) -> str:
    """The evaluation in words: what was found and what was wanted."""
    target = describe_target(objective)
    if evaluation.detail:
        reason = f"{evaluation.reason.value}: " if evaluation.reason is not None else ""
        return f"{objective.name} {reason}{evaluation.detail}"
    if evaluation.bad is not None and evaluation.total is not None:
        counts = f"{format_number(evaluation.bad)} bad of {format_number(evaluation.total)}"
        if evaluation.reason is Reason.LOW_TRAFFIC or evaluation.total <= 0:
            return f"{objective.name} low_traffic: {counts}, at least {format_number(objective.min_events)} needed"
        return f"{objective.name} {format_share(evaluation.bad / evaluation.total)} bad ({counts}), wanted {target}"
    if evaluation.value is not None:
        return f"{objective.name} {format_number(evaluation.value)}, wanted {target}"
    return f"{objective.name} {evaluation.reason.value if evaluation.reason else 'not measured'}"


def describe_target(objective: Objective) -> str:
    """The target in words, for example `at most 0.1% bad` or `below 0.2`."""
    words = objective.target.comparison.value.replace("_", " ")
    if objective.kind is Kind.EVENT:
        return f"{words} {format_share(objective.target.limit)} {'good' if objective.target.of_good else 'bad'}"
    if objective.internal == "flag_ramp":
        return "the desired percentage"
    if objective.internal == "rollback_capability":
        return f"a drill in the last 7 days, off in less than {format_duration(objective.target.limit)}"
    if objective.internal == "alert_noise":
        return f"{words} {format_number(objective.target.limit)} false alarms in 24 h"
    return f"{words} {format_number(objective.target.limit)}"
