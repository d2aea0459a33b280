"""Writes watchdog/client/shapes from the schemas that the daemon describes; with --check it only compares."""

from __future__ import annotations

import keyword
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from watchdog.web.schemas import SCHEMAS as ROLLOUT_SCHEMAS
from watchdog.web.schemas_alerts import ALERT_SCHEMAS
from watchdog.web.schemas_drills import DRILL_SCHEMAS
from watchdog.web.schemas_flags import FLAG_SCHEMAS
from watchdog.web.schemas_preflight import PREFLIGHT_SCHEMAS
from watchdog.web.schemas_readers import READER_SCHEMAS
from watchdog.web.schemas_story import STORY_SCHEMAS

Json = dict[str, Any]
PLACE = Path(__file__).parent.parent / "watchdog" / "client" / "shapes"
PACKAGE = "watchdog.client.shapes"
DAEMON = ("Health", "Ready", "Problem")
MODULES: dict[str, Json] = {
    "alerts": ALERT_SCHEMAS,
    "daemon": {name: ROLLOUT_SCHEMAS[name] for name in DAEMON},
    "drills": DRILL_SCHEMAS,
    "flags": FLAG_SCHEMAS,
    "preflights": PREFLIGHT_SCHEMAS,
    "readers": READER_SCHEMAS,
    "story": STORY_SCHEMAS,
    "rollouts": {name: schema for name, schema in ROLLOUT_SCHEMAS.items() if name not in DAEMON},
}
HOME = {name: module for module, schemas in MODULES.items() for name in schemas}
PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
LONGEST = 110
"""Letters of a list of words; a longer one is text."""


def files() -> dict[Path, str]:
    """Every module as it should be."""
    return {PLACE / f"{module}.py": _module(module, schemas) for module, schemas in MODULES.items()} | {
        PLACE / "__init__.py": '"""What the API takes and gives, written by `python scripts/client_shapes.py`."""\n'
    }


def _module(module: str, schemas: Json) -> str:
    body = "\n".join(_lines(schemas))
    typing = [word for word in ("Any", "Literal", "NotRequired", "TypedDict") if word in body]
    used = sorted({name for schema in schemas.values() for name in _refs(schema) if HOME[name] != module})
    homes: dict[str, list[str]] = {}
    for name in used:
        homes.setdefault(HOME[name], []).append(name)
    head = [
        f'"""Shapes of {module}: what the API takes and gives, written by `python scripts/client_shapes.py`."""',
        "",
        "from __future__ import annotations",
        "",
        f"from typing import {', '.join(typing)}",
        "",
        *(f"from {PACKAGE}.{home} import {', '.join(names)}" for home, names in sorted(homes.items())),
    ]
    return "\n".join(head).rstrip() + "\n" + body.rstrip() + "\n"


def _refs(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield _name(schema)
        for inner in schema.values():
            yield from _refs(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _refs(inner)


def _lines(schemas: Json) -> Iterator[str]:
    """A class for each, those that name others in a value after them: `from` is no name in Python."""
    for name, schema in schemas.items():
        yield from _thing(name, schema)


def _thing(name: str, schema: Json) -> Iterator[str]:
    properties, needed = schema.get("properties", {}), schema.get("required", ())
    about = schema["description"]
    for key, inner in properties.items():
        for part, items in ((f"{name}{_camel(key)}", inner), (f"{name}{_camel(key)}", inner.get("items", {}))):
            if _named(items):
                yield from _thing(part, {"description": f"The field `{key}` of {name}.", **items})
    if not properties:
        yield from ("", "", f"{name} = dict[str, Any]", f'"""{about}"""')
        return
    fields = {key: _field(name, key, inner, key in needed) for key, inner in properties.items()}
    if any(keyword.iskeyword(key) for key in fields):
        yield from ("", "", f"{name} = TypedDict(", f'    "{name}",', "    {")
        yield from (f'        "{key}": {_quoted(kind)},' for key, kind in fields.items())
        yield from ("    },", ")", f'"""{about}"""')
        return
    yield from ("", "", f"class {name}(TypedDict):", f'    """{about}"""', "")
    for key, kind in fields.items():
        yield f"    {key}: {kind}"
        if told := properties[key].get("description"):
            yield f'    """{told}"""'


def _named(schema: Json) -> bool:
    """Whether it is an object with names of its own; one that says that callers add theirs is a plain dict."""
    return "properties" in schema and schema.get("additionalProperties") is not True


def _quoted(kind: str) -> str:
    """The kind as text, for it may name what comes later."""
    return f"'{kind}'" if '"' in kind else f'"{kind}"'


def _field(name: str, key: str, schema: Json, needed: bool) -> str:  # noqa: FBT001
    kind = _kind(schema, f"{name}{_camel(key)}")
    return kind if needed else f"NotRequired[{kind}]"


def _kind(schema: Json, part: str) -> str:
    if "$ref" in schema:
        return _name(schema)
    if "anyOf" in schema:
        return " | ".join(_kind(one, part) for one in schema["anyOf"])
    told = "Literal[" + ", ".join(f'"{word}"' for word in schema.get("enum", ()) if word is not None) + "]"
    if "enum" in schema and len(told) < LONGEST:
        return f"{told} | None" if None in schema["enum"] else told
    kinds = schema.get("type", "any")
    return " | ".join(_of_type(kind, schema, part) for kind in (kinds if isinstance(kinds, list) else [kinds]))


def _of_type(kind: str, schema: Json, part: str) -> str:
    if kind == "array":
        return f"list[{_kind(schema['items'], part)}]"
    if kind == "object":
        values = schema.get("additionalProperties")
        return part if _named(schema) else f"dict[str, {_kind(values, part) if isinstance(values, dict) else 'Any'}]"
    return PLAIN.get(kind, "Any")


def _camel(key: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in key.split("_"))


def _name(schema: Json) -> str:
    return str(schema["$ref"].rsplit("/", 1)[1])


if __name__ == "__main__":
    differing = {path: text for path, text in files().items() if not path.exists() or path.read_text() != text}
    if "--check" in sys.argv:
        sys.exit("watchdog/client/shapes is out of date: run scripts/client_shapes.py" if differing else 0)
    PLACE.mkdir(parents=True, exist_ok=True)
    for path, text in differing.items():
        path.write_text(text)
