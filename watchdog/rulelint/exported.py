"""Checks against the series that Prometheus has: every metric, every label, every value that is named."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from watchdog.quantities import format_duration
from watchdog.rulelint.asking import Asking, plain, types
from watchdog.rulelint.model import Finding, Pack, Severity, listed
from watchdog.rulelint.naming import TAKEN_AWAY, Metric
from watchdog.rulelint.nodes import Matcher, Selector, ranged, selectors
from watchdog.rulelint.ranges import COUNTER, GAUGE

ERRORS = frozenset({"matcher", "group_left", "le"})
"""Ways of naming a label without which an expression gives nothing; without the others it gives less."""


@dataclass(slots=True)
class Known:
    """What is there, and which reasons were needed for what is not. `labels` only of metrics that are there."""

    waivers: Mapping[str, str]
    present: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    labels: dict[str, set[str]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def waived(self, name: str) -> bool:
        """Whether there is a reason for the absence of a metric, or of `metric{label}`; it counts as used."""
        if name in self.waivers:
            self.used.add(name)
        return name in self.waivers


def series(pack: Pack, named: Mapping[str, Metric], asking: Asking, known: Known) -> Iterator[Finding]:
    """Every metric must have a series, now or within the time that counts."""
    there = asking.there("series", [plain(name) for name in named])
    for name in named:
        found = there[plain(name)]
        if isinstance(found, str):
            yield Finding("series", "error", named[name].places[0], f"{name} could not be asked for: {found}")
        else:
            (known.present if found else known.missing).add(name)
    inputs = {one.rule.name: {s.metric for s in selectors(tree)} for one, tree in pack.records()}
    for name in sorted(known.missing):
        places = named[name].places
        if known.waived(name):
            continue
        if name not in inputs:
            message = f"names {name}, which has had no series for {format_duration(asking.within)}"
            todo = "export it, correct the name, or give the reason in lint.yaml"
            only_bad = all(place.endswith(" bad") for place in places)  # nothing bad may have happened yet
            severity: Severity = "warning" if only_bad else "error"
            yield Finding("series", severity, places[0], f"{message}{_elsewhere(places)}; {todo}")
        elif not inputs[name] & known.missing:
            message = f"names {name}, a recording that gives nothing although all that it reads is there"
            todo = "see on the rules page of Prometheus whether it is loaded and evaluated"
            yield Finding("series", "warning", places[0], f"{message}{_elsewhere(places)}; {todo}")


def labels(pack: Pack, named: Mapping[str, Metric], asking: Asking, known: Known) -> Iterator[Finding]:
    """Every label that is named of a scraped metric must be on some series of it."""
    wanted = [name for name in named if name in known.present and name not in pack.recorded and named[name].labels]
    for name in asking.each("labels", wanted):
        known.labels[name] = asking.label_names(name)
        for label in named[name].labels:
            how = named[name].strongest(label)
            if label in known.labels[name] or how in TAKEN_AWAY or (how == "le" and not name.endswith("_bucket")):
                continue
            if known.waived(f"{name}{{{label}}}"):
                continue
            places = [place for places in named[name].labels[label].values() for place in places]
            has = listed(known.labels[name] - {"__name__"}, most=12)
            message = f"names the label {label} of {name} ({_HOW[how]}), and no series has it; they have {has}"
            level: Severity = "error" if how in ERRORS else "warning"
            todo = "correct the name, or let the exporter or the scrape attach it"
            yield Finding("label", level, places[0], f"{message}{_elsewhere(places)}; {todo}")


_HOW = {
    "matcher": "in a condition",
    "group_left": "in group_left or group_right",
    "le": "of a histogram",
    "on": "in on",
    "by": "in by",
    "chosen": "in a condition that all series meet",
    "shown": "in a text or a legend",
}


def values(pack: Pack, asking: Asking, known: Known) -> Iterator[Finding]:
    """Every condition must be met by a series: a slip in a value is silent, too."""
    places: dict[Selector, list[str]] = {}
    for one, tree in pack.parsed:
        for selector in selectors(tree):
            wanted = [m for m in selector.matchers if m.demands and m.operator in {"=", "=~"} and m.label != "__name__"]
            labels = known.labels.get(selector.metric)
            if wanted and selector.metric in known.present and (labels is None or {m.label for m in wanted} <= labels):
                places.setdefault(selector.narrowed(wanted), []).append(one.place)
    there = asking.there("values", places)
    for selector, found in there.items():
        if isinstance(found, str):
            yield Finding("value", "error", places[selector][0], f"{selector} could not be asked for: {found}")
        if found:
            continue
        waived = [known.waived(f"{selector.metric}{{{matcher.label}}}") for matcher in selector.matchers]
        if not any(waived):
            where = list(dict.fromkeys(places[selector]))
            why = _why(selector, asking)
            message = f"asks for {selector}, which no series has met for {format_duration(asking.within)}: {why}"
            todo = "correct the value, or give the reason in lint.yaml"
            yield Finding("value", "warning", where[0], f"{message}{_elsewhere(where)}; {todo}")


def _why(selector: Selector, asking: Asking) -> str:
    everything = plain(selector.metric)
    for matcher in selector.matchers:
        found = asking.label_values(everything, matcher.label)
        if not any(_meets(value, matcher) for value in found):
            return f"{matcher.label} is {listed(found)}"
    return "each condition is met, all together are not"


def _meets(value: str, matcher: Matcher) -> bool:
    if matcher.operator == "=":
        return value == matcher.value
    try:
        return re.fullmatch(matcher.value, value) is not None
    except re.error:
        return True  # Go's dialect; nobody knows here


def kinds(pack: Pack, asking: Asking) -> Iterator[Finding]:
    """Functions for counters over gauges, and the other way round, as the exporter declares them."""
    metadata = asking.source.metadata()
    seen: set[tuple[str, str, str]] = set()
    for one, tree in pack.parsed:
        for function, read in ranged(tree):
            if not isinstance(read, Selector) or (one.place, function, read.metric) in seen:
                continue
            seen.add((one.place, function, read.metric))
            kind = types(metadata, read.metric)
            if function in COUNTER and kind == "gauge":
                message = f"takes {function}() of {read.metric}, which its exporter calls a gauge"
                todo = "every fall of it would count as a restart; use delta(), deriv() or avg_over_time()"
                yield Finding("type", "error", one.place, f"{message}: {todo}")
            elif function in GAUGE and kind == "counter" and not read.metric.endswith("_total"):
                message = f"takes {function}() of {read.metric}, which its exporter calls a counter"
                todo = "it is negative at every restart; use rate() or increase()"
                yield Finding("type", "error", one.place, f"{message}: {todo}")


def idle(named: Mapping[str, Metric], known: Known) -> Iterator[Finding]:
    """Reasons that nothing needs, all of one kind in one finding."""
    left = [name for name in known.waivers if name not in known.used]
    unknown = [name for name in left if name.partition("{")[0] not in named]
    there = [name for name in left if name not in unknown]
    if unknown:
        message = f"gives a reason for {listed(unknown, most=len(unknown))}, which nothing names"
        yield Finding("idle-waiver", "warning", "lint.yaml", f"{message}; remove the lines")
    if there:
        message = f"gives a reason for {listed(there, most=len(there))}, which is there"
        yield Finding(
            "idle-waiver", "warning", "lint.yaml", f"{message}; remove the lines, unless an event has just been"
        )


def _elsewhere(places: list[str]) -> str:
    more = len(set(places)) - 1
    return f" (and {more} other place{'s' if more != 1 else ''})" if more > 0 else ""
