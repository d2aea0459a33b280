"""flagd's JSON document: whether every reader would take it, and what the watchdog notes in it. No files here.

`flagd_targeting` says what a flag in it serves, and how the watchdog writes one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import NoReturn

from watchdog.errors import FlagServiceError
from watchdog.flags.base import Audiences
from watchdog.flags.flagd_targeting import (
    BY_KEY,
    LARGEST_COHORT,
    NO_AUDIENCES,
    TOTAL,
    Json,
    Served,
    conditions,
    refusal,
    refuse,
    served,
    serves_alike,
    serving,
    shown,
    switched,
    weight_of,
)

__all__ = [
    "BUCKETING",
    "BY",
    "BY_KEY",
    "DEEPEST",
    "IDEM",
    "KILLED",
    "LARGEST_COHORT",
    "LATCH",
    "LATCHED_AT",
    "LATCHED_VERSION",
    "NO_AUDIENCES",
    "ROLLOUT",
    "SCHEMA",
    "TOTAL",
    "VERSION",
    "WHY",
    "Json",
    "Served",
    "conditions",
    "digest",
    "empty",
    "fingerprint",
    "idem_of",
    "latch_of",
    "marked",
    "parse",
    "partial",
    "render",
    "served",
    "serves_alike",
    "serving",
    "switched",
    "version_of",
    "weight_of",
]

SCHEMA = "https://flagd.dev/schema/v0/flags.json"
DEEPEST = 100
"""Levels of nesting: a rule needs ten, and what reads deeper than this may not be writable again."""

VERSION = "slo-watchdog.version"
ROLLOUT = "slo-watchdog.rollout"
KILLED = "slo-watchdog.killed"
LATCH = "slo-watchdog.latch"
LATCHED_AT = "slo-watchdog.latched_at"
LATCHED_VERSION = "slo-watchdog.latched_version"
IDEM = "slo-watchdog.idem"
"""Idempotency key of the last change that was made through the watchdog."""
BY = "slo-watchdog.by"
WHY = "slo-watchdog.why"
"""Who changed the flag by hand, and why; a rollout's changes are told in the ledger."""
BUCKETING = "slo-watchdog.bucketing"
"""In the document's metadata: the hash with which its readers are known to deal users to percentages."""

FLAG_PROPERTIES = frozenset({"state", "variants", "defaultVariant", "targeting", "metadata", "source", "selector"})
"""What a flag may have. flagd's schema allows more, but its Python provider refuses the whole document for it."""


def parse(raw: bytes, place: str) -> Json:
    """The document in `raw`, if every flagd provider would take it. Raises FlagServiceError naming `place`.

    One bad flag makes a provider refuse the whole document and serve the one before, so the neighbours of the flag
    that is steered are checked too: a kill in a refused document would never reach a reader.
    """
    if not raw.strip():
        refuse(place, "the file is empty", "a flagd document", permanent=False)
    try:
        document = json.loads(raw.decode(), parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        found = f"{len(raw)} bytes that are not JSON ({error})"
        raise refusal(place, found, "a flagd document", permanent=False) from error
    if _deeper_than(DEEPEST, document):
        refuse(place, f"it is nested more than {DEEPEST} levels deep", "a flagd document", permanent=False)
    if not isinstance(document, dict) or not document:
        refuse(place, f"it holds {shown(document)}", 'a map with "flags"')
    if not isinstance(flags := document.get("flags"), dict) or not flags:
        refuse(f"{place}: flags", f"it is {shown(flags)}", "a map from flag key to flag, with at least one flag")
    _check_metadata(document, f"{place}: metadata")
    for name, entry in flags.items():
        _check_entry(entry, f"{place}: flags.{name}")
    return document


def _check_entry(entry: object, place: str) -> None:
    """That no provider refuses the document because of this flag."""
    if not isinstance(entry, dict):
        refuse(place, f"it is {shown(entry)}", "a map with state and variants")
    if unknown := sorted(entry.keys() - FLAG_PROPERTIES):
        allowed = "only properties that every flagd provider knows (the Python one refuses the document for others)"
        refuse(f"{place}.{unknown[0]}", "it is not a property of a flag", allowed, "move it into metadata")
    if entry.get("state") not in ("ENABLED", "DISABLED"):
        refuse(f"{place}.state", f"it is {shown(entry.get('state'))}", '"ENABLED" or "DISABLED"')
    if not isinstance(variants := entry.get("variants"), dict) or not variants:
        refuse(f"{place}.variants", f"it is {shown(variants)}", "a map with at least one variant")
    default = entry.get("defaultVariant")
    if default not in (None, "") and (not isinstance(default, str) or default not in variants):
        refuse(f"{place}.defaultVariant", f"it is {shown(default)}", f"one of {', '.join(variants)}")
    _check_metadata(entry, f"{place}.metadata")


def _check_metadata(owner: Json, place: str) -> None:
    if not isinstance(metadata := owner.get("metadata", {}), dict):
        refuse(place, f"it is {shown(metadata)}", "a map of strings, numbers and booleans")
    for key, value in metadata.items():
        if not isinstance(value, str | int | float):
            refuse(f"{place}.{key}", f"it is {shown(value)}", "a string, a number or a boolean")


def empty(flag_set: str) -> Json:
    """A document without flags; never written as it is, because readers take that for the loss of all flags."""
    return {"$schema": SCHEMA, "metadata": {"flagSetId": flag_set, "version": "0"}, "flags": {}}


def marked(entry: Json, marks: Mapping[str, str | int | bool | None]) -> Json:
    """`entry` with the watchdog's metadata set to `marks`; None removes a key, other people's keys stay."""
    metadata = {**entry.get("metadata", {}), **marks}
    return {**entry, "metadata": {key: value for key, value in metadata.items() if value is not None}}


def latch_of(entry: Json) -> str | None:
    """The rollout whose rollback killed the flag."""
    latch = entry.get("metadata", {}).get(LATCH)
    return latch if isinstance(latch, str) else None


def idem_of(entry: Json) -> str:
    """The idempotency key of the last change through the watchdog; empty when it had none."""
    idem = entry.get("metadata", {}).get(IDEM)
    return idem if isinstance(idem, str) else ""


def partial(document: Json, audiences: Audiences = NO_AUDIENCES) -> list[str]:
    """The flags of which some targeting keys have the feature and others have not, by the hash of the key."""
    found = []
    for name, entry in document["flags"].items():
        try:
            if served(entry, name, audiences).partial:
                found.append(name)
        except FlagServiceError:
            continue
    return found


def version_of(document: Json) -> int:
    """The document's version: the highest number that it or one of its flags carries, 0 when none does."""
    text = document.get("metadata", {}).get("version", "")
    numbers = [int(text)] if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 16 else [0]
    marks = [entry.get("metadata", {}).get(VERSION) for entry in document["flags"].values()]
    return max(numbers + [mark for mark in marks if isinstance(mark, int)])


def fingerprint(entry: Json) -> str:
    """Version and content of one flag: changes with every write and every hand edit of it, not with its neighbours."""
    return f"{entry.get('metadata', {}).get(VERSION, 0)}-{_hashed(entry)[:12]}"


def digest(document: Json) -> str:
    """Version and content of the whole document: the same content has the same one, however it is laid out."""
    return f"{version_of(document)}-{_hashed(document)[:16]}"


def _hashed(value: Json) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def render(document: Json) -> bytes:
    """The bytes to write: plain ASCII, because providers read the file in whatever encoding their host uses.

    Indented for people, which json does in Python, slowly: flags that a change leaves alone keep the text they had.
    """
    members = {key: _lines(value) for key, value in document.items() if key != "flags"}
    if "flags" in document:
        flags = {name: _indented(json.dumps(flag, allow_nan=False)) for name, flag in document["flags"].items()}
        members = {key: _object(flags) if key == "flags" else members[key] for key in document}
    return (_object(members) + "\n").encode("ascii")


def _lines(value: object) -> str:
    return json.dumps(value, indent=2, allow_nan=False)


@lru_cache(maxsize=4096)
def _indented(flag: str) -> str:
    return _lines(json.loads(flag))


def _object(members: Mapping[str, str]) -> str:
    """A JSON object of members that are indented already, one level further in; no line break is inside a string."""
    lines = ",\n".join(f"{json.dumps(name)}: {text}" for name, text in members.items()).replace("\n", "\n  ")
    return f"{{\n  {lines}\n}}" if members else "{}"


def _deeper_than(levels: int, document: object) -> bool:
    """Whether maps and lists are nested more than `levels` deep; without recursion, because that is the point."""
    layer = [document]
    for _ in range(levels + 1):
        inner = (
            value.values() if isinstance(value, dict) else value for value in layer if isinstance(value, dict | list)
        )
        layer = [value for values in inner for value in values]
        if not layer:
            return False
    return True


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number
