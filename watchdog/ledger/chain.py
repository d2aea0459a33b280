"""The chain of flag changes: what a row says, the hash that ties it to the row before, and what a broken chain shows.

A row's hash covers everything in it and the hash of the row before, so an edit anywhere leaves a trace: the row no
longer has the hash that it carries, a number is missing, or a row does not follow the one before it. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from watchdog.ledger.codes import plain

Content = Mapping[str, Any]
"""What a flag serves, as JSON values: percent, cohort, members, audiences, latch."""

GENESIS = "0" * 64
"""What the first row follows."""

NUMBERED = ("applied", "found")
"""Results after which the flag has new content; such a row gets the next version of its flag."""


@dataclass(frozen=True, slots=True)
class FlagChange:
    """One change of a flag, or an attempt at one, as it is to be recorded.

    `uid` makes recording harmless to repeat. `at` is wall time. `service` is the watchdog's name for the place.
    `after` is what the flag then had; for the results `intended` and `failed` what was asked for. `service_version` is
    the service's own word for that state, empty where nobody saw it.
    """

    uid: str
    at: float
    service: str
    flag: str
    action: str  # init | set | kill | revert | emergency | drill | external | seen
    by: str
    why: str
    result: str  # intended | applied | unchanged | failed | found
    rollout: str | None = None
    idem: str = ""
    before: Content | None = None
    after: Content | None = None
    service_version: str = ""
    error: str = ""

    def to_dict(self) -> dict[str, object]:
        """Plain data for a journal."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FlagChange:
        """What `to_dict` gave; unknown keys of another version are left out."""
        return cls(**{name: data[name] for name in cls.__dataclass_fields__ if name in data})


@dataclass(frozen=True, slots=True)
class StoredChange:
    """A recorded change with its place in the chain. `version` counts the contents that the flag has had."""

    id: int
    change: FlagChange
    version: int | None
    prev: str
    hash: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with the chain: the row (its number as found), whose flag, and what differs."""

    id: int
    service: str
    flag: str
    what: str


def row_of(change: FlagChange, number: int, version: int | None, prev: str) -> dict[str, Any]:
    """The row to insert, hash and all. Texts are made such that a database gives them back as they were hashed."""
    row: dict[str, Any] = {"id": number, "version": version, "prev": prev}
    for name, value in change.to_dict().items():
        row[name] = plain(value) if isinstance(value, str) else value
    row["at"] = float(change.at)
    row["before"], row["after"] = _text(change.before), _text(change.after)
    return {**row, "hash": digest(row)}


def stored_of(row: Mapping[str, Any]) -> StoredChange:
    """A row as it was read. Content that somebody made unreadable is none."""
    fields = {name: row[name] for name in FlagChange.__dataclass_fields__}
    fields["before"], fields["after"] = _content(row["before"]), _content(row["after"])
    return StoredChange(row["id"], FlagChange(**fields), row["version"], row["prev"], row["hash"])


def digest(row: Mapping[str, Any]) -> str:
    """The hash of a row: sha256 over all its columns but the hash itself, as JSON with sorted keys."""
    said = {name: value for name, value in row.items() if name != "hash"}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), default=_strange)
    return hashlib.sha256(text.encode()).hexdigest()


def findings(rows: Iterable[Mapping[str, Any]], anchors: Iterable[tuple[int, str]]) -> Iterator[Finding]:
    """Everything wrong with the rows, which come in the order of their numbers.

    `anchors` are numbers with the hashes that somebody kept outside: rows that were there, and were so.
    """
    prev, last = GENESIS, 0
    wanted: dict[int, set[str]] = {}
    for number, kept in anchors:
        wanted.setdefault(number, set()).add(kept)
    for row in rows:
        number = row["id"]
        for missing in range(last + 1, min(number, last + 4)):
            yield Finding(missing, "", "", "is missing: it was deleted, or renumbered")
        if number > last + 4:
            yield Finding(last + 4, "", "", f"and all up to {number - 1} are missing")
        yield from _of_row(row, prev, wanted.pop(number, set()), follows=number == last + 1)
        prev, last = row["hash"], max(last, number)
    for number in sorted(wanted):
        yield Finding(number, "", "", f"was there, but the chain ends at {last}: the newest rows were cut off")


def _of_row(row: Mapping[str, Any], prev: str, kept: set[str], *, follows: bool) -> Iterator[Finding]:
    number, service, flag = row["id"], str(row["service"]), str(row["flag"])
    if number < 1:
        yield Finding(number, service, flag, "has a number below 1: it was inserted, or renumbered")
    if row["hash"] != (made := digest(row)):
        what = f"was edited: it carries the hash {_short(row['hash'])}, its content has {_short(made)}"
        yield Finding(number, service, flag, what)
    if follows and row["prev"] != prev:
        what = f"does not follow the row before it: it names {_short(row['prev'])}, that row carries {_short(prev)}"
        yield Finding(number, service, flag, what)
    for other in sorted(kept - {row["hash"]}):
        what = f"has another hash than was kept outside, {_short(other)}: the chain was rewritten from here or before"
        yield Finding(number, service, flag, what)


def _short(found: object) -> str:
    return str(found)[:12]


def _strange(value: object) -> str:
    """A value of a type that no row of ours has (somebody put bytes into a text column, for one)."""
    return f"{type(value).__name__}: {value!r}"


def _text(content: Content | None) -> str | None:
    return None if content is None else json.dumps(dict(content), sort_keys=True, separators=(",", ":"))


def _content(text: object) -> Content | None:
    try:
        found = json.loads(str(text)) if text is not None else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
