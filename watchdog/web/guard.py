"""Around every request: security headers on every answer, and a problem document for what nobody expected."""

from __future__ import annotations

from typing import Protocol

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from watchdog.web.headers import FREE, HEADERS, POLICY, policy
from watchdog.web.problems import Problem, response

log = structlog.get_logger()


class Counting(Protocol):
    """Where internal errors are counted."""

    def on_http_error(self) -> None:
        """A request ended in an internal error."""


class Guard:
    """ASGI middleware; the one place on the HTTP side where anything unexpected is caught, logged and counted."""

    def __init__(self, app: ASGIApp, metrics: Counting) -> None:
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
                headers = MutableHeaders(scope=message)
                kept = headers.get(FREE, HEADERS[FREE])
                own = {POLICY: policy(scope["path"], headers.get("content-type", "")), FREE: kept}
                headers.update({**HEADERS, **own})
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
