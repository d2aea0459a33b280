"""Checks of times: ranges that hold too few samples, recordings that come too seldom, looks into another time. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from watchdog.quantities import format_duration
from watchdog.rulelint.model import Finding, Pack, Read
from watchdog.rulelint.nodes import Aggregate, Binary, Call, Node, Selector, Subquery, parts, ranged, walk

SAMPLES = 4
"""Scrape intervals that a range should be long: with two, one lost scrape leaves nothing to compare."""
LOOKBACK = 300.0
"""Seconds for which Prometheus takes the newest sample of a series for its present value."""
COUNTER = frozenset({"rate", "irate", "increase", "resets"})
"""Functions that take every fall of the value for a restart of the process."""
GAUGE = frozenset({"delta", "idelta", "deriv", "predict_linear", "holt_winters", "double_exponential_smoothing"})
COMPARING = COUNTER | GAUGE | {"changes"}
"""Functions that compare samples of a range with each other, and need several."""


def short_range(pack: Pack) -> Iterator[Finding]:
    """Ranges over scraped series below four intervals, and over recordings below the time between two of them."""
    for one, tree in pack.parsed:
        for function, read in dict.fromkeys(_reads(tree)):
            span, every = read.span or 0.0, pack.every.get(read.metric)
            if every is not None and span < every:
                yield Finding(
                    "short-range",
                    "error",
                    one.place,
                    f"reads {read.metric} over {format_duration(span)}, and it is recorded every "
                    f"{format_duration(every)}, so often there is no sample; use a longer range, or a shorter interval "
                    "of its group",
                )
            elif every is None and function in COMPARING and span < SAMPLES * pack.interval:
                yield too_short(one.place, function, read, pack.interval)


def _reads(tree: Node) -> Iterator[tuple[str, Selector]]:
    return ((function, read) for function, read in ranged(tree) if isinstance(read, Selector))


def too_short(place: str, function: str, read: Selector, interval: float) -> Finding:
    """The finding about a range over scraped series."""
    return Finding(
        "short-range",
        "error",
        place,
        f"takes {function}() of {read.metric or read} over {format_duration(read.span or 0.0)}, less than {SAMPLES} "
        f"scrape intervals of {format_duration(interval)}: one lost scrape and it has no value; use at least "
        f"{format_duration(SAMPLES * interval)}",
    )


def stale_recording(pack: Pack) -> Iterator[Finding]:
    """A recording that comes less often than every five minutes, read as if it were always there."""
    for one, tree in pack.parsed:
        for metric in sorted({s.metric for s in _instants(tree) if pack.every.get(s.metric, 0.0) > LOOKBACK}):
            yield Finding(
                "stale-recording",
                "error",
                one.place,
                f"reads {metric} at an instant, and it is recorded every {format_duration(pack.every[metric])}: "
                f"Prometheus forgets a sample after {format_duration(LOOKBACK)}, so it comes and goes; record it more "
                "often, or read it with last_over_time()",
            )


def _instants(tree: Node) -> Iterator[Selector]:
    return (one for one in walk(tree) if isinstance(one, Selector) and one.span is None)


def counter(pack: Pack) -> Iterator[Finding]:
    """Functions for counters over what is none, or none any more; functions for gauges over counters."""
    raw = {one.rule.name: _untouched(tree) for one, tree in pack.records()}
    for one, tree in pack.parsed:
        for function, read in ranged(tree):
            if function in COUNTER and isinstance(read, Subquery) and _summed(read.inner):
                yield Finding("counter", "error", one.place, _AFTER_SUM.format(function=function))
            elif isinstance(read, Subquery):
                continue
            elif function in COUNTER and not raw.get(read.metric, True):
                yield Finding("counter", "error", one.place, _OF_RECORDING.format(function=function, name=read.metric))
            elif function in GAUGE and read.metric.endswith("_total"):
                yield Finding("counter", "error", one.place, _OF_COUNTER.format(function=function, name=read.metric))


_AFTER_SUM = (
    "takes {function}() of a sum: a process that restarts lowers the sum, which reads as a restart of all of them and "
    "counts everything twice; write sum(rate(...)), not rate(sum(...))"
)
_OF_RECORDING = (
    "takes {function}() of {name}, a recording that is no plain counter (a rate, a share or a sum), so every fall of "
    "it counts as a restart; take {function}() of the counter itself, or avg_over_time() of the recording"
)
_OF_COUNTER = (
    "takes {function}() of the counter {name}, which is negative whenever a process restarts; use rate() or increase()"
)


def _untouched(tree: Node) -> bool:
    """Whether a recording still holds the samples of the series that it is made of."""
    pending = [tree]
    while pending:
        one = pending.pop()
        if isinstance(one, Call) and one.name in {"label_replace", "label_join", "sort", "last_over_time"}:
            pending.append(one.args[0])
        elif isinstance(one, Binary) and one.op in {"and", "unless"}:
            pending.append(one.left)
        elif isinstance(one, Binary) and one.op == "or":
            pending += [one.left, one.right]
        elif not isinstance(one, Selector):
            return False
    return True


def _summed(tree: Node) -> bool:
    """Whether it adds up series that are still counters: no function over a range below the sum."""
    pending: list[tuple[Node, bool]] = [(tree, False)]
    while pending:
        one, below = pending.pop()
        inside = below or (isinstance(one, Aggregate) and one.op == "sum")
        if isinstance(one, Selector) and one.span is None and inside:
            return True
        pending.extend((part, inside) for part in parts(one))
    return False


def time_shift(pack: Pack) -> Iterator[Finding]:
    """Looks into the future, and at one fixed moment, where neither can be meant."""
    for one, tree in pack.parsed:
        for node in walk(tree):
            if isinstance(node, Selector | Subquery):
                yield from _shifted(one, node)


def _shifted(one: Read, node: Selector | Subquery) -> Iterator[Finding]:
    what = node.metric or str(node) if isinstance(node, Selector) else "a subquery"
    role = one.expression.role
    if node.offset < 0 and role != "panel":
        message = f"looks {format_duration(-node.offset)} into the future of {what}, where there is nothing"
        yield Finding("time-shift", "error", one.place, f"{message}; write offset without the minus")
    if node.pinned == "At" and role != "panel":
        message = f"reads {what} at one fixed moment (@), so it never changes"
        yield Finding("time-shift", "error", one.place, f"{message}; take the @ away, or use offset")
    elif node.pinned and role == "objective":
        message = f"reads {what} at @ start() or @ end(), which is another moment in a replay than in a tick"
        yield Finding("time-shift", "error", one.place, f"{message}; take the @ away")
