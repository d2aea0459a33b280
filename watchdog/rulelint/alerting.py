"""Checks of rules as a whole: what every alert must say, alerts that flap, rules that are there twice. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from watchdog.quantities import parse_duration
from watchdog.rulelint.model import Finding, Pack, Read, listed
from watchdog.rulelint.nodes import COMPARISONS, Binary, Call, Node, Number, Selector, shape, walk

LABELS = ("severity", "area")
ANNOTATIONS = ("summary", "description", "runbook_url", "dashboard_url")
SEVERITIES = ("critical", "warning", "info", "none")


def said_enough(pack: Pack) -> Iterator[Finding]:
    """An alert without what routes it and what tells a person what to do."""
    for one, _ in pack.alerts():
        rule = one.rule
        missing = [name for name in LABELS if not rule.labels.get(name)]
        missing += [name for name in ANNOTATIONS if not rule.annotations.get(name, "").strip()]
        if missing:
            message = f"lacks {', '.join(missing)}; every alert has {', '.join((*LABELS, *ANNOTATIONS))}"
            yield Finding("annotations", "error", one.place, message)
        severity = rule.labels.get("severity", SEVERITIES[0])
        if severity not in SEVERITIES and "{{" not in severity:
            message = f"has the severity {severity!r}, which no route knows; write one of {', '.join(SEVERITIES)}"
            yield Finding("annotations", "error", one.place, message)


def no_for(pack: Pack) -> Iterator[Finding]:
    """Alerts that one lost scrape, or one restart of Prometheus, makes fire."""
    for one, tree in pack.alerts():
        if _held(one.rule.hold) > 0:
            continue
        if any(isinstance(node, Call) and node.name == "absent" for node in walk(tree)):
            message = "fires on absent() without `for:`, so at every restart of Prometheus"
            yield Finding("no-for", "warning", one.place, f"{message}; write for: with at least two scrape intervals")
        elif any(_up_is_down(node) for node in walk(tree)):
            message = "fires on `up` without `for:`, so on every single lost scrape"
            yield Finding("no-for", "warning", one.place, f"{message}; write for: with at least two scrape intervals")


def _held(written: str) -> float:
    try:
        return parse_duration(written) if written else 0.0
    except ValueError:
        return 0.0  # Prometheus refuses the file


def _up_is_down(node: Node) -> bool:
    return (
        isinstance(node, Binary)
        and node.op in COMPARISONS
        and isinstance(node.left, Selector)
        and node.left.metric == "up"
        and isinstance(node.right, Number)
    )


def duplicate(pack: Pack) -> Iterator[Finding]:
    """The same rule twice: two recordings of one series, or two alerts that nobody can tell apart."""
    first: dict[object, Read] = {}
    for one, tree in [*pack.records(), *pack.alerts()]:
        rule = one.rule
        key = (one.expression.role, rule.name, frozenset(rule.labels.items()), tuple(shape(tree)))
        before = first.setdefault(key, one)
        if before is not one:
            again = f"is the same rule as in {before.rule.file}, group {before.rule.group}"
            said = f" (labels {listed(rule.labels)})" if rule.labels else ""
            yield Finding("duplicate", "error", one.place, f"{again}{said}; keep one of them")
