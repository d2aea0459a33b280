"""Flags over HTTP: what they serve, who changed them, and changes by whoever has the token.

A change waits for its service on a thread of its own kind: readers who ask a slow service cannot hold up a kill.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from watchdog.audit import ChangeLog, parse_head
from watchdog.errors import FlagConflict, FlagServiceError, Refused
from watchdog.flagsystem import FlagSystem
from watchdog.flagsystem.byhand import ByHand
from watchdog.flagsystem.views import change_view, flag_view, flags_list, verification_view
from watchdog.ledger import Ledger
from watchdog.model import FlagReading
from watchdog.web.bodies import Order, Wish, read_body, wish_of
from watchdog.web.problems import Problem

FLAG = "/api/v1/flags/{flag}"
MOST_CHANGES = 1000
"""Changes in one answer."""
WISHES = {"set": "percent", "kill": None, "revert": "version", "switch": "on"}
"""What each change wants to be told besides the reason."""

Endpoint = Callable[[Request], Awaitable[Response]]
Work = Callable[[Request], Response]
Allow = Callable[[Request, str], None]


@dataclass(frozen=True, slots=True)
class Flags:
    """The handlers. They run on worker threads and raise Problem, LedgerError."""

    system: FlagSystem | None
    ledger: Ledger

    def all(self, _request: Request) -> Response:
        """Every flag that is known; no service is asked."""
        return JSONResponse({"flags": flags_list(self._system(), self.ledger, ask=False)})

    def one(self, request: Request) -> Response:
        """One flag, its rollout, its newest changes."""
        flag, service = _named(request)
        try:
            return JSONResponse(flag_view(self._system(), self.ledger, flag, service, known_only=True))
        except Refused as error:
            raise Problem("unknown-flag", f"{error}; /api/v1/flags lists all") from error

    def history(self, request: Request) -> Response:
        """Who changed a flag."""
        flag, service = _named(request)
        limit = _limit(request)
        try:
            place = ByHand(self._system(), self._changes()).service(flag, service)
        except Refused as error:
            raise Problem("unknown-flag", str(error)) from error
        found = self.ledger.flag_history(place.name, flag, limit)
        if not found:
            raise Problem("unknown-flag", f"no change of flag {flag[:100]!r} is on record; /api/v1/flags lists all")
        return JSONResponse({"flag": flag, "service": place.name, "history": [change_view(one) for one in found]})

    def audit(self, request: Request) -> Response:
        """The chain of all changes, recomputed."""
        written = request.query_params.get("anchor")
        try:
            kept = [parse_head(written)] if written is not None else []
        except ValueError as error:
            raise Problem("bad-parameter", f"anchor: {error}") from error
        return JSONResponse(verification_view(self._changes().verify(*kept)))

    def change(self, request: Request, verb: str, wish: Wish) -> Response:
        """Do what an operator wants of a flag; the answer is what it reads then."""
        flag, service = _named(request)
        peer = request.client.host if request.client is not None else "an unknown address"
        order = Order(wish.order.reason, wish.order.by or f"api ({peer})")
        system, changes = self._system(), self._changes()
        hand = ByHand(system, changes)
        try:
            reading = _done(hand, verb, flag, service, Wish(order, wish.value))
            place = system.emergency if verb == "switch" else hand.service(flag, service)
        except Refused as error:
            raise Problem("flag-refused", str(error)) from error
        except FlagConflict as error:
            raise Problem("flag-conflict", str(error)) from error
        except FlagServiceError as error:
            wait = {"Retry-After": f"{max(1.0, error.retry_after or 5.0):.0f}"}
            raise Problem("flag-service", str(error), None if error.permanent else wait) from error
        body = {"flag": flag, "service": place.name, **_reading(reading)}
        return JSONResponse({**body, "recorded": "journal" if changes.trouble else "ledger"})

    def _system(self) -> FlagSystem:
        if self.system is None:
            raise Problem("no-flags", "this server was given no flag service")
        return self.system

    def _changes(self) -> ChangeLog:
        changes = self._system().changes
        if changes is None:
            raise Problem("no-flags", "this server was given no log of flag changes")
        return changes


def flag_routes(
    flags: Flags, *, look: Callable[[Work], Endpoint], act: Callable[[Work], Endpoint], allow: Allow
) -> list[Route]:
    """The routes; `look` and `act` put work on threads, `allow` raises Problem for who may not change anything."""

    def changing(verb: str) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            allow(request, verb)
            wish = wish_of(request.headers.get("content-type", ""), await read_body(request), WISHES[verb])
            return await act(lambda asked: flags.change(asked, verb, wish))(request)

        return endpoint

    return [
        Route("/api/v1/flags", look(flags.all)),
        Route("/api/v1/flags-audit", look(flags.audit)),
        Route(FLAG, look(flags.one)),
        Route(f"{FLAG}/history", look(flags.history)),
        *(Route(f"{FLAG}/{verb}", changing(verb), methods=["POST"]) for verb in ("set", "kill", "revert")),
        Route("/api/v1/emergency/{flag}", changing("switch"), methods=["POST"]),
    ]


def _done(hand: ByHand, verb: str, flag: str, service: str | None, wish: Wish) -> FlagReading:
    by, why = wish.order.by or "", wish.order.reason
    if verb == "kill":
        return hand.kill(flag, by, why, service=service)
    if verb == "switch":
        return hand.switch(flag, by, why, on=bool(wish.value))
    if verb == "set":
        return hand.set(flag, float(wish.value), by, why, service=service)
    return hand.revert(flag, int(wish.value), by, why, service=service)


def _named(request: Request) -> tuple[str, str | None]:
    return request.path_params["flag"], request.query_params.get("service")


def _limit(request: Request) -> int:
    written = request.query_params.get("limit", "100")
    if not (written.isascii() and written.isdigit() and len(written) < 6 and 1 <= int(written) <= MOST_CHANGES):
        raise Problem(
            "bad-parameter", f"limit: found {written[:20]!r}, expected a whole number from 1 to {MOST_CHANGES}"
        )
    return int(written)


def _reading(reading: FlagReading) -> dict[str, Any]:
    return {
        "percent": reading.exposure.percent,
        "cohort": reading.exposure.cohort,
        "audiences": list(reading.exposure.audiences),
        "latch": reading.latch,
        "service_version": reading.version,
    }
