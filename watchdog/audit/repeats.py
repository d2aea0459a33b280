"""A tick tries again and again: which of it is the same change, and which of it has been said already."""

from __future__ import annotations

import re
from dataclasses import replace
from uuid import uuid4

from watchdog.flags.base import Change

MOST_TOLD = 50
"""Different outcomes of one flag that are recorded until it changes; more of them are only counted."""


class Repeats:
    """The idempotency keys that we gave and what was recorded, by flag, until the flag changes."""

    def __init__(self) -> None:
        self._keys: dict[str, dict[tuple[str, ...], str]] = {}
        self._told: dict[str, set[tuple[str, ...]]] = {}

    def keyed(self, verb: str, flag: str, change: Change) -> Change:
        """The change with an idempotency key: the caller's, else one that stays the same until it is done."""
        if change.idem:
            return change
        said = (verb, change.by, change.why, str(change.exposure), *change.cohort)
        keys = self._keys.setdefault(flag, {})
        return replace(change, idem=keys.setdefault(said, new_key(change.by)))

    def first(self, flag: str, verb: str, change: Change, result: str, error: str = "") -> bool:
        """Whether this outcome was not recorded since the flag last changed."""
        # Times and counters in a sentence must not make each try look like another failure.
        said = (verb, change.idem, result, re.sub(r"\d+", "#", error))
        told = self._told.setdefault(flag, set())
        if said in told or len(told) >= MOST_TOLD:
            return False
        told.add(said)
        return True

    def done(self, flag: str, *, changed: bool) -> None:
        """The service took a change: the next one gets a key of its own, and outcomes are news again if it changed."""
        self._keys.pop(flag, None)
        if changed:
            self._told.pop(flag, None)


def new_key(by: str) -> str:
    """A key that nobody had before."""
    return f"{by}:{uuid4()}"
