"""The part of the API's description that is for readers of flags: OFREP evaluation and flagd's HTTP sync."""

from __future__ import annotations

from typing import Any

from watchdog.web.describe import path
from watchdog.web.problems import KINDS, MEDIA_TYPE
from watchdog.web.schemas import ref, text

Json = dict[str, Any]

_TITLES = {
    "400": "The context is not understood, or a rule of the flag makes no sense",
    "401": "The bearer token is missing or wrong",
    "404": "There is no such flag in any set",
    "408": "The request did not arrive in time",
    "413": "The context is too large",
    "503": "No document of that flag could be read since the start",
}
_ETAG = {"ETag": {"schema": text("Strong: changes exactly when the answer does.")}}
_KNOWN = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "ETags of answers that the caller has.",
    "schema": {"type": "string"},
}


def reader_paths() -> Json:
    """Every address for readers of flags."""
    one = _evaluation("evaluate", "One flag for one caller, by OFREP.", "FlagEvaluation", "FlagEvaluationFailure")
    bulk = _evaluation("evaluate_all", "All flags for one caller, by OFREP.", "BulkEvaluation", "BulkFailure")
    bulk["responses"]["200"]["headers"] = _ETAG
    bulk["responses"]["304"] = {"description": "What the caller has already.", "headers": _ETAG}
    bulk["parameters"] = [_KNOWN]
    return {
        "/ofrep/v1/evaluate/flags": {"post": bulk},
        "/ofrep/v1/evaluate/flags/{key}": {"parameters": [path("key", "The flag.")], "post": one},
        "/flagd/{set}.json": {"parameters": [path("set", "Name of the flag set.")], "get": _sync()},
    }


def _evaluation(name: str, about: str, found: str, failure: str) -> Json:
    answers = {"200": {"description": about, **_content(found)}}
    answers |= {status: {"description": title, **_content(failure)} for status, title in _TITLES.items()}
    return {
        "operationId": name,
        "summary": about,
        "security": [{"reader": []}, {}],
        "requestBody": {"required": True, **_content("EvaluationContext")},
        "responses": answers,
    }


def _sync() -> Json:
    document = {"application/json": {"schema": {"type": "object"}}}
    answers: Json = {
        "200": {"description": "The flagd document.", "headers": _ETAG, "content": document},
        "304": {"description": "What the caller has already.", "headers": _ETAG},
    }
    for kind in ("unauthorized", "unknown-set", "flags"):
        status, title = KINDS[kind]
        problem = {MEDIA_TYPE: {"schema": ref("Problem")}}
        answers[str(status)] = {"description": f"{title}.", "content": problem}
    return {
        "operationId": "flag_document",
        "summary": "The document of one flag set, for flagd's http source.",
        "security": [{"reader": []}, {}],
        "parameters": [_KNOWN],
        "responses": answers,
    }


def _content(schema: str) -> Json:
    return {"content": {"application/json": {"schema": ref(schema)}}}
