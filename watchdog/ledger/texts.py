"""Sentences are written once and referred to by number: an outage repeats one sentence thousands of times."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from sqlalchemy import Connection, Insert, insert, select

from watchdog.ledger.tables import TEXTS

Item = TypeVar("Item")

CHUNK = 500
"""How many values one IN (...) is given."""
_REMEMBERED = 4096


class Texts:
    """The sentences of one ledger. What committed transactions wrote is remembered; rows never change."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._texts: dict[int, str] = {}

    def ids(self, connection: Connection, sentences: Iterable[str]) -> dict[str, int]:
        """The number of each sentence, written where it is new. Remember them by `learn` after the commit only."""
        wanted = {sentence for sentence in sentences if sentence}
        known = self._ids
        found = {sentence: known[sentence] for sentence in wanted if sentence in known}
        found |= _stored(connection, wanted - found.keys())
        new = sorted(wanted - found.keys())
        if new:
            rows = [{"digest": _digest(text), "text": text} for text in new]
            connection.execute(_insert(connection), rows)
            found |= _stored(connection, new)
        return found

    def learn(self, ids: Mapping[str, int]) -> None:
        """Remember numbers that a committed transaction wrote or a read saw."""
        if len(self._ids) + len(ids) > _REMEMBERED:
            # New dicts, not emptied ones: other threads may be reading these.
            self._ids, self._texts = {}, {}
        self._ids.update(ids)
        self._texts.update({number: text for text, number in ids.items()})

    def sentences(self, connection: Connection, numbers: Iterable[int | None]) -> dict[int | None, str]:
        """The sentence of each number; none is the empty sentence."""
        wanted = {number for number in numbers if number is not None}
        known = self._texts
        found: dict[int | None, str] = {number: known[number] for number in wanted if number in known}
        read: dict[str, int] = {}
        for some in chunks(sorted(wanted - found.keys())):
            for number, text in connection.execute(select(TEXTS.c.id, TEXTS.c.text).where(TEXTS.c.id.in_(some))):
                found[number] = text
                read[text] = number
        self.learn(read)
        found[None] = ""
        return found


def _insert(connection: Connection) -> Insert:
    """On a server another process may write the same sentence this moment: then it is theirs that is found."""
    if connection.dialect.name != "postgresql":
        return insert(TEXTS)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - with a server's ledger only

    return postgresql.insert(TEXTS).on_conflict_do_nothing()


def chunks(items: Iterable[Item]) -> Iterator[Sequence[Item]]:
    """The items, at most `CHUNK` at a time."""
    rest = iter(items)
    while some := tuple(islice(rest, CHUNK)):
        yield some


def _stored(connection: Connection, sentences: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for some in chunks(_digest(sentence) for sentence in sentences):
        rows = connection.execute(select(TEXTS.c.text, TEXTS.c.id).where(TEXTS.c.digest.in_(some)))
        found.update((text, number) for text, number in rows)
    return found


def _digest(sentence: str) -> bytes:
    # PostgreSQL indexes no value above 2.7 kB, and a short key keeps the index small.
    return hashlib.blake2b(sentence.encode(), digest_size=16).digest()
