"""Durations, shares, numbers and instants as people write them, and back. Pure; every error is a `ValueError` sentence.

Arithmetic is decimal until the last step, so that `0.1%` and `0.001` are the same float, and `1 - 98%` is 0.02.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

UNITS = {
    "w": Decimal(604800),
    "d": Decimal(86400),
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
}
"""Seconds of a unit, largest first: a compound such as 1h30m names each at most once, in this order."""
LONGEST = 10 * 365 * 86400
"""Ten years: what is longer is a slip of the pen."""
FIRST, LAST = -62_135_596_800.0, 253_402_300_799.0
"""The first and the last second with a date that can be written: the years 1 to 9999 in UTC."""
_NUMBER = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,2})?")
_PART = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)(ms|[wdhms])")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")


def shown(found: object) -> str:
    """What was found, fit for a sentence: short, quoted where it is text, named where it is a collection."""
    if found is None:
        return "nothing"
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, dict):
        return "a mapping"
    if isinstance(found, (list, tuple)):
        return "a list"
    text = str(found)
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def promql_duration(seconds: float) -> str:
    """A duration as PromQL takes it: whole seconds, or whole milliseconds at the finest."""
    return f"{seconds:.0f}s" if float(seconds).is_integer() else f"{round(seconds * 1000)}ms"


def parse_decimal(written: object) -> Decimal:
    """An exact finite number from text or a number; ValueError otherwise."""
    if isinstance(written, bool) or not isinstance(written, (str, int, float)):
        raise ValueError(f"found {shown(written)}, expected a number")  # noqa: TRY004 - one error for every bad value
    text = str(written).strip()
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"found {shown(written)}, expected a number")
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"found {shown(written)}, expected a number") from error


def parse_number(written: object) -> float:
    """A finite float; ValueError otherwise."""
    return float(parse_decimal(written))


def parse_duration(written: object) -> float:
    """Seconds of `30s`, `5m`, `48h`, `7d`, `250ms`, `1h30m`; a bare number is seconds. ValueError otherwise."""
    expected = f"found {shown(written)}, expected a duration such as 30s, 5m, 1h30m, 7d or 250ms"
    if isinstance(written, bool) or not isinstance(written, (str, int, float)):
        raise ValueError(expected)  # noqa: TRY004
    text = str(written).strip()
    seconds = parse_decimal(text) if _NUMBER.fullmatch(text) else _compound(text)
    if seconds is None:
        raise ValueError(expected)
    if seconds < 0:
        raise ValueError(f"found {shown(written)}, expected a duration that is not negative")
    if seconds > LONGEST:
        raise ValueError(f"found {shown(written)}, expected a duration of at most ten years")
    return float(seconds)


def _compound(text: str) -> Decimal | None:
    total, position, smallest = Decimal(0), 0, Decimal("Infinity")
    while position < len(text):
        part = _PART.match(text, position)
        if part is None or UNITS[part[2]] >= smallest:
            return None
        smallest = UNITS[part[2]]
        total += Decimal(part[1]) * smallest
        position = part.end()
    return total if position else None


def parse_share(written: object) -> float:
    """A share between 0 and 1: `0.1%` and `0.001` are the same float. ValueError otherwise."""
    return float(exact_share(written))


def exact_share(written: object) -> Decimal:
    """`parse_share` before the last step, for arithmetic such as 1 - 98%."""
    text = str(written).strip() if isinstance(written, (str, int, float)) and not isinstance(written, bool) else ""
    percent = text.endswith("%")
    number = text[:-1].rstrip() if percent else text
    if not _NUMBER.fullmatch(number):
        raise ValueError(f"found {shown(written)}, expected a share such as 0.1% or 0.001")
    share = Decimal(number) / 100 if percent else Decimal(number)
    if not 0 <= share <= 1:
        hint = f"; write {number}% if percent was meant" if not percent and 1 < share <= 100 else ""
        raise ValueError(f"found {shown(written)}, expected a share between 0 and 1, or 0% and 100%{hint}")
    return share


def parse_percent(written: object) -> float:
    """A percentage between 0 and 100, written `25` or `25%`, to three decimals. ValueError otherwise."""
    text = str(written).strip() if isinstance(written, (str, int, float)) and not isinstance(written, bool) else ""
    number = text.removesuffix("%").rstrip()
    if not _NUMBER.fullmatch(number) or not 0 <= Decimal(number) <= 100:
        raise ValueError(f"found {shown(written)}, expected a percentage between 0 and 100")
    rounded = round(Decimal(number), 3)
    if rounded != Decimal(number):
        raise ValueError(f"found {shown(written)}, expected at most three decimals: no flag service divides finer")
    return float(rounded)


def parse_limit(written: object) -> float:
    """The limit of a value objective: a number, a share (`0.1%` = 0.001) or a duration (`200ms` = 0.2)."""
    if isinstance(written, str):
        text = written.strip()
        if text.endswith("%") and _NUMBER.fullmatch(text[:-1].rstrip()):
            return float(Decimal(text[:-1].rstrip()) / 100)
        if not _NUMBER.fullmatch(text):
            seconds = _compound(text)
            if seconds is None:
                raise ValueError(
                    f"found {shown(written)}, expected a number, a share such as 0.1% or a duration such as 200ms"
                )
            return float(seconds)
    return parse_number(written)


def format_duration(seconds: float) -> str:
    """`1h30m`, `2d`, `250ms`, `0s`: largest units first, to the millisecond; `parse_duration` reads it back."""
    if seconds < 0:
        return f"-{format_duration(-seconds)}"
    if not math.isfinite(seconds):
        return "for ever"
    left, parts = round(seconds * 1000), []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def format_share(share: float) -> str:
    """`0.1%` for 0.001: six significant digits, never an exponent."""
    if not math.isfinite(share):
        return str(share)
    return f"{_plain(Decimal(repr(float(share))) * 100)}%"


def format_number(number: float) -> str:
    """A number for a sentence: six significant digits (whole numbers complete), never an exponent."""
    if not math.isfinite(number):
        return str(number)
    return _plain(Decimal(repr(float(number))))


def _plain(number: Decimal) -> str:
    if number == number.to_integral_value():
        return f"{number:.0f}" if number else "0"
    digits = max(0, 5 - number.adjusted())
    text = f"{number:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def rfc3339(at: float) -> str:
    """An instant (epoch seconds) in UTC, with milliseconds only where it has any: `2026-11-22T09:00:00Z`.

    What lies before the year 1 or after 9999, as a zone makes it, is written as the nearest second that has a date.
    """
    moment = datetime.fromtimestamp(round(min(max(at, FIRST), LAST) * 1000) / 1000, UTC)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")


def parse_time(written: object) -> float:
    """Epoch seconds of an RFC 3339 instant. ValueError without a zone: nobody should guess one."""
    expected = f"found {shown(written)}, expected a time with its zone such as 2026-11-22T09:00:00Z"
    if not isinstance(written, str) or not _TIME.fullmatch(written.strip()):
        raise ValueError(expected)
    try:
        return datetime.fromisoformat(written.strip().upper()).timestamp()
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{expected} that exists in the calendar") from error
