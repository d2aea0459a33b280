"""What an answer of another service says: its JSON, how long to wait, where it points. Nothing in it is trusted."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

MAX_DEPTH = 100
"""Levels of lists and maps in one answer."""

LONGEST_WAIT = 3600.0
"""Seconds; a service that asks to be left alone for longer is asked again after this."""


def parsed(raw: bytes) -> Any:
    """The JSON in `raw`. ValueError for what is not JSON to the letter, ambiguous, endless or too deep."""
    try:
        value = json.loads(
            raw, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_refuse_repetition
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        if not level:
            return value
        for text in level:
            if isinstance(text, str) and not text.isascii():
                text.encode()  # fails for half a surrogate pair, which nothing could write down again
        inner = [each for each in level if isinstance(each, dict | list)]
        level = [deep for each in inner for deep in (each.values() if isinstance(each, dict) else each)]
    raise ValueError(f"nested more than {MAX_DEPTH} levels deep")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number


def _refuse_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A key twice has no meaning."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands in one map twice")
    "".join(found).encode()
    return found


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """How long a service wants to be left alone: `Retry-After` (seconds or a date), or an `X-RateLimit-Reset`."""
    after, reset = headers.get("Retry-After", "").strip(), headers.get("X-RateLimit-Reset", "").strip()
    if after.isascii() and after.isdecimal():
        return min(float(after[:9]), LONGEST_WAIT)
    stamp = _stamp(after) if after else None
    if stamp is None and reset.isascii() and reset.isdecimal() and len(reset) < 20:
        number = float(reset)
        stamp = number / 1000 if number > 1e11 else number if number > 1e9 else None
    if stamp is None:
        return None
    now = _stamp(headers.get("Date", ""))
    return min(max(0.0, stamp - (time.time() if now is None else now)), LONGEST_WAIT)


def _stamp(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None


def without_query(address: str) -> str:
    """An address without credentials and query: sign-in redirects carry secrets there."""
    head = address.partition("?")[0].partition("#")[0]
    scheme, slashes, rest = head.partition("//")
    host, slash, path = rest.partition("/")
    return scheme + slashes + host.rpartition("@")[2] + slash + path
