"""The same rules, but all of their time is shorter: for drills that cannot wait for hours. Pure.

Ranges, offsets, `for`, intervals and seconds that an expression counts with are divided; names, labels, shares and
texts stay, so that `...:ratio_rate1h` then is the share of a minute or two, and dashboards and queries still find it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from watchdog.quantities import parse_duration, promql_duration
from watchdog.rulebook.model import Group, Rule
from watchdog.rulebook.promql import outside_strings

LEAST_INTERVAL = 1
"""Seconds: evaluating more often tells nothing that a scrape has not brought yet."""
_SPAN = re.compile(r"(?<=\[)\w+(?=[\]:])|(?<=:)\w+(?=\])|(?<=\boffset )\w+")
_SECONDS = re.compile(
    r"(?<=\btime\(\) - )\d+"  # since so many seconds
    r"|(?<=process_start_time_seconds < )\d+"  # a process as young as that
    r"|\b\d+(?= \* (?:avg_over_time\()?[\w:]+:rate\d)"  # events of so many seconds, from events a second
)


def paced(groups: Iterable[Group], faster: int) -> list[Group]:
    """The groups with every time divided by `faster`; at 1 they are what they were."""
    if faster == 1:
        return list(groups)
    return [
        Group(
            group.name,
            max(LEAST_INTERVAL, round(group.interval / faster)),
            tuple(_rule(rule, faster) for rule in group.rules),
        )
        for group in groups
    ]


def _rule(rule: Rule, faster: int) -> Rule:
    expr = outside_strings(rule.expr, lambda part: _shorter(part, faster))
    return replace(rule, expr=expr, hold=_slower(rule.hold, faster), keep=_slower(rule.keep, faster))


def _slower(written: str, faster: int) -> str:
    return _span(written, faster) if written else ""


def _shorter(part: str, faster: int) -> str:
    part = _SPAN.sub(lambda found: _span(found[0], faster), part)
    return _SECONDS.sub(lambda found: f"{int(found[0]) / faster:g}", part)


def _span(written: str, faster: int) -> str:
    return promql_duration(parse_duration(written) / faster)
