"""Tables: each column is a label or a query of its own, joined by the labels that all of them have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.builders.common import TableSortByFieldState
from grafana_foundation_sdk.builders.dashboard import FieldColor
from grafana_foundation_sdk.models.common import TableCellHeight
from grafana_foundation_sdk.models.dashboard import (
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ValueMapping,
)

from boards.looks import PLAIN, SEVERITY_COLOURS, mapping
from boards.panels import LETTERS, About, at_once, merged, titled

TEXT = {"type": "color-text"}
BACKGROUND = {"type": "color-background", "mode": "basic"}
GAUGE = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}


@dataclass(frozen=True)
class Column:
    """A column: the label `label`, or the value of `expr`. A query without a name only brings its labels."""

    name: str
    label: str = ""
    expr: str = ""
    unit: str = ""
    decimals: int | None = None
    cell: dict[str, str] | None = None
    mappings: Sequence[ValueMapping] = ()
    steps: Sequence[tuple[float | None, str]] = ()
    most: float | None = None
    url: str = ""
    """Where a click on a cell leads; `${__value.text}` is the cell."""
    says: str = ""
    """The title of that link."""
    width: int = 0

    def properties(self) -> list[DynamicConfigValue]:
        """What differs from the rest of the table."""
        said: dict[str, object] = {"unit": self.unit or "string"}
        if self.decimals is not None:
            said["decimals"] = self.decimals
        if self.cell is not None:
            said["custom.cellOptions"] = self.cell
        if self.mappings:
            said["mappings"] = list(self.mappings)
        if self.steps:
            steps = [Threshold(value=value, color=colour) for value, colour in self.steps]
            said["thresholds"] = {"mode": "absolute", "steps": steps}
        if self.most is not None:
            said["min"], said["max"] = 0, self.most
        if self.url:
            said["links"] = [{"title": self.says, "url": self.url}]
        if self.width:
            said["custom.width"] = self.width
        return [DynamicConfigValue(key, value) for key, value in said.items()]


def grid(about: About, *columns: Column, sort: str, descending: bool = False) -> table.Panel:
    """A table of what is now, sorted by one of its columns."""
    panel: table.Panel = titled(table.Panel(), about)
    queries = [column for column in columns if column.expr]
    fields = {column.name: column.label for column in columns if column.label}
    excluded = ["Time"]
    for letter, column in zip(LETTERS, queries, strict=False):
        panel.with_target(at_once(column.expr, "", letter, as_table=True))
        value = f"Value #{letter}" if len(queries) > 1 else "Value"
        if column.name:
            fields[column.name] = value
        else:
            excluded.append(value)
    order = [fields[column.name] for column in columns if column.name]
    panel.transformations(merged({field: name for name, field in fields.items()}, excluded=excluded, order=order))
    panel.thresholds(PLAIN).color_scheme(FieldColor().mode(FieldColorModeId.THRESHOLDS))
    panel.sort_by([TableSortByFieldState().display_name(sort).desc(desc=descending)]).show_header(show_header=True)
    for column in columns:
        if column.name:
            panel.override_by_name(column.name, column.properties())
    return panel.cell_height(TableCellHeight.SM)


def severities() -> list[ValueMapping]:
    """Severities with their colours."""
    return mapping({name: (name, colour) for name, colour in SEVERITY_COLOURS.items()})


def firing_table(about: About, expr: str, *labels: str) -> table.Panel:
    """Alerts that fire, the worst first, each with its runbook."""
    columns = [
        Column("Severity", label="severity", cell=TEXT, mappings=severities(), width=95),
        Column("Alert", label="alertname", url="/runbooks/${__value.text}", says="Runbook of ${__value.text}"),
        *(Column(label.capitalize(), label=label) for label in labels),
        Column("Since", expr=expr, unit="dateTimeFromNow", width=130),
    ]
    return grid(about, *columns, sort="Severity")


__all__ = ["BACKGROUND", "GAUGE", "TEXT", "Column", "firing_table", "grid"]
