"""The limits of the performance tests: all of them in thresholds.yaml, each of them replaceable for one environment.

`SLO_WATCHDOG_PERF_FILE` names a YAML file of `name: value` for a whole environment, `SLO_WATCHDOG_PERF_<NAME>` is one
value and wins. A name that is unknown, or a value that is no number above 0, is refused: a typing error must not
switch a test off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("thresholds.yaml")
PREFIX = "SLO_WATCHDOG_PERF_"
ELSEWHERE = f"{PREFIX}FILE"


@dataclass(frozen=True)
class Limit:
    """The most that a measure may be. `origin` says where `value` was written."""

    name: str
    value: float
    unit: str
    rationale: str
    origin: str

    def judge(self, measured: float, details: str = "") -> None:
        """Print what was measured; fail when it is more."""
        sentence = f"{self.name}: {measured:.3g} {self.unit}, at most {self.value:g} by {self.origin}"
        print(f"{sentence}{f' ({details})' if details else ''}")
        assert measured <= self.value, sentence


def load(environ: Mapping[str, str], file: Path = FILE) -> dict[str, Limit]:
    """Every limit by its name, with what the environment replaces. Raises ValueError, with a sentence."""
    limits = {
        name: Limit(name, _number(entry["value"], f"{file.name}: {name}"), entry["unit"], entry["rationale"], file.name)
        for name, entry in _mapping(file).items()
    }
    if ELSEWHERE in environ:
        path = Path(environ[ELSEWHERE])
        for name, value in _mapping(path).items():
            _replace(limits, name, value, str(path))
    for variable, value in environ.items():
        if variable.startswith(PREFIX) and variable != ELSEWHERE:
            _replace(limits, variable.removeprefix(PREFIX).lower(), value, variable)
    return limits


def _replace(limits: dict[str, Limit], name: str, value: object, origin: str) -> None:
    if name not in limits:
        raise ValueError(f"{origin}: there is no limit {name!r}; there are {', '.join(limits)}")
    limits[name] = replace(limits[name], value=_number(value, origin), origin=origin)


def _number(value: object, place: str) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not number > 0 or math.isinf(number):
        raise ValueError(f"{place}: found {value!r}, expected a number above 0")
    return number


def _mapping(path: Path) -> dict[str, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise TypeError(f"{path}: expected a mapping of names")
    return found
