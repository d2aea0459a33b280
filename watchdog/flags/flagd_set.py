"""The flag set that a file holds: its document now, the last known good one, and the next one put in its place.

Here a file that is broken, or a flag in it whose exposure nobody can tell, meets what is known from before.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from watchdog.errors import FlagConflict, FlagServiceError
from watchdog.flags import flagd_document as flagd
from watchdog.flags.base import Audiences
from watchdog.flags.flagd_asked import era_to_note
from watchdog.flags.flagd_disk import Snapshot
from watchdog.flags.flagd_document import Json, Served
from watchdog.flags.flagd_storage import FlagdStorage
from watchdog.model import Exposure, FlagReading

REMEMBERED = 2
"""Sound documents that are remembered besides the newest: the one before it, and the copy's."""
INIT = "run `slo-watchdog flags init` to create it, switched off"


@dataclass(frozen=True, slots=True)
class Held:
    """What a write starts from: a sound document, the flag in it, and what it serves.

    With a `problem` the file or the flag is broken: document, flag and `served` are then the last known good ones
    (`served` None when not even those tell), and exposure can only go down. `alone` says whether the lock is held.
    """

    document: Json
    entry: Json
    served: Served | None
    snapshot: Snapshot | None
    alone: bool
    problem: FlagServiceError | None = None


class FlagdSet:
    """The flags of the file at `path`. All methods raise FlagServiceError only."""

    def __init__(self, path: Path, timeout: float, *, bucketing: str, audiences: Audiences) -> None:
        self.path = path
        self.storage = FlagdStorage(path, timeout)
        self.bucketing = bucketing
        self.audiences = audiences
        self._good: Json | None = None
        self._shown: tuple[bytes, str, Json] | None = None
        self._sound: tuple[tuple[bytes, Json], ...] = ()

    def read(self, flag: str) -> FlagReading:
        """What the file makes every reader serve; a sound document is kept as the last known good one."""
        try:
            snapshot = self.storage.load()
            document = self.parsed(snapshot)
            reading = self.reading(document, flag)
        except FlagServiceError as error:
            raise self.with_last_good(error) from error
        self._good = document
        if snapshot is not None and snapshot.raw != self.storage.load_copy():
            # Best effort: without the lock or the space a later read does it, and the memory above holds it till then.
            with contextlib.suppress(FlagServiceError), self.storage.locked(timeout=0):
                if self.storage.load() == snapshot:
                    self.storage.keep(snapshot)
        return reading

    def document(self) -> tuple[str, Json]:
        """The whole document and a version of it that changes exactly when its content does."""
        snapshot = self.storage.load()
        known = self._shown
        if known is None or snapshot is None or known[0] != snapshot.raw:
            document = self.parsed(snapshot)
            known = (snapshot.raw if snapshot else b"", flagd.digest(document), document)
            self._shown = known
        return known[1], known[2]

    def held(self, flag: str, *, alone: bool) -> Held:
        """What a write of `flag` starts from. Raises when there is neither a sound file nor a last known good one."""
        snapshot = self.storage.load()
        good = self.last_good()
        known = (good or self.empty())["flags"].get(flag)
        try:
            document = self.parsed(snapshot)
        except FlagServiceError as problem:
            if good is None or known is None:
                raise self.with_last_good(problem) from problem
            return Held(good, known, self._served_if_known(flag, known), snapshot, alone, problem)
        try:
            entry = self.entry(document, flag)
            return Held(document, entry, self.served(flag, entry), snapshot, alone)
        except FlagServiceError as problem:
            entry = document["flags"].get(flag, known)
            if entry is None:
                raise
            return Held(document, entry, known and self._served_if_known(flag, known), snapshot, alone, problem)

    def write(self, held: Held, flag: str, entry: Json, *, urgent: bool = False) -> FlagReading:
        """Put a new entry for `flag` into the document and the file; returns what it then reads."""
        version = flagd.version_of(held.document) + 1
        if held.snapshot is not None and held.snapshot.raw.strip() and held.problem is not None:
            self.storage.set_aside(held.snapshot.raw, alone=held.alone)
        entries = {flag: flagd.marked(entry, {flagd.VERSION: version})}
        over = held.snapshot
        written = self.replace(held.document, entries, version, over, alone=held.alone, urgent=urgent)
        return self.reading(written, flag)

    def replace(
        self,
        document: Json,
        entries: dict[str, Json],
        version: int,
        over: Snapshot | None,
        *,
        alone: bool,
        urgent: bool = False,
    ) -> Json:
        """Put the entries into the document, the document into the file that reads `over`, and read it back."""
        era = era_to_note(document, self.bucketing, self.audiences)
        metadata = {**document.get("metadata", {}), "version": str(version), flagd.BUCKETING: era}
        raw = flagd.render({**document, "metadata": metadata, "flags": {**document["flags"], **entries}})
        written = self.parsed(Snapshot(raw, 0))
        self.storage.replace(raw, over, alone=alone, urgent=urgent)
        snapshot = self.storage.load()
        if snapshot is None or snapshot.raw != raw:
            message = f"{self.path}: it was changed by somebody else right after the watchdog had written it; "
            raise FlagConflict(message + "expected the written document; it is read and written again.")
        self._good = written
        self._keep(snapshot, alone=alone)
        return written

    def rewrite(self) -> None:
        """Write the document once more with every flag as it is."""
        with self.storage.locked():
            snapshot = self.storage.load()
            document = self.parsed(snapshot)
            self.replace(document, {}, flagd.version_of(document) + 1, snapshot, alone=True)

    def unchanged(self, held: Held, flag: str) -> FlagReading:
        """What the flag reads where nothing needs to be written."""
        self._good = held.document
        if held.snapshot is not None:
            self._keep(held.snapshot, alone=held.alone)
        return self.reading(held.document, flag)

    def _keep(self, snapshot: Snapshot, *, alone: bool) -> None:
        """Keep the copy, best effort: the file itself is right, and the next sound read tries again."""
        with contextlib.suppress(FlagServiceError):
            self.storage.keep(snapshot, alone=alone)

    def reading(self, document: Json, flag: str) -> FlagReading:
        """What a flag of a document serves."""
        entry = self.entry(document, flag)
        serves = self.served(flag, entry)
        exposure = Exposure(serves.percent, bool(serves.cohort), serves.audiences)
        return FlagReading(
            exposure, flagd.fingerprint(entry), flagd.latch_of(entry), flagd.idem_of(entry), serves.cohort
        )

    def parsed(self, snapshot: Snapshot | None) -> Json:
        """The document of a file."""
        if snapshot is None:
            message = f"{self.path}: there is no such file; expected a flagd document; {INIT}."
            raise FlagServiceError(message, missing_set=self.last_good() is None)
        return self._parse(snapshot.raw, self.path)

    def _parse(self, raw: bytes, path: Path) -> Json:
        """The document in these bytes. The newest ones that were sound are remembered: a kill must not parse twice."""
        for known, document in self._sound:
            if known == raw:
                return document
        document = flagd.parse(raw, str(path))
        self._sound = ((raw, document), *self._sound[:REMEMBERED])
        return document

    def entry(self, document: Json, flag: str) -> Json:
        """The flag in a document."""
        entry: Json | None = document["flags"].get(flag)
        if entry is None:
            present = ", ".join(document["flags"])
            message = f"{self.place(flag)}: it is missing; the file holds {present}; {INIT}."
            raise FlagServiceError(message, permanent=True)
        return entry

    def last_good(self) -> Json | None:
        """The newer of what this process remembers and what any process left beside the file."""
        raw = self.storage.load_copy()
        found = [self._good] if self._good is not None else []
        if raw is not None:
            with contextlib.suppress(FlagServiceError):
                found.append(self._parse(raw, self.storage.copy))
        return max(found, key=flagd.version_of, default=None)

    def with_last_good(self, problem: FlagServiceError) -> FlagServiceError:
        """The problem, and what is left to stand on."""
        good = self.last_good()
        tail = "No last known good document is there to go back to."
        if good is not None:
            kept = f"(version {flagd.version_of(good)}) is kept in {self.storage.copy.name}"
            tail = f"The last known good document {kept}: exposure can be lowered, not raised."
        return FlagServiceError(f"{problem} {tail}", permanent=problem.permanent, missing_set=problem.missing_set)

    def served(self, flag: str, entry: Json) -> Served:
        """Whom an entry for `flag` serves."""
        return flagd.served(entry, self.place(flag), self.audiences)

    def _served_if_known(self, flag: str, entry: Json) -> Served | None:
        with contextlib.suppress(FlagServiceError):
            return self.served(flag, entry)
        return None

    def empty(self) -> Json:
        """The document that a new file starts from."""
        return flagd.empty(self.path.name.removesuffix(".json").removesuffix(".flagd"))

    def place(self, flag: str) -> str:
        """Where a flag is, for sentences."""
        return f"{self.path}: flags.{flag}"
