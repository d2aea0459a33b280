"""Flags over HTTP: what they serve, who changed them, and changes by whoever has the token.

A change waits for its service on a thread of its own kind: readers who ask a slow service cannot hold up a kill.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from watchdog.access import Principal
from watchdog.audit import ChangeLog, parse_head
from watchdog.errors import FlagConflict, FlagServiceError, Refused
from watchdog.flagsystem import FlagSystem
from watchdog.flagsystem.byhand import ByHand
from watchdog.flagsystem.views import change_view, flag_view, flags_list, verification_view
from watchdog.ledger import Ledger
from watchdog.model import FlagReading
from watchdog.web.bodies import Order, Wish, wish_of
from watchdog.web.changing import Changing, Endpoint, Work, content_type
from watchdog.web.paging import limit_of, page_of
from watchdog.web.problems import Problem

FLAG = "/api/v1/flags/{flag}"
FEW_CHANGES = 100
"""Changes in one answer, where nobody says how many."""
MOST_CHANGES = 100_000
"""The newest changes of a flag through which the pages lead."""
WISHES = {"set": "percent", "kill": None, "revert": "version", "switch": "on"}
"""What each change wants to be told besides the reason."""


@dataclass(frozen=True, slots=True)
class Flags:
    """The handlers. They run on worker threads and raise Problem, LedgerError."""

    system: FlagSystem | None
    ledger: Ledger

    def all(self, request: Request) -> Response:
        """Every flag that is known; no service is asked."""
        found = flags_list(self._system(), self.ledger, ask=False)
        page = page_of(request, found, lambda one: f"{one['service']}/{one['flag']}")
        return JSONResponse({"flags": page.items, "next": page.next})

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
        limit_of(request)
        try:
            place = ByHand(self._system(), self._changes()).service(flag, service)
        except Refused as error:
            raise Problem("unknown-flag", str(error)) from error
        found = self.ledger.flag_history(place.name, flag, MOST_CHANGES)
        if not found:
            raise Problem("unknown-flag", f"no change of flag {flag[:100]!r} is on record; /api/v1/flags lists all")
        page = page_of(request, found, lambda one: str(one.id), default=FEW_CHANGES)
        told = [change_view(one) for one in page.items]
        return JSONResponse({"flag": flag, "service": place.name, "history": told, "next": page.next})

    def audit(self, request: Request) -> Response:
        """The chain of all changes, recomputed."""
        written = request.query_params.get("anchor")
        try:
            kept = [parse_head(written)] if written is not None else []
        except ValueError as error:
            raise Problem("bad-parameter", f"anchor: {error}") from error
        return JSONResponse(verification_view(self._changes().verify(*kept)))

    def change(self, request: Request, verb: str, wish: Wish, who: Principal) -> Response:
        """Do what an operator wants of a flag; the answer is what it reads then."""
        flag, service = _named(request)
        order = Order(wish.order.reason, who.signs(wish.order.by))
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
    flags: Flags, *, look: Callable[[Work], Endpoint], act: Callable[[Work], Endpoint], changing: Changing
) -> list[Route]:
    """The routes; `look` and `act` put work on threads."""

    def change(verb: str) -> Endpoint:
        def parse(request: Request, body: bytes, who: Principal) -> Work:
            wish = wish_of(content_type(request), body, WISHES[verb])
            return lambda asked: flags.change(asked, verb, wish, who)

        return changing.endpoint(verb, parse, act)

    return [
        Route("/api/v1/flags", look(flags.all)),
        Route("/api/v1/flags-audit", look(flags.audit)),
        Route(FLAG, look(flags.one)),
        Route(f"{FLAG}/history", look(flags.history)),
        *(Route(f"{FLAG}/{verb}", change(verb), methods=["POST"]) for verb in ("set", "kill", "revert")),
        Route("/api/v1/emergency/{flag}", change("switch"), methods=["POST"]),
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


def _reading(reading: FlagReading) -> dict[str, Any]:
    return {
        "percent": reading.exposure.percent,
        "cohort": reading.exposure.cohort,
        "audiences": list(reading.exposure.audiences),
        "latch": reading.latch,
        "service_version": reading.version,
    }
