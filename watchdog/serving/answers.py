"""What a reader gets: OFREP's single and bulk evaluation, and the document for flagd's HTTP sync.

Always key, reason, variant and metadata, and the value where there is one: without it (a disabled flag, one without a
default variant) a client takes its code default. Statuses are 200, 304, 400, 404 and 503: on a 429 clients serve
code defaults for everything until its time is over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

from watchdog.errors import WatchdogError
from watchdog.flags.flagd_evaluator import NotEvaluated
from watchdog.serving.counts import Counts
from watchdog.serving.kept import Held, Kept, Unavailable
from watchdog.serving.sets import FlagSet

Json = dict[str, Any]

STALE = "Flags-Stale-Seconds"
"""Header of an answer from a document that could not be read again since: for how many seconds."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and headers for a reader."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class BadContext(WatchdogError):
    """A body that is no evaluation context; `code` as OpenFeature names it."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class Readers:
    """Answers readers of flag sets. Of a key that two sets have, the later set's flag is served.

    Give the emergency set last, so that no flag of a rollout can stand in its place.
    """

    def __init__(self, sets: Sequence[FlagSet], counts: Counts) -> None:
        self.sets = {one.name: Kept(one) for one in sets}
        if len(self.sets) != len(sets):
            raise ValueError(f"flag sets have one name each, found {', '.join(one.name for one in sets)}")
        self._counts = counts
        for name, kept in self.sets.items():
            counts.watch(name, kept.stale)

    def refused(self, protocol: str, status: int) -> None:
        """Count an answer that needed no look at a set: a wrong token."""
        self._counts.answered(protocol, status)

    def close(self) -> None:
        """Stop looking at the sets."""
        for kept in self.sets.values():
            kept.close()

    async def prepare(self) -> None:
        """Load every flag, as a first reader would: he is not to wait for that. What cannot be read is logged."""
        await self._bulk(b"{}", "")

    @property
    def local(self) -> bool:
        """Whether no look at any set waits for a network."""
        return all(kept.local for kept in self.sets.values())

    def at_once(self, key: str, body: bytes) -> Answer:
        """`one` for who cannot wait; for `local` sets only."""
        answering = self.one(key, body)
        try:
            answering.send(None)
        except StopIteration as done:
            return cast("Answer", done.value)
        answering.close()
        raise AssertionError("unreachable: nothing waits where all sets are local")

    async def one(self, key: str, body: bytes) -> Answer:
        """OFREP: one flag for one caller."""
        answer = await self._one(key, body)
        self._counts.answered("ofrep", answer.status)
        return answer

    async def bulk(self, body: bytes, if_none_match: str) -> Answer:
        """OFREP: every flag for one caller; 304 when it would be what the caller has already."""
        answer = await self._bulk(body, if_none_match)
        self._counts.answered("ofrep_bulk", answer.status)
        return answer

    async def document(self, name: str, if_none_match: str) -> Answer | None:
        """For flagd's HTTP sync: the document of one set, 304 when the caller has it; None for no such set."""
        kept = self.sets.get(name)
        if kept is None:
            return None
        try:
            held = await kept.current()
        except Unavailable as error:
            answer = _json(503, {"errorDetails": str(error)}, {"Retry-After": "1"})
        else:
            answer = _matched(held.raw, held.etag, if_none_match, self._staleness())
        self._counts.answered("sync", answer.status)
        return answer

    async def _one(self, key: str, body: bytes) -> Answer:
        try:
            context = context_of(body)
        except BadContext as bad:
            return _json(400, {"key": key, "errorCode": bad.code, "errorDetails": str(bad)})
        missing = ""
        for kept in reversed(self.sets.values()):
            try:
                held = await kept.current()
            except Unavailable as error:
                missing = missing or f"flag set {kept.name}: {error}"
                continue
            if key in held.evaluator:
                return _json(*_evaluated(held, key, context), self._staleness())
        if missing:
            return _json(503, {"key": key, "errorCode": "GENERAL", "errorDetails": missing}, {"Retry-After": "1"})
        details = f"flag {key[:100]!r} is in none of the flag sets served here: {', '.join(self.sets)}"
        return _json(404, {"key": key, "errorCode": "FLAG_NOT_FOUND", "errorDetails": details}, self._staleness())

    async def _bulk(self, body: bytes, if_none_match: str) -> Answer:
        try:
            context = context_of(body)
        except BadContext as bad:
            return _json(400, {"errorCode": bad.code, "errorDetails": str(bad)})
        sets, missing = [], ""
        for kept in self.sets.values():
            try:
                sets.append(await kept.current())
            except Unavailable as error:
                missing = missing or f"flag set {kept.name}: {error}"
        if missing and not sets:
            return _json(503, {"errorCode": "GENERAL", "errorDetails": missing}, {"Retry-After": "1"})
        flags = {key: _evaluated(held, key, context)[1] for held in sets for key in held.evaluator.keys}
        found = _rendered({"flags": list(flags.values())})
        # Of the answer itself: a rule may ask for the time, so the same document and context can come to another one.
        return _matched(found, f'"{hashlib.sha256(found).hexdigest()[:32]}"', if_none_match, self._staleness())

    def _staleness(self) -> dict[str, str]:
        ages = [age for kept in self.sets.values() if (age := kept.stale()) is not None]
        return {STALE: f"{max(ages):.0f}"} if ages else {}


def context_of(body: bytes) -> Json:
    """The evaluation context in an OFREP request. Raises BadContext."""
    try:
        found = _DECODER.decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise BadContext(
            "PARSE_ERROR", 'the body is not JSON; expected {"context": {"targetingKey": "..."}}'
        ) from error
    context = found.get("context", {}) if isinstance(found, dict) else None
    if not isinstance(context, dict):
        raise BadContext("INVALID_CONTEXT", 'expected {"context": {"targetingKey": "..."}}, and the context a map')
    key = context.get("targetingKey")
    if key is not None and (not isinstance(key, str) or not _is_text(key)):
        raise BadContext("INVALID_CONTEXT", "targetingKey is not a text; write the user's id as one")
    return context


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_ENCODER = json.JSONEncoder(separators=(",", ":"))
"""Made once: `json.loads` and `json.dumps` make new ones for each answer."""


def _is_text(key: str) -> bool:
    """Whether it is more than half a surrogate pair, which JSON can write and nothing can hash."""
    return key.isascii() or not any("\ud800" <= character <= "\udfff" for character in key)


def _evaluated(held: Held, key: str, context: Json) -> tuple[int, Json]:
    """Status and body of one flag."""
    try:
        found = held.evaluator.evaluate(key, context)
    except NotEvaluated as error:
        return 400, {"key": key, "errorCode": error.code, "errorDetails": str(error)}
    value = {"value": found.value} if found.variant is not None else {}
    told = {"reason": found.reason, "variant": found.variant or "", "metadata": found.metadata}
    return 200, {"key": key, **value, **told}


def _json(status: int, body: Json, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, _rendered(body), headers or {})


def _rendered(body: Json) -> bytes:
    return _ENCODER.encode(body).encode("ascii")


def _matched(body: bytes, etag: str, if_none_match: str, headers: dict[str, str]) -> Answer:
    """The body, or 304 when the caller's `If-None-Match` names it."""
    known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    headers = {"ETag": etag, **headers}
    if etag in known or "*" in known:
        return Answer(304, b"", headers)
    return Answer(200, body, headers)
