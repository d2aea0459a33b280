"""A rollout's frozen rule as canonical JSON and back, exactly: what the ledger keeps and a later version reads again.

Fields that a later version adds take their defaults; fields that it does not know are refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from enum import Enum
from functools import cache, lru_cache
from typing import Any, TypeVar

from watchdog.errors import ConfigError, Problem
from watchdog.model import Confirm, Rollout, Sequential

D = TypeVar("D")
APART = ("text", "sha256", "resolved")
"""Fields that are kept beside the rule."""
DETECTORS: dict[str, type] = {detector.name: detector for detector in (Sequential, Confirm)}
PLACE = "resolved rule"
KEPT = 32
"""Rules that are remembered: a page asks for the same ones again and again, and none ever changes."""
LATER = ("on_shared_cause", "explain_by")
"""Fields that came later: left out where they say nothing, so that the rule of a file that names none stays as it was,
and an older version can still read it."""


def freeze(rollout: Rollout, text: str) -> Rollout:
    """The rollout with its text, the text's sha256 and its resolved rule filled in."""
    rule = json.dumps(_encode(rollout), sort_keys=True, separators=(",", ":"), allow_nan=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return dataclasses.replace(rollout, text=text, sha256=digest, resolved=rule)


@lru_cache(maxsize=KEPT)
def thaw(resolved: str, text: str, name: str = "") -> Rollout:
    """The rollout that `freeze` was given; ConfigError when `resolved` is not such a rule. `name` is for its place."""
    place = f"rollout {name}: {PLACE}" if name else PLACE
    try:
        rollout = _decode(Rollout, json.loads(resolved), "")
    except json.JSONDecodeError as error:
        message = f"is not JSON ({error}); the ledger's row is damaged: put a backup of the ledger in its place"
        raise ConfigError([Problem(place, message)]) from error
    except (ArithmeticError, KeyError, RecursionError, TypeError, ValueError) as error:
        message = f"is not a rule of this version ({error}); run the version that recorded it"
        raise ConfigError([Problem(place, message)]) from error
    digest = hashlib.sha256(text.encode()).hexdigest()
    return dataclasses.replace(typing.cast("Rollout", rollout), text=text, sha256=digest, resolved=resolved)


def _encode(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value):
        skip = APART if isinstance(value, Rollout) else ()
        said = [field.name for field in dataclasses.fields(value) if not _says_nothing(field, value)]
        encoded = {name: _encode(getattr(value, name)) for name in said if name not in skip}
        return encoded | ({"detector": value.name} if isinstance(value, (Sequential, Confirm)) else {})
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    return value


def _says_nothing(field: dataclasses.Field[Any], value: Any) -> bool:
    return field.name in LATER and getattr(value, field.name) == field.default


def _decode(kind: Any, value: Any, place: str) -> Any:
    if kind == Sequential | Confirm:
        kind = DETECTORS[value["detector"]]
        value = {key: item for key, item in value.items() if key != "detector"}
    origin = typing.get_origin(kind)
    if origin in {types.UnionType, typing.Union}:
        (inner,) = [part for part in typing.get_args(kind) if part is not type(None)]
        return None if value is None else _decode(inner, value, place)
    if origin is tuple:
        inner = typing.get_args(kind)[0]
        return tuple(_decode(inner, item, f"{place}[{index}]") for index, item in enumerate(_typed(list, value, place)))
    if origin is dict:
        return {str(key): _typed(str, item, f"{place}.{key}") for key, item in _typed(dict, value, place).items()}
    if dataclasses.is_dataclass(kind):
        return _decode_fields(typing.cast("type", kind), value, place)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    return float(_typed((int, float), value, place)) if kind is float else _typed(kind, value, place)


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    """Of a class of the model; worked out once, for pages thaw many rules."""
    return typing.get_type_hints(kind)


def _decode_fields(kind: type[D], value: Any, place: str) -> D:
    hints = _hints(typing.cast("type", kind))
    values = _typed(dict, value, place)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ValueError(f"{place}.{unknown[0]} is not known" if place else f"{unknown[0]} is not known")
    return kind(**{key: _decode(hints[key], item, f"{place}.{key}".lstrip(".")) for key, item in values.items()})


def _typed(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{place or 'the rule'} is {type(value).__name__}")
    return value
