"""Rollback drills: how long it takes until a reader sees a flag off, drill by drill, and a form that starts another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from watchdog.access import Principal
from watchdog.ledger import StoredDrill
from watchdog.quantities import format_duration, rfc3339
from watchdog.web.access import NEEDED, allow, may
from watchdog.web.access_forms import form_of
from watchdog.web.bodies import LONGEST_REASON, Order
from watchdog.web.drills import Drills
from watchdog.web.layout import page
from watchdog.web.preflight import under_row
from watchdog.web.problems import KINDS, Problem
from watchdog.web.steering_form import SHOWN, Fields, done_once, new_key, reason_of
from watchdog.web.wishes import DrillAsked

Endpoint = Callable[[Request], Awaitable[Response]]
Work = Callable[[Request], Response]
Json = dict[str, Any]
DRILLS = "/drills"
MOST = 60
"""Drills in the table, the newest."""
CHARTED = 400
FIGURES = ("min", "p50", "p99", "max")
AGAIN = {True: 5, False: 60}


@dataclass(frozen=True, slots=True)
class DrillPage:
    """The handlers. They run on worker threads and raise Problem, LedgerError."""

    clock: Callable[[], float]
    drills: Drills

    def show(self, request: Request, problem: Problem | None = None, fields: Fields | None = None) -> Response:
        """The page; after a `problem` with starting one, with what was wrong and what was written."""
        runs = self.drills.runs
        under = runs.under_way if runs is not None else None
        found = self.drills.ledger.drills()
        newest = sorted(found, key=lambda one: one.id, reverse=True)
        return page(
            request,
            "drills.html",
            status=200 if problem is None else KINDS[problem.kind][0],
            problem=None if problem is None else problem.detail,
            can_run=runs is not None,
            running=under_row(under),
            trouble=runs.trouble if runs is not None else "",
            drills=[_drill(one) for one in newest[:MOST]],
            total=len(found),
            may=may(request, "drill"),
            needed=str(NEEDED["drill"]),
            key=new_key(),
            longest=LONGEST_REASON,
            reason=(fields or {}).get("reason", ""),
            refresh=AGAIN[under is not None],
        )

    def columns(self, _request: Request) -> Response:
        """The numbers of the chart: half and nearly all of the runs of each drill, and its longest."""
        return JSONResponse(drill_columns(self.drills.ledger.drills()))

    def start(self, request: Request, fields: Fields, who: Principal) -> Response:
        """Start one; 303 back to the page, which says that it is under way."""
        try:
            work = lambda: self.drills.start(DrillAsked(Order(reason_of(fields))), who)  # noqa: E731 - it raises, too
            done_once(self.drills.ledger, request, fields, self.clock(), work)
        except Problem as problem:
            if problem.kind not in SHOWN:
                raise
            return self.show(request, problem, fields)
        return RedirectResponse(DRILLS, 303)


def drill_columns(found: Sequence[StoredDrill]) -> Json:
    """Instants and one column a line, in seconds, oldest first; the bound of the newest drill is the limit."""
    told = sorted((one for one in found if _spread(one)), key=lambda one: one.at)[-CHARTED:]
    lines = [
        {"name": name, "values": [_spread(one)[figure] for one in told]}
        for name, figure in (("p50", "p50"), ("p99", "p99"), ("longest", "max"))
    ]
    limit = told[-1].within if told else None
    return {"kind": "drills", "unit": "s", "at": [one.at for one in told], "lines": lines, "bands": [], "limit": limit}


def _spread(one: StoredDrill) -> dict[str, float]:
    """Least, middle, nearly longest and longest of what was measured to; empty where no run got there."""
    report = one.report or {}
    found: dict[str, float] = dict(report.get("stages", {}).get(report.get("measured_to"), {}))
    return found


def _drill(one: StoredDrill) -> Json:
    spread = _spread(one)
    report = one.report or {}
    return {
        "id": one.id,
        "at": rfc3339(one.at),
        "flag": one.flag,
        "service": one.service,
        "reader": one.reader,
        "by": one.by,
        "reason": one.why,
        "runs": one.runs,
        "within": format_duration(one.within),
        "result": "under way or died" if one.passed is None else str(report.get("result") or "passed"),
        "tone": "unknown" if one.passed is None else "pass" if one.passed else "fail",
        "figures": [_seconds(spread.get(name)) for name in FIGURES],
        "why": str(report.get("why") or ""),
        "notes": list(report.get("notes", ())),
    }


def _seconds(value: float | None) -> str:
    if value is None:
        return "not known"
    return f"{value * 1000:.4g} ms" if value < 1.0 else f"{value:.3g} s"


def drill_page_routes(pages: DrillPage, look: Callable[[Work], Endpoint]) -> list[Route]:
    """The routes; `look` puts work on threads."""

    async def start(request: Request) -> Response:
        who = allow(request, "drill")
        fields = await form_of(request)
        return await look(lambda asked: pages.start(asked, fields, who))(request)

    return [
        Route(DRILLS, look(pages.show), methods=["GET"]),
        Route(DRILLS, start, methods=["POST"]),
        Route(f"{DRILLS}/chart", look(pages.columns)),
    ]
