"""The flag service that is a file: flagd's own JSON document, which flagd and every flagd provider read directly.

The file always holds a document that all readers take; `flagd_document` says how a flag is written, `flagd_storage`
how the file is replaced. A file that somebody broke is an error, with one exception: exposure can be lowered on top of
it, from the last known good document, because the feature must never stay on for want of a comma.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from watchdog.errors import FlagServiceError
from watchdog.flags import flagd_document as flagd
from watchdog.flags.base import Audiences, Capabilities, Change
from watchdog.flags.flagd_document import Json, Served
from watchdog.flags.flagd_storage import FlagdStorage, Snapshot
from watchdog.model import Exposure, FlagReading

LARGEST_COHORT = 1000
"""Members of a canary cohort: the list is searched at every evaluation, 0.13 ms at this length."""

INIT = "run `slo-watchdog flags init` to create it, switched off"


@dataclass(frozen=True, slots=True)
class _Held:
    """What a write starts from: a sound document, the flag in it, and what it serves.

    With a `problem` the file or the flag is broken: document, flag and `served` are then the last known good ones
    (`served` None when not even those tell), and exposure can only go down.
    """

    document: Json
    entry: Json
    served: Served | None
    snapshot: Snapshot | None
    problem: FlagServiceError | None = None


class FlagdFile:
    """The flags of one flagd document at `path`, one file a flag set, in map form.

    `timeout` bounds the wait for other writers, in seconds. `propagation` is the worst case until a reader sees a
    change: flagd's file watcher and its Python provider look once a second at most. `now` stamps the latch.
    """

    def __init__(
        self,
        path: Path | str,
        timeout: float = 5.0,
        *,
        propagation: float = 1.0,
        bucketing: str = "flagd-v2",
        audiences: Audiences | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.capabilities = Capabilities(smallest_step=100 / flagd.TOTAL, propagation=propagation)
        self._path = Path(path)
        self._storage = FlagdStorage(self._path, timeout)
        self._now = now
        self._good: Json | None = None

    def read(self, flag: str) -> FlagReading:
        """What the file makes every reader serve, also when a person wrote it. Raises FlagServiceError.

        A document that is sound is kept as the last known good one, in memory and beside the file.
        """
        try:
            snapshot = self._storage.load()
            document = self._parsed(snapshot)
            reading = self._reading(document, flag)
        except FlagServiceError as error:
            raise self._with_last_good(error) from error
        self._good = document
        if snapshot is not None and snapshot.raw != self._storage.load_copy():
            # Best effort: without the lock or the space a later read does it, and the memory above holds it till then.
            with contextlib.suppress(FlagServiceError), self._storage.locked(timeout=0):
                if self._storage.load() == snapshot:
                    self._storage.keep(snapshot)
        return reading

    def set(self, flag: str, change: Change) -> FlagReading:
        """Serve `change.exposure`; nothing is written when the file says so already.

        The latch of another rollout is taken away, that of `change.rollout` stays. On top of a broken file or flag
        only a lower exposure than the last known good one is written. Raises FlagServiceError.
        """
        weight, cohort = self._asked(flag, change)
        with self._storage.locked():
            held = self._held(flag)
            if held.problem is not None and not _within(weight, cohort, held.served):
                message = (
                    f"{held.problem} Until then {flag} can be lowered or killed, but not set to {change.exposure}."
                )
                raise FlagServiceError(message, permanent=held.problem.permanent) from held.problem
            on_first = held.served is None or held.served.on_first
            entry = flagd.serving(held.entry, weight, cohort, on_first=on_first)
            latch = _latch(held.entry)
            taken = latch is not None and change.rollout not in (None, latch)
            if held.problem is None and not taken and flagd.serves_alike(entry, held.entry):
                return self._unchanged(held, flag)
            marks: dict[str, str | int | bool | None] = {flagd.ROLLOUT: change.rollout, flagd.KILLED: None}
            marks |= _by_hand(change)
            if taken:
                marks |= {flagd.LATCH: None, flagd.LATCHED_AT: None, flagd.LATCHED_VERSION: None}
            return self._write(held, flag, flagd.marked(entry, marks))

    def kill(self, flag: str, change: Change) -> FlagReading:
        """Switch the flag off for everybody and leave the latch of `change.rollout`, if there is one.

        Works on top of a file that is empty, unparsable or gone, as long as a last known good document is there; what
        was found in its place is set aside as `.NAME.rejected`. Raises FlagServiceError.
        """
        with self._storage.locked():
            held = self._held(flag)
            entry = flagd.serving(held.entry, 0, ())
            latched = change.rollout is None or _latch(held.entry) == change.rollout
            killed = held.entry.get("metadata", {}).get(flagd.KILLED) is True
            if held.problem is None and latched and killed and flagd.serves_alike(entry, held.entry):
                return self._unchanged(held, flag)
            marks: dict[str, str | int | bool | None] = {flagd.KILLED: True, **_by_hand(change)}
            if change.rollout is not None:
                instant = datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                version = flagd.version_of(held.document) + 1
                marks |= {flagd.LATCH: change.rollout, flagd.LATCHED_AT: instant, flagd.LATCHED_VERSION: version}
                marks[flagd.ROLLOUT] = change.rollout
            return self._write(held, flag, flagd.marked(entry, marks))

    def init(self, flags: Sequence[str]) -> list[str]:
        """Create the file, or what it lacks of `flags`, everything switched off; returns the flags that it created.

        A latch that the last known good document holds for a flag comes back with it. Never touches a flag that is
        there, nor a file that is broken. Raises FlagServiceError.
        """
        self._storage.make_directory()
        with self._storage.locked():
            snapshot = self._storage.load()
            document = self._empty() if snapshot is None else self._parsed(snapshot)
            created = [flag for flag in dict.fromkeys(flags) if flag not in document["flags"]]
            if not created:
                return []
            good = self._last_good() or self._empty()
            version = max(flagd.version_of(document), flagd.version_of(good)) + 1
            entries = {flag: flagd.serving(good["flags"].get(flag, {}), 0, ()) for flag in created}
            entries = {flag: flagd.marked(entry, {flagd.VERSION: version}) for flag, entry in entries.items()}
            self._replace(document, entries, version)
            return created

    def _held(self, flag: str) -> _Held:
        """What a write of `flag` starts from. Raises when there is neither a sound file nor a last known good one."""
        snapshot = self._storage.load()
        good = self._last_good()
        known = (good or self._empty())["flags"].get(flag)
        try:
            document = self._parsed(snapshot)
        except FlagServiceError as problem:
            if good is None or known is None:
                raise self._with_last_good(problem) from problem
            return _Held(good, known, self._served_if_known(flag, known), snapshot, problem)
        try:
            entry = self._entry(document, flag)
            return _Held(document, entry, flagd.served(entry, self._place(flag)), snapshot)
        except FlagServiceError as problem:
            entry = document["flags"].get(flag, known)
            if entry is None:
                raise
            return _Held(document, entry, known and self._served_if_known(flag, known), snapshot, problem)

    def _write(self, held: _Held, flag: str, entry: Json) -> FlagReading:
        version = flagd.version_of(held.document) + 1
        if held.snapshot is not None and held.snapshot.raw.strip() and held.problem is not None:
            self._storage.set_aside(held.snapshot.raw)
        entry = flagd.marked(entry, {flagd.VERSION: version})
        return self._reading(self._replace(held.document, {flag: entry}, version), flag)

    def _replace(self, document: Json, entries: dict[str, Json], version: int) -> Json:
        """Put the entries into the document, the document into the file, and read it back."""
        metadata = {**document.get("metadata", {}), "version": str(version)}
        raw = flagd.render({**document, "metadata": metadata, "flags": {**document["flags"], **entries}})
        written = self._parsed(Snapshot(raw, 0))
        self._storage.replace(raw)
        snapshot = self._storage.load()
        if snapshot is None or snapshot.raw != raw:
            message = f"{self._path}: it was changed by somebody else right after the watchdog had written it; "
            raise FlagServiceError(message + "expected the written document; it is read and written again.")
        self._good = written
        self._keep(snapshot)
        return written

    def _unchanged(self, held: _Held, flag: str) -> FlagReading:
        self._good = held.document
        if held.snapshot is not None:
            self._keep(held.snapshot)
        return self._reading(held.document, flag)

    def _keep(self, snapshot: Snapshot) -> None:
        """Keep the copy, best effort: the file itself is right, and the next sound read tries again."""
        with contextlib.suppress(FlagServiceError):
            self._storage.keep(snapshot)

    def _reading(self, document: Json, flag: str) -> FlagReading:
        entry = self._entry(document, flag)
        serves = flagd.served(entry, self._place(flag))
        exposure = Exposure(serves.percent, cohort=bool(serves.cohort))
        return FlagReading(exposure, flagd.fingerprint(entry), _latch(entry))

    def _parsed(self, snapshot: Snapshot | None) -> Json:
        if snapshot is None:
            raise FlagServiceError(f"{self._path}: there is no such file; expected a flagd document; {INIT}.")
        return flagd.parse(snapshot.raw, str(self._path))

    def _entry(self, document: Json, flag: str) -> Json:
        entry: Json | None = document["flags"].get(flag)
        if entry is None:
            present = ", ".join(document["flags"])
            message = f"{self._place(flag)}: it is missing; the file holds {present}; {INIT}."
            raise FlagServiceError(message, permanent=True)
        return entry

    def _asked(self, flag: str, change: Change) -> tuple[int, tuple[str, ...]]:
        """Weight and cohort of a change, checked."""
        percent = change.exposure.percent
        cohort = tuple(dict.fromkeys(change.cohort)) if change.exposure.cohort else ()
        problem = ""
        if not (math.isfinite(percent) and 0 <= percent <= 100):
            problem = f"{percent} % was asked; expected 0 to 100"
        elif change.exposure.cohort and not cohort:
            problem = "the cohort was asked, but it has no members; expected at least one targeting key"
        elif len(cohort) > LARGEST_COHORT:
            problem = f"the cohort has {len(cohort)} members; expected at most {LARGEST_COHORT}"
        if problem:
            raise FlagServiceError(f"{self._place(flag)}: {problem}; correct the ramp.", permanent=True)
        return round(percent * flagd.TOTAL / 100), cohort

    def _last_good(self) -> Json | None:
        """The newer of what this process remembers and what any process left beside the file."""
        raw = self._storage.load_copy()
        found = [self._good] if self._good is not None else []
        if raw is not None:
            with contextlib.suppress(FlagServiceError):
                found.append(flagd.parse(raw, str(self._storage.copy)))
        return max(found, key=flagd.version_of, default=None)

    def _with_last_good(self, problem: FlagServiceError) -> FlagServiceError:
        """The problem, and what is left to stand on."""
        good = self._last_good()
        tail = "No last known good document is there to go back to."
        if good is not None:
            kept = f"(version {flagd.version_of(good)}) is kept in {self._storage.copy.name}"
            tail = f"The last known good document {kept}: exposure can be lowered, not raised."
        return FlagServiceError(f"{problem} {tail}", permanent=problem.permanent)

    def _served_if_known(self, flag: str, entry: Json) -> Served | None:
        with contextlib.suppress(FlagServiceError):
            return flagd.served(entry, self._place(flag))
        return None

    def _empty(self) -> Json:
        name = self._path.name.removesuffix(".json").removesuffix(".flagd")
        return {"$schema": flagd.SCHEMA, "metadata": {"flagSetId": name, "version": "0"}, "flags": {}}

    def _place(self, flag: str) -> str:
        return f"{self._path}: flags.{flag}"


def _by_hand(change: Change) -> dict[str, str | None]:
    """The marks of who and why; None, which removes them, where a rollout makes the change."""
    own = change.rollout is not None
    return {flagd.BY: None if own else change.by, flagd.WHY: None if own else change.why}


def _latch(entry: Json) -> str | None:
    latch = entry.get("metadata", {}).get(flagd.LATCH)
    return latch if isinstance(latch, str) else None


def _within(weight: int, cohort: tuple[str, ...], limit: Served | None) -> bool:
    """Whether nobody gets the feature who did not have it under `limit`; nobody at all needs no limit."""
    if limit is None:
        return weight == 0 and not cohort
    return weight <= round(limit.percent * flagd.TOTAL / 100) and set(cohort) <= set(limit.cohort)
