"""What a change asks of a flagd document, checked before anything is written. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from watchdog.errors import FlagServiceError
from watchdog.flags.base import Audiences, Change
from watchdog.flags.flagd_document import (
    BUCKETING,
    BY_KEY,
    LARGEST_COHORT,
    TOTAL,
    Json,
    Served,
    conditions,
    partial,
    served,
    serving,
    switched,
    weight_of,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom a flag is to serve: a weight of 100000, the cohort's targeting keys, audiences with their conditions."""

    weight: int
    cohort: tuple[str, ...] = ()
    audiences: tuple[tuple[str, Any], ...] = ()
    switch: bool = False

    def within(self, limit: Served | None) -> bool:
        """Whether nobody gets the feature who did not have it under `limit`; nobody at all needs no limit."""
        if limit is None:
            return self.weight == 0 and not self.cohort and not self.audiences
        if limit.percent == 100:
            return True
        fewer = set(self.cohort) <= set(limit.cohort) and {name for name, _ in self.audiences} <= set(limit.audiences)
        return fewer and self.weight <= round(limit.percent * TOTAL / 100)

    def entry(self, found: Json, limit: Served | None) -> Json:
        """`found` rewritten to serve this, in the order of weights that it has."""
        if self.switch:
            return switched(found, on=self.weight == TOTAL)
        on_first = limit is None or limit.on_first
        return serving(found, self.weight, self.cohort, audiences=self.audiences, on_first=on_first)


def asked_of(change: Change, audiences: Audiences, place: str, *, switch: bool) -> Asked:
    """What the change asks; percentages are rounded down to 0.001. Raises FlagServiceError (permanent)."""
    exposure, problem = change.exposure, ""
    cohort = tuple(dict.fromkeys(change.cohort)) if exposure.cohort else ()
    if not (math.isfinite(exposure.percent) and 0 <= exposure.percent <= 100):
        problem = f"{exposure.percent} % was asked; expected 0 to 100"
    elif exposure.cohort and not cohort:
        problem = "the cohort was asked, but it has no members; expected at least one targeting key"
    elif len(cohort) > LARGEST_COHORT:
        problem = f"the cohort has {len(cohort)} members; expected at most {LARGEST_COHORT}"
    elif switch and (0 < exposure.percent < 100 or cohort or exposure.audiences):
        problem = f"{exposure} was asked of an emergency flag, which is a switch; expected 0 or 100 for everybody"
    elif {"in": [BY_KEY[0], list(cohort)]} in audiences.values():
        problem = "the cohort is also the condition of an audience; expected one name for one set of people"
    if problem:
        raise FlagServiceError(f"{place}: {problem}; correct the ramp.", permanent=True)
    return Asked(weight_of(exposure.percent), cohort, conditions(exposure.audiences, audiences, place), switch)


def era_of(document: Json) -> str | None:
    """The hash that the document's readers are noted to have; None where none is."""
    mark = document.get("metadata", {}).get(BUCKETING)
    return None if mark is None else str(mark)


def era_to_note(document: Json, configured: str, audiences: Audiences) -> str:
    """The hash to note in the next document: the configured one, unless percentages hang on the one that is there."""
    mark = era_of(document)
    return configured if mark is None or not partial(document, audiences) else mark


def refuse_other_era(document: Json, configured: str, audiences: Audiences, place: str) -> None:
    """That percentages are dealt by the configured hash. Raises FlagServiceError (permanent)."""
    mark = era_of(document)
    if mark in (None, configured) or not (dealt := partial(document, audiences)):
        return
    percent = served(document["flags"][dealt[0]], place, audiences).percent
    message = (
        f"{place}: metadata.{BUCKETING}: the document's users are dealt by {mark} and flags.bucketing is {configured}; "
        f"expected them to agree while {' and '.join(dealt)} is partly on ({dealt[0]} at {percent:g} %), because the "
        "other hash would pick other users; finish or roll back first, or set flags.bucketing back. Until then it can "
        "be lowered or killed."
    )
    raise FlagServiceError(message, permanent=True)
