"""flagd's JSON document: what a flag in it serves, and how the watchdog writes one. No files here.

Exposure is written as integer weights of a constant total, "on" first, bucketed by flag key and targeting key. Order,
total and bucketing key never change from step to step, so whoever has the feature keeps it on the way up. Weights go
with `defaultVariant: "off"`, which is what a caller without a targeting key gets. At 100 % the weights stay (100000 and
0) and the default becomes "on": 100 % means everybody, callers without a targeting key too. Nobody exposed is `ENABLED`
with `defaultVariant: "off"` and no targeting; `DISABLED` would hand the choice to every caller's code default.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from watchdog.errors import FlagServiceError

Json = dict[str, Any]

SCHEMA = "https://flagd.dev/schema/v0/flags.json"
TOTAL = 100_000
"""Sum of the weights: 0.001 % a unit."""

LARGEST_TOTAL = 2**31 - 1
DEEPEST = 100
"""Levels of nesting: a rule needs ten, and what reads deeper than this may not be writable again."""

VERSION = "slo-watchdog.version"
ROLLOUT = "slo-watchdog.rollout"
KILLED = "slo-watchdog.killed"
LATCH = "slo-watchdog.latch"
LATCHED_AT = "slo-watchdog.latched_at"
LATCHED_VERSION = "slo-watchdog.latched_version"
BY = "slo-watchdog.by"
WHY = "slo-watchdog.why"
"""Who changed the flag by hand, and why; a rollout's changes are told in the ledger."""

FLAG_PROPERTIES = frozenset({"state", "variants", "defaultVariant", "targeting", "metadata", "source", "selector"})
"""What a flag may have. flagd's schema allows more, but its Python provider refuses the whole document for it."""

BY_KEY = ({"var": "targetingKey"}, {"var": ["targetingKey"]})


@dataclass(frozen=True, slots=True)
class Served:
    """Who gets "on": `percent` of the targeting keys (0.001 % steps), and besides them the `cohort`.

    `on_first` is False only for weights that a person wrote the other way round.
    """

    percent: float
    cohort: tuple[str, ...] = ()
    on_first: bool = True


def parse(raw: bytes, place: str) -> Json:
    """The document in `raw`, if every flagd provider would take it. Raises FlagServiceError naming `place`.

    One bad flag makes a provider refuse the whole document and serve the one before, so the neighbours of the flag
    that is steered are checked too: a kill in a refused document would never reach a reader.
    """
    if not raw.strip():
        _refuse(place, "the file is empty", "a flagd document", permanent=False)
    try:
        document = json.loads(raw.decode(), parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        found = f"{len(raw)} bytes that are not JSON ({error})"
        raise _refusal(place, found, "a flagd document", permanent=False) from error
    if _deeper_than(DEEPEST, document):
        _refuse(place, f"it is nested more than {DEEPEST} levels deep", "a flagd document", permanent=False)
    if not isinstance(document, dict) or not document:
        _refuse(place, f"it holds {_shown(document)}", 'a map with "flags"')
    if not isinstance(flags := document.get("flags"), dict) or not flags:
        _refuse(f"{place}: flags", f"it is {_shown(flags)}", "a map from flag key to flag, with at least one flag")
    _check_metadata(document, f"{place}: metadata")
    for name, entry in flags.items():
        _check_entry(entry, f"{place}: flags.{name}")
    return document


def _check_entry(entry: object, place: str) -> None:
    """That no provider refuses the document because of this flag."""
    if not isinstance(entry, dict):
        _refuse(place, f"it is {_shown(entry)}", "a map with state and variants")
    if unknown := sorted(entry.keys() - FLAG_PROPERTIES):
        allowed = "only properties that every flagd provider knows (the Python one refuses the document for others)"
        _refuse(f"{place}.{unknown[0]}", "it is not a property of a flag", allowed, "move it into metadata")
    if entry.get("state") not in ("ENABLED", "DISABLED"):
        _refuse(f"{place}.state", f"it is {_shown(entry.get('state'))}", '"ENABLED" or "DISABLED"')
    if not isinstance(variants := entry.get("variants"), dict) or not variants:
        _refuse(f"{place}.variants", f"it is {_shown(variants)}", "a map with at least one variant")
    default = entry.get("defaultVariant")
    if default not in (None, "") and (not isinstance(default, str) or default not in variants):
        _refuse(f"{place}.defaultVariant", f"it is {_shown(default)}", f"one of {', '.join(variants)}")
    _check_metadata(entry, f"{place}.metadata")


def _check_metadata(owner: Json, place: str) -> None:
    if not isinstance(metadata := owner.get("metadata", {}), dict):
        _refuse(place, f"it is {_shown(metadata)}", "a map of strings, numbers and booleans")
    for key, value in metadata.items():
        if not isinstance(value, str | int | float):
            _refuse(f"{place}.{key}", f"it is {_shown(value)}", "a string, a number or a boolean")


def served(entry: Json, place: str) -> Served:
    """What one flag serves, however it was written. Raises FlagServiceError (permanent) when nobody can tell."""
    if entry["state"] == "DISABLED":
        found = 'it is "DISABLED", which serves every caller its own code default, so the exposure is unknown'
        _refuse(f"{place}.state", found, '"ENABLED" (to take the feature from everybody: kill the flag)')
    variants = entry["variants"]
    if variants.get("on") is not True or variants.get("off") is not False:
        _refuse(f"{place}.variants", f"it is {_shown(variants)}", '"on": true and "off": false')
    default = entry.get("defaultVariant")
    if default not in ("on", "off"):
        _refuse(f"{place}.defaultVariant", f"it is {_shown(default)}", '"off", or "on" where everybody is exposed')
    cohort, rest = _cohort(entry.get("targeting") or None, place)
    if rest in ("on", "off") or rest is None:
        return Served(100.0 if (rest or default) == "on" else 0.0, cohort)
    if not isinstance(rest, dict) or list(rest) != ["fractional"]:
        expected = 'none, {"fractional": [["on", W], ["off", W]]}, or an "if" on a list of targeting keys before it'
        _refuse(f"{place}.targeting", f"it is {_shown(rest)}, whose exposure is unknown", expected)
    percent, on_first = _weights(rest["fractional"], f"{place}.targeting.fractional")
    if default == "on" and percent < 100:
        found = 'it is "on", so every caller without a targeting key gets the feature whatever the weights say'
        _refuse(f"{place}.defaultVariant", found, '"off" below 100 %')
    return Served(percent, cohort, on_first)


def _cohort(targeting: object, place: str) -> tuple[tuple[str, ...], object]:
    """The canary cohort in front of a rule, and the rule for everybody else."""
    if not isinstance(targeting, dict) or list(targeting) != ["if"]:
        return (), targeting
    match targeting["if"]:
        case [{"in": [by, [*members]], **others}, "on", *rest] if by in BY_KEY and not others and len(rest) <= 1:
            if all(isinstance(member, str) for member in members):
                return tuple(members), rest[0] if rest else None
    expected = '{"if": [{"in": [{"var": "targetingKey"}, [KEYS]]}, "on", RULE]}'
    raise _refusal(f"{place}.targeting.if", f"it is {_shown(targeting['if'])}, whose exposure is unknown", expected)


def _weights(parts: object, place: str) -> tuple[float, bool]:
    """Percent that gets "on", and whether "on" comes first."""
    if not isinstance(parts, list) or not parts:
        _refuse(place, f"it is {_shown(parts)}", '[["on", WEIGHT], ["off", WEIGHT]]')
    weights = {"on": 0, "off": 0}
    for index, part in enumerate(parts):
        match part:
            case ["on" | "off" as variant, *given] if len(given) <= 1:
                weight = given[0] if given else 1
            case _:
                expected = '["on", WEIGHT] or ["off", WEIGHT], bucketed by targeting key alone'
                _refuse(f"{place}[{index}]", f"it is {_shown(part)}", expected)
        if isinstance(weight, bool) or not isinstance(weight, int) or weight < 0:
            found = f"its weight is {_shown(weight)}, for which flagd skips the rule"
            _refuse(f"{place}[{index}]", found, "a whole number, 0 or more")
        weights[variant] += weight
    total = sum(weights.values())
    if not 0 < total <= LARGEST_TOTAL:
        _refuse(place, f"the weights add up to {total}, for which flagd skips the rule", f"1 to {LARGEST_TOTAL}")
    return _percent(weights["on"], weights["off"]), parts[0][0] == "on"


def _percent(on: int, off: int) -> float:
    """Share of "on" in percent to 0.001; somebody is never rounded to nobody, nor nearly all to all."""
    percent = round(on * 100 / (on + off), 3)
    if on and percent < 0.001:
        return 0.001
    return 99.999 if off and percent > 99.999 else percent


def serving(entry: Json, weight: int, cohort: Sequence[str], *, on_first: bool = True) -> Json:
    """`entry` rewritten to serve `weight` of 100000 and the cohort; its metadata and other boolean variants stay."""
    parts: list[list[str | int]] = [["on", weight], ["off", TOTAL - weight]]
    rule: object = {"fractional": parts if on_first else parts[::-1]} if weight else "off"
    if cohort:
        rule = {"if": [{"in": [BY_KEY[0], list(cohort)]}, "on", rule]}
    variants = {name: value for name, value in entry.get("variants", {}).items() if isinstance(value, bool)}
    written: Json = {
        "state": "ENABLED",
        "variants": variants | {"on": True, "off": False},
        "defaultVariant": "on" if weight == TOTAL else "off",
    }
    if cohort or weight:
        written["targeting"] = rule
    return written | {key: value for key, value in entry.items() if key not in (*written, "targeting")}


def serves_alike(one: Json, other: Json) -> bool:
    """Whether two entries are the same but for their metadata."""
    return {**one, "metadata": None} == {**other, "metadata": None}


def marked(entry: Json, marks: Mapping[str, str | int | bool | None]) -> Json:
    """`entry` with the watchdog's metadata set to `marks`; None removes a key, other people's keys stay."""
    metadata = {**entry.get("metadata", {}), **marks}
    return {**entry, "metadata": {key: value for key, value in metadata.items() if value is not None}}


def version_of(document: Json) -> int:
    """The document's version: the highest number that it or one of its flags carries, 0 when none does."""
    text = document.get("metadata", {}).get("version", "")
    numbers = [int(text)] if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 16 else [0]
    marks = [entry.get("metadata", {}).get(VERSION) for entry in document["flags"].values()]
    return max(numbers + [mark for mark in marks if isinstance(mark, int)])


def fingerprint(entry: Json) -> str:
    """Version and content of one flag: changes with every write and every hand edit of it, not with its neighbours."""
    digest = hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()
    return f"{entry.get('metadata', {}).get(VERSION, 0)}-{digest[:12]}"


def render(document: Json) -> bytes:
    """The bytes to write: plain ASCII, because providers read the file in whatever encoding their host uses."""
    return (json.dumps(document, indent=2, allow_nan=False) + "\n").encode("ascii")


def _refusal(place: str, found: str, expected: str, todo: str = "", *, permanent: bool = True) -> FlagServiceError:
    return FlagServiceError(f"{place}: {found}; expected {expected}; {todo or 'repair it'}.", permanent=permanent)


def _refuse(place: str, found: str, expected: str, todo: str = "", *, permanent: bool = True) -> NoReturn:
    raise _refusal(place, found, expected, todo, permanent=permanent)


def _shown(value: object) -> str:
    """A value in a sentence, cut short; "missing" for None, which is what an absent key gives."""
    if value is None:
        return "missing"
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


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
