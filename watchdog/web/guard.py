"""Around every request: security headers on every answer, and a problem document for what nobody expected."""

from __future__ import annotations

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from watchdog.metrics import Metrics
from watchdog.web.problems import Problem, response

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Nothing that we serve runs a script or loads anything; what was true a moment ago must not be shown from a cache."""
log = structlog.get_logger()


class Guard:
    """ASGI middleware; the one place on the HTTP side where anything unexpected is caught, logged and counted."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens in it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            await self.app(scope, receive, with_headers)
        except Exception:
            self.metrics.on_http_error()
            log.exception("http", method=scope["method"], path=scope["path"])
            if begun:
                raise  # half an answer is out: all that is left is to break the connection off
            detail = "the watchdog's log has the details; a rollout is not affected by an error here"
            await response(Problem("internal", detail), scope["path"])(scope, receive, with_headers)
