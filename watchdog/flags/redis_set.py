"""The flag service that is a flag set in Redis: one flagd document, its version, its history and a channel for readers.

A change reads document and version, works out the new document and replaces the old one by a script that compares both:
whoever was faster wins, and the other looks again. A document that somebody broke is an error, with one exception:
exposure can be lowered on top of it, from the last good one in the history.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from watchdog.errors import ConfigError, FlagConflict, FlagServiceError, Problem
from watchdog.flags import flagd_document as flagd
from watchdog.flags.base import Audiences, Capabilities, Change, Check, Prepared
from watchdog.flags.flagd_asked import asked_of, refuse_other_era
from watchdog.flags.flagd_document import Json
from watchdog.flags.redis_change import Held, Marks, changed, exposure_of, killed
from watchdog.flags.redis_checks import check_set
from watchdog.flags.redis_document import RedisDocument
from watchdog.flags.redis_link import connect
from watchdog.flags.redis_scripts import Keys
from watchdog.flags.redis_store import RedisStore
from watchdog.flags.settings import ServiceSettings
from watchdog.model import EMERGENCY_FLAGS, FlagReading


class RedisSet:
    """The flags of the set that `store` holds. `timeout` in seconds bounds how long other writers may be in the way.

    `bucketing` is the hash that the readers are known to have, `audiences` what a ramp's audiences mean. `now` stamps
    latches and the history.
    """

    def __init__(
        self,
        store: RedisStore,
        *,
        timeout: float = 5.0,
        propagation: float = 1.0,
        bucketing: str = "flagd-v2",
        audiences: Audiences | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.capabilities = Capabilities(
            100 / flagd.TOTAL, propagation, compare_and_set="native", push=True, audiences=True, latch=True
        )
        self._set = RedisDocument(store, timeout, bucketing, audiences or flagd.NO_AUDIENCES, now)

    def read(self, flag: str) -> FlagReading:
        """What the set makes every reader serve, also when a person wrote it. Raises FlagServiceError."""
        document = self._set.current()
        reading = self._set.reading(document, flag)
        self._set.good = document
        return reading

    def document(self) -> tuple[str, Json]:
        """The whole document and a version that changes exactly when its content does. Raises FlagServiceError.

        The document is shared between callers: do not change it.
        """
        return self._set.shown()

    def set(self, flag: str, change: Change) -> FlagReading:
        """Serve `change.exposure`; nothing is written when the flag does already, or did by the same idempotency key.

        The latch of another rollout is taken away, that of `change.rollout` stays. On top of a broken document or flag
        only a lower exposure than the last good one is written (an emergency flag is switched on all the same). Raises
        FlagConflict when the flag has another version than `change.expect`, or when somebody changes it meanwhile and
        this change would raise what they set; else FlagServiceError.
        """
        switch = flag in EMERGENCY_FLAGS
        wanted = asked_of(change, self._set.audiences, self._set.place(flag), switch=switch)
        first = ""
        for look in self._set.looks(change.idem):
            held = look.held(flag)
            urgent = switch or wanted.within(held.served)
            if held.problem is not None and not urgent:
                tail = f"Until then {flag} can be lowered or killed, but not set to {change.exposure}."
                raise FlagServiceError(f"{held.problem} {tail}", permanent=held.problem.permanent) from held.problem
            entry = changed(held, wanted, change, look.number(held.document))
            if look.replayed and held.problem is None and entry is None:
                return self._unchanged(held, flag)
            first = self._compared(held, flag, change.expect, first, urgent=urgent)
            if entry is None or (look.replayed and not urgent):
                return self._unchanged(held, flag)
            if not urgent:
                refuse_other_era(held.document, self._set.bucketing, self._set.audiences, self._set.store.place)
            audit = self._audit("set", flag, change, held, entry)
            written = look.put(held.document, {flag: entry}, audit, idem=change.idem, urgent=urgent)
            if written is not None:
                return self._set.reading(written, flag)
        raise AssertionError("unreachable: the last look raises")

    def kill(self, flag: str, change: Change) -> FlagReading:
        """Switch the flag off for everybody and leave the latch of `change.rollout`, if there is one.

        Compares with nothing but what it has just read itself, and reads again until it wins. Works on top of a
        document that is unparsable, of a wrong type or gone, as long as a last good one is known; what was found in its
        place is kept as `KEY:rejected`. Raises FlagServiceError.
        """
        for look in self._set.looks(guess=flag):
            held = look.held(flag)
            entry = killed(held, change, look.number(held.document), self._set.now())
            if entry is None and look.guessed:
                continue
            if entry is None:
                return self._unchanged(held, flag)
            audit = self._audit("kill", flag, change, held, entry)
            written = look.put(held.document, {flag: entry}, audit, idem=change.idem, urgent=True)
            if written is not None:
                return self._set.reading(written, flag)
        raise AssertionError("unreachable: the last look raises")

    def init(self, flags: Sequence[str], by: str) -> Prepared:
        """Create the set, or what it lacks of `flags`, everything switched off. Idempotent.

        A latch that the last good document holds for a flag comes back with it. Never touches a flag that is there, nor
        a document that is broken. Raises FlagServiceError.
        """
        place = self._set.store.place
        for look in self._set.looks():
            fresh = look.stored.raw is None and not look.stored.problem
            document = flagd.empty(self._set.store.keys.name) if fresh else self._set.parsed(look.stored)
            created = tuple(flag for flag in dict.fromkeys(flags) if flag not in document["flags"])
            if not created:
                return Prepared(place)
            known = (self._set.last_good() or document)["flags"]
            marks: Marks = {flagd.VERSION: look.number(document), flagd.BY: by, flagd.WHY: "created, switched off"}
            entries = {flag: flagd.marked(flagd.serving(known.get(flag, {}), 0, ()), marks) for flag in created}
            audit = {"action": "init", "flag": ", ".join(created), "by": by, "why": "created, switched off"}
            if look.put(document, entries, audit) is not None:
                return Prepared(place, created)
        raise AssertionError("unreachable: the last look raises")

    def preflight(self, flag: str) -> tuple[Check, ...]:
        """The server, the set, the flag, and a write that changes nothing. Never raises."""
        return tuple(check_set(self._set, flag))

    def close(self) -> None:
        """End the connections."""
        self._set.store.client.close()

    def _compared(self, held: Held, flag: str, expect: str | None, first: str, *, urgent: bool) -> str:
        """The flag's version, if this change may replace it. `first` is the one that the first look found."""
        if held.problem is not None:
            return first
        version = flagd.fingerprint(held.entry)
        expected = expect if expect is not None else first
        if expected and version != expected and (expect is not None or not urgent):
            message = f"{self._set.place(flag)}: it has version {version}; expected {expected}, as it was read; "
            raise FlagConflict(message + "it is read and decided again.")
        return first or version

    def _unchanged(self, held: Held, flag: str) -> FlagReading:
        self._set.good = held.document
        return self._set.reading(held.document, flag)

    def _audit(self, action: str, flag: str, change: Change, held: Held, entry: Json) -> Mapping[str, object]:
        after = flagd.served(entry, self._set.place(flag), self._set.audiences)
        return {
            "action": action,
            "flag": flag,
            "by": change.by,
            "why": change.why,
            "rollout": change.rollout,
            "idem": change.idem,
            "before": str(exposure_of(held.served)) if held.served is not None else "unknown",
            "after": str(exposure_of(after)),
        }


def open_redis(settings: ServiceSettings) -> RedisSet:
    """The flag set that the settings name; reaches nothing yet. Raises ConfigError."""
    url = settings.url or ""
    if urlsplit(url).query:
        raise ConfigError([Problem("flags.url", "has options after a `?`; expected an address such as redis://host/0")])
    # A change asks twice, so each answer may take half of the time that the change may take.
    timeout = settings.timeout / 2
    client = connect(
        url,
        timeout=timeout,
        username=settings.username,
        password=settings.password.get_secret_value() if settings.password is not None else None,
        ca_file=settings.ca_file,
    )
    return RedisSet(
        RedisStore(client, f"{url} set {settings.set}", Keys(settings.set), timeout),
        timeout=settings.timeout,
        propagation=settings.worst_propagation,
        bucketing=settings.bucketing,
        audiences=settings.audiences,
    )
