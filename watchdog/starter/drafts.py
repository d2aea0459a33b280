"""Which objectives could be built from which metrics: guesses from names and labels, to be asked before use. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

Labels = Mapping[str, str]
SeriesOf = Callable[[str], Sequence[Labels]]
"""The label sets of a metric of the job."""

REQUESTS = re.compile(r"(http|grpc|rpc|requests?|responses?|handled|calls?)(_\w+)?_(total|count)")
DURATIONS = re.compile(r"(duration|latency|time|seconds|milliseconds|ms)(_\w+)?_bucket$")
TESTS = re.compile(r"(^|_)(tests?|smoke|e2e|synthetic)(_|$)")
NOT_SERVED = re.compile(r"(^|_)(client|outgoing|upstream|gc|go|process|scrape|promhttp|prometheus|alertmanager)(_|$)")
"""Names of what a service asks of others, or of its runtime."""
STATUS = (
    *("code", "status", "status_code", "http_status", "http_status_code", "http_response_status_code"),
    *("response_code", "statuscode", "grpc_code"),
)
OUTCOME = ("result", "outcome", "status", "state")
COHORT = ("variant", "feature_flag_result_variant", "cohort", "ranking", "track", "release")
PAIRS = (("on", "off"), ("exposed", "control"), ("treatment", "control"), ("canary", "stable"), ("new", "old"))
GRPC_BAD = "Unknown|Internal|Unavailable|DataLoss|DeadlineExceeded"
WORDS = (
    ("passed", "failed|error"),
    ("pass", "fail|error"),
    ("success", "failure|failed|error"),
    ("ok", "failed|failure|error"),
)
"""What a finished thing is called when it went well, and when it did not."""
GOAL = 0.2
"""Seconds: the limit of the standard latency objective."""
MOST = 40
"""Metrics whose labels are looked at, of each kind."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An objective that may be worth proposing: its keys as they would be written, in order.

    `standard` names the standard objective whose threshold it takes, `about` the metrics it is made of.
    """

    name: str
    standard: str
    about: str
    keys: dict[str, str]
    notes: tuple[str, ...] = ()
    probes: dict[str, str] = field(default_factory=dict)
    """Further queries whose answers are worth a comment, by what they are."""


def quoted(text: str) -> str:
    """A label's value as PromQL writes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def error_rates(names: Iterable[str], series: SeriesOf, me: str) -> Iterator[Draft]:
    """Requests by status, the most likely counter first. `me` is the matcher of the job."""
    for name in _likely([n for n in names if REQUESTS.search(n)]):
        found = series(name)
        for label in STATUS:
            bad = bad_status({one[label] for one in found if label in one})
            if bad is not None:
                yield Draft(
                    "error_rate",
                    "error_rate",
                    name,
                    {
                        "bad": f"sum(increase({name}{{{me},{label}{bad}}}[$range]))",
                        "total": f"sum(increase({name}{{{me}}}[$range]))",
                    },
                )
                break


def bad_status(values: set[str]) -> str | None:
    """The matcher of server errors for the values that a status label has; None when it is no such label."""
    if values and all(re.fullmatch(r"[1-5](\d\d|xx|XX)", value) for value in values):
        return '=~"5.."'
    if "OK" in values:
        return f'=~"{GRPC_BAD}"'
    return None


def split(draft: Draft, found: Sequence[Labels]) -> Iterator[tuple[Draft, dict[str, str]]]:
    """The same objective for the exposed cohort alone, with the rollout's `cohorts`, where a label tells them apart."""
    for label in COHORT:
        values = {one[label] for one in found if label in one}
        for exposed, control in PAIRS:
            if {exposed, control} & values == {exposed, control} or (label == "variant" and control in values):
                keys = {role: _with_cohort(draft.keys[role]) for role in ("bad", "total")}
                cohorts = {"exposed": f"{label}={quoted(exposed)}", "control": f"{label}={quoted(control)}"}
                yield Draft(f"{draft.name}_exposed", draft.standard, draft.about, keys), cohorts
                return


def _with_cohort(query: str) -> str:
    return query.replace("}[$range]", ",$cohort}[$range]")


def latencies(names: Iterable[str], series: SeriesOf, me: str) -> Iterator[Draft]:
    """Histograms of durations, with the bound nearest to the standard limit."""
    for name in _likely([n for n in names if DURATIONS.search(n)]):
        bounds = sorted({one["le"] for one in series(name) if "le" in one} - {"+Inf"}, key=_number)
        if not bounds:
            continue
        scale = 1000 if re.search(r"milli|_ms(_|$)", name) else 1
        limit = GOAL * scale
        bound = next((b for b in bounds if _number(b) >= limit * (1 - 1e-9)), bounds[-1])
        notes = []
        if _number(bound) != limit:
            notes.append(f"No bucket ends at {limit:g}; the bounds are {', '.join(bounds)}.")
        count = f"sum(increase({name}{{{me},le=%s}}[$range]))"
        whole = count % '"+Inf"'
        unit = "ms" if scale == 1000 else "s"
        p95 = f"histogram_quantile(0.95, sum by (le) (rate({name}{{{me}}}[5m])))"
        keys = {"bad": f"{whole} - ({count % quoted(bound)} or vector(0))", "total": whole}
        yield Draft("latency_p95", "latency_p95", name, keys, tuple(notes), {f"p95 in {unit}": p95})


def availabilities(names: Iterable[str], probes: Sequence[Labels], job: str, me: str) -> Iterator[Draft]:
    """A probe of the job, a probe that names the job, and `up`: from the outermost to the innermost view."""
    names, named = set(names), re.compile(rf"(?<![A-Za-z0-9]){re.escape(job)}(?![A-Za-z0-9])")
    if "probe_success" in names:
        yield _watched("probe_success", me, outside=True)
    for labels in probes:
        label = next((key for key in sorted(labels) if key != "__name__" and named.search(labels[key])), None)
        if label is not None and labels.get("job") != job:
            matchers = ",".join(f"{key}={quoted(labels[key])}" for key in ("job", label) if key in labels)
            yield _watched("probe_success", matchers, outside=True)
    if "up" in names:
        yield _watched("up", me, outside=False)


def _watched(metric: str, me: str, *, outside: bool) -> Draft:
    total = f"sum(count_over_time({metric}{{{me}}}[$range]))"
    keys = {"bad": f"{total} - sum(sum_over_time({metric}{{{me}}}[$range]))", "total": total}
    if outside:
        keys["outside"] = "true"
    keys |= {"no_data": "fail", "pool": "window"}
    notes = (
        () if outside else ("Prometheus' own scrapes: a restarting instance counts. A probe from outside is better.",)
    )
    return Draft("availability", "availability", metric, keys, notes)


def test_rates(names: Iterable[str], series: SeriesOf, me: str) -> Iterator[Draft]:
    """Counters of finished tests by result or in pairs, and gauges of the share that passed."""
    chosen = [name for name in names if TESTS.search(name)][:MOST]
    for name in chosen:
        if name.endswith("_total"):
            yield from _by_result(name, series(name), me)
    for name in chosen:
        if name.endswith("_total"):
            yield from _in_pairs(name, chosen, me)
    for name in chosen:
        if re.search(r"pass|success", name) and re.search(r"ratio|rate|share|percent", name):
            yield Draft("test_pass_rate", "test_pass_rate", name, {"value": f"min({name}{{{me}}})"})


def _by_result(name: str, found: Sequence[Labels], me: str) -> Iterator[Draft]:
    for label in OUTCOME:
        values = {one[label] for one in found if label in one}
        for good, bad in WORDS:
            if good in values:
                yield Draft(
                    "test_pass_rate",
                    "test_pass_rate",
                    name,
                    {
                        "bad": f'sum(increase({name}{{{me},{label}=~"{bad}"}}[$range]))',
                        "total": f'sum(increase({name}{{{me},{label}=~"{good}|{bad}"}}[$range]))',
                    },
                )
                return


def _in_pairs(name: str, chosen: Sequence[str], me: str) -> Iterator[Draft]:
    bad = f"sum(increase({name}{{{me}}}[$range]))"
    for failed, other in (("failed", "passed"), ("failures", "runs"), ("failures", "successes"), ("failures", "")):
        partner = name.replace(f"_{failed}", f"_{other}" if other else "")
        if f"_{failed}" in name and partner in chosen:
            good = f"sum(increase({partner}{{{me}}}[$range]))"
            total = f"{bad} + {good}" if other in {"passed", "successes"} else good
            yield Draft("test_pass_rate", "test_pass_rate", f"{name}, {partner}", {"bad": bad, "total": total})
            return


def _likely(names: Sequence[str]) -> list[str]:
    """What a service serves first, what it asks of others last."""

    def rank(name: str) -> tuple[bool, bool, bool, bool, str]:
        plain = name.startswith(("http_request", "http_server", "grpc_server"))
        return (NOT_SERVED.search(name) is not None, not plain, "request" not in name, "total" not in name, name)

    return sorted(names, key=rank)[:MOST]


def _number(bound: str) -> float:
    try:
        return float(bound)
    except ValueError:
        return float("inf")
