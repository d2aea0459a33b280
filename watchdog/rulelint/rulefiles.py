"""Rule files of Prometheus -> expressions. What Prometheus itself refuses to load is a problem of the input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from watchdog.quantities import parse_duration
from watchdog.rolloutfile.fields import Findings, Section, mapping, text
from watchdog.rolloutfile.yamltext import load_mapping, read_text
from watchdog.rulelint.model import Expression, Rule


def read_rules(path: Path, findings: Findings) -> list[Expression]:
    """The expressions of one file, in order; problems go to `findings`. Raises ConfigError for what is no YAML."""
    data, duplicates = load_mapping(read_text(path), str(path))
    findings.problems += duplicates
    root = Section(data, "", findings)
    if not root.has("groups"):
        root.problem("groups", "is missing; expected a rule file of Prometheus: groups: [{name: ..., rules: [...]}]")
    return [one for group in root.sections("groups") for one in _group(path, group)]


def _group(path: Path, group: Section) -> Iterator[Expression]:
    name = group.need("name", text, "", "name: the group's name")
    every = group.take("interval", _duration, None)
    for rule in group.sections("rules"):
        record = rule.take("record", text, "")
        alert = rule.take("alert", text, "")
        if bool(record) == bool(alert):
            rule.problem("", "expected either record: or alert:, with its name")
            continue
        expr = rule.need("expr", text, "", "expr: PromQL")
        if not expr:
            continue
        own = Rule(
            file=str(path),
            group=name,
            every=every,
            name=record or alert,
            labels=rule.take("labels", _texts, {}),
            annotations=rule.take("annotations", _texts, {}),
            hold=rule.take("for", _hold, ""),
        )
        role: Any = "record" if record else "alert"
        yield Expression(f"{path}: group {name}: {role} {own.name}", role, expr, own)


def _texts(found: Any) -> dict[str, str]:
    return {str(key): value if isinstance(value, str) else "" for key, value in mapping(found).items()}


def _hold(found: Any) -> str:
    parse_duration(found)
    return text(found)


def _duration(found: Any) -> float | None:
    return parse_duration(found)
