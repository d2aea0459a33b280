"""Rollback drills over HTTP: start one in the background, and read what was found, whoever held it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from watchdog.access import Principal
from watchdog.drill.plan import refuse_flag
from watchdog.errors import Refused
from watchdog.ledger import Ledger, StoredDrill
from watchdog.quantities import rfc3339
from watchdog.stamps import time_of
from watchdog.web.bodies import Order
from watchdog.web.changing import Changing, Endpoint, Work, content_type
from watchdog.web.drillrun import DrillRuns
from watchdog.web.numbers import NUMBER, written
from watchdog.web.paging import page_of
from watchdog.web.preflight import under_row
from watchdog.web.problems import Problem
from watchdog.web.wishes import DrillAsked, drill_of

DRILLS = "/api/v1/drills"


@dataclass(frozen=True, slots=True)
class Drills:
    """The handlers. They run on worker threads and raise Problem, LedgerError. `runs` None: none are started here."""

    ledger: Ledger
    runs: DrillRuns | None

    def all(self, request: Request) -> Response:
        """The drills on record, newest first, and the one that was started here and is under way."""
        under = self.runs.under_way if self.runs is not None else None
        trouble = self.runs.trouble if self.runs is not None else ""
        page = page_of(request, self.ledger.drills(), lambda one: str(one.id))
        told = [_drill(one) for one in page.items]
        return JSONResponse(
            {"running": under_row(under), "trouble": trouble or None, "drills": told, "next": page.next}
        )

    def one(self, request: Request) -> Response:
        """One drill with its whole report."""
        found = self.ledger.drill(request.path_params["drill"])
        if found is None:
            raise Problem("unknown-drill", f"the ledger holds no drill {written(request)}; {DRILLS} lists all")
        return JSONResponse({**_drill(found), "report": found.report})

    def start(self, asked: DrillAsked, who: Principal) -> Response:
        """Start one: 202 with where its result will be; 409 while one is under way."""
        if self.runs is None:
            raise Problem("no-drill", "this server was given no settings to drill with")
        try:
            refuse_flag(self.runs.flag_of(asked), self.ledger, ())
        except Refused as error:
            raise Problem("flag-refused", str(error)) from error
        signed = replace(asked, order=Order(asked.order.reason, who.signs(asked.order.by)))
        try:
            under = self.runs.start(signed)
        except OSError as error:
            raise Problem("no-drill", f"no process can be started: {error}") from error
        if under is None:
            raise Problem("drill-running", f"a drill is under way; GET {DRILLS} until it is over")
        return JSONResponse({"running": under_row(under)}, 202, {"Location": DRILLS})


def drill_routes(drills: Drills, *, look: Callable[[Work], Endpoint], changing: Changing) -> list[Route]:
    """The routes; `look` puts work on threads."""

    def start(request: Request, body: bytes, who: Principal) -> Work:
        asked = drill_of(content_type(request), body)
        return lambda _: drills.start(asked, who)

    return [
        Route(DRILLS, look(drills.all)),
        Route(DRILLS, changing.endpoint("drill", start, look), methods=["POST"]),
        Route(f"{DRILLS}/{{drill:{NUMBER}}}", look(drills.one)),
    ]


def _drill(one: StoredDrill) -> dict[str, Any]:
    return {
        "id": one.id,
        "at": rfc3339(one.at),
        "finished_at": time_of(one.finished_at),
        "service": one.service,
        "flag": one.flag,
        "reader": one.reader,
        "by": one.by,
        "reason": one.why,
        "runs": one.runs,
        "within_s": one.within,
        "passed": one.passed,
        "worst_s": one.worst,
        "why": str((one.report or {}).get("why") or "") or None,
    }
