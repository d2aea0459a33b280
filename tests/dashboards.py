"""The committed dashboards as the tests see them: panels, queries, variables and links."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

GRAFANA = Path(__file__).parent.parent / "deploy" / "grafana"
DASHBOARDS = GRAFANA / "dashboards"
UIDS = {"slo-fleet", "slo-rollout", "slo-flags", "slo-noise", "slo-watchdog"}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
"""The data source of everything: the one that is chosen."""
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")
_LABEL = re.compile(r"\{\{\s*(\w+)\s*\}\}")
SPANS = {"__rate_interval": "1m", "__interval": "30s", "__range": "10m"}
"""What Grafana fills in by itself, as it would be for a few minutes of a quick scrape."""


@dataclass(frozen=True)
class Query:
    """A query with its place: the dashboard, the panel (or annotation), the letter."""

    board: str
    title: str
    letter: str
    expr: str
    legend: str = ""
    panel: Mapping[str, Any] | None = None

    @property
    def place(self) -> str:
        return f"{self.board}: {self.title} ({self.letter})"

    @property
    def labels(self) -> set[str]:
        """Labels that the legend names."""
        return set(_LABEL.findall(self.legend))

    def filled(self, **variables: str) -> str:
        """The expression as Prometheus gets it; a variable that has no value is an error."""
        return filled(self.expr, **variables)


def filled(text: str, **variables: str) -> str:
    known = SPANS | {"environment": ".*", "service": ".*", "rollout": ".*", "flag": ".*"} | variables
    # $1 is a group of label_replace, not a variable.
    return _VARIABLE.sub(lambda m: m[0] if (m[1] or m[2]).isdigit() else known[m[1] or m[2]], text)


@cache
def boards() -> dict[str, dict[str, Any]]:
    """The dashboards by their uid."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))]
    return {document["uid"]: document for document in found}


def panels(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels, also those of rows that are folded."""
    for panel in document["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def all_panels() -> list[tuple[str, dict[str, Any]]]:
    return [(uid, panel) for uid, document in boards().items() for panel in panels(document)]


def queries() -> list[Query]:
    """The queries of all panels."""
    return [
        Query(uid, panel["title"], target["refId"], target["expr"], target.get("legendFormat", ""), panel)
        for uid, panel in all_panels()
        for target in panel["targets"]
    ]


def marks() -> list[Query]:
    """The queries of all annotations."""
    return [
        Query(uid, mark["name"], "annotation", mark["expr"], mark["titleFormat"])
        for uid, document in boards().items()
        for mark in document["annotations"]["list"]
    ]


def variables(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in document["templating"]["list"]}


def used(text: str) -> set[str]:
    """Variables that a text names, Grafana's own left out."""
    found = {first or second for first, second in _VARIABLE.findall(text)}
    return {name for name in found if not name.startswith("__") and not name.isdigit()}


def values_of(query: str) -> tuple[str, str]:
    """The query of a variable as (expression, label whose values it offers)."""
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
    if found:
        return f"group by ({found[2]}) ({found[1]})", found[2]
    found = re.fullmatch(r"query_result\((group by \((\w+)\) .+)\)", query)
    assert found, query
    return found[1], found[2]


def addresses(document: Mapping[str, Any]) -> Iterator[str]:
    """Every address that something in a dashboard links to."""
    pending: list[object] = [document]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            pending += one.values()
            if isinstance(one.get("url"), str):
                yield one["url"]
        elif isinstance(one, list):
            pending += one
