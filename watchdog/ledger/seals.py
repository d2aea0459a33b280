"""The chain of seals: what each covers, the hash that ties it to the one before, and what a broken chain shows.

A rollout's history is a stream of canonical rows (`rowset.py`): the rows that one transaction added, then its seal
(table `seals`), then those of the next. A seal's hash covers its rows, what it says of earlier ones, and the hash of
the seal before it. So an edit anywhere leaves a trace, and who kept one seal's hash can tell that all of the history
up to it is as it was. Pure.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from watchdog.ledger.canon import SHAPES, Shape, encode, line

GENESIS = "0" * 64
"""What the first seal of a chain follows."""
OWN = 0
"""The number of the chain of what belongs to no rollout: preflights, drills, labels, and which rollouts there are."""
_BRIEF = 100
_SCALARS = (str, int, float, type(None))
_TYPES = frozenset({*_SCALARS, bool})
_PICK = {name: itemgetter(*shape.columns) for name, shape in SHAPES.items()}
_SEAL: Mapping[str, Any] = {
    "rollout": int,
    "number": int,
    "at": (int, float),
    "said": (str, type(None)),
    "tags": str,
    "dense": (str, type(None)),
    "sha256": str,
}
_HEX = re.compile(r"([0-9a-f]{2})*")
FOUND = "found"
"""How the first seal of what was recorded before there were seals begins to say so."""


@dataclass(frozen=True, slots=True)
class Seal:
    """One seal of a chain. `at` is wall time; `sha256` in hexadecimal."""

    chain: int
    number: int
    at: float
    sha256: str


def seal_hash(seal: Mapping[str, Any], prev: str, facts: str, dense: str) -> str:
    """The hash of a seal's canonical row. `facts` and `dense` are the digests of the lines that it covers."""
    said = [seal["rollout"], seal["number"], seal["at"], prev, seal["said"], facts, dense]
    return hashlib.sha256(encode(["slo-watchdog seal", *said]).encode("ascii")).hexdigest()


class Lines:
    """The lines of one seal's rows on their way into its two digests: of measurements, and of all other facts."""

    __slots__ = ("_dense", "_facts", "rows", "tags")

    def __init__(self) -> None:
        self._dense = hashlib.sha256()
        self._facts = hashlib.sha256()
        self.rows = [0, 0]
        """How many: facts, measurements."""
        self.tags = bytearray()

    def add(self, shape: Shape, values: Sequence[Any], *, tagged: bool = True) -> None:
        """One more row, in the order of rank and key."""
        found = line(shape, values)
        (self._dense if shape.dense else self._facts).update(found + b"\n")
        self.rows[shape.dense] += 1
        if tagged:
            self.tags += tag(shape, found)

    @property
    def facts(self) -> str:
        """The digest of what is no measurement; empty where there is none."""
        return self._facts.hexdigest() if self.rows[False] else ""

    @property
    def dense(self) -> str:
        """The digest of the measurements; empty where there is none."""
        return self._dense.hexdigest() if self.rows[True] else ""


def tag(shape: Shape, found: bytes) -> bytes:
    """Four bytes that tell one row's line from another: its table and a checksum. They prove nothing."""
    return (shape.rank << 24 | zlib.crc32(found) & 0xFF_FFFF).to_bytes(4, "big")


def brief(value: Any) -> Any:
    """A value as a seal says it of an earlier row: long texts by their hash."""
    long = isinstance(value, str) and len(value) > _BRIEF
    return f"sha256:{hashlib.sha256(value.encode('utf-8', 'surrogatepass')).hexdigest()}" if long else value


def of_stream(table: str, row: Mapping[str, Any]) -> tuple[Shape, Sequence[Any]] | None:
    """The shape and values of a sealed row of the stream; None for rows that no seal covers."""
    shape = SHAPES.get(table)
    if shape is None or row.get("seal") is None:
        return None
    return shape, _PICK[table](row)


def events(said: str | None) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """What a seal says of earlier rows: table, key, the columns that changed. Empty when it cannot be read."""
    try:
        told = [(str(table), tuple(key), dict(changes)) for table, key, changes in json.loads(said or "[]")]
    except (TypeError, ValueError, RecursionError):
        return []
    return [one for one in told if all(isinstance(part, _SCALARS) for part in one[1])]


def readable(table: str, row: Mapping[str, Any]) -> bool:
    """Whether a row that somebody handed over has the form of one of the stream; what it says may still be wrong."""
    if table == "seals":
        kinds = all(name in row and isinstance(row[name], kind) for name, kind in _SEAL.items())
        return kinds and all(_HEX.fullmatch(row[name] or "") is not None for name in ("tags", "dense", "sha256"))
    shape = SHAPES.get(table)
    if shape is None or row.get("seal") is None:
        return True
    if len(row) != len(shape.columns) + 1 or not isinstance(row["seal"], int):
        return False
    try:
        return _TYPES.issuperset(map(type, _PICK[table](row)))
    except KeyError:
        return False
