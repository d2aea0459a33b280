"""Grafana dashboards -> expressions, their variables filled in.

A panel asks for what somebody chooses in a browser; here every choice is replaced by one that changes neither the
series nor the labels that are named:

| written | stands in |
| --- | --- |
| `$__rate_interval`, `$__interval`, `$__interval_ms` | five minutes: how short it may become is a setting of Grafana |
| `$__range`, `$__range_s`, `$__range_ms` | one hour |
| `$__from`, `$__to` | the first and the last millisecond of an hour |
| a variable inside quotes | anything: a condition on it is met by every series that has the label |
| a variable of the dashboard elsewhere | its present value, else its first option, else `1m` |
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from watchdog.errors import ConfigError, Problem
from watchdog.rolloutfile.yamltext import read_text
from watchdog.rulelint.model import Expression

ANYTHING = ".*"
RANGE = 3600
STEP = 300
_STRING = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)""")
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)(?:[.:][^}]*)?\}|\$([A-Za-z_]\w*)|\[\[([A-Za-z_]\w*)(?::\w+)?\]\]")
_CONDITION = re.compile(r"""(=~|!~|!=|=)(\s*)$""")
_LEGEND = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
_VALUES = re.compile(r"^\s*label_values\(\s*(?:(?P<expr>.+),\s*)?(?P<label>\w+)\s*\)\s*$", re.DOTALL)
_RESULT = re.compile(r"^\s*query_result\((?P<expr>.+)\)\s*$", re.DOTALL)
_PROMETHEUS = {"prometheus", "", "${datasource}"}
_TEXTS = ("legendFormat", "titleFormat", "textFormat")
DEEPEST = 60


def read_dashboard(path: Path) -> list[Expression]:
    """Every expression of a dashboard's JSON. Raises ConfigError for what is none."""
    try:
        board = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ConfigError([Problem(str(path), f"is no JSON ({error}); export the dashboard again")]) from error
    if not isinstance(board, dict):
        raise ConfigError([Problem(str(path), "found no JSON object, expected a dashboard of Grafana")])
    board = board.get("dashboard", board) if isinstance(board.get("dashboard"), dict) else board
    fill = _filler(board)
    return list(_expressions(board, str(path), fill))


def _filler(board: Mapping[str, Any]) -> Callable[[str], str]:
    values = {
        "__rate_interval": f"{STEP}s",
        "__interval": f"{STEP}s",
        "__interval_ms": str(STEP * 1000),
        "__range": f"{RANGE}s",
        "__range_s": str(RANGE),
        "__range_ms": str(RANGE * 1000),
        "__from": "1700000000000",
        "__to": "1700003600000",
    }
    for variable in _variables(board):
        values.setdefault(str(variable.get("name", "")), _present(variable))

    def fill(text: str) -> str:
        return filled(text, values)

    return fill


def filled(text: str, values: Mapping[str, str]) -> str:
    """A query with every variable replaced; one that is not known becomes `1m` outside of quotes."""
    pieces: list[str] = []
    for index, piece in enumerate(_STRING.split(text)):
        if index % 2 == 0:
            pieces.append(_VARIABLE.sub(lambda match: values.get(_name(match), "1m"), piece))
            continue
        inside = _VARIABLE.sub(lambda match: values[_name(match)] if _own(match, values) else ANYTHING, piece)
        if inside != piece and ANYTHING in inside:
            # A chosen value is compared with `=` as well as with `=~`; what stands in for it is a pattern.
            pieces[-1] = _CONDITION.sub(lambda match: "=~" + match[2], pieces[-1])
        pieces.append(inside)
    return "".join(pieces)


def _name(match: re.Match[str]) -> str:
    return match[1] or match[2] or match[3]


def _own(match: re.Match[str], values: Mapping[str, str]) -> bool:
    """Whether it is one of Grafana's own, which nobody chooses."""
    return _name(match).startswith("__") and _name(match) in values


def _present(variable: Mapping[str, Any]) -> str:
    current = variable.get("current")
    value = current.get("value") if isinstance(current, dict) else None
    value = value[0] if isinstance(value, list) and value else value
    if isinstance(value, str) and value and not value.startswith("$"):
        return value
    options = variable.get("options")
    for option in options if isinstance(options, list) else []:
        if isinstance(option, dict) and isinstance(option.get("value"), str) and not option["value"].startswith("$"):
            return str(option["value"])
    query = variable.get("query")
    return query.split(",")[0].strip() if variable.get("type") == "interval" and isinstance(query, str) else "1m"


def _variables(board: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    templating = board.get("templating")
    found = templating.get("list") if isinstance(templating, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _expressions(board: Mapping[str, Any], file: str, fill: Callable[[str], str]) -> Iterator[Expression]:
    for variable in _variables(board):
        yield from _of_variable(variable, f"{file}: variable {variable.get('name', '?')}", fill)
    rest = {key: value for key, value in board.items() if key != "templating"}
    pending: list[tuple[Any, str, int]] = [(rest, file, 0)]
    while pending:
        node, place, depth = pending.pop()
        if isinstance(node, list):
            pending.extend((item, place, depth + 1) for item in reversed(node))
        elif isinstance(node, dict) and depth < DEEPEST and _of_prometheus(node):
            here = _place(node, place, file)
            if isinstance(node.get("expr"), str) and node["expr"].strip():
                texts = " ".join(str(node.get(key) or "") for key in _TEXTS)
                shows = tuple(dict.fromkeys(_LEGEND.findall(texts)))
                where = f"{here}: query {node['refId']}" if isinstance(node.get("refId"), str) else here
                yield Expression(where, "panel", fill(node["expr"]), shows=shows)
            pending.extend((value, here, depth + 1) for value in reversed(list(node.values())))


def _place(node: Mapping[str, Any], place: str, file: str) -> str:
    title = node.get("title")
    if isinstance(title, str) and title and ("targets" in node or "panels" in node) and "schemaVersion" not in node:
        return f"{file}: panel {title!r}"
    if isinstance(node.get("name"), str) and "enable" in node:
        return f"{file}: annotation {node['name']!r}"
    return place


def _of_prometheus(node: Mapping[str, Any]) -> bool:
    """Whether it may hold PromQL: a panel of another kind of source does not."""
    source = node.get("datasource")
    kind = source.get("type", "") if isinstance(source, dict) else ""
    return not isinstance(kind, str) or kind in _PROMETHEUS or kind in {"grafana", "datasource", "mixed"}


def _of_variable(variable: Mapping[str, Any], place: str, fill: Callable[[str], str]) -> Iterator[Expression]:
    if variable.get("type") != "query" or not _of_prometheus(variable):
        return
    query = variable.get("query") or variable.get("definition")
    text = query.get("query") if isinstance(query, dict) else query
    if not isinstance(text, str):
        return
    values, result = _VALUES.match(text), _RESULT.match(text)
    if values is not None and values["expr"]:
        yield Expression(place, "variable", fill(values["expr"]), shows=(values["label"],))
    elif result is not None:
        yield Expression(place, "variable", fill(result["expr"]))
