"""Queries of objectives -> expressions of recording rules. Text only, but never inside a quoted string."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from watchdog.quantities import promql_duration

_STRING = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)""")
_OTHER_AGGREGATION = re.compile(
    r"\b(avg|min|max|count|group|stddev|stdvar|topk|bottomk|quantile|count_values)\s*(\(|by\b|without\b)"
)
_PLAIN_SUM = re.compile(r"\bsum\s*\(")
_GROUPED_SUM = re.compile(r"\bsum\s+(by|without)\b")
_NO_LABELS = re.compile(r"\b(vector|scalar|absent|absent_over_time|on|ignoring|group_left|group_right)\s*\(")
_INCREASE = re.compile(r"\bincrease\s*\(")
_OVER_TIME = re.compile(r"\b\w+_over_time\s*\(")
_BUCKET = re.compile(r'\ble="([0-9.]+)"')
_PARAMETER = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def outside_strings(expression: str, change: Callable[[str], str]) -> str:
    """The expression with `change` applied to everything that is not a quoted string."""
    parts = _STRING.split(expression)
    return "".join(part if index % 2 else change(part) for index, part in enumerate(parts))


def bare(expression: str) -> str:
    """The expression with every quoted string empty: what it is built of."""
    parts = _STRING.split(expression)
    return "".join('""' if index % 2 else part for index, part in enumerate(parts))


def leveled(query: str, by: Sequence[str]) -> str:
    """The query with every `sum` made one `by` these labels, and without its `$labels`.

    Raises ValueError where that would not be the same sum for each of them.
    """
    skeleton = bare(query)
    for pattern, what in (
        (_OTHER_AGGREGATION, "aggregates with something else than sum"),
        (_GROUPED_SUM, "has a sum with by or without of its own"),
        (_NO_LABELS, "has a part that has none of the labels"),
    ):
        found = pattern.search(skeleton)
        if found is not None:
            raise ValueError(
                f"{what} ({found.group().strip()}), so it cannot be recorded by {', '.join(by)}; write it with plain "
                "sum(...) only, or by: [] and labels:"
            )
    if _PLAIN_SUM.search(skeleton) is None:
        raise ValueError(f"has no sum(...), so it cannot be recorded by {', '.join(by)}; write by: [] and labels:")
    grouped = outside_strings(query, lambda part: _PLAIN_SUM.sub(f"sum by ({', '.join(by)}) (", part))
    return unlabeled(grouped)


def unlabeled(query: str) -> str:
    """The query for every service: without `$labels`, and without the braces when nothing else is in them."""

    def change(part: str) -> str:
        return re.sub(r"\{\s*\}", "", re.sub(r"\$labels\s*,?\s*", "", part))

    return outside_strings(query, change)


def as_rate(query: str) -> tuple[str, bool]:
    """The query a second where it counts increases; (query, False) where it counts samples in the range."""
    skeleton = bare(query)
    if _INCREASE.search(skeleton) is None or _OVER_TIME.search(skeleton) is not None:
        return query, False
    return outside_strings(query, lambda part: _INCREASE.sub("rate(", part)), True


def everywhere(bad: str, total: str) -> bool:
    """Whether the one has a value wherever the other has: it is `TOTAL - (... or 0 * TOTAL)`."""
    said, whole = (" ".join(text.split()) for text in (bad, total))
    start, end = f"{whole} - (", f" or 0 * {whole})"
    if not (said.startswith(start) and said.endswith(end)):
        return False
    depth = 1
    for letter in bare(said[len(start) : -1]):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if not depth:  # what opened there was closed before the end
            return False
    return True


def over(query: str, seconds: float) -> str:
    """The query with `$range` written out."""
    return query.replace("$range", span(seconds))


def span(seconds: float) -> str:
    """A duration as rules are named and read: `5m`, `6h`, `3d`; `48h` stays below three days."""
    for unit, size, most in (("d", 86400, None), ("h", 3600, 48), ("m", 60, None), ("s", 1, None)):
        count, rest = divmod(int(seconds), size)
        if not rest and count and (most is None or count <= most) and not (unit == "d" and count == 2):
            return f"{count}{unit}"
    return promql_duration(seconds)


def bucket(query: str) -> Decimal | None:
    """The seconds of the one finite bucket that the query counts; None where there is none, or more than one."""
    found = set(_BUCKET.findall(query))
    return Decimal(found.pop()) if len(found) == 1 else None


def number(value: Decimal) -> str:
    """An exact number for PromQL: never an exponent, no needless zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with `$key` and `${key}` written out. ValueError names a key that is not known."""

    def written(match: re.Match[str]) -> str:
        key = match[1] or match[2]
        if key not in values:
            raise ValueError(f"uses ${key}, which is not known here; known are {', '.join(sorted(values))}")
        return values[key]

    return _PARAMETER.sub(written, text)
