"""The description of the API at /openapi.json (OpenAPI 3.1). A test holds it to the routes and to real answers."""

from __future__ import annotations

from typing import Any

from watchdog.web.describe import SCHEMAS, answer, body, operation, path, query
from watchdog.web.openapi_flags import flag_paths
from watchdog.web.openapi_readers import reader_paths
from watchdog.web.reports import FORMATS
from watchdog.web.reports import KINDS as REPORT_KINDS
from watchdog.web.schemas import ref, text

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
            "summary": "Rollouts, their verdicts, flags and operator commands.",
            "description": "Times are RFC 3339 in UTC, shares are fractions of 1, exposure is percent. Answers may "
            "gain fields; none is renamed.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {**_daemon(), **_rollouts(), **_commands(), **flag_paths(), **reader_paths()},
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "http.token_file of the daemon."},
                "reader": {"type": "http", "scheme": "bearer", "description": "serve.token_file, where there is one."},
            },
        },
    }


def _daemon() -> Json:
    return {
        "/": {"get": operation("page", "The status page.", body("text/html", {"type": "string"}), "ledger")},
        "/healthz": {"get": operation("health", "Whether the process answers.", answer("Health"))},
        "/readyz": {
            "get": operation(
                "ready", "Whether the ledger answers and every rollout ticks.", answer("Ready"), "not-ready"
            )
        },
        "/metrics": {"get": operation("metrics", "Prometheus metrics.", body("text/plain", {"type": "string"}))},
        "/openapi.json": {"get": operation("openapi", "This document.", body("application/json", {"type": "object"}))},
    }


def _rollouts() -> Json:
    objective = query("objective", "Only this objective.", {"type": "string"})
    moment = {"type": "string", "format": "date-time"}
    span = [query("from", "Later than this; default one hour before `to`.", moment)]
    span.append(query("to", "Not later than this; default now.", moment))
    number = {**path("command", "The command's number."), "schema": {"type": "integer", "minimum": 1}}
    return {
        "/api/v1/rollouts": {
            "get": operation("rollouts", "The status of every rollout.", answer("Rollouts"), "ledger"),
        },
        ROLLOUT: _of_rollout(operation("rollout", "The status of one rollout.", answer("Status"), *_READING)),
        f"{ROLLOUT}/evaluations": _of_rollout(
            operation(
                "evaluations",
                "What the slots said, at most 2000 in one answer.",
                answer("Evaluations"),
                *(*_READING, "bad-parameter"),
                parameters=[objective, *span],
            )
        ),
        f"{ROLLOUT}/transitions": _of_rollout(
            operation("transitions", "What happened to the rollout.", answer("Transitions"), *_READING)
        ),
        f"{ROLLOUT}/report": _of_rollout(_report()),
        f"{ROLLOUT}/commands/{{command}}": _of_rollout(
            operation(
                "command",
                "A command with what came of it.",
                answer("Command"),
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
    return operation(
        "report",
        "The sign-off report.",
        ok,
        *(*_READING, "bad-parameter", "no-report", "report-changed"),
        parameters=[
            query("format", "Default html.", {"type": "string", "enum": list(FORMATS), "default": "html"}),
            query("kind", kind, {"type": "string", "enum": list(REPORT_KINDS)}),
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
        accepted = answer("Command", "202", "Recorded; the next tick, which follows at once, carries it out.")
        accepted["202"]["headers"] = location
        described = operation(verb, about, accepted, *refusals)
        described["security"] = [{"bearer": []}]
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": ref("Order")}}}
        paths[f"{ROLLOUT}/{verb}"] = {"parameters": [path("id", "The rollout's name.")], "post": described}
    return paths


def _of_rollout(get: Json) -> Json:
    return {"parameters": [path("id", "The rollout's name.")], "get": get}
