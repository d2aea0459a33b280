"""The addresses that readers of flags ask: OFREP evaluation and flagd's HTTP sync.

They are answered on the event loop itself: the documents are in memory, and a thread would cost more than the answer.
OFREP has its own bodies for errors; at the sync address they are problem documents like everywhere else.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from watchdog import __version__
from watchdog.metrics import CONTENT_TYPE
from watchdog.serving import Answer, Readers
from watchdog.web.bodies import LARGEST_BODY, read_body
from watchdog.web.guard import Counting, Guard
from watchdog.web.problems import KINDS, Problem, on_http_exception, on_problem

ONE = "/ofrep/v1/evaluate/flags/{key:path}"
BULK = "/ofrep/v1/evaluate/flags"
SYNC = "/flagd/{set}.json"
JSON = "application/json"
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="slo-watchdog"'}
WRONG_TOKEN = "the request does not bring the token that serve.token or serve.token_file of the daemon names"  # noqa: S105
NO_SETS = "this daemon holds no flag document: its flag service answers readers itself"

Endpoint = Callable[[Request], Awaitable[Response]]


def serve_routes(readers: Readers | None, token: str | None) -> list[Route]:
    """The reading routes. With a `token` every reader must send it; None for `readers`: there is nothing to read."""
    return [
        Route(BULK, _ofrep(readers, token), methods=["POST"]),
        Route(ONE, _ofrep(readers, token), methods=["POST"]),
        Route(SYNC, _sync(readers, token), methods=["GET"]),
    ]


def reader_app(
    readers: Readers, token: str | None, metrics: Counting, exposition: Callable[[], bytes] | None = None
) -> Starlette:
    """An application for readers only: the reading routes and /healthz, for `serve.listen`.

    With an `exposition` of metrics there is /metrics too, for those who may read.
    """
    routes = [*serve_routes(readers, token), Route("/healthz", _healthz)]
    if exposition is not None:
        routes.append(Route("/metrics", _metrics(exposition, token)))
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, metrics=metrics)],
        exception_handlers={Problem: on_problem, HTTPException: on_http_exception},
    )
    app.router.redirect_slashes = False
    return app


def _ofrep(readers: Readers | None, token: str | None) -> Endpoint:
    """Evaluation of the flag that the address names, or of all."""

    async def endpoint(request: Request) -> Response:
        key = request.path_params.get("key")
        named = {"key": key} if key is not None else {}
        if not may_read(request.headers.get("authorization", ""), token):
            if readers is not None:
                readers.refused("ofrep" if named else "ofrep_bulk", 401)
            return _failure(401, {**named, "errorCode": "GENERAL", "errorDetails": WRONG_TOKEN}, CHALLENGE)
        if readers is None:
            return _failure(404, {**named, "errorCode": "FLAG_NOT_FOUND", "errorDetails": NO_SETS})
        try:
            body = await read_body(request)
        except Problem as problem:
            large = f"the context is larger than {LARGEST_BODY // 1024} KiB; send what rules ask for, not more"
            said = large if problem.kind == "too-large" else problem.detail
            refused = {**named, "errorCode": "INVALID_CONTEXT", "errorDetails": said}
            return _failure(KINDS[problem.kind][0], refused, {"Connection": "close"})
        if key is not None:
            return _given(await readers.one(key, body))
        return _given(await readers.bulk(body, request.headers.get("if-none-match", "")))

    return endpoint


def _sync(readers: Readers | None, token: str | None) -> Endpoint:
    """The document of one set, for flagd's `http` source and whoever else reads flagd documents."""

    async def endpoint(request: Request) -> Response:
        if not may_read(request.headers.get("authorization", ""), token):
            if readers is not None:
                readers.refused("sync", 401)
            raise Problem("unauthorized", WRONG_TOKEN, CHALLENGE)
        if readers is None:
            raise Problem("unknown-set", NO_SETS)
        name = request.path_params["set"]
        answer = await readers.document(name, request.headers.get("if-none-match", ""))
        if answer is None:
            detail = f"there is no flag set {name[:100]!r}; served here: {', '.join(readers.sets) or 'none'}"
            raise Problem("unknown-set", detail)
        if answer.status == KINDS["flags"][0]:
            raise Problem("flags", json.loads(answer.body)["errorDetails"], answer.headers)
        return _given(answer)

    return endpoint


def may_read(authorization: str, token: str | None) -> bool:
    """Whether this header lets its sender read."""
    if not token:
        return True
    scheme, _, given = authorization.partition(" ")
    same = hmac.compare_digest(given.strip().encode("latin-1"), token.encode())
    return same and scheme.lower() == "bearer"


def _given(answer: Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers, JSON if answer.body else None)


def _failure(status: int, body: dict[str, str], headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(body, status, headers)


def _metrics(exposition: Callable[[], bytes], token: str | None) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        if not may_read(request.headers.get("authorization", ""), token):
            raise Problem("unauthorized", WRONG_TOKEN, CHALLENGE)
        return Response(exposition(), headers={"Content-Type": CONTENT_TYPE})

    return endpoint


async def _healthz(_request: Request) -> Response:
    return JSONResponse({"status": "ok", "version": __version__})
