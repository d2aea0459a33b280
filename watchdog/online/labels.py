"""Compares the series behind `bad`, `total` and the histogram bounds: the slips that no single answer shows."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence

from watchdog.online.asked import Asked, Finding, Stored
from watchdog.online.promql import Matcher, Selector, functions
from watchdog.prometheus.answers import show_labels
from watchdog.quantities import format_number

PLACES = ("job", "instance", "namespace", "cluster", "service")
"""Labels that say where a series comes from: they can be compared between metrics of different names."""
MOST_SHOWN = 12
Labels = dict[str, str]


def compare(asked: Asked, stored: Stored) -> Iterator[Finding]:
    """Every series that `bad` counts must be among those of `total`, or a share can pass 100 % or hide failures."""
    total = [labels for one in asked.selected("total") for labels in stored.of(asked, one)]
    if not total:
        return
    known = {_identity(labels) for labels in total}
    families = {_family(labels) for labels in total}
    for selector in asked.selected("bad"):
        bad = stored.of(asked, selector)
        alike = [labels for labels in bad if _family(labels) in families]
        strangers = [labels for labels in alike if _identity(labels) not in known]
        if strangers:
            yield asked.found(
                "warning",
                f"{_count(strangers)} that bad counts {'is' if len(strangers) == 1 else 'are'} not among those of "
                f"total, {show_labels(strangers[0])} for one: {_difference(strangers, total)}; "
                "let both select the same series",
                "bad",
            )
        yield from _other_places(asked, [labels for labels in bad if _family(labels) not in families], total)


def _other_places(asked: Asked, bad: Sequence[Labels], total: Sequence[Labels]) -> Iterator[Finding]:
    for label in PLACES:
        ours, theirs = _values(bad, label), _values(total, label)
        if theirs and ours - theirs:
            yield asked.found(
                "warning",
                f"counts series of {label} {_listed(ours - theirs)}, total only those of {_listed(theirs)}; "
                "let both select the same",
                "bad",
            )


def _difference(strangers: Sequence[Labels], total: Sequence[Labels]) -> str:
    """By which label the strangers differ, where one label explains it."""
    names = {name for labels in strangers for name in labels} - {"__name__", "le"}
    for label in sorted(names, key=lambda name: (name != "job", name == "instance", name)):
        ours, theirs = _values(strangers, label), _values(total, label)
        if not ours & theirs:
            there = f"total has {_listed(theirs)}" if theirs else "total's series have no such label"
            return f"{label} is {_listed(ours)} there, and {there}"
    return "their labels occur in other combinations"


def never_observed(asked: Asked, stored: Stored) -> Iterator[Finding]:
    """`bad` counts nothing that exists: it may never have happened, or can never be seen."""
    chosen = asked.selected("bad")
    unseen = [selector for selector in chosen if not stored.of(asked, selector)]
    if asked.value("bad") is None and asked.value("total") is not None:
        hints = [why_empty(asked, stored, selector) for selector in unseen]
        yield asked.found("warning", " ".join([_NEVER, *hints]), "bad")
        return
    for selector in unseen:
        if not any(m.label == "le" for m in selector.matchers) and asked.value("bad") is not None:
            yield asked.found("warning", f"{_NEVER} {why_empty(asked, stored, selector)}", "bad")


_NEVER = (
    "bad never observed: not evidence. Let the service create the series with 0 when it starts, and check that this "
    "query counts when something fails."
)


def why_empty(asked: Asked, stored: Stored, selector: Selector) -> str:
    """Why a selector matches nothing, as far as the other series of its metric tell."""
    if not selector.name:
        return f"Nothing matches {selector}."
    everything = stored.of(asked, Selector(selector.metric or f'{{__name__="{selector.name}"}}'))
    if not everything:
        return f"There is no metric {selector.name} now."
    for matcher in selector.matchers:
        if matcher.label == "__name__":
            continue
        if not any(matcher.label in labels for labels in everything):
            names = _listed({name for labels in everything for name in labels if name != "__name__"})
            if matcher.operator in {"=", "=~"}:
                return f"No series of {selector.name} has a label {matcher.label}; they have {names}."
        narrowed = [labels for labels in everything if _meets(labels.get(matcher.label, ""), matcher)]
        if not narrowed:
            values = _listed(_values(everything, matcher.label))
            return f"No series of {selector.name} has {matcher.raw}; {matcher.label} is {values}."
        everything = narrowed
    return f"Nothing matches {selector}."


def _meets(value: str, matcher: Matcher) -> bool:
    operator, wanted = matcher.operator, matcher.value
    if operator in {"=", "!="}:
        return bool((value == wanted) == (operator == "="))
    try:
        return (re.fullmatch(wanted, value) is not None) == (operator == "=~")
    except re.error:
        return True  # Prometheus' dialect; it took the query


def buckets(asked: Asked, stored: Stored) -> Iterator[Finding]:
    """A query that names a bucket needs one with exactly that bound."""
    for role in ("bad", "total", "value"):
        for selector in asked.selected(role):
            for matcher in selector.matchers:
                if matcher.label == "le" and matcher.operator == "=" and matcher.value != "+Inf":
                    yield from _bucket(asked, stored, role, selector, matcher.value)
    yield from _quantile(asked, stored)


def _bucket(asked: Asked, stored: Stored, role: str, selector: Selector, bound: str) -> Iterator[Finding]:
    histograms: dict[tuple[tuple[str, str], ...], set[str]] = {}
    for labels in stored.of(asked, selector.without("le")):
        rest = tuple(sorted((name, value) for name, value in labels.items() if name != "le"))
        histograms.setdefault(rest, set()).add(labels.get("le", ""))
    bounds = {bound for own in histograms.values() for bound in own} - {""}
    lacking = [own for own in histograms.values() if bound not in own]
    if not lacking:
        yield from _nothing_above(asked, role, selector, bound, histograms.values())
        return
    if len(lacking) < len(histograms):
        message = f'names le="{bound}", a bucket that {len(lacking)} of {len(histograms)} histograms of {selector.name}'
        yield asked.found("warning", f"{message} lack; give every version of the service the same bounds", role)
        return
    same = [other for other in bounds if _number(other) == _number(bound)]
    if same:
        remedy = f'labels compare as text, so write le="{same[0]}"'
    else:
        remedy = "write one of them and set the target to it, or add the bound to the service"
    message = f'names le="{bound}", and {selector.name} has no such bucket; its bounds are {_sorted_bounds(bounds)}'
    yield asked.found("error", f"{message}; {remedy}", role)


def _nothing_above(
    asked: Asked, role: str, selector: Selector, bound: str, histograms: Iterable[set[str]]
) -> Iterator[Finding]:
    """Above the last finite bound there is only +Inf, and by how much it is missed cannot be told."""
    limit = _number(bound)
    if any(not any(limit < _number(other) < math.inf for other in own) for own in histograms):
        message = f'le="{bound}" is the last finite bound of {selector.name}: by how much it is missed cannot be told'
        yield asked.found("warning", f"{message}; give the service a bound above it", role)


def _quantile(asked: Asked, stored: Stored) -> Iterator[Finding]:
    query, limit = asked.objective.value, asked.objective.target.limit
    if query is None or "histogram_quantile" not in functions(query):
        return
    for selector in asked.selected("value"):
        if not selector.name.endswith("_bucket"):
            continue
        bounds = _values(stored.of(asked, selector), "le")
        if bounds and not any(_number(bound) == limit for bound in bounds):
            yield asked.found(
                "warning",
                f"the limit {format_number(limit)} is no bound of {selector.name} ({_sorted_bounds(bounds)}): the "
                "quantile is interpolated there; set the target to a bound, or add one to the service",
                asked.objective.target.comparison.value,
            )


def _family(labels: Labels) -> str:
    return re.sub(r"_(bucket|count|sum)$", "", labels.get("__name__", ""))


def _identity(labels: Labels) -> tuple[tuple[str, str], ...]:
    """A series without what distinguishes the parts of one histogram."""
    rest = [(name, value) for name, value in labels.items() if name not in {"__name__", "le"}]
    return (("__name__", _family(labels)), *sorted(rest))


def _values(series: Iterable[Labels], label: str) -> set[str]:
    return {labels[label] for labels in series if label in labels}


def _number(bound: str) -> float:
    try:
        return float(bound)
    except ValueError:
        return float("nan")


def _sorted_bounds(bounds: Iterable[str]) -> str:
    return _joined(sorted(bounds, key=_number))


def _listed(names: Iterable[str]) -> str:
    return _joined(sorted(names)) or "nothing"


def _joined(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return ", ".join(names[:MOST_SHOWN]) + more


def _count(series: Sequence[Labels]) -> str:
    return "1 series" if len(series) == 1 else f"{len(series)} series"
