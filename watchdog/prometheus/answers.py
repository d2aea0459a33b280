"""Reads Prometheus' answers: an envelope and what was asked become a `Series`, or `NoAnswer` with a sentence.

Only the shape is judged here. Values stay as they came, NaN and infinities too: whether they are any good is
for `evaluate` to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from watchdog.model import Reason, Series
from watchdog.prometheus.transport import NoAnswer

ANNOTATIONS = ("PromQL warning", "PromQL info")
"""Remarks of the query engine start like this; the data they speak of is complete."""

MALFORMED = (KeyError, IndexError, TypeError, ValueError, ArithmeticError, AttributeError)
_LABELS_SHOWN = 120


def incomplete(envelope: Mapping[str, Any]) -> str | None:
    """The first warning that says data is missing; None when the answer is whole."""
    warnings = envelope.get("warnings") or []
    for warning in warnings if isinstance(warnings, list) else [warnings]:
        if not str(warning).startswith(ANNOTATIONS):
            return str(warning)
    return None


def read(envelope: Mapping[str, Any], asked: range, *, over_range: bool) -> Series:
    """The answer to one expression at the instants `asked`. Raises NoAnswer when it is not understood."""
    try:
        data = envelope["data"]
        kind, result = data["resultType"], data["result"]
        if over_range:
            return _matrix(kind, result, asked)
        return _instant(kind, result, asked.start)
    except MALFORMED as error:
        message = f"Prometheus sent a result that is not understood ({type(error).__name__}: {error})"
        raise NoAnswer(Reason.QUERY_ERROR, f"{message}; expected numbers with their times.") from error


def _instant(kind: str, result: Sequence[Any], at: int) -> Series:
    if kind == "scalar":
        found = {at: _sample(result, at)}
        return Series(values=found)
    if kind != "vector":
        raise NoAnswer(
            Reason.QUERY_ERROR, f"The expression gives a {_KINDS.get(kind, kind)}; expected one number at a time."
        )
    if len(result) > 1:
        return Series(problems={at: _many([row["metric"] for row in result])})
    return Series(values={at: _sample(_floats(result[0], "value"), at)} if result else {})


def _sample(pair: Sequence[Any], at: int) -> float:
    time, text = pair
    if round(time) != at:
        raise _off_grid(time, at)
    return float(text)


def _matrix(kind: str, result: Sequence[Any], asked: range) -> Series:
    if kind != "matrix":
        raise NoAnswer(Reason.QUERY_ERROR, f"A range query gave a {_KINDS.get(kind, kind)}; expected a matrix.")
    answers = [_points(_floats(row, "values"), asked) for row in result]
    if not answers:
        return Series()
    if len(answers) == 1:
        return Series(values=answers[0])
    holders: dict[int, list[int]] = {}
    for k, points in enumerate(answers):
        for t in points:
            holders.setdefault(t, []).append(k)
    labels = [row["metric"] for row in result]
    values: dict[int, float] = {}
    problems: dict[int, tuple[Reason, str]] = {}
    for t in sorted(holders):
        if len(holders[t]) == 1:
            values[t] = answers[holders[t][0]][t]
        else:
            problems[t] = _many([labels[k] for k in holders[t]])
    return Series(values, problems)


def _points(pairs: Sequence[Sequence[Any]], asked: range) -> dict[int, float]:
    if not pairs:
        return {}
    ends = (pairs[0][0], pairs[-1][0])
    for time in ends:
        if round(time) not in asked:
            raise _off_grid(time, asked.start)
    # The hot loop of a replay. Prometheus writes whole seconds without a fraction; others may not.
    if all(type(time) is int for time in ends):
        return {time: float(text) for time, text in pairs}
    return {round(time): float(text) for time, text in pairs}


def _floats(row: Mapping[str, Any], key: str) -> Sequence[Any]:
    if key not in row and ("histogram" in row or "histograms" in row):
        message = "The expression gives a native histogram; expected a number"
        raise NoAnswer(Reason.QUERY_ERROR, f"{message}: use histogram_quantile() or histogram_fraction().")
    found: Sequence[Any] = row[key]
    return found


def _off_grid(time: object, asked: int) -> NoAnswer:
    message = f"Prometheus answered for the instant {time} when {asked} was asked"
    return NoAnswer(
        Reason.QUERY_ERROR, f"{message}: a proxy in front of it moves times to its own grid; turn that off."
    )


def _many(labels: Sequence[Mapping[str, str]]) -> tuple[Reason, str]:
    first, second = (show_labels(one) for one in labels[:2])
    message = f"The expression gives {len(labels)} series, {first} and {second} among them"
    return Reason.MANY_SERIES, f"{message}; expected one: aggregate it, for example with sum()."


def show_labels(labels: Mapping[str, str]) -> str:
    """A label set as Prometheus writes it, shortened."""
    pairs = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()) if name != "__name__")
    text = f"{labels.get('__name__', '')}{{{pairs}}}"
    return text if len(text) <= _LABELS_SHOWN else text[: _LABELS_SHOWN - 4] + "...}"


_KINDS = {"matrix": "range vector", "string": "string", "vector": "vector", "scalar": "scalar"}


# What commands ask besides. What is not as it should be raises one of MALFORMED.


def numbers(rows: Sequence[Any]) -> list[tuple[dict[str, str], float]]:
    """The series of an answer at one instant: the labels of each, and its number."""
    return [({str(k): str(v) for k, v in row["metric"].items()}, float(row["value"][1])) for row in rows]


def map_in(found: Any) -> dict[str, Any]:
    """A map as it is."""
    if not isinstance(found, dict):
        raise TypeError(f"{type(found).__name__} where a map was expected")
    return found


def labels_in(rows: Sequence[Any]) -> list[dict[str, str]]:
    """The labels of each series of an answer."""
    return [map_in(row["metric"]) for row in rows]


def metadata_in(rows: Sequence[Any]) -> dict[str, dict[str, str]]:
    """Type, help and unit by metric."""
    return {row["metric_name"]: {key: row[key] for key in ("type", "help", "unit")} for row in rows}


def intervals_in(found: Mapping[str, Any]) -> dict[str, float]:
    """Seconds between two scrapes, by job; the longest where its targets differ."""
    longest: dict[str, float] = {}
    for target in found["activeTargets"]:
        job = str(target["labels"].get("job", ""))
        longest[job] = max(longest.get(job, 0.0), seconds_of(target["scrapeInterval"]))
    return longest


def seconds_of(duration: str) -> float:
    """A duration as Prometheus prints it, such as 1m30s or 500ms."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|[smhdwy])", duration))


_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
