"""Quiet hours: until when a message waits. Pure, and right on the two days a year on which clocks are changed."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from watchdog.messages.compose import About
from watchdog.messages.message import Effect, Message
from watchdog.messages.notices import TRANSITION
from watchdog.model import Quiet, Severity

_LOUDNESS = (Severity.INFO, Severity.WARNING, Severity.CRITICAL)
_AT_ONCE = (TRANSITION, "test")
"""Kinds that somebody waits for: a pipeline, or whoever asked for a test."""


def held_until(message: Message, about: About, now: float) -> float | None:
    """Until which wall time this message waits; None when it may go now.

    What is critical never waits; nor does what ends an incident, or is news of one that is open.
    """
    quiet = about.rule.quiet if about.rule is not None and about.rule.quiet is not None else about.defaults.quiet
    if quiet is None or message.kind in _AT_ONCE or message.severity is Severity.CRITICAL:
        return None
    if _LOUDNESS.index(message.severity) >= _LOUDNESS.index(quiet.below):
        return None
    news = message.effect is Effect.OPEN and message.severity is Severity.INFO
    if news or message.closes or message.effect is Effect.RESOLVE:
        return None
    return end_of(quiet, now)


def end_of(quiet: Quiet, now: float) -> float | None:
    """When the quiet hours end that `now` is in; None outside of them, and in a zone that this machine lacks."""
    try:
        zone = ZoneInfo(quiet.zone)
    except (ValueError, OSError, KeyError):
        return None  # better told at night than not at all
    today = datetime.fromtimestamp(now, zone).date()
    for first in (today - timedelta(days=1), today):
        last = first if quiet.start < quiet.end else first + timedelta(days=1)
        end = _instant(last, quiet.end, zone, second=True)
        if _instant(first, quiet.start, zone, second=False) <= now < end:
            return end
    return None


def _instant(day: date, minute: int, zone: ZoneInfo, *, second: bool) -> float:
    """When clocks in the zone show that minute of the day; where they skip it, when they first show a later one.

    `second` chooses the later one of the two when clocks are set back over it.
    """
    wanted = datetime.combine(day, time(minute // 60, minute % 60))
    at = wanted.replace(tzinfo=zone, fold=int(second)).timestamp()
    if datetime.fromtimestamp(at, zone).replace(tzinfo=None) == wanted:
        return at
    at = wanted.replace(tzinfo=zone, fold=1).timestamp()
    while datetime.fromtimestamp(at, zone).replace(tzinfo=None) < wanted:
        at += 60.0
    return at
