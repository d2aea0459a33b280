"""Who gets "on" under one flag of a flagd document: the rule that is written, and how a rule is read back. Pure.

Exposure is written as integer weights of a constant total, "on" first, bucketed by flag key and targeting key. Order,
total and bucketing key never change from step to step, so whoever has the feature keeps it on the way up. Weights go
with `defaultVariant: "off"`, which is what a caller without a targeting key gets. At 100 % the weights stay (100000 and
0) and the default becomes "on": 100 % means everybody, callers without a targeting key too. Nobody exposed is `ENABLED`
with `defaultVariant: "off"` and no targeting; `DISABLED` would hand the choice to every caller's code default.

Whoever has the feature besides a percentage stands in one `if` before the weights, each condition followed by "on":
first the audiences in the order of their names, then the cohort's list of targeting keys. An audience is known by its
condition, so one whose meaning was changed in the settings is no longer recognized in a document.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn

from watchdog.errors import FlagServiceError
from watchdog.flags.base import Audiences

Json = dict[str, Any]

TOTAL = 100_000
"""Sum of the weights: 0.001 % a unit."""

LARGEST_TOTAL = 2**31 - 1

LARGEST_COHORT = 1000
"""Members of a canary cohort: the list is searched at every evaluation, 0.13 ms at this length."""

BY_KEY = ({"var": "targetingKey"}, {"var": ["targetingKey"]})
NO_AUDIENCES: Audiences = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Served:
    """Who gets "on": `percent` of the targeting keys (0.001 % steps), and besides them `cohort` and `audiences`.

    `on_first` is False only for weights that a person wrote the other way round. `audiences` are names, sorted.
    """

    percent: float
    cohort: tuple[str, ...] = ()
    on_first: bool = True
    audiences: tuple[str, ...] = ()

    @property
    def partial(self) -> bool:
        """Whether the hash of the targeting key decides who has the feature."""
        return 0 < self.percent < 100


def weight_of(percent: float) -> int:
    """The weight of "on" for a percentage, rounded down: never more people than were asked for."""
    return math.floor(percent * TOTAL / 100 + 1e-6)  # 12.345 * 1000 may be 12344.999999999998


def conditions(names: Sequence[str], audiences: Audiences, place: str) -> tuple[tuple[str, Any], ...]:
    """What the named audiences mean, sorted by name. Raises FlagServiceError (permanent) for one that means nothing.

    Two names for one condition cannot be told apart in a document, so neither can be used.
    """
    texts: dict[str, list[str]] = {}
    for name, condition in audiences.items():
        texts.setdefault(_canonical(condition), []).append(name)
    for name in sorted(set(names)):
        if name not in audiences:
            known = ", ".join(sorted(audiences)) or "none at all"
            refuse(place, f"the audience {name} was asked", f"one of flags.audiences in watchdog.yaml ({known})")
        alike = texts[_canonical(audiences[name])]
        if len(alike) > 1:
            found = f"the audiences {' and '.join(sorted(alike))} have the same condition in flags.audiences"
            refuse(place, found, "every audience to have a condition of its own", "remove one of them")
    return tuple((name, audiences[name]) for name in sorted(set(names)))


def serving(
    entry: Json,
    weight: int,
    cohort: Sequence[str],
    *,
    audiences: Sequence[tuple[str, Any]] = (),
    on_first: bool = True,
) -> Json:
    """`entry` rewritten to serve `weight` of 100000, the cohort and the audiences (name and condition each).

    Its metadata and other boolean variants stay.
    """
    parts: list[list[str | int]] = [["on", weight], ["off", TOTAL - weight]]
    rule: object = {"fractional": parts if on_first else parts[::-1]} if weight else "off"
    besides: list[Any] = [part for _, condition in sorted(audiences, key=_name) for part in (condition, "on")]
    if cohort:
        besides += [{"in": [BY_KEY[0], list(cohort)]}, "on"]
    if besides:
        rule = {"if": [*besides, rule]}
    variants = {name: value for name, value in entry.get("variants", {}).items() if isinstance(value, bool)}
    written: Json = {
        "state": "ENABLED",
        "variants": variants | {"on": True, "off": False},
        "defaultVariant": "on" if weight == TOTAL else "off",
    }
    if besides or weight:
        written["targeting"] = rule
    return written | {key: value for key, value in entry.items() if key not in (*written, "targeting")}


def switched(entry: Json, *, on: bool) -> Json:
    """`entry` as a switch: on or off for everybody by its default alone, without a rule."""
    return {**serving(entry, 0, ()), "defaultVariant": "on" if on else "off"}


def served(entry: Json, place: str, audiences: Audiences = NO_AUDIENCES) -> Served:
    """What one flag serves, however it was written. Raises FlagServiceError (permanent) when nobody can tell.

    `audiences` are the configured ones: a condition in the flag that is none of theirs has an unknown exposure.
    """
    if entry["state"] == "DISABLED":
        found = 'it is "DISABLED", which serves every caller its own code default, so the exposure is unknown'
        refuse(f"{place}.state", found, '"ENABLED" (to take the feature from everybody: kill the flag)')
    variants = entry["variants"]
    if variants.get("on") is not True or variants.get("off") is not False:
        refuse(f"{place}.variants", f"it is {shown(variants)}", '"on": true and "off": false')
    default = entry.get("defaultVariant")
    if default not in ("on", "off"):
        refuse(f"{place}.defaultVariant", f"it is {shown(default)}", '"off", or "on" where everybody is exposed')
    cohort, names, rest = _besides(entry.get("targeting") or None, place, audiences)
    if rest in ("on", "off") or rest is None:
        return Served(100.0 if (rest or default) == "on" else 0.0, cohort, audiences=names)
    if not isinstance(rest, dict) or list(rest) != ["fractional"]:
        expected = (
            'none, {"fractional": [["on", W], ["off", W]]}, or before it an "if" on a list of targeting keys and on '
            "the conditions of flags.audiences"
        )
        refuse(f"{place}.targeting", f"it is {shown(rest)}, whose exposure is unknown", expected)
    percent, on_first = _weights(rest["fractional"], f"{place}.targeting.fractional")
    if default == "on" and percent < 100:
        found = 'it is "on", so every caller without a targeting key gets the feature whatever the weights say'
        refuse(f"{place}.defaultVariant", found, '"off" below 100 %')
    return Served(percent, cohort, on_first, names)


def _besides(targeting: object, place: str, audiences: Audiences) -> tuple[tuple[str, ...], tuple[str, ...], object]:
    """The cohort and the audiences in front of a rule, and the rule for everybody else."""
    if not isinstance(targeting, dict) or list(targeting) != ["if"]:
        return (), (), targeting
    parts = targeting["if"]
    place = f"{place}.targeting.if"
    if not isinstance(parts, list) or len(parts) < 2 or any(outcome != "on" for outcome in parts[1::2]):
        expected = '{"if": [CONDITION, "on", RULE]}'
        refuse(place, f"it is {shown(parts)}, whose exposure is unknown", expected)
    names_of = {_canonical(condition): name for name, condition in sorted(audiences.items(), reverse=True)}
    cohort: dict[str, None] = {}
    names: set[str] = set()
    for condition in parts[: len(parts) - len(parts) % 2 : 2]:
        if name := names_of.get(_canonical(condition)):
            names.add(name)
        else:
            cohort |= dict.fromkeys(_members(condition, place))
    return tuple(cohort), tuple(sorted(names)), parts[-1] if len(parts) % 2 else None


def _members(condition: object, place: str) -> Sequence[str]:
    """The targeting keys of a cohort's condition."""
    match condition:
        case {"in": [by, [*members]], **others} if by in BY_KEY and not others:
            if all(isinstance(member, str) for member in members):
                return members
    found = f"it is {shown(condition)} for some, whose exposure is unknown"
    expected = 'the condition of one of flags.audiences in watchdog.yaml, or {"in": [{"var": "targetingKey"}, [KEYS]]}'
    raise refusal(place, found, expected, "repair it, define the audience as it is written here, or kill the flag")


def _weights(parts: object, place: str) -> tuple[float, bool]:
    """Percent that gets "on", and whether "on" comes first."""
    if not isinstance(parts, list) or not parts:
        refuse(place, f"it is {shown(parts)}", '[["on", WEIGHT], ["off", WEIGHT]]')
    weights = {"on": 0, "off": 0}
    for index, part in enumerate(parts):
        match part:
            case ["on" | "off" as variant, *given] if len(given) <= 1:
                weight = given[0] if given else 1
            case _:
                expected = '["on", WEIGHT] or ["off", WEIGHT], bucketed by targeting key alone'
                refuse(f"{place}[{index}]", f"it is {shown(part)}", expected)
        if isinstance(weight, bool) or not isinstance(weight, int) or weight < 0:
            found = f"its weight is {shown(weight)}, for which flagd skips the rule"
            refuse(f"{place}[{index}]", found, "a whole number, 0 or more")
        weights[variant] += weight
    total = sum(weights.values())
    if not 0 < total <= LARGEST_TOTAL:
        refuse(place, f"the weights add up to {total}, for which flagd skips the rule", f"1 to {LARGEST_TOTAL}")
    return _percent(weights["on"], weights["off"]), parts[0][0] == "on"


def _percent(on: int, off: int) -> float:
    """Share of "on" in percent to 0.001; somebody is never rounded to nobody, nor nearly all to all."""
    percent = round(on * 100 / (on + off), 3)
    if on and percent < 0.001:
        return 0.001
    return 99.999 if off and percent > 99.999 else percent


def _canonical(condition: object) -> str:
    """One text for one condition; `true` and `1` are different ones, as they are in a document."""
    return json.dumps(condition, sort_keys=True)


def _name(audience: tuple[str, Any]) -> str:
    return audience[0]


def refusal(place: str, found: str, expected: str, todo: str = "", *, permanent: bool = True) -> FlagServiceError:
    """The error that names a place, what was found there, what was expected and what to do."""
    return FlagServiceError(f"{place}: {found}; expected {expected}; {todo or 'repair it'}.", permanent=permanent)


def refuse(place: str, found: str, expected: str, todo: str = "", *, permanent: bool = True) -> NoReturn:
    """Raise that error."""
    raise refusal(place, found, expected, todo, permanent=permanent)


def shown(value: object) -> str:
    """A value in a sentence, cut short; "missing" for None, which is what an absent key gives."""
    if value is None:
        return "missing"
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def serves_alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two entries are the same but for their metadata."""
    return _canonical({**one, "metadata": None}) == _canonical({**other, "metadata": None})
