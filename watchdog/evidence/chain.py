"""The chains of a bundle's rows: seals over the rollout's history, and the changes of its flag. Pure."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from watchdog.ledger.attached import Rows
from watchdog.ledger.canon import SHAPES, Shape, encode, line
from watchdog.ledger.chain import GENESIS as FIRST
from watchdog.ledger.chain import digest
from watchdog.ledger.seals import GENESIS, events, seal_hash


def seals(rows: Rows, head: Any) -> tuple[int, str]:
    """How many seals there are, and the first difference between what they cover and the rows; empty for none."""
    if (unordered := _unordered(rows)) is not None:
        return 0, f"the rows of {unordered} are not in the order in which they were recorded"
    facts, dense = _digests(rows)
    covered = {*facts, *dense}
    if not all(type(number) is int for number in covered):
        return 0, "there are rows that no seal covers"
    prev, place, every = GENESIS, 0, rows.of("seals")
    for place, row in enumerate(every, 1):
        if row["number"] != place:
            return place, f"the seal {place} is missing"
        covered.discard(place)
        if row["dense"] is not None and place in dense:
            return place, f"the seal {place} says that its measurements were pruned, and they are here"
        measured = row["dense"] or dense.get(place, "")
        if seal_hash(row, prev, facts.get(place, ""), measured) != row["sha256"]:
            return place, f"the rows under seal {place} are not those that were sealed: one was changed, or is missing"
        prev = row["sha256"]
    if covered:
        return place, f"there are rows under the seal {min(covered)}, which there is not"
    if head != (prev if every else None):
        return place, f"the chain ends with {prev[:16]}, and the manifest says {str(head)[:16]}"
    return place, _changed(rows)


_BESIDE = {"deliveries": ("notification", "channel"), "preflight_verdicts": ("preflight", "rollout"), "heads": ()}
"""What orders the rows that no seal covers; all others have numbers."""


def _unordered(rows: Rows) -> str | None:
    """The first table whose rows are not by seal, or by key where none covers them; within a seal its hash tells."""
    for table, columns in rows.measured.items():
        if columns["seal"] != sorted(columns["seal"]):
            return table
    for table, some in rows.few.items():
        sealed = table in SHAPES and not SHAPES[table].own
        key = ("seal",) if sealed else ("number",) if table == "seals" else _BESIDE.get(table, ("id",))
        keys = [tuple(row[name] for name in key) for row in some]
        if keys != sorted(keys):
            return table
    return None


def _digests(rows: Rows) -> tuple[dict[Any, str], dict[Any, str]]:
    """By seal, the digest of the facts that it covers and that of the measurements."""
    facts: defaultdict[Any, list[bytes]] = defaultdict(list)
    dense: defaultdict[Any, list[str]] = defaultdict(list)
    for shape in sorted(SHAPES.values(), key=lambda one: one.rank):
        if shape.own:
            continue
        if shape.dense and shape.name in rows.measured:
            for number, text in zip(rows.measured[shape.name]["seal"], _lines(shape, rows), strict=True):
                dense[number].append(text)
        for row in () if shape.dense else rows.of(shape.name):
            facts[row["seal"]].append(line(shape, [row[column] for column in shape.columns]) + b"\n")
    said = {number: hashlib.sha256(b"".join(found)).hexdigest() for number, found in facts.items()}
    measured = {number: hashlib.sha256("".join(found).encode("ascii")).hexdigest() for number, found in dense.items()}
    return said, measured


class _Words(dict[Any, str]):
    """Values as JSON, each made once."""

    def __missing__(self, value: Any) -> str:
        made = self[value] = encode(value)
        return made


def _lines(shape: Shape, rows: Rows) -> Iterator[str]:
    """The lines of a table of measurements as `canon.line` writes them, a test says so; four times as fast."""
    words, columns = _Words(), rows.measured[shape.name]
    texts = [
        [words[value] for value in columns[name]]
        if kind in "sb"
        else [repr(value) if value is not None else "null" for value in columns[name]]
        for name, kind in zip(shape.columns, shape.kinds, strict=True)
    ]
    head = f'["{shape.name}",'
    return (f"{head}{','.join(values)}]\n" for values in zip(*texts, strict=True))


def _changed(rows: Rows) -> str:
    """Whether what changed later in a row is what a seal says of it."""
    told: dict[tuple[str, tuple[Any, ...]], dict[str, Any]] = {}
    for row in rows.of("seals"):
        for table, key, changes in events(row["said"]):
            told.setdefault((table, key), {}).update(changes)
    for shape in SHAPES.values():
        for row in rows.of(shape.name) if len(shape.columns) > shape.sealed and not shape.own else ():
            said = told.get((shape.name, tuple(row[name] for name in shape.key)), {})
            for name in shape.columns[shape.sealed :]:
                if said.get(name) != row[name] and (said.get(name) or row[name]):
                    return f"a row of {shape.name} has the {name} {str(row[name])[:80]!r}, sealed is {said.get(name)!r}"
    return ""


def flag_changes(rows: Rows, links: str) -> tuple[int, str]:
    """How many changes of the flag there are, and the first difference in their chain; empty for none."""
    changes = {row["id"]: row for row in rows.of("flag_changes")}
    every = {**{row["id"]: row for row in rows.of(links)}, **changes}
    if len(every) != len(rows.of("flag_changes")) + len(rows.of(links)):
        return len(changes), "a change is there twice"
    before: Any = None
    for number in sorted(every):
        row = every[number]
        if number in changes and digest(row) != row["hash"]:
            return len(changes), f"the change {number} of {row['flag']} is not what was recorded"
        if before is not None and (before["id"] + 1 != number or before["hash"] != row["prev"]):
            return len(changes), f"the change {number} does not follow the change {before['id']}"
        if number == 1 and row["prev"] != FIRST:
            return len(changes), "the first change follows one that there cannot be"
        before = row
    return len(changes), ""
