"""What probes and Prometheus ask: whether the daemon lives, whether it is ready, its metrics.

`health.listen` answers only this, so that it may be open to a cluster when the page and the API are not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from watchdog import __version__
from watchdog.metrics import CONTENT_TYPE, Metrics
from watchdog.web.guard import Guard
from watchdog.web.problems import Problem, on_http_exception, on_problem

Endpoint = Callable[[Request], Awaitable[Response]]
AGAIN = {"Retry-After": "10"}


def health_app(
    *, metrics: Metrics, ready: Callable[[], tuple[bool, str]], stuck: Callable[[], str | None]
) -> Starlette:
    """The application of `health.listen`; `ready` and `stuck` are as in `create_app`."""
    pool = ThreadPoolExecutor(1, "health")

    async def readyz(_request: Request) -> Response:
        return readiness(*await asyncio.get_running_loop().run_in_executor(pool, ready))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        pool.shutdown(wait=False, cancel_futures=True)

    app = Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/livez", liveness(stuck)),
            Route("/readyz", readyz),
            Route("/metrics", exposition(metrics)),
        ],
        middleware=[Middleware(Guard, metrics=metrics)],
        exception_handlers={Problem: on_problem, HTTPException: on_http_exception},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


async def healthz(_request: Request) -> Response:
    """The process answers; it asks nothing of anybody."""
    return JSONResponse({"status": "ok", "version": __version__})


def liveness(stuck: Callable[[], str | None]) -> Endpoint:
    """An endpoint that fails while something stands still, for which a new process would help.

    A ledger that is away is no such thing: a new process would not have it either, and would know less.
    """

    async def endpoint(request: Request) -> Response:
        if (why := stuck()) is not None:
            raise Problem("stuck", why)
        return await healthz(request)

    return endpoint


def readiness(ready: bool, why: str) -> Response:  # noqa: FBT001
    """Ready, or the problem that says why not. Raises Problem."""
    if not ready:
        raise Problem("not-ready", why, AGAIN)
    return JSONResponse({"status": "ready", "why": why})


def exposition(metrics: Metrics) -> Endpoint:
    """An endpoint that tells the metrics as they are."""

    async def endpoint(_request: Request) -> Response:
        return Response(metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

    return endpoint
