"""The names of recorded series: level:metric:operations, the newest operation first. Pure."""

from __future__ import annotations

from collections.abc import Container

from watchdog.rulebook.model import Indicator
from watchdog.rulebook.promql import as_rate, span

BASE = 300
"""Seconds of the range that is read from raw series; everything longer is put together from what that recorded."""
FAST = 3600
"""Up to here a range is averaged from the base recordings; longer ones are summed from disjoint five minutes."""
DAY = 86400
"""A range of several of these is put together from what the recording of one day said then: a look-up for each day in
place of 288 samples."""
THEN = 3600
"""Seconds in which the newest sample of a day ago is looked for. A server that was down just then for less than this
loses nothing: what is missing between the two days is what it did not see anyway."""


def level(indicator: Indicator) -> str:
    """The labels that its recordings have, as the first part of their names."""
    return "_".join(indicator.by or indicator.labels)


def per_second(indicator: Indicator) -> bool:
    """Whether its queries count increases, so that its base recordings are rates."""
    return as_rate(indicator.total)[1] and as_rate(indicator.bad)[1]


def events(indicator: Indicator, *, bad: bool) -> str:
    """The base recording: events a second, or samples in five minutes."""
    metric = indicator.bad_name if bad else indicator.total_name
    return f"{level(indicator)}:{metric}:{'rate' if per_second(indicator) else 'count'}{span(BASE)}"


def block(indicator: Indicator, *, bad: bool) -> str:
    """The events of five minutes, recorded every five minutes: their sum is every event once."""
    metric = indicator.bad_name if bad else indicator.total_name
    return f"{level(indicator)}:{metric}:increase{span(BASE)}"


def ratio(indicator: Indicator, seconds: int) -> str:
    """The share of bad events in a range."""
    return f"{level(indicator)}:{indicator.bad_name}_per_{indicator.total_name}:ratio_rate{span(seconds)}"


def value(indicator: Indicator) -> str:
    """The recording of a value objective."""
    return f"{level(indicator)}:{indicator.total_name}:value"


def counted(indicator: Indicator, seconds: int, *, bad: bool = True) -> str:
    """The events of a range, recorded because its share and several alerts, or longer ranges, ask for them."""
    metric = indicator.bad_name if bad else indicator.total_name
    return f"{level(indicator)}:{metric}:increase{span(seconds)}"


def of_days(seconds: int) -> bool:
    """Whether a range is several whole days."""
    return seconds > DAY and seconds % DAY == 0


def count_in(indicator: Indicator, seconds: int, known: Container[int], *, bad: bool = True) -> str:
    """An expression: the events of a range. `known` are the ranges for which `counted` is recorded."""
    if of_days(seconds):
        return _day_by_day(indicator, seconds, known, bad=bad)
    if seconds > FAST:
        return f"sum_over_time({block(indicator, bad=bad)}[{span(seconds)}])"
    return f"{_scale(indicator, seconds)} * {_average(indicator, seconds, bad=bad)}"


def share_in(indicator: Indicator, seconds: int, known: Container[int]) -> str:
    """An expression: the share of bad events in a range; nothing where there were no events.

    `known` are the ranges whose bad events have a recording. Of all events that of one day has one.
    """
    if seconds not in known and seconds <= FAST:  # both averages are of the same range: their scale is, too
        bad, total = (_average(indicator, seconds, bad=which) for which in (True, False))
        return f"{bad}\n/ ({total} > 0)"
    bad = counted(indicator, seconds) if seconds in known else count_in(indicator, seconds, known)
    total = counted(indicator, DAY, bad=False) if seconds == DAY else count_in(indicator, seconds, {DAY}, bad=False)
    return f"{bad}\n/ ({total} > 0)"


def _day_by_day(indicator: Indicator, seconds: int, known: Container[int], *, bad: bool) -> str:
    """Whole days: the longest range of them that is recorded, and for each day before it what was recorded at its end.

    Where there is nothing at its end, because nobody counted yet or nothing had happened for a day, that day is 0.
    """
    day = counted(indicator, DAY, bad=bad)
    newest = next(range_ for range_ in range(seconds - DAY, 0, -DAY) if range_ in known)
    before = (
        f"(last_over_time({day}[{span(THEN)}] offset {span(end)}) or 0 * {day})" for end in range(newest, seconds, DAY)
    )
    return "\n+ ".join((counted(indicator, newest, bad=bad), *before))


def _scale(indicator: Indicator, seconds: int) -> int:
    """What makes a count of a range out of the average of its base recordings."""
    return seconds if per_second(indicator) else seconds // BASE


def _average(indicator: Indicator, seconds: int, *, bad: bool) -> str:
    return f"avg_over_time({events(indicator, bad=bad)}[{span(seconds)}])"
