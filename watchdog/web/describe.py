"""The words in which an operation of the API is described: its answers, its problems, its parameters."""

from __future__ import annotations

from typing import Any

from watchdog.web.problems import KINDS, MEDIA_TYPE
from watchdog.web.schemas import SCHEMAS as ROLLOUT_SCHEMAS
from watchdog.web.schemas import ref
from watchdog.web.schemas_flags import FLAG_SCHEMAS
from watchdog.web.schemas_readers import READER_SCHEMAS

Json = dict[str, Any]
SCHEMAS = {**ROLLOUT_SCHEMAS, **FLAG_SCHEMAS, **READER_SCHEMAS}


def operation(name: str, about: str, answers: Json, *problems: str, parameters: list[Json] | None = None) -> Json:
    """An operation with its good answers and the problems it may end in; an internal error is always possible."""
    by_status: dict[str, list[str]] = {}
    for kind in (*problems, "internal"):
        by_status.setdefault(str(KINDS[kind][0]), []).append(KINDS[kind][1])
    refused = {
        status: {"description": "; ".join(titles) + ".", "content": {MEDIA_TYPE: {"schema": ref("Problem")}}}
        for status, titles in sorted(by_status.items())
    }
    described = {"operationId": name, "summary": about, "responses": {**answers, **refused}}
    return described if parameters is None else {**described, "parameters": parameters}


def answer(schema: str, status: str = "200", about: str = "") -> Json:
    """An answer of JSON, by the name of its schema."""
    described = about or SCHEMAS[schema]["description"]
    return {status: {"description": described, "content": {"application/json": {"schema": ref(schema)}}}}


def body(mime: str, schema: Json) -> Json:
    """An answer of another kind."""
    return {"200": {"description": "The document.", "content": {mime: {"schema": schema}}}}


def query(name: str, about: str, schema: Json) -> Json:
    """A parameter behind the question mark."""
    return {"name": name, "in": "query", "required": False, "description": about, "schema": schema}


def path(name: str, about: str) -> Json:
    """A part of the address."""
    return {"name": name, "in": "path", "required": True, "description": about, "schema": {"type": "string"}}
