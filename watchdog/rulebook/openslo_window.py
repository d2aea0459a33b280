"""Time windows and budgeting methods of OpenSLO: which of them mean something here, and what."""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import Any

from watchdog.quantities import parse_decimal, shown
from watchdog.rolloutfile.fields import Section, flag, listing, mapping, text
from watchdog.rulebook.promql import number, span

_DURATION = re.compile(r"([1-9]\d{0,5})([mhdw])")
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}


class Method(StrEnum):
    """How OpenSLO counts a budget."""

    OCCURRENCES = "Occurrences"
    TIMESLICES = "Timeslices"
    RATIO_TIMESLICES = "RatioTimeslices"


def shorthand(found: Any) -> int:
    """Seconds of a duration such as `48h`. ValueError for months, quarters and years, whose lengths differ."""
    written = text(found)
    match = _DURATION.fullmatch(written)
    if match is None:
        raise ValueError(f"found {shown(written)}, expected minutes, hours, days or weeks such as 1h, 48h, 28d or 4w")
    return int(match[1]) * _SECONDS[match[2]]


def window(spec: Section) -> int | None:
    """Seconds of the rolling window; None without one. A calendar's is a problem."""
    if not spec.has("timeWindow"):
        return None
    items: dict[str, Any] = spec.take("timeWindow", _one_of_one, {})
    section = Section(items, spec.at("timeWindow"), spec.findings)
    if section.has("calendar") or not section.take("isRolling", flag, True):  # noqa: FBT003
        section.problem("calendar", "aligns the window with a calendar; here windows roll, write isRolling: true")
        return None
    seconds = section.need("duration", shorthand, 0, "duration: 48h")
    section.close()
    return seconds or None


def _one_of_one(found: Any) -> dict[str, Any]:
    if isinstance(found, dict):
        return found
    items = listing(found)
    if len(items) != 1:
        raise ValueError(f"has {len(items)} items, expected exactly one")
    return mapping(items[0])


def slices(section: Section, method: Method, target: Decimal, period: int | None) -> tuple[Decimal | None, list[str]]:
    """The share that every slice must reach, None where slices say nothing; and the notes for the rollout's window."""
    if method is Method.RATIO_TIMESLICES:
        section.problem("", "RatioTimeslices averages ratios; here events are pooled, write Occurrences or Timeslices")
        return None, []
    if method is Method.OCCURRENCES:
        for key in ("timeSliceTarget", "timeSliceWindow"):
            if section.has(key):
                section.problem(key, "belongs to budgetingMethod: Timeslices")
        return None, [] if period is None else [_watch(period)]
    share = section.need("timeSliceTarget", parse_decimal, Decimal("0.9"), "timeSliceTarget: 0.999")
    length = section.need("timeSliceWindow", _minutes_or, 3600, "timeSliceWindow: 1h")
    if not 0 < share < 1:
        section.problem("timeSliceTarget", f"is {shown(share)}, expected a share above 0 and below 1")
    if period is None or period % length:
        section.problem("timeSliceWindow", "does not divide the timeWindow; a window is whole slices")
        return None, []
    count = period // length
    if target * count <= count - 1:
        section.problem(
            "target",
            f"{number(target)} of {count} slices lets slices fail; here each one counts and a bad one starts the "
            f"window anew, which is a target above {number(Decimal(count - 1) / count)[:8]}",
        )
    return share, [f"in the rollout write window: {{slices: {count}, slice: {span(length)}}}"]


def _minutes_or(found: Any) -> int:
    written = text(found)
    return int(written) * 60 if written.isdecimal() and int(written) else shorthand(found)


def _watch(period: int) -> str:
    return (
        f"its window of {span(period)} is not part of an objective: burn alerts have the periods of "
        "rules/windows.yaml, a rollout has the key window"
    )
