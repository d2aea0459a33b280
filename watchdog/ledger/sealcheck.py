"""Whether a chain is whole: the stream of `rowset.py` is read once, and what differs from its seals is named.

    check = Check(rollout_id)
    for table, row in ledger.rows_of(rollout_id):
        check.add(table, row)
    check.end()
    check.findings, check.head, check.rows

Pure: a bundle is checked like a ledger.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from watchdog.ledger.canon import SHAPES, Shape
from watchdog.ledger.sealdiff import Rows, difference, key_of, named, of_found, of_key, shown, when
from watchdog.ledger.seals import FOUND, GENESIS, OWN, Lines, Seal, brief, events, of_stream, readable, seal_hash

_NAMED = 4000
"""Rows of one seal that are remembered, to name the one that differs; what an upgrade found can be more."""
_MOST = 100
"""Findings after which no more are kept: the first is what matters."""
_Key = tuple[str, tuple[Any, ...]]
"""A row's table and key."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing wrong with a chain: by which seal it is seen (None: by no single one), and a sentence.

    `remains`: measurements of a pruned seal that are there and are not all of them, as while it is being pruned.
    """

    seal: int | None
    what: str
    remains: bool = False


class Check:
    """One chain on its way through. `anchors` are seals that somebody kept outside: number -> hash."""

    def __init__(self, chain: int, anchors: Mapping[int, str] | None = None) -> None:
        self.findings: list[Difference] = []
        self.rows = 0
        """Sealed rows seen."""
        self.head: Seal | None = None
        """The newest seal."""
        self.found_at: float | None = None
        """When what was recorded before there were seals was sealed; None where all was sealed when recorded."""
        self.pruned = 0
        """Seals whose measurements were pruned."""
        self.known: dict[Any, Mapping[str, Any]] = {}
        """In the ledger's own chain, which rollouts were added: their name and the sha256 of their rule."""
        self._chain = chain
        self._wanted = dict(anchors or {})
        self._lines = Lines()
        self._named: Rows = []
        self._strays: list[str] = []
        self._counts: Counter[str] = Counter()
        self._changed: dict[_Key, dict[str, Any]] = {}
        self._changing: dict[_Key, tuple[Shape, Mapping[str, Any]]] = {}
        self._dense = hashlib.sha256()
        self._newest_pruned = 0
        self._prunings: list[tuple[int, str]] = []
        self._digests: dict[int, str] = {}
        self._phase = "pending"
        self._last = 0

    def add(self, table: str, row: Mapping[str, Any]) -> None:
        """The next row of the stream."""
        if not readable(table, row):
            self._say(None, f"a row of {table[:80]} is not in the form of a ledger's rows: {str(row)[:120]}")
        elif table == "seals":
            self._seal(row)
        elif table == "heads":
            self._head(row)
        elif (found := of_stream(table, row)) is not None:
            self._row(found[0], found[1], row)

    def end(self) -> None:
        """The stream is over."""
        self._unsealed()
        for key, (shape, row) in self._changing.items():
            self._compare(key, shape, row)
        for key in self._changed.keys() - self._changing.keys():
            if key[0] in SHAPES:
                self._say(None, f"{of_key(*key)} is missing: a seal says what became of it")
        self._check_prunings()
        last = self.head.number if self.head is not None else 0
        for number in sorted(self._wanted):
            self._say(number, f"seal {number} was there, but the history ends at {last}: the newest rows were cut off")

    def untold(self) -> list[tuple[str, list[Any], dict[str, Any]]]:
        """What became of rows so far and no seal says: table, key, the columns as they are now."""
        found = []
        for key, (shape, row) in self._changing.items():
            now = {name: brief(row[name]) for name in shape.columns[shape.sealed :]}
            said = self._changed.get(key, {})
            if any(_differ(value, said.get(name)) for name, value in now.items()):
                found.append((shape.name, list(key[1]), now))
        return found

    def _say(self, seal: int | None, what: str, *, remains: bool = False) -> None:
        if len(self.findings) < _MOST:
            self.findings.append(Difference(seal, what, remains))

    def _row(self, shape: Shape, values: Sequence[Any], row: Mapping[str, Any]) -> None:
        self.rows += 1
        number = row["seal"]
        if number != self._last + 1:
            self._strays.append(f"{named(shape, row)} names seal {number}")
        self._lines.add(shape, values)
        if shape.sealed < len(shape.columns):
            self._changing[shape.name, key_of(shape, row)] = (shape, row)
        if shape.name == "transitions":
            self._phase = row["target"]
        elif shape.name == "prunings" and isinstance(row["through"], int):
            self._prunings.append((row["through"], row["sha256"]))
        self._counts[shape.name] += 1
        if len(self._named) < _NAMED or not shape.dense:
            self._named.append((shape, row))

    def _seal(self, seal: Mapping[str, Any]) -> None:
        number, lines = seal["number"], self._lines
        if number <= self._last:
            self._say(number, f"{when(seal)} comes twice, or out of its order")
        elif number != self._last + 1:
            first, last = self._last + 1, number - 1
            missing = f"seal {first}" if first == last else f"seals {first} to {last}"
            self._say(number, f"{missing} of {self._whose()} cannot be found, with what was sealed there")
        elif self._strays:
            self._say(number, f"{self._strays[0]}, which is not there")
        prev = self.head.sha256 if self.head is not None else GENESIS
        dense = self._measured(seal)
        made = seal_hash(seal, prev, lines.facts, dense)
        differs = self._differs(seal)
        if made != seal["sha256"] and number == self._last + 1:
            self._say(number, differs or self._itself(seal))
        elif made == seal["sha256"] and differs is not None and lines.dense in ("", dense):
            self._say(number, f"the tags of {when(seal)} were edited; all that it covers is as it was sealed")
        kept = self._wanted.pop(number, None)
        if kept is not None and kept != seal["sha256"]:
            what = f"seal {number} has another hash than was kept outside, {kept[:12]}"
            self._say(number, f"{what}: history was rewritten from there or before")
        self._remember(seal)
        self.head = Seal(self._chain, number, seal["at"], seal["sha256"])
        self._last = number
        self._lines, self._named, self._strays, self._counts = Lines(), [], [], Counter()

    def _measured(self, seal: Mapping[str, Any]) -> str:
        """The digest of the seal's measurements: what is there, or was before it was pruned."""
        there, pruned = self._lines.dense, seal["dense"]
        if pruned is None:
            if there:
                self._digests[seal["number"]] = there
            return there
        self.pruned += 1
        if not there:
            self._newest_pruned = seal["number"]
        self._digests[seal["number"]] = pruned
        if there and there != pruned:
            what = "they were added, or a pruning was broken off and `ledger prune` goes on with it"
            said = f"{when(seal)} has measurements that are not all of those which were pruned: {what}"
            self._say(seal["number"], said, remains=True)
        return str(pruned)

    def _remember(self, seal: Mapping[str, Any]) -> None:
        for table, key, changes in events(seal["said"]):
            if table == FOUND:
                self.found_at = seal["at"]
            elif table == "rollouts" and self._chain == OWN:
                self.known[key[0]] = changes
            else:
                self._changed.setdefault((table, key), {}).update(changes)

    def _head(self, row: Mapping[str, Any]) -> None:
        self._unsealed()
        if row.get("phase") != self._phase:
            said = f"the rollout's phase is {row.get('phase')}, its last transition says {self._phase}"
            self._say(None, f"{said}: the row in heads was edited")

    def _unsealed(self) -> None:
        if self._lines.tags:
            shape, row = self._named[0]
            what = f"{named(shape, row)} names seal {row['seal']}, which is not there"
            self._say(None, f"{what}: it was added by hand, or the newest seals were cut off")
            self._lines, self._named, self._strays, self._counts = Lines(), [], [], Counter()

    def _compare(self, key: _Key, shape: Shape, row: Mapping[str, Any]) -> None:
        """A row's later columns against what seals say of them."""
        said = self._changed.get(key, {})
        for column in shape.columns[shape.sealed :]:
            found, sealed = brief(row[column]), said.get(column)
            if _differ(found, sealed):
                what = f"{named(shape, row)} was edited: its {column} is {shown(found)}"
                return self._say(row["seal"], f"{what}, the seals say {shown(sealed)}")
        return None

    def _check_prunings(self) -> None:
        last, digest = 0, ""
        for through, kept in self._prunings:
            digest = pruned_digest(found for number, found in self._digests.items() if last < number <= through)
            if digest != kept:
                self._say(None, f"what was pruned through seal {through} is not what its record says")
            last = max(last, through)
        if self._newest_pruned > last:
            what = f"measurements through seal {self._newest_pruned} of {self._whose()} are gone as if they were pruned"
            self._say(None, f"{what}, without a record")

    def _differs(self, seal: Mapping[str, Any]) -> str | None:
        """Which row of a seal is not what was sealed; None when its tags know none."""
        if seal["tags"] == self._lines.tags.hex():
            return None
        found = next((changes for table, _, changes in events(seal["said"]) if table == FOUND), None)
        if found is None:
            return difference(seal, self._named, self._lines)
        return of_found(seal, self._named, self._lines, found, self._counts)

    def _itself(self, seal: Mapping[str, Any]) -> str:
        said = f"{when(seal)} was edited itself, or does not follow the one before it"
        untagged = len(self._lines.tags) > len(seal["tags"]) // 2
        return f"{said}, or one of the measurements that it covers as found was edited" if untagged else said

    def _whose(self) -> str:
        return "the ledger's own chain" if self._chain == OWN else "this rollout"


def _differ(one: Any, other: Any) -> bool:
    return (None if one is False else one) != (None if other is False else other)


def pruned_digest(digests: Iterable[str]) -> str:
    """The digest of what a pruning took away, by the digests of its seals' measurements in order."""
    return hashlib.sha256("\n".join(digests).encode("ascii")).hexdigest()
