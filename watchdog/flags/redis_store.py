"""One flag set in Redis as bytes: read it, replace it by compare-and-set, look into its history. No flags here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from watchdog.errors import FlagServiceError
from watchdog.flags.redis_link import TROUBLE, failed, failure, redis
from watchdog.flags.redis_scripts import LARGEST, LOAD, SWAP, SWAP_ANYWAY, Keys

KEEP = 1000
"""Changes that the history keeps, with their documents."""

HIGHEST = 10**15
"""Above this a number in the history is none of ours."""

OWN_KINDS = {"string": "a string", "stream": "a stream", "hash": "a hash", "none": "missing"}


@dataclass(frozen=True, slots=True)
class Stored:
    """What is in Redis at one moment. `doc` and `version` are states to compare with; `raw` is None without document.

    `problem` says why a document that is there cannot be read. `replayed` is the version that the idempotency key has.
    """

    doc: bytes
    version: bytes
    raw: bytes | None
    replayed: bytes = b""
    problem: str = ""

    @property
    def number(self) -> int:
        """The version that readers compare, 0 when it is missing or no number."""
        kind, _, text = self.version.partition(b":")
        return int(text) if kind == b"is" and text.isdigit() and len(text) < 16 else 0


def seen_as(raw: bytes, number: int) -> Stored:
    """What a look would find right after `raw` was written as version `number`."""
    digest = hashlib.sha1(raw, usedforsecurity=False).hexdigest()
    return Stored(f"sha:{digest}".encode(), f"is:{number}".encode(), raw)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the history. `number` is the version; a hand edit found after it is `external`."""

    number: int
    external: bool
    audit: dict[str, Any]
    raw: bytes


@dataclass(frozen=True, slots=True)
class Write:
    """A document to put in place of `seen`, as version `number`."""

    seen: Stored
    number: int
    raw: bytes
    audit: str
    idem: str = ""
    honour: bool = False
    """Whether a repeated idempotency key is answered with its version instead of a write."""
    external: str = ""
    """The audit of a hand edit, recorded if the history does not know the document that is replaced."""
    force: bool = False
    """A kill: what has a wrong type is set aside, and it is written even where Redis is out of memory."""
    aside: str = ""
    """Numbers of the keys that are set aside in any case: 1 for the document, 3 for the history."""


class RedisStore:
    """The keys of one set. `timeout` in seconds, for each answer. Everything raises FlagServiceError only."""

    def __init__(self, client: redis.Redis, place: str, keys: Keys, timeout: float, keep: int = KEEP) -> None:
        self.client = client
        self.place = place
        self.keys = keys
        self._timeout = timeout
        self._keep = keep
        self._load = client.register_script(LOAD)
        self._swap = client.register_script(SWAP)
        self._swap_anyway = client.register_script(SWAP_ANYWAY)

    def load(self, idem: str = "") -> Stored:
        """What is there now, in one step."""
        doc, raw, version, replayed = self.ask(lambda: _texts(self._load(keys=self.keys.all, args=[idem]), 4))
        kind, _, rest = doc.partition(b":")
        problem = ""
        if kind == b"type":
            problem = f"it is a {rest.decode(errors='replace')}; expected a string that holds a flagd document"
        elif kind == b"size":
            problem = f"it has {rest.decode()} bytes; expected a flagd document of at most {LARGEST} bytes"
        return Stored(doc, version, raw if kind == b"sha" else None, replayed, problem)

    def swap(self, write: Write) -> tuple[str, int]:
        """Replace the document if nobody did in between: ok N, replayed N, conflict 0, or behind N (the history is)."""
        arguments: list[str | bytes | int] = [write.seen.doc, write.seen.version, write.idem, int(write.honour)]
        arguments += [write.number, write.raw, write.audit, self.keys.changed, self._keep]
        arguments += [write.external, int(write.force), write.aside]
        if write.force:
            answer = self.ask(lambda: _texts(self._forced(arguments)))
        else:
            answer = self.ask(lambda: _texts(self._swap(keys=self.keys.all, args=arguments)))
        word, *rest = [part.decode(errors="replace") for part in answer]
        if word == "type":
            key, found, expected = rest
            message = f"{self.place}: {key} is a {found}; expected {OWN_KINDS[expected]}; remove that key."
            raise FlagServiceError(message, permanent=True)
        return word, int(rest[0]) if rest else 0

    def newest(self, count: int) -> Iterator[Entry]:
        """The newest entries of the history that are ours, newest first; nothing where there is no history."""
        if self.ask(lambda: self.client.type(self.keys.history)) != b"stream":
            return
        for identity, fields in self.ask(lambda: self.client.xrevrange(self.keys.history, count=count)):
            major, _, minor = bytes(identity).partition(b"-")
            yield Entry(int(major), minor != b"0", _audit(fields.get(b"audit", b"")), fields.get(b"doc", b""))

    def ask(self, call: Callable[[], object]) -> Any:
        """What a call to Redis answers, with every error as a sentence."""
        try:
            return call()
        except TROUBLE as error:
            raise failed(error, self.place, self._timeout) from error

    def _forced(self, arguments: Sequence[str | bytes | int]) -> object:
        try:
            return self._swap_anyway(keys=self.keys.all, args=arguments)
        except failure.ResponseError as error:
            if "compil" not in str(error):
                raise
            # Redis before 7.0 cannot be told to go on without memory.
            return self._swap(keys=self.keys.all, args=arguments)


def _texts(answer: object, count: int = 0) -> list[bytes]:
    """A script's answer. ValueError for anything else, which our scripts do not say."""
    if not isinstance(answer, list) or not all(isinstance(part, bytes) for part in answer):
        raise ValueError("no list of texts")
    if len(answer) != count if count else not answer:
        raise ValueError("another number of texts")
    return answer


def _audit(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
