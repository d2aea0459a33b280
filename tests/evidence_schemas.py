"""Writes the JSON Schemas of reports and bundles from real ones; with --check it only says whether they are up to date.

A schema says of each field its kinds, and whether it is always there. Fields may be added without another version of
it, so readers must allow them. A test holds that every field of a real report is in the schema, and the reverse.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.evidence_samples import samples

ROOT = Path(__file__).parent.parent
SCHEMAS = ROOT / "watchdog" / "evidence" / "schemas"
KINDS = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    type(None): "null",
    list: "array",
    dict: "object",
}
MAPS = frozenset({"evaluations", "reasons", "kinds", "files", "rows", "settings", "missing", "details"})
"""Objects whose keys are anybody's names."""
WHAT = {
    "report": ("slo-watchdog/report/1", "The sign-off report, as `report --format json` and bundles have it."),
    "bundle": ("slo-watchdog/bundle/1", "manifest.json of a bundle: what it is about, and every file with its sha256."),
    "statement": ("slo-watchdog/statement/1", "statement.json of a bundle: the in-toto statement that is signed."),
    "countersignature": ("slo-watchdog/countersignature/1", "The in-toto statement that an approver signs."),
}


def schema_of(name: str, samples: Iterable[Any]) -> dict[str, Any]:
    """The schema of a document by real ones."""
    number, text = WHAT[name]
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{number.replace('/', ':')}",
        "title": text,
    }
    return head | _of("", list(samples))


def _of(key: str, samples: list[Any]) -> dict[str, Any]:
    kinds = sorted({KINDS[type(sample)] for sample in samples})
    found: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else kinds} if kinds else {}
    objects = [sample for sample in samples if isinstance(sample, dict)]
    items = [item for sample in samples if isinstance(sample, list) for item in sample]
    if items:
        found["items"] = _of("", items)
    if objects and key in MAPS:
        values = [value for sample in objects for value in sample.values()]
        found["additionalProperties"] = _of("", values) if values else True
    elif objects:
        names = sorted({name for sample in objects for name in sample})
        found["properties"] = {
            name: _of(name, [sample[name] for sample in objects if name in sample]) for name in names
        }
        found["required"] = [name for name in names if all(name in sample for sample in objects)]
    return found


def text_of(schema: dict[str, Any]) -> str:
    """The schema as it is written."""
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


def schemas() -> dict[str, dict[str, Any]]:
    """Every schema by its name, of the reports and bundles that the tests make."""
    return {name: schema_of(name, found) for name, found in samples().items()}


def main() -> int:
    """Write the schemas, or compare them."""
    stale = 0
    for name, schema in schemas().items():
        path, text = SCHEMAS / f"{name}.schema.json", text_of(schema)
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            print(f"{path.relative_to(ROOT)} is not up to date: run `python scripts/evidence_schemas.py`")
            stale = 1
    return stale
