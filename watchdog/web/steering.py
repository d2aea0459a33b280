"""Steering by hand: a page that shows what an order would do and asks why, and the order itself.

Nothing is asked of Prometheus or of a flag service, so it works while those are away.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from watchdog.errors import Refused
from watchdog.ledger import Ledger, StoredRollout
from watchdog.model import Exposure
from watchdog.steering import Effect
from watchdog.web.access import allow, recorded
from watchdog.web.access_forms import form_of
from watchdog.web.orders import Orders
from watchdog.web.problems import Problem
from watchdog.web.rolloutpage_view import VERBS, WORDS, address
from watchdog.web.steering_form import SHOWN, Confirmation, Fields, ask, done_once, reason_of
from watchdog.web.wishes import until_of

Endpoint = Callable[[Request], Awaitable[Response]]
Work = Callable[[Request], Response]
UNTIL = "48h"
"""The end of a waiver that a form proposes."""
DOES = {
    "hold": "Hold it where it is",
    "resume": "Resume it",
    "rollback": "Roll it back now",
    "stop": "Stop watching it",
    "adopt": "Start it from what the flag reads",
    "waive": "Waive the preflight",
}


@dataclass(frozen=True, slots=True)
class Steering:
    """The handlers. They run on worker threads and raise Problem, LedgerError."""

    ledger: Ledger
    orders: Orders

    def confirm(self, request: Request) -> Response:
        """What the order would do, and the form that gives it."""
        return ask(request, self._asked(_verb(request), self._stored(request)))

    def give(self, request: Request, fields: Fields) -> Response:
        """Record the order; 303 back to the rollout, which shows it until it is carried out."""
        verb, stored = _verb(request), self._stored(request)
        try:
            work = lambda: self._done(request, verb, stored, fields)  # noqa: E731 - a line of its own reads best
            done = done_once(self.ledger, request, fields, self.orders.clock(), work)
        except Problem as problem:
            if problem.kind not in SHOWN:
                raise
            return ask(request, self._asked(verb, stored), problem, fields)
        return RedirectResponse(done.headers["location"], 303)

    def _done(self, request: Request, verb: str, stored: StoredRollout, fields: Fields) -> Response:
        by, why, back = recorded(request), reason_of(fields), address(stored.name)
        try:
            if verb == "waive":
                until = until_of(fields.get("until", "").strip() or UNTIL, self.orders.clock())
                self.orders.waive(stored, by, why, until)
                return Response(status_code=201, headers={"Location": f"{back}?waived#given"})
            given = self.orders.command(stored, verb, by, why)
        except Refused as error:
            raise Problem("rollout-refused", str(error)) from error
        return Response(status_code=201, headers={"Location": f"{back}?command={given.id}#given"})

    def _asked(self, verb: str, stored: StoredRollout) -> Confirmation:
        effect = self.orders.effect(stored, verb)
        return Confirmation(
            verb,
            WORDS[verb],
            DOES[verb],
            stored.name,
            address(stored.name),
            address(stored.name, verb),
            effect.sentences,
            _change(effect),
            effect.refused,
            UNTIL if verb == "waive" else None,
            danger=verb in ("rollback", "stop"),
        )

    def _stored(self, request: Request) -> StoredRollout:
        name = request.path_params["id"]
        stored = self.ledger.rollout(name)
        if stored is None:
            raise Problem("unknown-rollout", f"the ledger holds no rollout {name[:100]!r}; / lists all")
        return stored


def _verb(request: Request) -> str:
    verb = str(request.path_params["verb"])
    if verb not in VERBS:
        raise Problem("not-found", f"{verb[:60]!r} is nothing that can be ordered; there are {', '.join(VERBS)}")
    return verb


def _change(effect: Effect) -> dict[str, str] | None:
    """What the flag serves before and after; None where that stays as it is."""
    before, after = effect.exposure_before, effect.exposure_after
    if effect.refused is not None or before == after:
        return None
    return {"before": _said(before), "after": _said(after)}


def _said(exposure: Exposure | None) -> str:
    return "not known" if exposure is None else str(exposure)


def steering_routes(steering: Steering, look: Callable[[Work], Endpoint]) -> list[Route]:
    """The routes; `look` puts work on threads. After those of the rollout's own pages."""

    async def give(request: Request) -> Response:
        allow(request, _verb(request))
        fields = await form_of(request)
        return await look(lambda asked: steering.give(asked, fields))(request)

    place = "/rollouts/{id}/{verb}"
    return [Route(place, look(steering.confirm), methods=["GET"]), Route(place, give, methods=["POST"])]
