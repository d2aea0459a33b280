"""Errors as RFC 9457 problem documents: what went wrong, in a sentence, and what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import quote

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
KINDS = {
    "bad-request": (400, "The request is not understood"),
    "bad-parameter": (400, "A parameter is not understood"),
    "unauthorized": (401, "The bearer token is missing or wrong"),
    "no-token": (403, "Changes over HTTP are switched off"),
    "not-found": (404, "There is nothing at this address"),
    "unknown-rollout": (404, "There is no rollout of that name"),
    "unknown-command": (404, "There is no such command"),
    "unknown-set": (404, "There is no such flag set"),
    "unknown-flag": (404, "There is no such flag"),
    "no-report": (404, "There is no such report"),
    "method-not-allowed": (405, "This address does not take that method"),
    "too-slow": (408, "The request did not arrive in time"),
    "flag-refused": (409, "The state of the flag forbids it"),
    "flag-conflict": (409, "Somebody else changed the flag first"),
    "too-large": (413, "The body is too large"),
    "not-json": (415, "The body must be JSON"),
    "bad-body": (422, "The body does not hold what is expected"),
    "internal": (500, "An error inside the watchdog"),
    "report-changed": (500, "The frozen report is not what was signed off"),
    "flag-service": (502, "The flag service did not do it"),
    "no-flags": (503, "This server steers no flags"),
    "flags": (503, "The flag document cannot be read"),
    "ledger": (503, "The ledger does not answer"),
    "not-ready": (503, "The watchdog is not ready"),
}
"""Kind -> (status, title). Part of the contract: clients may tell problems apart by `type`."""
_PREFIX = "urn:problem-type:slo-watchdog:"


class Problem(Exception):
    """A request that ends here; `kind` is a key of `KINDS`, `detail` a sentence for a person."""

    def __init__(self, kind: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self.detail = detail
        self.headers = headers
        super().__init__(detail)


def response(problem: Problem, path: str) -> Response:
    """The problem document of one request; `path` as the router decoded it."""
    status, title = KINDS[problem.kind]
    body = {
        "type": f"{_PREFIX}{problem.kind}",
        "title": title,
        "status": status,
        "detail": problem.detail,
        "instance": quote(path),
    }
    return Response(json.dumps(body), status, dict(problem.headers or {}), MEDIA_TYPE)


def of_status(status: int, method: str, path: str, headers: Mapping[str, str] | None) -> Problem:
    """The problem for a status that the router chose."""
    if status == HTTPStatus.NOT_FOUND:
        return Problem("not-found", f"{path} is not an address of this API; /openapi.json lists them", headers)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (headers or {}).get("Allow", "another method")
        return Problem("method-not-allowed", f"{path} does not take {method}, it takes {allowed}", headers)
    return Problem("bad-request", f"the request was refused with status {status}", headers)
