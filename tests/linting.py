"""Expressions to lint, in one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchdog.rulelint.model import Expression, Finding, Pack, Rule, make_pack
from watchdog.rulelint.offline import lint

TOLD: Mapping[str, str] = {
    "summary": "It is bad.",
    "description": "It is. First: look.",
    "runbook_url": "/runbooks/It",
    "dashboard_url": "/d/slo-fleet",
}


def record(name: str, expr: str, every: float | None = 30.0, **labels: str) -> Expression:
    return Expression(f"r.yaml: record {name}", "record", expr, Rule("r.yaml", "g", every, name, labels))


def alert(expr: str, hold: str = "1m", name: str = "It", group: str = "g", **texts: Any) -> Expression:
    """An alert with all that it needs; `texts` are annotations, `labels` its labels."""
    labels = texts.pop("labels", {"severity": "critical", "area": "service"})
    rule = Rule("r.yaml", group, 30.0, name, labels, {**TOLD, **texts}, hold)
    return Expression(f"r.yaml: group {group}: alert {name}", "alert", expr, rule)


def panel(expr: str, *shows: str) -> Expression:
    return Expression("board.json: panel 'It'", "panel", expr, shows=shows)


def objective(expr: str) -> Expression:
    return Expression("rollout checkout: objective it: value", "objective", expr)


def pack(*expressions: Expression, interval: float = 15.0) -> Pack:
    return make_pack(expressions, interval)


def found(*expressions: Expression) -> list[Finding]:
    return lint(pack(*expressions))


def checks(*expressions: Expression) -> list[tuple[str, str]]:
    """What is found, as (check, severity)."""
    return [(one.check, one.severity) for one in found(*expressions)]
