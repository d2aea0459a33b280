"""Checks of what objectives and ranges rely on: one series, bounds of histograms, distance of scrapes, retention."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from watchdog.model import Kind, Reason, Rollout
from watchdog.online import scrapes
from watchdog.quantities import format_duration, format_number
from watchdog.rulelint.asking import Asking
from watchdog.rulelint.model import Finding, Pack, Severity
from watchdog.rulelint.nodes import Call, Node, Selector, Subquery, is_vector, parts, ranged, selectors, walk
from watchdog.rulelint.objectives import place_of
from watchdog.rulelint.ranges import COMPARING, SAMPLES, too_short


def evaluates(pack: Pack, asking: Asking) -> Iterator[Finding]:
    """Every expression is evaluated once; only its errors are looked at."""
    counted = [
        (one.place, f"count({one.expression.text}\n)")
        for one, tree in pack.parsed
        if one.expression.role != "objective" and is_vector(tree) and not _is_range(tree)
    ]
    answers = asking.numbers("expressions", [query for _, query in counted])
    for place, query in counted:
        answer = answers[query]
        if answer.reason is Reason.PARTIAL:
            yield Finding("evaluates", "warning", place, f"its answer lacks data: {answer.trouble}")
        elif answer.reason is not None:
            yield Finding("evaluates", "error", place, f"cannot be evaluated: {answer.trouble}")


def _is_range(tree: Node) -> bool:
    return isinstance(tree, Subquery) or (isinstance(tree, Selector) and tree.span is not None)


def one_series(pack: Pack, rollouts: Sequence[Rollout], asking: Asking) -> Iterator[Finding]:
    """Every query of a rollout gives exactly one series; of bad events, and of cohorts, none is an answer, too."""
    needed = {
        place_of(rollout, objective, role)
        for rollout in rollouts
        for objective in rollout.objectives
        for role in (("present",) if objective.uses_cohort else ("total", "value", "present"))
    }
    asked = [one for one, _ in pack.parsed if one.expression.role == "objective" and one.place.startswith("rollout ")]
    answers = asking.numbers("objectives", [one.expression.text for one in asked])
    for one in asked:
        answer = answers[one.expression.text]
        if answer.reason is Reason.MANY_SERIES:
            message = f"gives more than one series, expected exactly one: {answer.trouble}"
            yield Finding("one-series", "error", one.place, f"{message} Aggregate with sum(...) or max(...).")
        elif answer.reason is not None:
            yield Finding("evaluates", "error", one.place, f"cannot be evaluated: {answer.trouble}")
        elif answer.value is None and one.place in needed:
            message = "gives no series, expected exactly one; see whether the metric and its labels are exported"
            yield Finding("one-series", "error", one.place, message)


def buckets(pack: Pack, rollouts: Sequence[Rollout], asking: Asking) -> Iterator[Finding]:
    """A histogram has a bound where it is judged, and a finite one above, or a quantile cannot pass its limit."""
    known: dict[Selector, list[float]] = {}
    seen: set[tuple[Selector, str]] = set()
    for one, tree in pack.parsed:
        for selector in selectors(tree):
            for matcher in selector.matchers:
                if matcher.label != "le" or matcher.operator != "=" or not math.isfinite(_number(matcher.value)):
                    continue
                family = selector.narrowed([m for m in selector.matchers if m.label != "le"])
                if (family, matcher.value) not in seen:
                    seen.add((family, matcher.value))
                    yield from _counted(one.place, family, matcher.value, _bounds(asking, family, known))
    for rollout in rollouts:
        yield from _quantiles(pack, rollout, asking, known)


def _bounds(asking: Asking, family: Selector, known: dict[Selector, list[float]]) -> list[float]:
    if family not in known:
        rows = asking.rows(f"count by (le) ({family})")
        known[family] = sorted(_number(row["le"]) for row in rows if "le" in row)
    return known[family]


def _counted(place: str, family: Selector, bound: str, bounds: Sequence[float]) -> Iterator[Finding]:
    if bounds and _number(bound) not in bounds:
        message = f'counts le="{bound}", and {family} has no such bound; it has {_shown(bounds)}'
        yield Finding("bucket", "error", place, f"{message}; let the service have it, or count another")
    elif bounds and not any(_number(bound) < other < math.inf for other in bounds):
        message = f'counts le="{bound}", the last finite bound of {family}: how slow the slow ones are is not known'
        yield Finding("bucket", "warning", place, f"{message}; let the service have a bound above")


def _quantiles(pack: Pack, rollout: Rollout, asking: Asking, known: dict[Selector, list[float]]) -> Iterator[Finding]:
    trees = {one.place: tree for one, tree in pack.parsed}
    for objective in rollout.objectives:
        place, limit = place_of(rollout, objective, "value"), objective.target.limit
        if objective.kind is not Kind.VALUE or place not in trees:
            continue
        calls = (node for node in walk(trees[place]) if isinstance(node, Call) and node.name == "histogram_quantile")
        families = {one.narrowed(one.matchers) for call in calls for one in selectors(call)}
        for family in sorted((one for one in families if one.metric.endswith("_bucket")), key=str):
            bounds = _bounds(asking, family, known)
            if bounds and not any(limit < other < math.inf for other in bounds):
                message = f"is judged against {format_number(limit)}, and {family} has no finite bound above"
                todo = f"a quantile never says more than the last one; its bounds are {_shown(bounds)}, add one above"
                yield Finding("bucket", "error", place, f"{message}: {todo}")
            elif bounds and limit not in bounds:
                message = f"is judged against {format_number(limit)}, which is no bound of {family} ({_shown(bounds)})"
                todo = "the quantile is a guess there; set the target to a bound, or add that bound"
                yield Finding("bucket", "warning", place, f"{message}: {todo}")


def _number(bound: str) -> float:
    try:
        return float(bound)
    except ValueError:
        return math.nan


def _shown(bounds: Sequence[float]) -> str:
    return ", ".join(format_number(bound) if math.isfinite(bound) else "+Inf" for bound in bounds)


def scraped(pack: Pack, asking: Asking) -> Iterator[Finding]:
    """Ranges against the intervals at which the targets are really scraped."""
    intervals = asking.server.intervals
    if not intervals:
        return
    reads = [
        (one.place, function, read)
        for one, tree in pack.parsed
        for function, read in dict.fromkeys(ranged(tree))
        if isinstance(read, Selector) and function in COMPARING and read.metric and read.metric not in pack.recorded
    ]
    jobs: dict[Selector, set[str]] = {}
    wanted = {str(one): one for one in dict.fromkeys(read.narrowed(read.matchers) for _, _, read in reads)}
    for name in asking.each("scrape intervals", list(wanted)):
        jobs[wanted[name]] = {row.get("job", "") for row in asking.rows(f"count by (job) ({name})")}
    for place, function, read in reads:
        own = [intervals[job] for job in jobs[read.narrowed(read.matchers)] if job in intervals]
        if own and (read.span or 0.0) < SAMPLES * max(own):
            yield too_short(place, function, read, max(own))


def retention(pack: Pack, rollouts: Sequence[Rollout], asking: Asking) -> Iterator[Finding]:
    """Prometheus keeps what windows and ranges look back at."""
    kept = asking.server.retention
    if kept is None:
        return
    for rollout in rollouts:
        for found in scrapes.retention(asking.server, rollout):
            level: Severity = "error" if kept < rollout.window.seconds else "warning"
            yield Finding("retention", level, f"rollout {rollout.name}: window", found.message)
    for one, tree in pack.parsed:
        back = looks_back(tree)
        if back > kept:
            message = f"looks back {format_duration(back)}, and Prometheus keeps {format_duration(kept)}"
            todo = f"start it with --storage.tsdb.retention.time={math.ceil(back / 86400)}d or longer"
            # A panel that shows as much as there is does no harm; a rule judges by it.
            severity: Severity = "warning" if one.expression.role in {"panel", "variable"} else "error"
            yield Finding("retention", severity, one.place, f"{message}; {todo}, or use a shorter range")


def looks_back(tree: Node) -> float:
    """Seconds between an evaluation and the oldest sample that it reads: ranges and offsets, nested ones added."""
    longest = 0.0
    pending = [(tree, 0.0)]
    while pending:
        node, above = pending.pop()
        if isinstance(node, Selector):
            longest = max(longest, above + (node.span or 0.0) + node.offset)
        elif isinstance(node, Subquery):
            above += node.span + node.offset
        pending.extend((part, above) for part in parts(node))
    return longest
