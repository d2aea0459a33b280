"""The flagd document of a set in Redis: read it, understand one flag of it, put another document in its place."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from watchdog.errors import FlagServiceError
from watchdog.flags import flagd_document as flagd
from watchdog.flags.base import Audiences
from watchdog.flags.flagd_document import Json, Served
from watchdog.flags.redis_change import Held, exposure_of, rebuilt
from watchdog.flags.redis_scripts import LARGEST
from watchdog.flags.redis_store import HIGHEST, RedisStore, Stored, Write, seen_as
from watchdog.model import FlagReading
from watchdog.quantities import rfc3339

INIT = "run `slo-watchdog flags init` to create it, switched off"

HEADROOM = 65_536
"""Bytes below the largest document that are kept for kills, which add a latch."""

LOOKED_BACK = 20
"""Entries of the history that are searched for a good document."""


class RedisDocument:
    """What one process knows of the document in `store`. Everything raises FlagServiceError only.

    `timeout` in seconds bounds how long other writers may be in the way. `good` is the newest document that was found
    or left sound here.
    """

    def __init__(
        self, store: RedisStore, timeout: float, bucketing: str, audiences: Audiences, now: Callable[[], float]
    ) -> None:
        self.store = store
        self.bucketing = bucketing
        self.audiences = audiences
        self.now = now
        self.good: Json | None = None
        self._timeout = timeout
        self._known: tuple[bytes, Json] = (b"", {})
        self._last: Stored | None = None
        self._shown: tuple[Json, str] = ({}, "")

    def looks(self, idem: str = "", *, guess: str | None = None) -> Iterator[Look]:
        """Look at the document again and again, until the caller has put another one there or time is up.

        With `guess` the first look is at what was there last, which saves asking: a write on top of it is compared. It
        names the flag that must be there.
        """
        until = time.monotonic() + self._timeout
        floor = 0
        if self._last is not None and self._last.raw == self._known[0] and guess in self._known[1]["flags"]:
            yield Look(self, self._last, guessed=True)
        while True:
            look = Look(self, self.store.load(idem), floor)
            yield look
            floor = look.floor
            if time.monotonic() >= until:
                message = f"{self.store.place}: other writers were faster for {self._timeout:g} s; "
                raise FlagServiceError(
                    message + "expected a write to take milliseconds; find out who writes there. It is tried again."
                )

    def parsed(self, stored: Stored) -> Json:
        """The document, if every reader would take it."""
        place = f"{self.store.place}: {self.store.keys.doc}"
        if stored.problem:
            raise FlagServiceError(f"{place}: {stored.problem}; repair it.")
        if stored.raw is None:
            message = f"{place} is missing; expected a flagd document; {INIT}."
            raise FlagServiceError(message, missing_set=self.last_good() is None)
        if not stored.raw.strip():
            raise FlagServiceError(f"{place} is empty; expected a flagd document; repair it.")
        raw, document = self._known
        if raw != stored.raw:
            document = flagd.parse(stored.raw, place)
            self._known = (stored.raw, document)
        self._last = stored
        return document

    def current(self) -> Json:
        """The document as it is now."""
        return self.parsed(self.store.load())

    def shown(self) -> tuple[str, Json]:
        """The document as it is now, and a version that changes exactly when its content does."""
        document = self.current()
        known, digest = self._shown
        if known is not document:
            digest = flagd.digest(document)
            self._shown = (document, digest)
        return digest, document

    def left(self, raw: bytes, document: Json, number: int) -> None:
        """Remember what was just written: the next look need not work it out again."""
        self._known = (raw, document)
        self._last = seen_as(raw, number)
        self.good = document

    def entry(self, document: Json, flag: str) -> Json:
        """One flag of a document."""
        entry: Json | None = document["flags"].get(flag)
        if entry is None:
            present = ", ".join(document["flags"])
            message = f"{self.place(flag)}: it is missing; the set holds {present}; {INIT}."
            raise FlagServiceError(message, permanent=True)
        return entry

    def reading(self, document: Json, flag: str) -> FlagReading:
        """What one flag of a document serves."""
        entry = self.entry(document, flag)
        served = flagd.served(entry, self.place(flag), self.audiences)
        return FlagReading(
            exposure_of(served), flagd.fingerprint(entry), flagd.latch_of(entry), flagd.idem_of(entry), served.cohort
        )

    def place(self, flag: str) -> str:
        """Where a flag is, for a sentence."""
        return f"{self.store.place}: flags.{flag}"

    def last_kept(self, flag: str | None = None) -> Json | None:
        """The newest sound document of the history, one that has `flag` if it is named; None when there is none."""
        for kept in self.store.newest(LOOKED_BACK):
            with contextlib.suppress(FlagServiceError):
                document = flagd.parse(kept.raw, f"{self.store.keys.history}: {kept.number}")
                if flag is None or flag in document["flags"]:
                    return document
        return None

    def last_good(self, flag: str | None = None) -> Json | None:
        """The newer of what this process remembers and what the history holds."""
        found = [self.good] if self.good is not None and (flag is None or flag in self.good["flags"]) else []
        if (kept := self.last_kept(flag)) is not None:
            found.append(kept)
        return max(found, key=flagd.version_of, default=None)

    def served_if_known(self, entry: Json | None, flag: str) -> Served | None:
        """What an entry serves, None when nobody can tell."""
        with contextlib.suppress(FlagServiceError):
            return None if entry is None else flagd.served(entry, self.place(flag), self.audiences)
        return None


@dataclass(slots=True)
class Look:
    """One look at the set, and the one write that may follow it. `floor` is a version that the history has already."""

    of: RedisDocument
    stored: Stored
    floor: int = 0
    guessed: bool = False
    """Whether nobody asked: what is concluded holds only if a write on top of it succeeds."""

    @property
    def replayed(self) -> bool:
        """Whether the change of this idempotency key was made before."""
        return bool(self.stored.replayed)

    def held(self, flag: str) -> Held:
        """What a write of `flag` starts from. Raises when there is neither a sound document nor a last good one."""
        try:
            document = self.of.parsed(self.stored)
        except FlagServiceError as problem:
            good = self.of.last_good(flag)
            if good is None:
                message = f"{problem} No good document with {flag} is known to go back to."
                raise FlagServiceError(
                    message, permanent=problem.permanent, missing_set=problem.missing_set
                ) from problem
            known = good["flags"][flag]
            return Held(good, known, self.of.served_if_known(known, flag), problem, unreadable=True)
        try:
            entry = self.of.entry(document, flag)
            return Held(document, entry, flagd.served(entry, self.of.place(flag), self.of.audiences))
        except FlagServiceError as problem:
            good = self.of.last_good(flag)
            known = None if good is None else good["flags"][flag]
            if (entry_or_known := document["flags"].get(flag, known)) is None:
                raise
            return Held(document, entry_or_known, self.of.served_if_known(known, flag), problem)

    def number(self, document: Json) -> int:
        """The version that a write on top of `document` gets: above any that was seen, absurd ones aside."""
        found = (flagd.version_of(document), self.stored.number, self.floor)
        return max((number for number in found if number < HIGHEST), default=0) + 1

    def put(
        self,
        document: Json,
        entries: Mapping[str, Json],
        audit: Mapping[str, object],
        *,
        idem: str = "",
        urgent: bool = False,
    ) -> Json | None:
        """Write `document` with these flags in it, if nothing has changed since the look; None when something had.

        `urgent` for what must be written whatever is there: it is set aside, and so is a history that is not ours.
        """
        number = self.number(document)
        written = rebuilt(document, entries, number, self.of.bucketing, self.of.audiences)
        raw = json.dumps(written, separators=(",", ":"), allow_nan=False).encode("ascii")
        place = f"{self.of.store.place}: {self.of.store.keys.doc}"
        if not urgent:  # which would find fault with nothing but what was found sound a moment ago
            flagd.parse(raw, place)
        if len(raw) > (room := LARGEST if urgent else LARGEST - HEADROOM):
            message = f"{place}: it would have {len(raw)} bytes; expected at most {room}; use several sets."
            raise FlagServiceError(message, permanent=True)
        word, at = self.of.store.swap(self._write(number, raw, audit, idem, urgent=urgent))
        if word == "behind":
            self.floor = at
            if at >= HIGHEST and not urgent:
                history = self.of.store.keys.history
                message = f"{self.of.store.place}: {history} is at version {at}, which no watchdog wrote; expected its "
                raise FlagServiceError(message + "own versions; rename that key.", permanent=True)
        if word != "ok":
            return None
        self.of.left(raw, written, number)
        return written

    def _write(self, number: int, raw: bytes, audit: Mapping[str, object], idem: str, *, urgent: bool) -> Write:
        stamp = {"at": rfc3339(self.of.now()), "version": number}
        external = ""
        unreadable = True
        with contextlib.suppress(FlagServiceError):
            self.of.parsed(self.stored)
            unreadable = False
            external = json.dumps({"at": stamp["at"], "action": "external", "why": "found: somebody edited the set"})
        aside = "1" if urgent and unreadable else ""
        aside += "3" if urgent and self.floor >= HIGHEST else ""
        told = json.dumps({**stamp, **audit})
        return Write(
            self.stored, number, raw, told, idem, honour=not urgent, external=external, force=urgent, aside=aside
        )
