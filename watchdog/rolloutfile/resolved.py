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
from typing import Any, TypeVar

from watchdog.errors import ConfigError, Problem
from watchdog.model import Confirm, Rollout, Sequential

D = TypeVar("D")
APART = ("text", "sha256", "resolved")
"""Fields that are kept beside the rule."""
DETECTORS: dict[str, type] = {detector.name: detector for detector in (Sequential, Confirm)}
PLACE = "resolved rule"


def freeze(rollout: Rollout, text: str) -> Rollout:
    """The rollout with its text, the text's sha256 and its resolved rule filled in."""
    rule = json.dumps(_encode(rollout), sort_keys=True, separators=(",", ":"), allow_nan=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return dataclasses.replace(rollout, text=text, sha256=digest, resolved=rule)


def thaw(resolved: str, text: str) -> Rollout:
    """The rollout that `freeze` was given; ConfigError when `resolved` is not such a rule."""
    try:
        rollout = _decode(Rollout, json.loads(resolved), "")
    except json.JSONDecodeError as error:
        raise ConfigError([Problem(PLACE, f"is not JSON ({error}); the ledger's row is damaged")]) from error
    except (TypeError, ValueError, KeyError) as error:
        message = f"is not a rule of this version ({error}); run the version that recorded it"
        raise ConfigError([Problem(PLACE, message)]) from error
    digest = hashlib.sha256(text.encode()).hexdigest()
    return dataclasses.replace(typing.cast("Rollout", rollout), text=text, sha256=digest, resolved=resolved)


def _encode(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        skip = APART if isinstance(value, Rollout) else ()
        encoded = {name: _encode(getattr(value, name)) for name in names if name not in skip}
        return encoded | ({"detector": value.name} if isinstance(value, (Sequential, Confirm)) else {})
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    return value


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


def _decode_fields(kind: type[D], value: Any, place: str) -> D:
    hints = typing.get_type_hints(kind)
    values = _typed(dict, value, place)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ValueError(f"{place}.{unknown[0]} is not known" if place else f"{unknown[0]} is not known")
    return kind(**{key: _decode(hints[key], item, f"{place}.{key}".lstrip(".")) for key, item in values.items()})


def _typed(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{place or 'the rule'} is {type(value).__name__}")
    return value
