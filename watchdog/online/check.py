"""`check --online`: each query once, and what its answer says about how it is written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from watchdog.config.settings import Settings
from watchdog.errors import SourceError
from watchdog.evaluate import evaluate, sentence
from watchdog.model import Kind, Reason, Rollout, Verdict
from watchdog.online import labels, scrapes, traffic, units
from watchdog.online.asked import Asked, Finding, Level, Stored, about, or_warning
from watchdog.prometheus import Prometheus

_RANK = {"error": 0, "warning": 1, "ok": 2}


def check_online(settings: Settings, rollouts: Sequence[Rollout], source: Prometheus, now: float) -> list[Finding]:
    """What is found by asking every query of every rollout once, at the newest grid instant before `now` - delay.

    Errors mean that an objective cannot be judged as written, warnings that somebody should look. Raises SourceError
    when Prometheus cannot be reached.
    """
    try:
        source.build_info()
    except SourceError as error:
        if not error.permanent:
            raise  # only what answers, though perhaps not to this question, is worth asking more
    server, stored = scrapes.describe(source), Stored(source)
    findings: list[Finding] = []
    for rollout in rollouts:
        found = list(_rollout(rollout, source, server, stored, settings.tick_deadline, now))
        order = {name: k for k, name in enumerate([None, *(o.name for o in rollout.objectives)])}
        findings += sorted(found, key=lambda one: (order[one.objective], _RANK[one.level]))
    return findings


def _rollout(
    rollout: Rollout, source: Prometheus, server: scrapes.Server, stored: Stored, deadline: float, now: float
) -> Iterator[Finding]:
    at = math.floor((now - rollout.delay) / rollout.interval) * rollout.interval
    asked = [Asked(rollout, o, at) for o in rollout.objectives if o.kind is not Kind.INTERNAL]
    _ask(asked, source, deadline)
    for objective in rollout.objectives:
        if objective.kind is Kind.INTERNAL:
            place = f"{rollout.name}: objectives[{rollout.objectives.index(objective)}]"
            message = f"{objective.name} asks no query: the watchdog measures it itself"
            yield Finding(rollout.name, objective.name, "ok", place, message)
    for one in asked:
        yield from _objective(one, stored)
    yield from about("fresh", scrapes.freshness(source, asked, deadline))
    if asked:
        intervals = scrapes.spacing(source, server, asked, stored, deadline)
        yield from about("spacing", or_warning(asked[0], "the distance of the samples", intervals))
    yield from about("retention", scrapes.retention(server, rollout))


def _ask(asked: Sequence[Asked], source: Prometheus, deadline: float) -> None:
    """Ask everything of one rollout in parallel, as a tick would. Raises SourceError when nothing is answered."""
    pairs = [(one, role, text) for one in asked for role, text in one.texts.items()]
    if not pairs:
        return
    at = pairs[0][0].at
    answers = source.instants([text for _, _, text in pairs], at, deadline)
    for (one, role, _), answer in zip(pairs, answers, strict=True):
        one.answers[role] = answer
    lost = [answer.problems[at] for answer in answers if at in answer.problems]
    if len(lost) == len(answers) and all(reason is Reason.UNREACHABLE for reason, _ in lost):
        raise SourceError(lost[0][1])


def _objective(asked: Asked, stored: Stored) -> Iterator[Finding]:
    yield from _verdict(asked)
    yield from or_warning(asked, "what the queries select", _answers(asked, stored))
    yield from about("unit", _units(asked))
    if asked.objective.kind is Kind.EVENT:
        yield from or_warning(asked, "labels", labels.compare(asked, stored))
        yield from or_warning(asked, "whether bad was ever observed", labels.never_observed(asked, stored))
    yield from about("bucket", or_warning(asked, "histogram bounds", labels.buckets(asked, stored)))
    if asked.objective.uses_cohort:
        yield from or_warning(asked, "the cohorts", traffic.of_cohort(asked, stored))
    elif asked.objective.kind is Kind.EVENT:
        yield from traffic.of_everybody(asked)


def _verdict(asked: Asked) -> Iterator[Finding]:
    """What the daemon would say now."""
    measurement = asked.measurement
    evaluation = evaluate(asked.objective, measurement)
    if evaluation.verdict is Verdict.PASS:
        yield asked.found("ok", sentence(asked.objective, evaluation))
    elif evaluation.verdict is Verdict.FAIL:
        yield asked.found("warning", f"{sentence(asked.objective, evaluation)}: it fails now, and would hold a ramp")
    elif evaluation.reason is Reason.STALE:
        stale = asked.found("error", f"{measurement.detail}; see whether the target is being scraped", "fresh")
        yield from about("fresh", iter([stale]))


def _answers(asked: Asked, stored: Stored) -> Iterator[Finding]:
    """What is wrong with each answer by itself."""
    for role, answer in asked.answers.items():
        key = role.rpartition(" ")[2]
        value = answer.values.get(asked.at)
        if asked.at in answer.problems:
            reason, detail = answer.problems[asked.at]
            level: Level = "warning" if reason is Reason.PARTIAL else "error"
            yield asked.found(level, f"{reason.value}: {detail}", key)
        elif value is None:
            yield from _empty(asked, stored, role)
        elif not math.isfinite(value) and not (asked.objective.uses_cohort and math.isnan(value)):
            yield asked.found(
                "warning",
                f"not_a_number: the query gives {value:g}, as a division by zero does when there is no traffic; "
                "counts (bad and total) would say low_traffic instead",
                key,
            )


def _empty(asked: Asked, stored: Stored, role: str) -> Iterator[Finding]:
    """An empty answer; of `bad`, and of a cohort, it may be the truth, and others say so."""
    if role == "bad" or asked.objective.uses_cohort or " " in role:
        return
    if role == "present":
        message = "has no value, so silence could never count as failure; write a query that has one while "
        yield asked.found("error", f"{message}Prometheus ingests", role)
        return
    unseen = [one for one in asked.selected(role) if not stored.of(asked, one)]
    hints = [labels.why_empty(asked, stored, one) for one in unseen]
    why = " ".join(hints) or "Every selector matches series; see whether their labels fit together."
    yield asked.found("error", f"no_data: the query answers nothing. {why}", role)


def _units(asked: Asked) -> Iterator[Finding]:
    objective, total, value = asked.objective, asked.value("total"), asked.value("value")
    if total is not None and math.isfinite(total):
        for role, wrong, message in units.of_counts(objective, asked.value("bad"), total):
            yield asked.found("error" if wrong else "warning", message, role)
    if value is not None and math.isfinite(value):
        names = [selector.name for selector in asked.selected("value")]
        odd = units.of_value(objective, value, names)
        if odd is not None:
            yield asked.found("warning", odd, objective.target.comparison.value)
