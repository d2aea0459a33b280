"""Writes the reference in docs/http.md from the description that the daemon serves; with --check it only compares."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from watchdog.web.openapi import document
from watchdog.web.openapi_pages import TAG

Json = dict[str, Any]
PAGE = Path(__file__).parent.parent / "docs" / "http.md"
MARKS = {
    part: (f"<!-- {part}: python scripts/http_page.py -->", f"<!-- end of {part} -->")
    for part in ("addresses", "reference")
}
DOCUMENT = document("")
SCHEMAS: Json = DOCUMENT["components"]["schemas"]
ADDRESS = "http://127.0.0.1:8799"
TOKENS = {"bearer": "http.token", "alerts": "alerts.token", "reader": "serve.token"}
SAMPLES = {
    "id": "checkout-2.14.0",
    "flag": "new-checkout",
    "command": "7",
    "episode": "a1",
    "set": "shop",
    "drill": "12",
    "verb": "rollback",
    "until": "48h",
    "key": "new-checkout",
    "percent": 10,
    "version": 3,
    "on": True,
    "reason": "errors in the EU region",
    "by": "ada",
    "label": "acknowledged",
    "context": {"targetingKey": "user-1"},
    "startsAt": "2026-11-22T09:00:00Z",
    "labels": {"alertname": "Slow", "service": "checkout"},
}
"""What examples say, by the name of a parameter or field."""
EXTRA = {"by", "context", "labels"}
"""What an example says though it may be left out."""


def page() -> str:
    """The whole page, with the generated parts as they should be."""
    text = PAGE.read_text()
    for part, lines in (("addresses", _addresses()), ("reference", _reference())):
        begin, end = MARKS[part]
        block = "\n".join([begin, "", *lines, end])
        before, rest = text.split(begin)
        text = before + block + rest.split(end, 1)[1]
    return text


def _operations() -> Iterator[tuple[str, str, Json, list[Json]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method != "parameters" and TAG not in operation.get("tags", ()):
                yield method.upper(), path, operation, [*item.get("parameters", ()), *operation.get("parameters", ())]


def _addresses() -> Iterator[str]:
    yield from ("| address | gives |", "| --- | --- |")
    for method, path, operation, _ in _operations():
        yield f"| `{method} {path}` | [{operation['summary']}](#op-{operation['operationId']}) |"
    yield ""


def _reference() -> Iterator[str]:
    for method, path, operation, parameters in _operations():
        yield from (f'### <a id="op-{operation["operationId"]}"></a>`{method} {path}`', "")
        told = (operation["summary"], operation.get("description", ""), _token(operation))
        yield from (" ".join(filter(None, told)), "")
        yield from _parameters(parameters)
        yield from _body(operation)
        yield from ("```console", *_example(method, path, operation), "```", "")
        yield from _answers(operation["responses"])
    yield from ("## Shapes", "", "What an answer holds may grow; what is here stays.", "")
    for name, schema in sorted(SCHEMAS.items()):
        yield from (f'### <a id="shape-{name.lower()}"></a>{name}', "", schema.get("description", ""), "")
        yield from _fields(schema)


def _token(operation: Json) -> str:
    ways = operation.get("security", [])
    named = [f"`{TOKENS[scheme]}`" for way in ways for scheme in way]
    if not named:
        return ""
    return f"Wants the bearer token of {named[0]}{', where one is set' if {} in ways else ''}."


def _parameters(parameters: list[Json]) -> Iterator[str]:
    if parameters:
        yield from ("| parameter | in | type | meaning |", "| --- | --- | --- | --- |")
        for one in parameters:
            kind, about = _type(one["schema"]), _cell(one["description"])
            yield f"| `{one['name']}` | {one['in']} | {kind} | {about} |"
        yield ""


def _body(operation: Json) -> Iterator[str]:
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        wanted = "" if operation["requestBody"]["required"] else " It may be left out."
        yield from (f"The body is JSON: {_type(schema)}.{wanted}", "")


def _example(method: str, path: str, operation: Json) -> Iterator[str]:
    address = re.sub(r"{(\w+)}", lambda found: quote(str(SAMPLES[found[1]])), path)
    parameters = operation.get("parameters", ())
    asked = "&".join(
        f"{one['name']}={SAMPLES[one['name']]}" for one in parameters if one["in"] == "query" and one["required"]
    )
    lines = [f"curl {'-X POST ' if method == 'POST' else ''}{ADDRESS}{address}{f'?{asked}' if asked else ''}"]
    schemes = [scheme for way in operation.get("security", [])[:1] for scheme in way]
    lines += [f'-H "Authorization: Bearer $(cat {TOKENS[scheme]})"' for scheme in schemes]
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        lines.append('-H "Content-Type: application/json"')
        lines.append(f"-d '{json.dumps(_sample('', schema))}'")
    yield "$ " + " \\\n    ".join(lines)


def _sample(name: str, schema: Json) -> Any:
    """A value that fits, with what must be said and who says it."""
    if "$ref" in schema:
        return _sample(name, SCHEMAS[schema["$ref"].rsplit("/", 1)[1]])
    if name in SAMPLES and schema.get("const") is None:
        return SAMPLES[name]
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if schema["type"] == "array":
        return [_sample("", schema["items"])]
    wanted = set(schema.get("required", ())) | EXTRA
    return {key: _sample(key, inner) for key, inner in schema.get("properties", {}).items() if key in wanted}


def _answers(responses: Json) -> Iterator[str]:
    yield from ("| status | answer | when |", "| --- | --- | --- |")
    refused: dict[str, list[str]] = {}
    for status, answer in responses.items():
        if status < "400":
            yield f"| {status} | {_content(answer)} | {_cell(answer['description'])} |"
        elif not _everywhere(status, answer):
            refused.setdefault(_content(answer), []).append(f"{status}: {_cell(answer['description']).rstrip('.')}.")
    for content, told in refused.items():
        statuses = ", ".join(one[:3] for one in told)
        yield f"| {statuses} | {content} | {' '.join(told)} |"
    yield ""


def _everywhere(status: str, answer: Json) -> bool:
    """Whether any address may end so, which is said once: who asks, and errors of ours."""
    if status == "500":
        return bool(answer["description"] == "An error inside the watchdog.")
    return status in ("401", "403", "429") and _content(answer).startswith("[Problem]")


def _content(answer: Json) -> str:
    kinds: list[str] = []
    for mime, content in answer.get("content", {}).items():
        schema = content["schema"]
        named = _type(schema) if "$ref" in schema else f"`{mime}`"
        kinds.append(named)
    kinds += [f"header `{name}`" for name in answer.get("headers", {})]
    return ", ".join(kinds) or "nothing"


def _fields(schema: Json) -> Iterator[str]:
    if schema.get("properties"):
        yield from ("| field | type | meaning |", "| --- | --- | --- |")
        for name, inner in schema["properties"].items():
            said = _cell(inner.get("description", _described(inner)))
            needed = "" if name in schema.get("required", ()) else ", or left out"
            yield f"| `{name}` | {_type(inner)}{needed} | {said} |"
        yield ""
        for name, inner in schema["properties"].items():
            nested = inner.get("items", inner)
            if "properties" in nested:
                yield from (f"Of `{name}`:", "", *_fields(nested))


def _described(schema: Json) -> str:
    for one in (schema, *schema.get("anyOf", ())):
        if "$ref" in one:
            return str(SCHEMAS[one["$ref"].rsplit("/", 1)[1]].get("description", ""))
    return ""


def _type(schema: Json) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#shape-{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    kinds = schema.get("type", "any")
    kinds = list(kinds) if isinstance(kinds, list) else [kinds]
    told = [_kind(kind, schema) for kind in kinds if kind != "null"]
    return " or ".join([*told, *(["null"] if "null" in kinds else [])])


def _kind(kind: str, schema: Json) -> str:
    words = [f"`{word}`" for word in schema.get("enum", ()) if word is not None]
    if len(words) > 12:
        return "string, see [errors](#errors)"
    if words:
        return ", ".join(words)
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    if schema.get("format") == "date-time":
        return "time"
    bounds = [
        f"{name} {schema[key]}"
        for key, name in (("minimum", "from"), ("maximum", "to"), ("maxLength", "at most"))
        if key in schema
    ]
    return " ".join([kind, *bounds])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text() == page() else "docs/http.md is out of date: run scripts/http_page.py")
    PAGE.write_text(page())
