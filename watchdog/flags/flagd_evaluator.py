"""What a flag of a flagd document is for one caller, worked out by flagd's own Python core.

The core hashes as `flagd-v3` says. For `flagd-v2` its rules are run with one operator of ours in place of its
`fractional`, and the core is given the outcome. Each flag is loaded by itself: the core refuses a document as a whole
for one bad flag, and a kill must reach readers whatever stands beside it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from watchdog.errors import WatchdogError
from watchdog.flags.flagd_buckets import ERAS, stretched

Json = dict[str, Any]

OUTCOME = "$slo-watchdog-outcome"
"""Where in the context the core finds what a `flagd-v2` rule came to."""
LARGEST_TOTAL = 2**31 - 1
MOST_PARTS = 50_000
"""Parts of one rule once its references are written out: references to references double quickly."""
BROKEN = (ArithmeticError, AttributeError, LookupError, RecursionError, ReferenceError, TypeError, ValueError)
"""What a rule can raise that does not fit its context, or makes no sense at all."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A flag for one caller. Without a `variant` there is no value either: the caller's own default holds.

    `reason` is STATIC (the flag has no rule), TARGETING_MATCH (the rule chose), DEFAULT (the rule left it to the
    default variant, or there is none) or DISABLED. `metadata` is that of the set, overlaid with the flag's.
    """

    value: Any
    variant: str | None
    reason: str
    metadata: Mapping[str, Any]


class NotEvaluated(WatchdogError):
    """A flag that cannot be evaluated; `code` as OpenFeature names it: FLAG_NOT_FOUND, PARSE_ERROR or GENERAL."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class Evaluator:
    """Evaluates the flags of one flagd `document` (map form), which it does not change and must not change either.

    `bucketing` is `flagd-v2` or `flagd-v3`. Safe to use from several threads.
    """

    def __init__(self, document: Json, bucketing: str) -> None:
        if bucketing not in ERAS:
            raise ValueError(f"bucketing is {bucketing!r}; expected one of {', '.join(ERAS)}")
        flags = document.get("flags")
        self._flags: Json = flags if isinstance(flags, dict) else {}
        self._document = document
        self._bucketing = bucketing
        self._loaded: dict[str, _Loaded | NotEvaluated] = {}

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of all flags, good and bad ones, in the document's order."""
        return tuple(self._flags)

    def __contains__(self, flag: str) -> bool:
        return flag in self._flags

    def evaluate(self, flag: str, context: Mapping[str, Any]) -> Evaluated:
        """The flag for the caller whom `context` describes; its `targetingKey` decides on percentages.

        Raises NotEvaluated.
        """
        loaded = self._loaded.get(flag)
        if loaded is None:
            loaded = self._loaded[flag] = self._load(flag)
        if isinstance(loaded, NotEvaluated):
            raise NotEvaluated(loaded.code, str(loaded)) from loaded
        return loaded.evaluate(context)

    def _load(self, flag: str) -> _Loaded | NotEvaluated:
        if flag not in self._flags:
            return NotEvaluated("FLAG_NOT_FOUND", f"flag {flag[:100]!r} is not in the flag set")
        try:
            return _Loaded(flag, self._flags[flag], self._document, self._bucketing)
        except NotEvaluated as refused:
            return refused


class _Loaded:
    """One flag in a core of its own. The core gets each variant's name as its value, so that no type is in its way."""

    def __init__(self, flag: str, entry: Any, document: Json, bucketing: str) -> None:
        from openfeature.contrib.tools.flagd.core import FlagdCore  # noqa: PLC0415 - 40 ms that not every start pays
        from openfeature.exception import OpenFeatureError  # noqa: PLC0415

        _quieten()
        if not isinstance(entry, dict):
            raise NotEvaluated("PARSE_ERROR", f"flag {flag!r} is {type(entry).__name__}, expected a map")
        self._flag = flag
        self._variants: Any = entry.get("variants")
        names = {name: name for name in self._variants} if isinstance(self._variants, dict) else self._variants
        rule = _written_out(entry.get("targeting"), document.get("$evaluators"))
        self._rule = rule if rule and bucketing == "flagd-v2" else None
        self._core = FlagdCore()
        known = {**entry, "variants": names, "targeting": {"var": OUTCOME} if self._rule is not None else rule}
        try:
            self._core.set_flags({"flags": {flag: known}, "metadata": document.get("metadata", {})})
        except (OpenFeatureError, *BROKEN) as error:
            raise NotEvaluated("PARSE_ERROR", f"flag {flag!r} is no flagd flag ({_said(error)}); repair it") from error

    def evaluate(self, context: Mapping[str, Any]) -> Evaluated:
        from openfeature.evaluation_context import EvaluationContext  # noqa: PLC0415
        from openfeature.exception import OpenFeatureError, ParseError  # noqa: PLC0415

        attributes = {name: value for name, value in context.items() if name != "targetingKey"}
        key = context.get("targetingKey")
        try:
            if self._rule is not None:
                attributes[OUTCOME] = _outcome_v2(self._flag, self._rule, {**attributes, "targetingKey": key})
            found = self._core.resolve_string_value(self._flag, "", EvaluationContext(key, attributes))
        except (ParseError, *BROKEN) as error:
            message = f"the rule of flag {self._flag!r} cannot be evaluated ({_said(error)})"
            raise NotEvaluated("PARSE_ERROR", message) from error
        except OpenFeatureError as error:
            raise NotEvaluated("GENERAL", f"flag {self._flag!r}: {_said(error)}") from error
        reason, metadata = str(found.reason), dict(found.flag_metadata)
        if found.variant is None:
            return Evaluated(None, None, reason, metadata)
        return Evaluated(self._variants[found.variant], found.variant, reason, metadata)


def _said(error: Exception) -> str:
    """What an error of the core says, at most a line of it."""
    return (str(getattr(error, "error_message", None) or error) or type(error).__name__)[:200]


def _quieten() -> None:
    """A caller without a targeting key is an everyday case; the core would log an error for each of them."""
    logging.getLogger("openfeature.contrib").setLevel(logging.CRITICAL)


# --- references ------------------------------------------------------------------------------------------------------


def _written_out(rule: Any, evaluators: Any) -> Any:
    """The rule with every {"$ref": NAME} replaced by what the document's `$evaluators` say under that name.

    The core does this by a textual substitution that fails for text outside ASCII. Raises NotEvaluated.
    """
    if not isinstance(evaluators, dict) or not evaluators:
        return rule
    left = MOST_PARTS

    def written(part: Any, within: tuple[str, ...]) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise NotEvaluated("PARSE_ERROR", f"a rule has more than {MOST_PARTS} parts with its $ref written out")
        if isinstance(part, list):
            return [written(inner, within) for inner in part]
        if not isinstance(part, dict):
            return part
        name = part.get("$ref") if len(part) == 1 else None
        if not isinstance(name, str) or name not in evaluators:
            return {key: written(inner, within) for key, inner in part.items()}
        if name in within:
            raise NotEvaluated("PARSE_ERROR", f"the evaluator {name!r} refers to itself")
        return written(evaluators[name], (*within, name))

    try:
        return written(rule, ())
    except RecursionError as error:
        raise NotEvaluated("PARSE_ERROR", "a rule is nested too deep") from error


# --- the hash before flagd-v3 ----------------------------------------------------------------------------------------


def _outcome_v2(flag: str, rule: Any, context: Json) -> Any:
    """What a rule comes to with the older hash. Raises what json_logic does, and TypeError when it is no rule."""
    from json_logic import jsonLogic  # type: ignore[import-untyped]  # noqa: PLC0415
    from openfeature.contrib.tools.flagd.core.targeting.targeting import OPERATORS  # noqa: PLC0415

    if not isinstance(rule, dict):
        raise TypeError("targeting is no map")
    context["$flagd"] = {"flagKey": flag, "timestamp": int(time.time())}
    return jsonLogic(rule, context, {**OPERATORS, "fractional": fractional_v2})


def fractional_v2(context: Json, *parts: Any) -> Any:
    """The variant for the caller's bucket as flagd picks it; None, for the default variant, where it gives up.

    A text in front of the weights is hashed instead of flag key and targeting key.
    """
    by, given = (parts[0], parts[1:]) if parts and (parts[0] is None or isinstance(parts[0], str)) else (None, parts)
    if by is None:
        key = context.get("targetingKey")
        if not isinstance(key, str) or not key:
            return None
        by = f"{context['$flagd']['flagKey']}{key}"
    try:
        weighted = [_weighted(part) for part in given]
    except ValueError:
        return None
    total = sum(weight for _, weight in weighted)
    if not 0 < total <= LARGEST_TOTAL:
        return None
    place, reached = stretched(by, total), 0
    for variant, weight in weighted:
        reached += weight
        if place < reached:
            return variant
    return None


def _weighted(part: Any) -> tuple[Any, int]:
    """A variant and its weight: 1 unless given, 0 below that. Raises ValueError for what flagd skips a rule for."""
    if not isinstance(part, list) or not part or not isinstance(part[0], str | int | float | None):
        raise ValueError("expected a list of a variant and a weight")
    weight = part[1] if len(part) > 1 and part[1] is not None else 1
    if isinstance(weight, bool) or not isinstance(weight, int | float) or weight != int(weight):
        raise ValueError("expected a whole number")
    return part[0], max(0, int(weight))
