"""Preflights over HTTP: start one in the background, and read the newest result, whoever made it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from watchdog.access import Principal
from watchdog.ledger import Ledger, StoredPreflight
from watchdog.quantities import rfc3339
from watchdog.web.bodies import Asked, preflight_of
from watchdog.web.changing import Changing, Endpoint, Work, content_type
from watchdog.web.childrun import Under
from watchdog.web.preflightrun import PreflightRuns
from watchdog.web.problems import Problem

PREFLIGHT = "/api/v1/preflight"


@dataclass(frozen=True, slots=True)
class Preflights:
    """The handlers. They run on worker threads and raise Problem, LedgerError. `runs` None: none are started here."""

    ledger: Ledger
    clock: Callable[[], float]
    runs: PreflightRuns | None

    def last(self, _request: Request) -> Response:
        """The newest result on record with its age, and the preflight that is under way."""
        under = self.runs.under_way if self.runs is not None else None
        trouble = self.runs.trouble if self.runs is not None else ""
        stored = self.ledger.last_preflight()
        told = _result(stored, self.clock()) if stored is not None else None
        return JSONResponse({"running": under_row(under), "trouble": trouble or None, "last": told})

    def start(self, asked: Asked) -> Response:
        """Start one: 202 with where its result will be; 409 while one is under way."""
        if self.runs is None:
            raise Problem("no-preflight", "this server was given no settings to look at")
        try:
            under = self.runs.start(asked)
        except OSError as error:
            raise Problem("no-preflight", f"no process can be started: {error}") from error
        if under is None:
            raise Problem("preflight-running", "a preflight is under way; GET this address until it is over")
        return JSONResponse({"running": under_row(under)}, 202, {"Location": PREFLIGHT})


def preflight_routes(preflights: Preflights, *, look: Callable[[Work], Endpoint], changing: Changing) -> list[Route]:
    """The routes; `look` puts work on threads."""

    def start(request: Request, body: bytes, who: Principal) -> Work:
        asked = preflight_of(content_type(request), body)
        return lambda _: preflights.start(replace(asked, by=who.signs(asked.by)))

    begin = changing.endpoint("preflight", start, look)
    return [Route(PREFLIGHT, look(preflights.last)), Route(PREFLIGHT, begin, methods=["POST"])]


def under_row(under: Under | None) -> dict[str, Any] | None:
    """What is under way, as plain data."""
    if under is None:
        return None
    times = {"started_at": rfc3339(under.started_at), "deadline_at": rfc3339(under.deadline_at)}
    return {**times, "by": under.by}


def _result(stored: StoredPreflight, now: float) -> dict[str, Any]:
    """The result with its number, its hash, and its age in seconds."""
    known = {"id": stored.id, "sha256": stored.sha256, "age_s": round(max(0.0, now - stored.finished_at), 3)}
    return {**stored.result, **known}
