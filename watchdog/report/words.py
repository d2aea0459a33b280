"""Instants, durations, shares and numbers as a reader of a report wants them. All times are UTC."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from watchdog.quantities import rfc3339

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"
NONE = "\N{EM DASH}"
SPACE = "\N{NO-BREAK SPACE}"


def stamp(at: float | None) -> str | None:
    """RFC 3339 in UTC, with milliseconds only where there are any; None stays None."""
    return None if at is None else rfc3339(at)


def instant(text: str) -> float:
    """The epoch seconds of a `stamp`."""
    return datetime.fromisoformat(text).timestamp()


def when(text: str | None) -> str:
    """A `stamp` for a person: date and time, whole seconds only where they are not zero."""
    if not text:
        return NONE
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S" if moment.second else "%Y-%m-%d %H:%M")


def clock(text: str | None, beside: str | None) -> str:
    """A `stamp` as a time of day with seconds, with its date where that differs from the date of `beside`."""
    if not text:
        return NONE
    moment = datetime.fromisoformat(text).astimezone(UTC)
    same = beside is not None and beside[:10] == text[:10]
    return moment.strftime("%H:%M:%S" if same else "%Y-%m-%d %H:%M:%S")


def lasted(seconds: float | None) -> str:
    """A duration in its two largest units: `41 s`, `2 h 5 min`, `9 d`; below ten seconds with a tenth."""
    if seconds is None:
        return NONE
    if seconds < 0:
        return MINUS + lasted(-seconds)
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + f"{SPACE}s"
    left, parts = round(seconds), []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{SPACE}{unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def hours(slices: int, length: int) -> str:
    """A number of consecutive slices as what they are to a reader: hours when a slice is one."""
    if length == 3600:
        return f"{slices} consecutive hours"
    return f"{slices} consecutive slices of {lasted(length)}"


def number(value: float | None, beside: float | None = None) -> str:
    """Four significant digits, and as many more as it takes to tell `value` from the limit `beside`."""
    if value is None:
        return NONE
    for digits in range(4, 13):
        text = _digits(value, digits)
        if beside is None or math.isclose(value, beside, rel_tol=1e-9) or text != _digits(beside, digits):
            return text
    return _digits(value, 12)


def _digits(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(places, 12)}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", MINUS)


def share(value: float | None, beside: float | None = None) -> str:
    """A fraction in percent. Near one, the digits are those of the distance from one: never rounded up to 100 %."""
    if value is None:
        return NONE
    if 0.9 < value < 1.0:
        places = max(2, 1 - math.floor(math.log10((1.0 - value) * 100)))
        text = f"{value * 100:.{places}f}"
        while places < 9 and beside is not None and value != beside and text == f"{beside * 100:.{places}f}":
            places += 1
            text = f"{value * 100:.{places}f}"
        return text.rstrip("0").rstrip(".") + f"{SPACE}%"
    return number(value * 100, None if beside is None else beside * 100) + f"{SPACE}%"


def figure(value: float | None, unit: str, beside: float | None = None) -> str:
    """A number in an objective's unit: `share` or `number`."""
    return share(value, beside) if unit == "share" else number(value, beside)


def percent(value: float | None) -> str:
    """Exposure, which is percent already."""
    return NONE if value is None else f"{value:.4g}{SPACE}%"


def listed(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 slice`, `2 slices`."""
    return f"{count:,}{SPACE}{one if count == 1 else many or one + 's'}"


def plain(value: Any) -> Any:
    """A JSON-ready copy: tuples and sets become lists, numbers that JSON has no word for become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | bool | int) or value is None:
        return str(value) if isinstance(value, str) else value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(plain(item) for item in value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value)
