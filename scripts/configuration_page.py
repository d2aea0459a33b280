"""Writes the settings in docs/configuration.md from the classes that read them; with --check it only compares.

What a key means stands behind it in `watchdog/config`, an example at the end of its section's docstring.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from watchdog.config.flagsettings import KEYS, NEEDED, PROPAGATION, FlagSettings
from watchdog.config.settings import Settings
from watchdog.quantities import format_duration

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"
BEGIN, END = "<!-- settings: python scripts/configuration_page.py -->", "<!-- end of settings -->"
SECRET = "secret"  # noqa: S105 - a word of the page
KINDS = {
    "positive_duration": "duration",
    "parse_duration": "duration, or 0",
    "text": "text",
    "_flag": "`true` or `false`",
    "_path": "path",
    "_paths": "list of patterns",
    "_words": "list",
    "_url": "`http` address",
    "_service_url": "address",
    "_ledger": "database",
    "_address": "`HOST:PORT`",
    "_secret": SECRET,
    "_headers": f"mapping, {SECRET}",
    "_audiences": "mapping",
    "_set_name": "name",
    "_per_day": "whole number, from 1",
    "_networks": "list of networks",
    "_header": "name of a header",
    "_roles": "mapping",
}
"""What a function of `watchdog/config` reads, in the words of the page; `word` and `whole` say it themselves."""


class Row(NamedTuple):
    """One key of the table."""

    key: str
    takes: str
    default: str
    meaning: str

    @property
    def variable(self) -> str:
        """The environment variable that sets it; that of a whole section goes on with the section's own keys."""
        below = {"services": "__NAME__...", "emergency": "__..."}.get(self.key, "")
        return "WATCHDOG_" + self.key.replace(".", "__").upper() + below


def page() -> str:
    """The whole page, with the generated part as it should be."""
    block = "\n".join([BEGIN, "", *_sections(Settings, ""), END])
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: block, PAGE.read_text(), count=1, flags=re.DOTALL)


def _sections(model: type[BaseModel], above: str) -> Iterator[str]:
    about, example = _docstring(model)
    rows = list(_rows(model, above))
    if rows:
        name = f"`{above.rstrip('.')}`" if above else "The file itself"
        yield from (f"### {name}", "", *((about, "") if above else ()))
        yield from ("| key | takes | default | variable | meaning |", "| --- | --- | --- | --- | --- |")
        yield from (f"| `{row.key}` | {row.takes} | {row.default} | `{row.variable}` | {row.meaning} |" for row in rows)
        yield ""
    if example:
        yield from ("```yaml", *example.splitlines(), "```", "")
    if model is FlagSettings:
        yield from _services()
    for name, field in model.model_fields.items():
        inner = _inner(field.annotation)
        if inner is not None and (inner is not FlagSettings or name == "flags"):
            yield from _sections(inner, f"{above}{field.alias or name}.")


def _rows(model: type[BaseModel], above: str) -> Iterator[Row]:
    meanings = _meanings(model)
    for name, field in model.model_fields.items():
        key = f"{above}{field.alias or name}"
        inner = _inner(field.annotation)
        if inner is not None and (inner is not FlagSettings or name == "flags"):
            continue
        meaning = meanings.get(name)
        if meaning is None and name.endswith("_file") and name.removesuffix("_file") in model.model_fields:
            meaning = f"File that holds `{name.removesuffix('_file')}`."
        if not meaning:
            sys.exit(f"{model.__name__}.{name} says nothing of itself: write a docstring behind it")
        takes = "the keys of `flags`" if inner is not None else _takes(field, f"{model.__name__}.{name}")
        yield Row(key, takes, _default(key, field), _linked(meaning))


def _docstring(model: type[BaseModel]) -> tuple[str, str]:
    """What a section is for, and its example."""
    about, _, example = inspect.cleandoc(model.__doc__ or "").partition("\n\nFor example::\n\n")
    return " ".join(about.split()), textwrap.dedent(example)


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """The text behind each field."""
    (defined,) = ast.parse(inspect.getsource(model)).body
    body = defined.body if isinstance(defined, ast.ClassDef) else []
    told = {}
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            told[field.target.id] = " ".join(inspect.cleandoc(ast.literal_eval(text.value)).split())
    return told


def _linked(meaning: str) -> str:
    return re.sub(
        r"docs/([a-z/-]+\.md(?:#[a-z-]+)?)", lambda found: f"[{found[1].partition('#')[0]}]({found[1]})", meaning
    )


def _inner(annotation: Any) -> type[BaseModel] | None:
    """The section in a field's type, its name's or its own."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _takes(field: FieldInfo, place: str) -> str:
    """How people write it, by the function that reads it."""
    for reader in _readers(field.annotation, *field.metadata):
        name = reader.__qualname__.partition(".")[0]
        bound = inspect.getclosurevars(reader).nonlocals
        if name == "word":
            return ", ".join(f"`{one}`" for one in bound["words"])
        if name == "whole":
            return f"whole number, {bound['least']} to {bound['most']}"
        if name == "_or_json":
            return "mapping"
        if name in KINDS:
            return KINDS[name]
    sys.exit(f"{place} is read by something that scripts/configuration_page.py has no word for; add it to KINDS")


def _readers(*parts: Any) -> Iterator[Any]:
    for part in parts:
        if isinstance(part, BeforeValidator):
            yield part.func
        elif get_origin(part) is not None or get_args(part):
            yield from _readers(*get_args(part))


def _default(key: str, field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if key == "flags.propagation":
        return "by service"
    if default is PydanticUndefined:
        return "required"
    if default is None or default == {}:
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, float):
        return f"`{format_duration(default)}`"
    if hasattr(default, "port"):
        return f"`{default.host}:{default.port}`"
    return f"`{', '.join(map(str, default)) if isinstance(default, tuple) else default}`"


def _services() -> Iterator[str]:
    yield from ("| `service` | further keys | needs | propagation |", "| --- | --- | --- | --- |")
    for service, keys in KEYS.items():
        needed = NEEDED.get(service, {})
        known = ", ".join(f"`{key}`" for key in sorted(keys)) or "none"
        needs = ", ".join(f"`{key}`" for key in needed) or "nothing"
        yield f"| `{service}` | {known} | {needs} | `{format_duration(PROPAGATION[service])}` |"
    yield ""


if __name__ == "__main__":
    if "--check" in sys.argv:
        old = "docs/configuration.md is out of date: run scripts/configuration_page.py"
        sys.exit(0 if PAGE.read_text() == page() else old)
    PAGE.write_text(page())
