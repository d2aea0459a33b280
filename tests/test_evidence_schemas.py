"""The JSON Schemas of reports and bundles: shipped, up to date with what is written, and strict enough to refuse."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from tests.evidence_samples import samples
from tests.evidence_schemas import WHAT, schema_of, text_of
from watchdog.evidence import statement
from watchdog.report import SCHEMA


def schema(name: str) -> Any:
    return json.loads(resources.files("watchdog.evidence").joinpath(f"schemas/{name}.schema.json").read_text())


@pytest.fixture(scope="module")
def real() -> dict[str, list[Any]]:
    return samples()


@pytest.mark.parametrize("name", WHAT)
def test_a_schema_says_exactly_what_is_really_written(name: str, real: dict[str, list[Any]]) -> None:
    shipped = resources.files("watchdog.evidence").joinpath(f"schemas/{name}.schema.json").read_text(encoding="utf-8")
    assert shipped == text_of(schema_of(name, real[name])), "run `python scripts/evidence_schemas.py`"


@pytest.mark.parametrize("name", WHAT)
def test_what_is_really_written_is_valid_and_what_lacks_a_field_is_not(name: str, real: dict[str, list[Any]]) -> None:
    Draft202012Validator.check_schema(schema(name))
    checker = Draft202012Validator(schema(name))
    for one in real[name]:
        assert list(checker.iter_errors(one)) == []
    small = min(real[name], key=lambda one: len(json.dumps(one)))
    for key in schema(name)["required"]:
        assert not checker.is_valid({field: value for field, value in small.items() if field != key})
        assert not checker.is_valid({**small, key: object})
    assert checker.is_valid({**small, "new_field": 1}), "new fields may come without another version"


def test_the_schemas_are_of_the_versions_that_are_written(real: dict[str, list[Any]]) -> None:
    assert {one["schema"] for one in real["report"]} == {SCHEMA}
    assert {one["schema"] for one in real["bundle"]} == {statement.SCHEMA}
    assert schema("report")["$id"] == f"urn:{SCHEMA.replace('/', ':')}"
    assert schema("bundle")["$id"] == f"urn:{statement.SCHEMA.replace('/', ':')}"
