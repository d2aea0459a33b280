"""`init --prometheus URL --job J`: proposes objectives from what a job exports, each asked before it is written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from watchdog.bound import judge
from watchdog.config.settings import Settings
from watchdog.errors import ConfigError, Problem, SourceError
from watchdog.evaluate import evaluate, sentence
from watchdog.model import Kind, Reason, Rollout, Verdict
from watchdog.online import Finding, check_online
from watchdog.online.asked import Asked
from watchdog.prometheus import Prometheus
from watchdog.quantities import format_duration, format_number
from watchdog.rolloutfile import parse_rollout
from watchdog.rolloutfile.detectors import Surroundings
from watchdog.starter.drafts import (
    Draft,
    SeriesOf,
    availabilities,
    error_rates,
    latencies,
    quoted,
    split,
    test_rates,
)
from watchdog.starter.render import Chosen, render, scalar, slug

RECENT = 3600
"""Seconds back in which a metric must have had a sample to be thought of."""
WITHIN, INTERVAL, DELAY = 900.0, 30, 30.0
"""A rollout's defaults, in seconds."""
LOOKED_FOR = (
    "counters of requests with a status label (http_requests_total{code=...}), histograms of durations "
    "(http_request_duration_seconds_bucket), probe_success or up, and counters of tests with a result "
    "(smoke_tests_total{result=...})"
)
ORDER = ("availability", "error_rate", "error_rate_exposed", "latency_p95", "test_pass_rate")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A rollout's file for a job. `rollout` is its parsed form, `notes` what was looked at and left out, and why."""

    job: str
    text: str
    rollout: Rollout
    scrape_interval: float
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Search:
    """One search: what is asked, when, and what was not good enough."""

    source: Prometheus
    job: str
    now: float
    scrape_interval: float
    present: bool
    notes: list[str] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        """The settings that would be written, with every default."""
        prometheus = {"url": self.source.url, "scrape_interval": self.scrape_interval}
        return Settings(prometheus=prometheus)  # type: ignore[arg-type]

    @property
    def at(self) -> int:
        """The newest complete slot."""
        return math.floor((self.now - DELAY) / INTERVAL) * INTERVAL


def propose(source: Prometheus, job: str, now: float) -> Proposal:
    """Objectives for the job from the metrics it has at `now`, every query asked and answered.

    Raises SourceError when Prometheus cannot be asked, and ConfigError when no metric of the job is usable; its
    sentence says what was looked for and what there is.
    """
    names = source.metrics_of(job, int(now) - RECENT, int(now))
    if not names:
        raise _unusable(job, f"Prometheus has no metric of it in the last hour; {_jobs(source, now)}")
    me = f"job={quoted(job)}"
    scrape_interval = _scrape_interval(source, job, names, now)
    search = _Search(source, job, now, scrape_interval, _ingesting(source, scrape_interval, now))
    series = _series_of(source, me, now)
    chosen, cohorts = _chosen(search, names, series, me)
    if not chosen:
        shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
        left = "".join(f" {note}." for note in search.notes)
        raise _unusable(job, f"found {shown}, but none of what is usable: {LOOKED_FOR}.{left}")
    return _proposal(search, chosen, cohorts)


def _unusable(job: str, message: str) -> ConfigError:
    return ConfigError([Problem(f"init: job {job!r}", message)])


def _jobs(source: Prometheus, now: float) -> str:
    jobs = sorted({labels.get("job", "") for labels in source.labels_of("count by (job) (up)", int(now))} - {""})
    return f"the jobs it scrapes are {', '.join(jobs[:20])}" if jobs else "it scrapes no job now"


def _ingesting(source: Prometheus, scrape_interval: float, now: float) -> bool:
    """Whether the default `present:` would have a value, so that silence can count as failure."""
    present = Surroundings(INTERVAL, scrape_interval, cohorts=True).present
    return bool(source.labels_of(present, int(now - DELAY)))


def _series_of(source: Prometheus, me: str, now: float) -> SeriesOf:
    known: dict[str, list[dict[str, str]]] = {}

    def series(name: str) -> list[dict[str, str]]:
        if name not in known:
            known[name] = source.series_of(f"{name}{{{me}}}", int(now) - RECENT, int(now))
        return known[name]

    return series


def _scrape_interval(source: Prometheus, job: str, names: list[str], now: float) -> float:
    """As the targets say; else the distance of the samples, to a round number."""
    try:
        told = source.scrape_intervals().get(job)
    except SourceError:
        told = None
    if told:
        return told
    name, span = "up" if "up" in names else names[0], 600
    at = int(now - DELAY)
    count = source.instants([f"max(count_over_time({name}{{job={quoted(job)}}}[{span}s]))"], at)[0].values.get(at)
    if not count or count < 2:
        return 15.0
    distance = span / count
    usual = (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0)
    return min(usual, key=lambda seconds: abs(math.log(distance / seconds)))


def _chosen(search: _Search, names: list[str], series: SeriesOf, me: str) -> tuple[list[Chosen], dict[str, str]]:
    """The best draft of each kind that was answered."""
    probes = search.source.series_of("probe_success", int(search.now) - RECENT, int(search.now))
    found = {
        "availability": _best(search, availabilities(names, probes, search.job, me)),
        "error_rate": _best(search, error_rates(names, series, me)),
        "latency_p95": _best(search, latencies(names, series, me)),
        "test_pass_rate": _best(search, test_rates(names, series, me)),
    }
    cohorts: dict[str, str] = {}
    errors = found["error_rate"]
    if errors is not None:
        for draft, matchers in split(errors.draft, series(errors.draft.about)):
            exposed = _asked(search, draft, matchers)
            if exposed is not None:
                found[draft.name], cohorts = exposed, matchers
            else:
                search.notes[-1] = _not_yet(matchers, draft)
    return [one for name in ORDER if (one := found.get(name)) is not None], cohorts


def _not_yet(cohorts: dict[str, str], draft: Draft) -> str:
    pairs = ", ".join(f"{name}: {scalar(matcher)}" for name, matcher in cohorts.items())
    return (
        f"{draft.name}: nobody is in the cohort {cohorts['exposed']} yet. Once somebody is, write cohorts: {{{pairs}}} "
        f"and a second error_rate with $cohort among its matchers: {draft.keys['total']}"
    )


def _best(search: _Search, drafts: Iterable[Draft]) -> Chosen | None:
    """The first draft with a verdict, else the first that was answered at all."""
    fallback = None
    for draft in drafts:
        chosen = _asked(search, draft)
        if chosen is not None and chosen.judged:
            return chosen
        fallback = fallback or chosen
    return fallback


def _asked(search: _Search, draft: Draft, cohorts: dict[str, str] | None = None) -> Chosen | None:
    """The draft with what its queries answer now; None, and a note, when they do not."""
    if draft.keys.get("no_data") == "fail" and not search.present:
        draft = replace(draft, keys={key: value for key, value in draft.keys.items() if key != "no_data"})
    if 4 * search.scrape_interval > 300:
        draft = replace(draft, keys={**draft.keys, "range": format_duration(4 * search.scrape_interval)})
    bare = Chosen(draft)
    rollout = _parsed(search, [bare], cohorts or {}, WITHIN, waived=True)
    asked = Asked(rollout, rollout.objectives[0], search.at)
    texts = asked.texts | draft.probes
    answers = search.source.instants(list(texts.values()), search.at, search.settings.tick_deadline)
    asked.answers.update(zip(texts, answers, strict=True))
    measurement = asked.measurement
    evaluation = evaluate(asked.objective, measurement)
    if measurement.reason is not None or not _numbers(asked):
        search.notes.append(f"{draft.about}: {sentence(asked.objective, evaluation)}")
        return None
    return _sized(replace(bare, comments=tuple(_comments(asked))), asked)


def _numbers(asked: Asked) -> bool:
    main = asked.value("total") if asked.objective.kind is Kind.EVENT else asked.value("value")
    return main is not None and main >= 0


def _comments(asked: Asked) -> Iterator[str]:
    evaluation = evaluate(asked.objective, asked.measurement)
    yield f"now: {sentence(asked.objective, evaluation)}"
    if evaluation.verdict is Verdict.FAIL:
        yield "NOT MET NOW: correct the service or the target before the rollout starts."
    if evaluation.reason is Reason.LOW_TRAFFIC:
        yield "There is no traffic now, so nothing is known of the share."
    for name, answer in asked.answers.items():
        number = answer.values.get(asked.at)
        if name.startswith("p95") and number is not None and math.isfinite(number):
            yield f"now: {name} is {format_number(number)}"


def _sized(chosen: Chosen, asked: Asked) -> Chosen:
    """With what the present traffic allows: minima, and slices of an hour or the whole window."""
    objective, total = asked.objective, asked.value("total")
    if objective.kind is not Kind.EVENT or total is None:
        return replace(chosen, judged=True)
    much = total >= 500 and not objective.pool_window and not objective.uses_cohort
    thin = not objective.pool_window and 0 < total / objective.range * 3600 < objective.min_slice_events
    return replace(chosen, judged=total > 0, min_events=100 if much else None, thin=thin)


def _parsed(
    search: _Search, chosen: list[Chosen], cohorts: dict[str, str], within: float, *, waived: bool = False
) -> Rollout:
    waive = {"rollback_bound": "not yet judged", "dead_service": "not yet judged"} if waived else _waive(chosen)
    text = render(search.job, search.at, chosen, cohorts, within, waive)
    return parse_rollout(text, f"{slug(search.job)}.yaml", search.settings.facts())


def _waive(chosen: list[Chosen]) -> dict[str, str]:
    if any(one.draft.keys.get("no_data") == "fail" or one.draft.keys.get("outside") for one in chosen):
        return {}
    return {"dead_service": "no metric was found that sees it; add a probe from outside, then remove this"}


def _proposal(search: _Search, chosen: list[Chosen], cohorts: dict[str, str]) -> Proposal:
    """The file, with whatever `check` needs to accept it, after every query was asked once more as a whole."""
    if _waive(chosen) and search.present:
        first = next((k for k, one in enumerate(chosen) if not one.draft.name.endswith("_exposed")), None)
        if first is not None:
            keys = {**chosen[first].draft.keys, "no_data": "fail"}
            chosen[first] = replace(chosen[first], draft=replace(chosen[first].draft, keys=keys))
    trial = _parsed(search, chosen, cohorts, WITHIN, waived=True)
    worst = max((bound.total for bound in judge(trial).bounds), default=0.0)
    within = WITHIN if worst <= WITHIN else math.ceil(worst / 300) * 300.0
    findings = check_online(search.settings, [trial], search.source, search.now)
    wrong = {finding.objective: finding.message for finding in findings if finding.level == "error"}
    search.notes += [f"{name}: {message}" for name, message in wrong.items()]
    kept = [one for one in chosen if one.draft.name not in wrong]
    if not kept:
        raise _unusable(search.job, f"nothing that was found can be judged: {'; '.join(search.notes)}")
    kept = [replace(one, remarks=tuple(_remarks(findings, one.draft.name))) for one in kept]
    text = render(search.job, search.at, kept, cohorts, within, _waive(kept), search.notes)
    rollout = parse_rollout(text, f"{slug(search.job)}.yaml", search.settings.facts())
    return Proposal(search.job, text, rollout, search.scrape_interval, tuple(search.notes))


def _remarks(findings: Iterable[Finding], objective: str) -> Iterator[str]:
    """What `check --online` says of an objective, besides what "now" says already."""
    for finding in findings:
        if finding.objective != objective or finding.message.startswith(f"{objective} "):
            continue
        if finding.level == "warning" or "exposure" in finding.message:
            yield finding.message
