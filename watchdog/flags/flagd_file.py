"""The flag service that is a file: flagd's own JSON document, which flagd and every flagd provider read directly.

The file always holds a document that all readers take; `flagd_document` and `flagd_targeting` say how a flag is
written, `flagd_storage` how the file is replaced. A file that somebody broke is an error, with one exception: exposure
can be lowered on top of it, from the last known good document, because the feature must never stay on for want of a
comma. For the same reason a kill, and anything else that exposes nobody new, waits for no other writer.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from watchdog.errors import FlagConflict, FlagServiceError
from watchdog.flags import flagd_document as flagd
from watchdog.flags.base import Audiences, Capabilities, Change, Check, Prepared
from watchdog.flags.flagd_asked import Asked, asked_of, refuse_other_era
from watchdog.flags.flagd_document import Json
from watchdog.flags.flagd_preflight import Look, preflight
from watchdog.flags.flagd_set import FlagdSet, Held
from watchdog.flags.flagd_storage import TRIES
from watchdog.model import FlagReading

Marks = dict[str, str | int | bool | None]


class FlagdFile:
    """The flags of one flagd document at `path`, one file a flag set, in map form.

    `timeout` bounds the wait for other writers, in seconds. `propagation` is the worst case until a reader sees a
    change: flagd's file watcher and its Python provider look once a second at most. `bucketing` is the hash that the
    readers are known to have, `audiences` what a ramp's audiences mean. The flags of an `emergency` set are switches:
    on or off for everybody, and switched on as urgently as others are killed. `now` stamps the latch.
    """

    def __init__(
        self,
        path: Path | str,
        timeout: float = 5.0,
        *,
        propagation: float = 1.0,
        bucketing: str = "flagd-v2",
        audiences: Audiences | None = None,
        emergency: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.capabilities = Capabilities(
            100 / flagd.TOTAL,
            propagation,
            compare_and_set="native",
            cohort=not emergency,
            audiences=not emergency,
            latch=True,
        )
        known = audiences or flagd.NO_AUDIENCES
        self._file = FlagdSet(Path(path), timeout, bucketing=bucketing, audiences=known)
        self._emergency = emergency
        self._now = now

    def read(self, flag: str) -> FlagReading:
        """What the file makes every reader serve, also when a person wrote it. Raises FlagServiceError.

        A document that is sound is kept as the last known good one, in memory and beside the file.
        """
        return self._file.read(flag)

    def document(self) -> tuple[str, Json]:
        """The whole document and a version of it that changes exactly when its content does.

        Raises FlagServiceError when the file is broken. The document is shared between callers: do not change it.
        """
        return self._file.document()

    def set(self, flag: str, change: Change) -> FlagReading:
        """Serve `change.exposure`; nothing is written when the file says so already.

        The latch of another rollout is taken away, that of `change.rollout` stays. On top of a broken file or flag
        only a lower exposure than the last known good one is written (an emergency flag is switched on all the same).
        Raises FlagConflict when the flag has another version than `change.expect`, unless its last change had the
        same idempotency key and it still serves what is asked: then this is that change. Else FlagServiceError.
        """
        asked = asked_of(change, self._file.audiences, self._file.place(flag), switch=self._emergency)
        if self._emergency or self._lowers(flag, asked):
            return self._urgently(lambda alone: self._set(flag, change, asked, alone=alone))
        with self._file.storage.locked():
            return self._set(flag, change, asked, alone=True)

    def kill(self, flag: str, change: Change) -> FlagReading:
        """Switch the flag off for everybody and leave the latch of `change.rollout`, if there is one.

        Works on top of a file that is empty, unparsable or gone, as long as a last known good document is there; what
        was found in its place is set aside as `.NAME.rejected`. A writer that stands is not waited for, and cannot
        undo it afterwards. Raises FlagServiceError.
        """
        return self._urgently(lambda alone: self._kill(flag, change, alone=alone))

    def init(self, flags: Sequence[str], by: str) -> Prepared:
        """Create the file, or what it lacks of `flags`, everything switched off.

        A latch that the last known good document holds for a flag comes back with it. Never touches a flag that is
        there, nor a file that is broken. Raises FlagServiceError.
        """
        self._file.storage.make_directory()
        with self._file.storage.locked():
            snapshot = self._file.storage.load()
            document = self._file.empty() if snapshot is None else self._file.parsed(snapshot)
            created = tuple(flag for flag in dict.fromkeys(flags) if flag not in document["flags"])
            if created:
                good = self._file.last_good() or self._file.empty()
                version = max(flagd.version_of(document), flagd.version_of(good)) + 1
                marks: Marks = {flagd.VERSION: version, flagd.BY: by, flagd.WHY: "created, switched off"}
                entries = {flag: flagd.serving(good["flags"].get(flag, {}), 0, ()) for flag in created}
                entries = {flag: flagd.marked(entry, marks) for flag, entry in entries.items()}
                self._file.replace(document, entries, version, snapshot, alone=True)
        return Prepared(str(self._file.path), created)

    def preflight(self, flag: str) -> tuple[Check, ...]:
        """Everything that would make a kill of this flag unsafe; writes the document once, with the flag as it is.

        Never raises: what cannot be looked at is a failed check.
        """
        return preflight(Look(self._file, flag, self._emergency, self._now))

    def _set(self, flag: str, change: Change, asked: Asked, *, alone: bool) -> FlagReading:
        held = self._file.held(flag, alone=alone)
        entry = asked.entry(held.entry, held.served)
        latch = flagd.latch_of(held.entry)
        taken = latch is not None and change.rollout not in (None, latch)
        alike = held.problem is None and flagd.serves_alike(entry, held.entry)
        if alike and change.idem and change.idem == flagd.idem_of(held.entry):
            return self._file.unchanged(held, flag)
        self._compare(held, flag, change)
        if not asked.within(held.served):
            self._refuse_to_raise(held, flag, change)
        if alike and not taken:
            return self._file.unchanged(held, flag)
        marks: Marks = {flagd.ROLLOUT: change.rollout, flagd.KILLED: None, **_made_by(change)}
        if taken:
            marks |= {flagd.LATCH: None, flagd.LATCHED_AT: None, flagd.LATCHED_VERSION: None}
        return self._file.write(held, flag, flagd.marked(entry, marks))

    def _kill(self, flag: str, change: Change, *, alone: bool) -> FlagReading:
        held = self._file.held(flag, alone=alone)
        entry = flagd.serving(held.entry, 0, ())
        latched = change.rollout is None or flagd.latch_of(held.entry) == change.rollout
        killed = held.entry.get("metadata", {}).get(flagd.KILLED) is True
        if held.problem is None and latched and killed and flagd.serves_alike(entry, held.entry):
            return self._file.unchanged(held, flag)
        marks: Marks = {flagd.KILLED: True, **_made_by(change)}
        if change.rollout is not None:
            instant = datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            version = flagd.version_of(held.document) + 1
            marks |= {flagd.LATCH: change.rollout, flagd.LATCHED_AT: instant, flagd.LATCHED_VERSION: version}
            marks[flagd.ROLLOUT] = change.rollout
        return self._file.write(held, flag, flagd.marked(entry, marks), urgent=True)

    def _urgently(self, write: Callable[[bool], FlagReading]) -> FlagReading:
        """Write without waiting for a holder of the lock that stands, and again when somebody else wrote meanwhile."""
        with self._file.storage.locked(insist=True) as alone:
            for _ in range(TRIES):
                with contextlib.suppress(FlagConflict):
                    return write(alone)
            return write(alone)

    def _lowers(self, flag: str, asked: Asked) -> bool:
        """Whether a change takes the feature from people only, as far as a look without the lock can tell."""
        with contextlib.suppress(FlagServiceError):
            return asked.within(self._file.held(flag, alone=False).served)
        return False

    def _compare(self, held: Held, flag: str, change: Change) -> None:
        found = flagd.fingerprint(held.entry)
        if change.expect is not None and (held.problem is not None or change.expect != found):
            message = f"{self._file.place(flag)}: it has version {found}; expected {change.expect}, as it was read; "
            raise FlagConflict(message + "it is read and decided again.")

    def _refuse_to_raise(self, held: Held, flag: str, change: Change) -> None:
        """What stands in the way of more exposure; an emergency flag is switched on whatever does."""
        if self._emergency:
            return
        if not held.alone:
            raise FlagConflict(
                f"{self._file.path}: it was lowered meanwhile; expected to lower it; it is decided again."
            )
        if held.problem is not None:
            message = f"{held.problem} Until then {flag} can be lowered or killed, but not set to {change.exposure}."
            raise FlagServiceError(message, permanent=held.problem.permanent) from held.problem
        refuse_other_era(held.document, self._file.bucketing, self._file.audiences, str(self._file.path))


def _made_by(change: Change) -> Marks:
    """The marks of the change, and of who and why; None, which removes those, where a rollout makes the change."""
    own = change.rollout is not None
    return {
        flagd.IDEM: change.idem or None,
        flagd.BY: None if own else change.by,
        flagd.WHY: None if own else change.why,
    }
