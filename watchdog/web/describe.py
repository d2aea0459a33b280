"""The words in which an operation of the API is described: its answers, its problems, its parameters."""

from __future__ import annotations

from typing import Any

from watchdog.web.once import HEADER, LONGEST_KEY, REPLAYED
from watchdog.web.paging import PAGE
from watchdog.web.problems import KINDS, MEDIA_TYPE
from watchdog.web.schemas import SCHEMAS as ROLLOUT_SCHEMAS
from watchdog.web.schemas import ref, text
from watchdog.web.schemas_alerts import ALERT_SCHEMAS
from watchdog.web.schemas_drills import DRILL_SCHEMAS
from watchdog.web.schemas_flags import FLAG_SCHEMAS
from watchdog.web.schemas_preflight import PREFLIGHT_SCHEMAS
from watchdog.web.schemas_readers import READER_SCHEMAS
from watchdog.web.schemas_story import STORY_SCHEMAS

Json = dict[str, Any]
SCHEMAS = {
    **ROLLOUT_SCHEMAS,
    **STORY_SCHEMAS,
    **FLAG_SCHEMAS,
    **READER_SCHEMAS,
    **ALERT_SCHEMAS,
    **PREFLIGHT_SCHEMAS,
    **DRILL_SCHEMAS,
}
ACCESS = ("unauthorized", "too-many-attempts")
"""What any reading may end in: reads may take a token, and whoever is wrong too often waits."""
CHANGING = (
    *("no-token", *ACCESS, "forbidden", "not-meant", "bad-request", "bad-parameter", "not-json", "bad-body"),
    *("too-large", "too-slow", "request-running", "key-reused"),
)
"""What any change by a person may end in."""
PAGED = ("bad-parameter", "unknown-page")
ETAG = {"ETag": {"schema": text("Strong: changes exactly when the answer does.")}}
KNOWN = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "ETags of answers that the caller has.",
    "schema": {"type": "string"},
}
PRINTABLE = r'^(?!""$)[!-~]([ -~]*[!-~])?$'
"""Printable ASCII without blanks at its ends, which HTTP takes off, and not a pair of quotes around nothing."""
KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A key of your own, such as a UUID: the same request sent again with it changes nothing, and is "
    "answered as it was the first time. Kept for 24 h.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": PRINTABLE},
}


def operation(
    name: str, about: str, answers: Json, *problems: str, parameters: list[Json] | None = None, more: str = ""
) -> Json:
    """An operation with its good answers and the problems it may end in; an internal error is always possible.

    `about` is one sentence, `more` what a caller should know besides.
    """
    by_status: dict[str, list[str]] = {}
    for kind in (*dict.fromkeys(problems), "internal"):
        by_status.setdefault(str(KINDS[kind][0]), []).append(KINDS[kind][1])
    refused = {
        status: {"description": "; ".join(titles) + ".", "content": {MEDIA_TYPE: {"schema": ref("Problem")}}}
        for status, titles in sorted(by_status.items())
    }
    described = {"operationId": name, "summary": about, "responses": {**answers, **refused}}
    if more:
        described["description"] = more
    return described if parameters is None else {**described, "parameters": parameters}


def reading(name: str, about: str, schema: str, *problems: str, parameters: list[Json] | None = None) -> Json:
    """An operation that reads JSON, which carries an ETag."""
    found = answer(schema)
    found["200"]["headers"] = ETAG
    found["304"] = {"description": "What the caller has already.", "headers": ETAG}
    return operation(name, about, found, *ACCESS, *problems, parameters=[*(parameters or ()), KNOWN])


def listing(name: str, about: str, schema: str, *problems: str, parameters: list[Json] | None = None) -> Json:
    """An operation that reads a list page by page."""
    return reading(name, about, schema, *problems, *PAGED, parameters=[*(parameters or ()), *paging()])


def changing(name: str, about: str, answers: Json, body: str, *problems: str, required: bool = True) -> Json:
    """An operation with which a person changes something; `body` names the schema of what it takes."""
    for one in answers.values():
        replayed = text("true where this is the answer that the key was given before.")
        one["headers"] = {**one.get("headers", {}), REPLAYED: {"schema": replayed}}
    described = operation(name, about, answers, *CHANGING, *problems, "ledger", parameters=[KEY])
    content = {"application/json": {"schema": ref(body)}}
    return {**described, "security": [{"bearer": []}], "requestBody": {"required": required, "content": content}}


def paging(default: int = PAGE) -> list[Json]:
    """The parameters of a list."""
    limit = {"type": "integer", "minimum": 1, "maximum": PAGE, "default": default}
    after = "Where to go on: the cursor that `next` of the page before holds."
    return [query("limit", "How many at most.", limit), query("after", after, {"type": "string"})]


def answer(schema: str, status: str = "200", about: str = "") -> Json:
    """An answer of JSON, by the name of its schema."""
    described = about or SCHEMAS[schema]["description"]
    return {status: {"description": described, "content": {"application/json": {"schema": ref(schema)}}}}


def located(schema: str, status: str, about: str, where: str) -> Json:
    """An answer of JSON with an address."""
    found = answer(schema, status, about)
    found[status]["headers"] = {"Location": {"schema": text(where, format="uri-reference")}}
    return found


def body(mime: str, schema: Json) -> Json:
    """An answer of another kind."""
    return {"200": {"description": "The document.", "content": {mime: {"schema": schema}}}}


def query(name: str, about: str, schema: Json) -> Json:
    """A parameter behind the question mark."""
    return {"name": name, "in": "query", "required": False, "description": about, "schema": schema}


def path(name: str, about: str, **schema: Any) -> Json:
    """A part of the address."""
    kind = schema or {"type": "string"}
    return {"name": name, "in": "path", "required": True, "description": about, "schema": kind}
