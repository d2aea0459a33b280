"""A strict JSON Schema of Grafana's dashboards, out of the types of the Foundation SDK.

Grafana publishes its schemas as these types: each class says which keys its JSON has, and of what type they are.
"""

from __future__ import annotations

import enum
import inspect
import types
import typing
from typing import Any

from grafana_foundation_sdk.models import barchart, dashboard, gauge, heatmap, prometheus, stat, statetimeline, table
from grafana_foundation_sdk.models import timeseries as lines
from jsonschema import Draft7Validator  # type: ignore[import-untyped]

PLUGINS: dict[str, Any] = {
    "barchart": barchart,
    "gauge": gauge,
    "heatmap": heatmap,
    "stat": stat,
    "state-timeline": statetimeline,
    "table": table,
    "timeseries": lines,
}
_PLAIN: dict[object, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
}


class Schema:
    """The schema of one class and of all that it holds."""

    def __init__(self, root: type) -> None:
        self._definitions: dict[str, dict[str, Any]] = {}
        self._validator = Draft7Validator({**self._of(root), "definitions": self._definitions})

    def faults(self, document: object) -> list[str]:
        """What is wrong with a document, each with its place."""
        return [f"{error.json_path}: {error.message[:200]}" for error in self._validator.iter_errors(document)]

    def _of(self, kind: Any) -> dict[str, Any]:
        if kind in _PLAIN:
            return _PLAIN[kind]
        origin, inside = typing.get_origin(kind), typing.get_args(kind)
        if origin in {typing.Union, types.UnionType}:
            return {"anyOf": [self._of(one) for one in inside if one is not type(None)]}
        if origin is typing.Literal:
            return {"enum": list(inside)}
        if origin is list:
            return {"type": "array", "items": self._of(inside[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self._of(inside[1])}
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return {"enum": [member.value for member in kind]}
        if isinstance(kind, type) and hasattr(kind, "to_json"):
            return self._object(kind)
        return {}  # object, Any, and what depends on the panel's type

    def _object(self, kind: Any) -> dict[str, Any]:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name not in self._definitions:
            self._definitions[name] = {}
            hints = typing.get_type_hints(kind.__init__)
            arguments = [one for one in inspect.signature(kind).parameters if one in hints]
            marks = {argument: object() for argument in arguments}
            keys = {id(value): key for key, value in kind(**marks).to_json().items()}
            properties = {keys[id(mark)]: self._of(hints[one]) for one, mark in marks.items() if id(mark) in keys}
            always = kind().to_json()
            for key in (key for key, value in always.items() if value is None):
                properties[key] = {"anyOf": [properties[key], {"type": "null"}]}
            constant = {key: {"const": value} for key, value in always.items() if key not in properties}
            self._definitions[name] = {
                "type": "object",
                "properties": properties | constant,
                "required": sorted(always),
                "additionalProperties": False,
            }
        return {"$ref": f"#/definitions/{name}"}


def faults_of_dashboard(document: dict[str, Any]) -> list[str]:
    """What is wrong with a dashboard, its rows and its panels. What newer versions know is looked at by itself."""
    known = {**document, "style": "dark", "panels": []}
    interval = {"id": "", "auto": False, "auto_count": 30, "auto_min": "10s"}
    known["templating"] = {"list": [interval | one for one in document["templating"]["list"]]}
    later = ("titleFormat", "step", "useValueForTime")
    marks = [{key: value for key, value in one.items() if key not in later} for one in document["annotations"]["list"]]
    known["annotations"] = {"list": marks}
    found = Schema(dashboard.Dashboard).faults(known)
    row, panel = Schema(dashboard.RowPanel), _PanelSchema()
    for one in document["panels"]:
        if one["type"] == "row":
            found += row.faults({**one, "panels": []})
        for inner in one.get("panels", []) if one["type"] == "row" else [one]:
            found += [f"{inner.get('title')}: {fault}" for fault in panel.faults(inner)]
    return found


class _PanelSchema:
    """A panel, its options and fields by its type, and its queries as Prometheus' data source has them."""

    def __init__(self) -> None:
        self._panel = Schema(dashboard.Panel)
        self._query = Schema(prometheus.Dataquery)
        self._options = {name: Schema(module.Options) for name, module in PLUGINS.items()}
        self._fields = {
            name: Schema(module.FieldConfig) for name, module in PLUGINS.items() if hasattr(module, "FieldConfig")
        }

    def faults(self, panel: dict[str, Any]) -> list[str]:
        kind, options = panel["type"], dict(panel.get("options", {}))
        if kind == "heatmap":
            options["tooltip"] = {key: value for key, value in options["tooltip"].items() if key != "mode"}
        found = self._panel.faults(panel) + self._options[kind].faults(options)
        custom = panel["fieldConfig"]["defaults"].get("custom", {})
        found += self._fields[kind].faults(custom) if kind in self._fields else [f"custom: {custom}"] * bool(custom)
        return found + [fault for target in panel["targets"] for fault in self._query.faults(target)]
