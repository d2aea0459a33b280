"""Preflight: the newest result, what stands in the way first, and a button that starts another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from watchdog.access import Principal
from watchdog.ledger import Ledger, StoredPreflight
from watchdog.quantities import format_duration, rfc3339
from watchdog.web.access import NEEDED, allow, may
from watchdog.web.access_forms import form_of
from watchdog.web.bodies import Asked
from watchdog.web.layout import page
from watchdog.web.preflight import Preflights, under_row
from watchdog.web.problems import KINDS, Problem
from watchdog.web.rolloutpage_text import marked
from watchdog.web.rolloutpage_view import address
from watchdog.web.steering_form import SHOWN, Fields, done_once, new_key

Endpoint = Callable[[Request], Awaitable[Response]]
Work = Callable[[Request], Response]
Json = dict[str, Any]
PREFLIGHT = "/preflight"
AGAIN = {True: 5, False: 60}
"""Seconds after which a browser without scripts asks again, by whether one is under way."""


@dataclass(frozen=True, slots=True)
class PreflightPage:
    """The handlers. They run on worker threads and raise Problem, LedgerError."""

    ledger: Ledger
    clock: Callable[[], float]
    preflights: Preflights

    def show(self, request: Request, problem: Problem | None = None) -> Response:
        """The page; after a `problem` with starting one, with what was wrong."""
        runs = self.preflights.runs
        under = runs.under_way if runs is not None else None
        stored = self.ledger.last_preflight()
        return page(
            request,
            "preflight.html",
            status=200 if problem is None else KINDS[problem.kind][0],
            problem=None if problem is None else problem.detail,
            can_run=runs is not None,
            running=under_row(under),
            trouble=runs.trouble if runs is not None else "",
            last=None if stored is None else _result(stored, self.clock()),
            may=may(request, "preflight"),
            needed=str(NEEDED["preflight"]),
            key=new_key(),
            marked=marked,
            refresh=AGAIN[under is not None],
        )

    def start(self, request: Request, fields: Fields, who: Principal) -> Response:
        """Start one; 303 back to the page, which says that it is under way."""
        asked = Asked(who.name, fields.get("drill") == "yes")
        try:
            done_once(self.ledger, request, fields, self.clock(), lambda: self.preflights.start(asked))
        except Problem as problem:
            if problem.kind not in SHOWN:
                raise
            return self.show(request, problem)
        return RedirectResponse(PREFLIGHT, 303)


def _result(stored: StoredPreflight, now: float) -> Json:
    """The recorded result with its checks by what comes of them, and what it says of each rule."""
    result = stored.result
    checks = list(result.get("checks", ()))
    areas = [
        {**area, "rows": [one for one in checks if one["area"] == area["area"] and one["outcome"] == "ok"]}
        for area in result.get("areas", ())
    ]
    return {
        **{name: result.get(name) for name in ("passed", "score", "failed", "warnings", "waived")},
        "id": stored.id,
        "at": rfc3339(stored.finished_at),
        "age": format_duration(max(0, round(now - stored.finished_at))),
        "by": stored.by,
        "sha256": stored.sha256,
        "areas": areas,
        "blockers": [one for one in checks if one["outcome"] == "failed"],
        "warned": [one for one in checks if one["outcome"] == "warning"],
        "excused": [one for one in checks if one["outcome"] == "waived"],
        "rollouts": [{**one, "href": address(one["rollout"])} for one in result.get("rollouts", ())],
        "builds": list(result.get("builds", ())),
        "total": len(checks),
    }


def preflight_page_routes(pages: PreflightPage, look: Callable[[Work], Endpoint]) -> list[Route]:
    """The routes; `look` puts work on threads."""

    async def start(request: Request) -> Response:
        who = allow(request, "preflight")
        fields = await form_of(request)
        return await look(lambda asked: pages.start(asked, fields, who))(request)

    return [Route(PREFLIGHT, look(pages.show), methods=["GET"]), Route(PREFLIGHT, start, methods=["POST"])]
