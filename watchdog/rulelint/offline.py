"""Every check that needs nothing but the files. Each finds only what is surely wrong. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from watchdog.rulelint import alerting, matching, ranges
from watchdog.rulelint.model import Finding, Pack

Check = Callable[[Pack], Iterator[Finding]]


def syntax(pack: Pack) -> Iterator[Finding]:
    """An expression that is no PromQL."""
    for one in pack.read:
        if one.tree is None:
            start = " ".join(one.expression.text.split())[:80]
            message = (
                f"is no PromQL: {one.trouble}; it begins with {start!r}, see whether a bracket or quote is missing"
            )
            yield Finding("syntax", "error", one.place, message)


CHECKS: Mapping[str, Check] = {
    "syntax": syntax,
    "near-name": matching.near_name,
    "short-range": ranges.short_range,
    "stale-recording": ranges.stale_recording,
    "counter": ranges.counter,
    "lost-label": matching.lost_label,
    "no-such-label": matching.no_such_label,
    "unmatched": matching.unmatched,
    "annotations": alerting.said_enough,
    "no-for": alerting.no_for,
    "duplicate": alerting.duplicate,
    "time-shift": ranges.time_shift,
}
"""The checks by name, in the order in which they look."""


def lint(pack: Pack) -> list[Finding]:
    """What is found in the files alone, each finding once, in the order of the expressions."""
    order = {one.place: index for index, one in enumerate(pack.read)}
    found = dict.fromkeys(finding for check in CHECKS.values() for finding in check(pack))
    return sorted(found, key=lambda finding: order.get(finding.place, len(order)))
