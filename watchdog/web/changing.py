"""Every changing call takes this way: who may, what they say, and then what they ask for, once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from watchdog.access import Principal
from watchdog.ledger import Ledger
from watchdog.web.bodies import read_body
from watchdog.web.once import once

Endpoint = Callable[[Request], Awaitable[Response]]
Work = Callable[[Request], Response]
Allow = Callable[[Request, str], Principal]
"""Who asks for a change, by its verb; raises Problem for who may not make it."""
Parse = Callable[[Request, bytes, Principal], Work]
"""What a body asks for, as the work of carrying it out. Raises Problem for a body that makes no sense."""


@dataclass(frozen=True, slots=True)
class Changing:
    """How changes are made over HTTP."""

    ledger: Ledger
    clock: Callable[[], float]
    allow: Allow

    def endpoint(self, verb: str, parse: Parse, on: Callable[[Work], Endpoint]) -> Endpoint:
        """An endpoint for a change; `on` puts its work on a thread."""

        async def endpoint(request: Request) -> Response:
            who = self.allow(request, verb)
            body = await read_body(request)
            work = parse(request, body, who)
            now = self.clock()
            return await on(lambda asked: once(self.ledger, asked, who.name, body, now, lambda: work(asked)))(request)

        return endpoint


def content_type(request: Request) -> str:
    """What the body is declared as; empty where nothing is said."""
    return request.headers.get("content-type", "")
