"""The Starlette application: which address is answered by what, and on which thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from watchdog import __version__
from watchdog.errors import LedgerError
from watchdog.flagsystem import FlagSystem
from watchdog.ledger import Ledger
from watchdog.metrics import CONTENT_TYPE, Metrics
from watchdog.web.api import VERBS, Api
from watchdog.web.bodies import authorize, order_of, read_body
from watchdog.web.flags import Flags, flag_routes
from watchdog.web.guard import Guard
from watchdog.web.openapi import document
from watchdog.web.page import status_page
from watchdog.web.problems import Problem, of_status, response
from watchdog.web.readers import serve_routes
from watchdog.web.reports import Build, Reports, builder

READERS = 4
"""Threads that read the ledger: few, so that no crowd of readers takes the connections that ticks need."""
FLAG_ACTS = 4
"""Threads that change flags and wait for flag services; readers of flags have as many of their own."""
ROLLOUT = "/api/v1/rollouts/{id}"
log = structlog.get_logger()

Endpoint = Callable[[Request], Awaitable[Response]]
Work = Callable[[Request], Response]


def create_app(  # noqa: PLR0913 - everything that is served, by name
    *,
    ledger: Ledger,
    metrics: Metrics,
    token: str | None,
    clock: Callable[[], float],
    ready: Callable[[], tuple[bool, str]],
    wake: Callable[[str], None],
    report_bytes: Build | None = None,
    readers: Sequence[Route] | None = None,
    flags: FlagSystem | None = None,
) -> Starlette:
    """The daemon's HTTP side. `wake` is called with a rollout's name after a command for it was recorded.

    `token` None refuses every changing call; `ready` says whether the daemon works, and in words why not. `readers`
    are the routes of `serve_routes`, None where no flags are served; `flags` are the ones that can be changed here.
    """
    api = Api(ledger, clock, wake)
    reports = Reports(ledger, report_bytes or builder(ledger, clock))
    workers = Workers()
    on, on_report = workers.on, workers.on_report
    routes = [
        Route("/", on(lambda _: status_page(ledger, clock()))),
        Route("/healthz", _healthz),
        Route("/readyz", on(lambda _: _readyz(*ready()))),
        Route("/metrics", _metrics(metrics)),
        Route("/openapi.json", _openapi),
        Route("/api/v1/rollouts", on(api.rollouts)),
        Route(ROLLOUT, on(api.status)),
        Route(f"{ROLLOUT}/evaluations", on(api.evaluations)),
        Route(f"{ROLLOUT}/transitions", on(api.transitions)),
        Route(f"{ROLLOUT}/report", on_report(lambda asked: reports.serve(asked, api.rollout(asked)))),
        Route(f"{ROLLOUT}/commands/{{command:int}}", on(api.command)),
        *(serve_routes(None, None) if readers is None else readers),
        *flag_routes(
            Flags(flags, ledger),
            look=workers.on_flag,
            act=workers.on_flag_act,
            allow=lambda asked, verb: _log_refusal(asked, verb, token),
        ),
        *(Route(f"{ROLLOUT}/{verb}", _command(api, workers, token, verb), methods=["POST"]) for verb in VERBS),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, metrics=metrics)],
        exception_handlers={Problem: _on_problem, LedgerError: _on_ledger_error, HTTPException: _on_http_exception},
        lifespan=workers.lifespan,
    )
    app.router.redirect_slashes = False
    return app


class Workers:
    """The threads on which handlers run: whatever reads the ledger would hold up the event loop."""

    def __init__(self) -> None:
        self._readers = ThreadPoolExecutor(READERS, "http-reader")
        self._reporter = ThreadPoolExecutor(1, "http-report")
        self._flags = ThreadPoolExecutor(FLAG_ACTS, "http-flag")
        self._flag_acts = ThreadPoolExecutor(FLAG_ACTS, "http-flag-act")

    def on(self, work: Work) -> Endpoint:
        """An endpoint that does `work` on one of a few threads."""
        return _endpoint(self._readers, work)

    def on_report(self, work: Work) -> Endpoint:
        """Likewise, one at a time: the report of a long watch is seconds of work and much memory."""
        return _endpoint(self._reporter, work)

    def on_flag(self, work: Work) -> Endpoint:
        """Likewise, for who reads of flags: a flag service may be slow to answer."""
        return _endpoint(self._flags, work)

    def on_flag_act(self, work: Work) -> Endpoint:
        """Likewise, for who changes flags: no crowd of readers holds up a kill."""
        return _endpoint(self._flag_acts, work)

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Give the threads up when the server stops; what they do is finished, what waits is dropped."""
        yield
        for pool in (self._readers, self._reporter, self._flags, self._flag_acts):
            pool.shutdown(wait=False, cancel_futures=True)


def _endpoint(pool: ThreadPoolExecutor, work: Work) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return await asyncio.get_running_loop().run_in_executor(pool, work, request)

    return endpoint


def _command(api: Api, workers: Workers, token: str | None, verb: str) -> Endpoint:
    """An operator's command: who may, then what it says, then whether there is such a rollout."""

    async def endpoint(request: Request) -> Response:
        _log_refusal(request, verb, token)
        order = order_of(request.headers.get("content-type", ""), await read_body(request))
        return await workers.on(lambda asked: api.give(asked, verb, order))(request)

    return endpoint


def _log_refusal(request: Request, verb: str, token: str | None) -> None:
    """`authorize`, with a line in the log for who is refused: somebody may be trying keys."""
    try:
        authorize(request, token)
    except Problem as problem:
        peer = request.client.host if request.client is not None else None
        named = {"rollout" if name == "id" else name: value for name, value in request.path_params.items()}
        log.warning("http", refused=verb, peer=peer, why=problem.detail, **named)
        raise


async def _healthz(_request: Request) -> Response:
    """The process answers; it asks nothing of anybody."""
    return JSONResponse({"status": "ok", "version": __version__})


def _readyz(ready: bool, why: str) -> Response:  # noqa: FBT001
    if not ready:
        raise Problem("not-ready", why, {"Retry-After": "10"})
    return JSONResponse({"status": "ready", "why": why})


def _metrics(metrics: Metrics) -> Endpoint:
    async def endpoint(_request: Request) -> Response:
        return Response(metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

    return endpoint


async def _openapi(_request: Request) -> Response:
    return JSONResponse(document(__version__))


async def _on_problem(request: Request, problem: Exception) -> Response:
    if not isinstance(problem, Problem):
        raise problem
    return response(problem, request.url.path)


async def _on_ledger_error(request: Request, error: Exception) -> Response:
    detail = str(error)
    if request.method == "POST":
        detail += "; nothing was recorded. Without a ledger, `slo-watchdog flags kill FLAG` takes a flag back"
    return response(Problem("ledger", detail, {"Retry-After": "5"}), request.url.path)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return response(of_status(error.status_code, request.method, request.url.path, error.headers), request.url.path)
