"""Errors as RFC 9457 problem documents: what went wrong, in a sentence, and what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

MEDIA_TYPE = "application/problem+json"
KINDS = {
    "bad-request": (400, "The request is not understood"),
    "bad-parameter": (400, "A parameter is not understood"),
    "unauthorized": (401, "The bearer token is missing or wrong"),
    "no-token": (403, "Changes over HTTP are switched off"),
    "alerts-closed": (403, "No alerts are taken here"),
    "forbidden": (403, "The role does not allow it"),
    "not-meant": (403, "The request does not show that it was meant"),
    "not-found": (404, "There is nothing at this address"),
    "unknown-rollout": (404, "There is no rollout of that name"),
    "unknown-command": (404, "There is no such command"),
    "unknown-set": (404, "There is no such flag set"),
    "unknown-flag": (404, "There is no such flag"),
    "unknown-episode": (404, "There is no such episode"),
    "unknown-drill": (404, "There is no such drill"),
    "unknown-page": (404, "The list has no such place"),
    "no-report": (404, "There is no such report"),
    "method-not-allowed": (405, "This address does not take that method"),
    "too-slow": (408, "The request did not arrive in time"),
    "rollout-refused": (409, "The state of the rollout forbids it"),
    "request-running": (409, "The request of that key is not answered"),
    "drill-running": (409, "A drill is under way"),
    "flag-refused": (409, "The state of the flag forbids it"),
    "preflight-running": (409, "A preflight is under way"),
    "flag-conflict": (409, "Somebody else changed the flag first"),
    "too-large": (413, "The body is too large"),
    "not-json": (415, "The body must be JSON"),
    "bad-body": (422, "The body does not hold what is expected"),
    "key-reused": (422, "The key belongs to another request"),
    "too-many-attempts": (429, "Too many tokens were wrong"),
    "internal": (500, "An error inside the watchdog"),
    "report-changed": (500, "The frozen report is not what was signed off"),
    "flag-service": (502, "The flag service did not do it"),
    "no-flags": (503, "This server steers no flags"),
    "no-preflight": (503, "No preflight can be started here"),
    "no-drill": (503, "No drill can be started here"),
    "flags": (503, "The flag document cannot be read"),
    "ledger": (503, "The ledger does not answer"),
    "too-many-readers": (503, "Too many live pages are open"),
    "not-ready": (503, "The watchdog is not ready"),
    "stuck": (503, "Something in the watchdog stands still"),
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


async def on_problem(request: Request, problem: Exception) -> Response:
    """The handler of every application for `Problem`."""
    if not isinstance(problem, Problem):
        raise problem
    return response(problem, request.url.path)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """The handler of every application for what the router refuses."""
    if not isinstance(error, HTTPException):
        raise error
    return response(of_refusal(request, error), request.url.path)


def of_refusal(request: Request, error: HTTPException) -> Problem:
    """The problem for what the router refused; `Allow` names everything that the address takes.

    The router tells of the first of its routes only.
    """
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        routes = [route for route in request.app.routes if isinstance(route, Route)]
        here = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
        headers["Allow"] = ", ".join(sorted({method for route in here for method in route.methods or ()}))
    return of_status(error.status_code, request.method, request.url.path, headers)
