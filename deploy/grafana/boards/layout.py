"""Where panels stand: lines of 24 columns below each other, in sections that can be folded away."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, GridPos

from boards.panels import Placeable
from boards.variables import Variable, links, marks

WIDTH = 24
SCHEMA_VERSION = 39
"""Of Grafana 10.3 to 11; newer ones migrate it, older ones read it as it is."""


@dataclass
class Section:
    """A row of the dashboard with its panels; the first one has no title."""

    title: str
    folded: bool
    lines: list[tuple[int, tuple[tuple[Placeable, int], ...]]] = field(default_factory=list)


class Board:
    """A dashboard under construction."""

    def __init__(self, uid: str, title: str, tells: str, *variables: Variable, since: str = "now-6h") -> None:
        self.uid = uid
        self.variables = variables
        self._sections = [Section("", folded=False)]
        self._ids = 0
        self._dashboard = (
            Dashboard(f"SLO / {title}")
            .uid(uid)
            .description(tells)
            .tags(["slo-watchdog"])
            .time(since, "now")
            .timezone("browser")
            .refresh("30s")
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .editable()
        )

    def section(self, title: str, *, folded: bool = False) -> None:
        """Everything after this stands below a title, folded away at first if so wished."""
        self._sections.append(Section(title, folded))

    def line(self, height: int, *panels: tuple[Placeable, int]) -> None:
        """Panels side by side, each with its columns; a line is always full."""
        if sum(width for _, width in panels) != WIDTH:
            raise ValueError(f"{self.uid}: a line has {sum(w for _, w in panels)} columns, not {WIDTH}.")
        self._sections[-1].lines.append((height, panels))

    def build(self, runbooks: str) -> dict[str, Any]:
        """The dashboard as Grafana reads it, its runbooks below the address `runbooks`."""
        top = 0
        for section in self._sections:
            top = self._place(section, top)
        shown = marks()
        for variable in self.variables:
            self._dashboard.with_variable(variable)
        for link in links(self.uid):
            self._dashboard.link(link)
        for mark in shown.values():
            self._dashboard.annotation(mark)
        written = json.dumps(self._dashboard.build(), cls=JSONEncoder)
        document: dict[str, Any] = json.loads(written.replace('"/runbooks/', f'"{runbooks}/'))
        for mark, text in zip(document["annotations"]["list"], shown, strict=True):
            # The SDK does not know what Grafana's Prometheus data source reads beside the expression.
            mark.update(titleFormat=text, step="60s", useValueForTime=False)
        return _as_of_today(document)

    def _place(self, section: Section, top: int) -> int:
        """Give the panels of a section their places; the first row below it."""
        row = Row(section.title).collapsed(section.folded)
        if section.title:
            row.grid_pos(GridPos(h=1, w=WIDTH, x=0, y=top)).id(self._next())
            top += 1
        if section.title and not section.folded:
            self._dashboard.with_row(row)
        below = top
        for height, panels in section.lines:
            left = 0
            for panel, width in panels:
                panel.id(self._next()).grid_pos(GridPos(h=height, w=width, x=left, y=below))
                (row if section.folded else self._dashboard).with_panel(panel)
                left += width
            below += height
        if section.folded:
            self._dashboard.with_row(row)
            return top
        return below

    def _next(self) -> int:
        self._ids += 1
        return self._ids


def _as_of_today(document: dict[str, Any]) -> dict[str, Any]:
    """Without what the SDK writes and newer versions no longer know, and with what they know besides."""
    document["schemaVersion"] = SCHEMA_VERSION
    del document["style"]
    for variable in document["templating"]["list"]:
        for name in ("id", "auto", "auto_count", "auto_min"):
            variable.pop(name, None)
    for panel in document["panels"]:
        if panel["type"] == "heatmap":
            panel["options"]["tooltip"]["mode"] = "single"  # from 10.3 on; before, it was `show`
    return document
