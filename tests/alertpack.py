"""The alert pack as the tests see it: its rules, its promtool tests, and which test proves which rule."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).parent.parent / "rules" / "prometheus"
FILES = sorted(RULES.glob("*.yaml"))
TESTS = sorted((RULES / "tests").glob("*.yaml"))
_ALERTS = re.compile(r"ALERTS\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)="([^"]*)"')

Key = tuple[str, str, str]
"""An alert's name, severity and budget: several rules may have one name."""


@dataclass(frozen=True)
class Check:
    """One expectation on an alert: whether it fires at a time, in one group of series of a test file."""

    name: str
    file: Path
    test: dict[str, Any]
    at: str
    samples: list[dict[str, Any]]
    matchers: dict[str, str]

    @property
    def fires(self) -> bool:
        return bool(self.samples)

    def proves(self, rule: dict[str, Any]) -> bool:
        """Whether this is about that rule: its name, and its severity and budget where the check names them."""
        said = dict(self.matchers)
        for sample in self.samples:
            said |= dict(_MATCHER.findall(sample["labels"]))
        key = key_of(rule)
        return self.name == key[0] and said.get("severity", key[1]) == key[1] and said.get("budget", key[2]) == key[2]


@cache
def read(file: Path) -> dict[str, Any]:
    """A file of the pack, read once: what it says is not to be changed."""
    found: dict[str, Any] = yaml.safe_load(file.read_text())
    return found


def rules() -> Iterator[dict[str, Any]]:
    """Every rule of every file."""
    for file in FILES:
        for group in read(file)["groups"]:
            yield from group["rules"]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def key_of(rule: dict[str, Any]) -> Key:
    return rule["alert"], rule["labels"]["severity"], rule["labels"].get("budget", "")


def checks() -> list[Check]:
    """Every expectation on an alert in the promtool tests."""
    found = []
    for file in TESTS:
        for test in read(file)["tests"]:
            for expectation in test["promql_expr_test"]:
                for selector in _ALERTS.findall(expectation["expr"]):
                    matchers = dict(_MATCHER.findall(selector))
                    found.append(
                        Check(
                            matchers.pop("alertname"),
                            file,
                            test,
                            expectation["eval_time"],
                            expectation["exp_samples"],
                            matchers,
                        )
                    )
    return found
