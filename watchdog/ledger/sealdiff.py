"""Which row of a seal is not what was sealed, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any

from watchdog.ledger.canon import NAMES, SHAPES, Shape
from watchdog.ledger.seals import Lines
from watchdog.quantities import rfc3339

Rows = list[tuple[Shape, Mapping[str, Any]]]
"""Rows of one seal in their order, as far as they are remembered."""


def of_found(
    seal: Mapping[str, Any], rows: Rows, lines: Lines, found: Mapping[str, Any], counts: Mapping[str, int]
) -> str | None:
    """The same for what an upgrade found: too much for a tag on each measurement, so those are counted."""
    few = Lines()
    few.tags = bytearray(b"".join(one.to_bytes(4, "big") for one in _tags(lines.tags) if not _dense(one)))
    if differs := difference(seal, [one for one in rows if not one[0].dense], few):
        return differs
    gone = seal["dense"] is not None and not lines.rows[True]
    for name, shape in SHAPES.items():
        if shape.dense and not gone and counts.get(name, 0) != found.get(name, 0):
            what = f"{counts.get(name, 0)} rows of {name} are there, {found.get(name, 0)} were sealed as found"
            return f"{what} by {when(seal)}"
    return None


def difference(seal: Mapping[str, Any], rows: Rows, lines: Lines) -> str | None:
    """The first row that is not what was sealed, by the tags; None when they all agree."""
    was, now = _tags(bytes.fromhex(seal["tags"])), _tags(lines.tags)
    if seal["dense"] is not None and not lines.rows[True]:
        was = [one for one in was if not _dense(one)]
    if was == now:
        return None
    for kind, first, last, at, _ in SequenceMatcher(None, was, now, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        gone = [NAMES.get(one >> 24, "unknown table") for one in was[first:last]]
        if kind == "delete":
            return f"a row of {gone[0]} is missing: {when(seal)} covers it{_after(rows, at)}"
        if at >= len(rows):
            return f"rows that {when(seal)} covers differ from what was sealed"
        shape, row = rows[at]
        if kind == "insert":
            return f"{named(shape, row)} was added later: {when(seal)} does not cover it"
        alike = shape.name in gone
        what = "was edited" if alike else "stands where another row was sealed"
        return f"{named(shape, row)} {what}: it is not what {when(seal)} covers"
    return None


def named(shape: Shape, row: Mapping[str, Any]) -> str:
    """A row as people find it: its table and key."""
    return of_key(shape.name, key_of(shape, row))


def of_key(table: str, key: tuple[Any, ...]) -> str:
    """A row as people find it."""
    shape = SHAPES[table]
    if shape.key == ("id",):
        return f"{table} row {key[0]}"
    fields = dict(zip(shape.key, key, strict=False))
    at, revision = fields.pop("at", None), fields.pop("revision", None)
    said = [table, *(["of", *map(str, fields.values())] if fields else [])]
    if at is not None:
        said.append(f"at {_time(at)}" if isinstance(at, int) else f"at {at}")
    return " ".join([*said, *([f"revision {revision}"] if revision else [])])


def key_of(shape: Shape, row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of a canonical row that order it among those of its table."""
    return tuple(row[name] for name in shape.key)


def _dense(found: int) -> bool:
    shape = SHAPES.get(NAMES.get(found >> 24, ""))
    return shape is not None and shape.dense


def _tags(found: bytes | bytearray) -> list[int]:
    return [int.from_bytes(found[place : place + 4], "big") for place in range(0, len(found), 4)]


def _after(rows: Rows, at: int) -> str:
    return f", after {named(*rows[at - 1])}" if 0 < at <= len(rows) else ""


def when(seal: Mapping[str, Any]) -> str:
    """A seal as people find it."""
    return f"seal {seal['number']} of {_time(seal['at'])}"


def shown(value: Any) -> str:
    """What a column that may change holds, in a sentence."""
    return "none" if value in (None, False) else str(value)


def _time(at: float) -> str:
    try:
        return rfc3339(at)
    except (ValueError, OverflowError, OSError):
        return str(at)
