"""The description of the API at /openapi.json (OpenAPI 3.1). A test holds it to the routes and to real answers."""

from __future__ import annotations

from typing import Any

from watchdog.web.problems import KINDS, MEDIA_TYPE
from watchdog.web.reports import FORMATS
from watchdog.web.reports import KINDS as REPORT_KINDS
from watchdog.web.schemas import SCHEMAS, ref, text

Json = dict[str, Any]

ROLLOUT = "/api/v1/rollouts/{id}"
COMMANDS = {
    "hold": "Let the ramp stand still until `resume`.",
    "resume": "End the hold and let the detectors begin anew.",
    "rollback": "Take the flag back to where the rule says; accepted in every phase.",
    "stop": "End the rollout and leave the flag as it is.",
}


def document(version: str) -> Json:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "slo-watchdog",
            "version": version,
            "summary": "Rollouts, their verdicts and operator commands.",
            "description": "Times are RFC 3339 in UTC, shares are fractions of 1, exposure is percent. Answers may "
            "gain fields; none is renamed.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {**_daemon(), **_rollouts(), **_commands()},
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "http.token_file of the daemon."}
            },
        },
    }


def _daemon() -> Json:
    return {
        "/": {"get": _operation("page", "The status page.", _body("text/html", {"type": "string"}), "ledger")},
        "/healthz": {"get": _operation("health", "Whether the process answers.", _json("Health"))},
        "/readyz": {
            "get": _operation(
                "ready", "Whether the ledger answers and every rollout ticks.", _json("Ready"), "not-ready"
            )
        },
        "/metrics": {"get": _operation("metrics", "Prometheus metrics.", _body("text/plain", {"type": "string"}))},
        "/openapi.json": {
            "get": _operation("openapi", "This document.", _body("application/json", {"type": "object"}))
        },
    }


def _rollouts() -> Json:
    objective = _query("objective", "Only this objective.", {"type": "string"})
    moment = {"type": "string", "format": "date-time"}
    span = [_query("from", "Later than this; default one hour before `to`.", moment)]
    span.append(_query("to", "Not later than this; default now.", moment))
    number = {**_path("command", "The command's number."), "schema": {"type": "integer", "minimum": 1}}
    return {
        "/api/v1/rollouts": {
            "get": _operation("rollouts", "The status of every rollout.", _json("Rollouts"), "ledger"),
        },
        ROLLOUT: _of_rollout(_operation("rollout", "The status of one rollout.", _json("Status"), *_READING)),
        f"{ROLLOUT}/evaluations": _of_rollout(
            _operation(
                "evaluations",
                "What the slots said, at most 2000 in one answer.",
                _json("Evaluations"),
                *(*_READING, "bad-parameter"),
                parameters=[objective, *span],
            )
        ),
        f"{ROLLOUT}/transitions": _of_rollout(
            _operation("transitions", "What happened to the rollout.", _json("Transitions"), *_READING)
        ),
        f"{ROLLOUT}/report": _of_rollout(_report()),
        f"{ROLLOUT}/commands/{{command}}": _of_rollout(
            _operation(
                "command",
                "A command with what came of it.",
                _json("Command"),
                *(*_READING, "unknown-command"),
                parameters=[number],
            )
        ),
    }


_READING = ("unknown-rollout", "ledger")


def _report() -> Json:
    content = {mime: {"schema": {"type": "string"}} for mime in FORMATS.values()}
    content["application/json"] = {"schema": {"type": "object"}}
    headers = {
        "X-Report-Kind": {"schema": text("final, interim or now (built from the ledger).", enum=list(REPORT_KINDS))},
        "X-Report-Sha256": {"schema": text("The sha256 of the bytes.", pattern="^[0-9a-f]{64}$")},
    }
    ok = {"200": {"description": "The report.", "headers": headers, "content": content}}
    kind = "Which: the frozen `final` or `interim` one, or one built `now`. Default: final once signed off, else now."
    return _operation(
        "report",
        "The sign-off report.",
        ok,
        *(*_READING, "bad-parameter", "no-report", "report-changed"),
        parameters=[
            _query("format", "Default html.", {"type": "string", "enum": list(FORMATS), "default": "html"}),
            _query("kind", kind, {"type": "string", "enum": list(REPORT_KINDS)}),
        ],
    )


def _commands() -> Json:
    refusals = (
        *("no-token", "unauthorized", "not-json", "bad-request", "bad-body", "too-large", "too-slow"),
        *_READING,
    )
    location = {"Location": {"schema": text("Where the outcome will be.", format="uri-reference")}}
    paths: Json = {}
    for verb, about in COMMANDS.items():
        accepted = _json("Command", "202", "Recorded; the next tick, which follows at once, carries it out.")
        accepted["202"]["headers"] = location
        operation = _operation(verb, about, accepted, *refusals)
        operation["security"] = [{"bearer": []}]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": ref("Order")}}}
        paths[f"{ROLLOUT}/{verb}"] = {"parameters": [_path("id", "The rollout's name.")], "post": operation}
    return paths


def _of_rollout(get: Json) -> Json:
    return {"parameters": [_path("id", "The rollout's name.")], "get": get}


def _operation(name: str, about: str, answers: Json, *problems: str, parameters: list[Json] | None = None) -> Json:
    """An operation with its good answers and the problems it may end in; an internal error is always possible."""
    by_status: dict[str, list[str]] = {}
    for kind in (*problems, "internal"):
        by_status.setdefault(str(KINDS[kind][0]), []).append(KINDS[kind][1])
    refused = {
        status: {"description": "; ".join(titles) + ".", "content": {MEDIA_TYPE: {"schema": ref("Problem")}}}
        for status, titles in sorted(by_status.items())
    }
    operation = {"operationId": name, "summary": about, "responses": {**answers, **refused}}
    return operation if parameters is None else {**operation, "parameters": parameters}


def _json(schema: str, status: str = "200", about: str = "") -> Json:
    described = about or SCHEMAS[schema]["description"]
    return {status: {"description": described, "content": {"application/json": {"schema": ref(schema)}}}}


def _body(mime: str, schema: Json) -> Json:
    return {"200": {"description": "The document.", "content": {mime: {"schema": schema}}}}


def _query(name: str, about: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "required": False, "description": about, "schema": schema}


def _path(name: str, about: str) -> Json:
    return {"name": name, "in": "path", "required": True, "description": about, "schema": {"type": "string"}}
