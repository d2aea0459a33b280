"""What a change makes of one flag of a document that may be broken: pure, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from watchdog.errors import FlagServiceError
from watchdog.flags import flagd_document as flagd
from watchdog.flags.base import Audiences, Change
from watchdog.flags.flagd_asked import Asked, era_to_note
from watchdog.flags.flagd_document import Json, Served
from watchdog.model import Exposure
from watchdog.quantities import rfc3339

Marks = dict[str, str | int | bool | None]


@dataclass(frozen=True, slots=True)
class Held:
    """What a write starts from: a sound document, the flag in it, and what it serves.

    With a `problem` the document or the flag is broken: document, flag and `served` are then the last good ones
    (`served` None when not even those tell), and exposure can only go down. `unreadable`: all of the document is.
    """

    document: Json
    entry: Json
    served: Served | None
    problem: FlagServiceError | None = None
    unreadable: bool = False


def changed(held: Held, wanted: Asked, change: Change, version: int) -> Json | None:
    """The flag's entry that serves what is asked, or None where it does already.

    The latch of another rollout is taken away, that of `change.rollout` stays.
    """
    entry = wanted.entry(held.entry, held.served)
    latch = flagd.latch_of(held.entry)
    taken = latch is not None and change.rollout not in (None, latch)
    if held.problem is None and not taken and flagd.serves_alike(entry, held.entry):
        return None
    marks: Marks = {flagd.VERSION: version, flagd.ROLLOUT: change.rollout, flagd.KILLED: None}
    if taken:
        marks |= {flagd.LATCH: None, flagd.LATCHED_AT: None, flagd.LATCHED_VERSION: None}
    return flagd.marked(entry, marks | _told(change))


def killed(held: Held, change: Change, version: int, at: float) -> Json | None:
    """The flag's entry, off for everybody and latched by `change.rollout`; None where it is so already.

    `at` is the wall clock in seconds, for the latch.
    """
    entry = flagd.serving(held.entry, 0, ())
    latched = change.rollout is None or flagd.latch_of(held.entry) == change.rollout
    dead = held.entry.get("metadata", {}).get(flagd.KILLED) is True
    if held.problem is None and latched and dead and flagd.serves_alike(entry, held.entry):
        return None
    marks: Marks = {flagd.VERSION: version, flagd.KILLED: True, **_told(change)}
    if change.rollout is not None:
        marks |= {flagd.LATCH: change.rollout, flagd.LATCHED_AT: rfc3339(int(at)), flagd.LATCHED_VERSION: version}
        marks[flagd.ROLLOUT] = change.rollout
    return flagd.marked(entry, marks)


def rebuilt(document: Json, entries: Mapping[str, Json], version: int, bucketing: str, audiences: Audiences) -> Json:
    """The document with these flags in it, as version `version`; its users are dealt by `bucketing` if they can be."""
    metadata = {**document.get("metadata", {}), "version": str(version)}
    if metadata.get(flagd.BUCKETING) != bucketing:
        metadata[flagd.BUCKETING] = era_to_note(document, bucketing, audiences)
    return {**document, "metadata": metadata, "flags": {**document["flags"], **entries}}


def exposure_of(served: Served) -> Exposure:
    """What is served, as the port says it."""
    return Exposure(served.percent, bool(served.cohort), served.audiences)


def _told(change: Change) -> Marks:
    """The marks of who, why and which key; who and why only where no rollout makes the change."""
    own = change.rollout is not None
    idem = change.idem or None
    return {flagd.BY: None if own else change.by, flagd.WHY: None if own else change.why, flagd.IDEM: idem}
