"""Rows as JSON by column, which compresses well and is read fast: tables of a bundle are kept like this.

    {"table": "steps", "rows": 3, "columns": {"at": [60, 120, 180], "detail": {"all": ""}, ...}}

A column that has one value throughout says so once. Floats read back to the same bits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from watchdog.evidence.archive import Damaged

Row = dict[str, Any]
MOST_VALUES = 40_000_000
"""Values of one table. A year of a rollout's slots has a tenth of that."""
SCALARS = (str, int, float, type(None))


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The rows of a table, which all have the same columns, by column."""
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def encode(table: str, columns: Mapping[str, list[Any]]) -> bytes:
    """The columns of a table as text."""
    told: dict[str, Any] = {}
    for name, values in columns.items():
        first = values[0]
        same = all(value is first or (value == first and type(value) is type(first)) for value in values)
        told[name] = {"all": first} if same else values
    count = len(next(iter(columns.values()), ()))
    document = {"table": table, "rows": count, "columns": told}
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def decode(name: str, table: str, data: bytes) -> dict[str, list[Any]]:
    """What `encode` was given for that table; `name` is the member's. Raises Damaged."""
    document = parse(name, data)
    count, columns = document.get("rows"), document.get("columns")
    if document.get("table") != table or type(count) is not int or not isinstance(columns, dict) or len(document) != 3:
        raise Damaged(f"{name} does not hold the columns of the table {table}")
    if not columns or not 0 < count <= MOST_VALUES // len(columns):
        raise Damaged(f"{name} cannot have {count} rows")
    if count > 1 and not any(isinstance(found, list) for found in columns.values()):
        raise Damaged(f"{name} has {count} rows that are all the same, which no table has")
    return {key: _values(name, key, found, count) for key, found in columns.items()}


def rows_of(columns: Mapping[str, list[Any]]) -> list[Row]:
    """Columns as rows again."""
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def parse(name: str, data: bytes) -> Row:
    """A JSON object, strictly: no key twice, no NaN, nothing nested beyond reason. Raises Damaged."""
    try:
        found = json.loads(data, object_pairs_hook=_pairs, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{name} is no JSON as it is written here: {error}") from error
    if not isinstance(found, dict):
        raise Damaged(f"{name} is no JSON object")
    return found


def _values(name: str, key: str, found: Any, count: int) -> list[Any]:
    if isinstance(found, dict) and list(found) == ["all"]:
        if not isinstance(found["all"], SCALARS):
            raise Damaged(f"{name} has a column {key} whose value is no scalar")
        return [found["all"]] * count
    if not isinstance(found, list) or len(found) != count:
        raise Damaged(f"{name} has {count} rows and a column {key} of another length")
    if not set(map(type, found)) <= {str, int, float, bool, type(None)}:
        raise Damaged(f"{name} has a column {key} with a value that is no scalar")
    return found


def _pairs(pairs: list[tuple[str, Any]]) -> Row:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has one key twice")
    return found


def _refused(word: str) -> Any:
    raise ValueError(f"{word} is no number")
