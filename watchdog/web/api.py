"""The JSON API: what the ledger tells of rollouts, and operators' commands, which the next tick carries out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from watchdog.access import Principal
from watchdog.account import Account
from watchdog.errors import ConfigError, Refused
from watchdog.evaluate import sentence
from watchdog.ledger import Ledger, StoredRollout
from watchdog.model import Command, Evaluation, Objective, Rollout
from watchdog.quantities import rfc3339
from watchdog.rolloutfile import rollout_from_resolved
from watchdog.stamps import waived
from watchdog.web.bodies import Order, order_of, time_of
from watchdog.web.changing import Changing, Endpoint, Work, content_type
from watchdog.web.numbers import NUMBER, written
from watchdog.web.orders import COMMANDS, Orders
from watchdog.web.paging import limit_of, page_of
from watchdog.web.problems import Problem
from watchdog.web.wishes import Waived, waiver_of

ROLLOUTS = "/api/v1/rollouts"
ROLLOUT = f"{ROLLOUTS}/{{id}}"
PAGE = 2000
"""Evaluations in one answer."""
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Api:
    """The handlers, each a plain function of a request. They run on worker threads and raise Problem, LedgerError."""

    ledger: Ledger
    clock: Callable[[], float]
    wake: Callable[[str], None]

    @property
    def orders(self) -> Orders:
        """Where people's orders go."""
        return Orders(self.ledger, self.clock, self.wake)

    def rollout(self, request: Request) -> StoredRollout:
        """The rollout that the address names."""
        name = request.path_params["id"]
        stored = self.ledger.rollout(name)
        if stored is None:
            raise Problem("unknown-rollout", f"the ledger holds no rollout {name[:100]!r}; /api/v1/rollouts lists all")
        return stored

    def rollouts(self, request: Request) -> Response:
        """The status of every rollout, oldest first."""
        page = page_of(request, self.ledger.rollouts(), lambda stored: str(stored.id))
        told = []
        for stored in page.items:
            with suppress(ConfigError):  # a damaged row: `status` and the daemon's log say so
                told.append(Account(self.ledger, stored).status())
        return JSONResponse({"rollouts": told, "next": page.next})

    def status(self, request: Request) -> Response:
        """The status of one rollout."""
        return JSONResponse(Account(self.ledger, self.rollout(request)).status())

    def transitions(self, request: Request) -> Response:
        """What happened to a rollout, in order, each with its sentence."""
        stored = self.rollout(request)
        page = page_of(request, self.ledger.transitions(stored.id))
        told = [
            {
                "at": rfc3339(one.at),
                "kind": one.kind,
                "from": one.source.value,
                "to": one.target.value,
                "why": one.why,
                "by": one.by,
                "objective": one.objective,
            }
            for one in page.items
        ]
        return JSONResponse({"rollout": stored.name, "transitions": told, "next": page.next})

    def evaluations(self, request: Request) -> Response:
        """The evaluations of the slots in (from, to], by time; `next` is where an answer that was cut goes on."""
        stored = self.rollout(request)
        rollout = rollout_from_resolved(stored.resolved, stored.text)
        objectives = {objective.name: objective for objective in rollout.objectives}
        objective = request.query_params.get("objective")
        if objective is not None and objective not in objectives:
            known = ", ".join(objectives)
            raise Problem("bad-parameter", f"objective: found {objective[:60]!r}, expected one of {known}")
        until = time_of(request, "to", self.clock())
        after = time_of(request, "from", until - HOUR)
        if after > until:
            raise Problem("bad-parameter", f"from: {rfc3339(after)} is later than `to`, {rfc3339(until)}")
        first, last = _recorded(stored, rollout, after, until)
        slots = max(1, limit_of(request, PAGE, PAGE) // (1 if objective is not None else len(objectives)))
        end = min(last, first + slots * rollout.interval)
        rows = self.ledger.evaluations(stored.id, objective, first, end) if end > first else []
        return JSONResponse(
            {
                "rollout": stored.name,
                "from": rfc3339(after),
                "to": rfc3339(until),
                "evaluations": [_row(objectives[name], evaluation) for name, evaluation in rows],
                "next": _next(stored.name, objective, end, until) if end < last else None,
            }
        )

    def commands(self, request: Request) -> Response:
        """Every command of an operator with what came of it, oldest first."""
        stored = self.rollout(request)
        page = page_of(request, self.ledger.commands(stored.id), lambda one: str(one[0].id))
        told = [_command(stored.name, command, outcome) for command, outcome in page.items]
        return JSONResponse({"rollout": stored.name, "commands": told, "next": page.next})

    def command(self, request: Request) -> Response:
        """An operator's command with what came of it; `outcome` is null until a tick has carried it out."""
        stored, number = self.rollout(request), request.path_params["command"]
        for command, outcome in self.ledger.commands(stored.id):
            if command.id == number:
                return JSONResponse(_command(stored.name, command, outcome))
        raise Problem("unknown-command", f"rollout {stored.name} has no command {written(request)}")

    def give(self, request: Request, verb: str, order: Order, who: Principal) -> Response:
        """Record a command and wake the rollout's tick: 202 with the command and where its outcome will be."""
        stored = self.rollout(request)
        try:
            command = self.orders.command(stored, verb, who.signs(order.by), order.reason)
        except Refused as error:
            raise Problem("rollout-refused", str(error)) from error
        where = f"{ROLLOUTS}/{quote(stored.name)}/commands/{command.id}"
        return JSONResponse(_command(stored.name, command, None), 202, {"Location": where})

    def waive(self, request: Request, said: Waived, who: Principal) -> Response:
        """Record that a rollout may start without a preflight that held: 201 with the waiver."""
        stored = self.rollout(request)
        try:
            waiver = self.orders.waive(stored, who.signs(said.order.by), said.order.reason, said.until)
        except Refused as error:
            raise Problem("rollout-refused", str(error)) from error
        return JSONResponse(waived(waiver), 201, {"Location": f"{ROLLOUTS}/{quote(stored.name)}/waivers"})


def rollout_routes(api: Api, changing: Changing, on: Callable[[Work], Endpoint]) -> list[Route]:
    """What the ledger tells of rollouts, and operators' orders; `on` puts work on threads."""

    def command(verb: str) -> Endpoint:
        def parse(request: Request, body: bytes, who: Principal) -> Work:
            order = order_of(content_type(request), body)
            return lambda asked: api.give(asked, verb, order, who)

        return changing.endpoint(verb, parse, on)

    def waive(request: Request, body: bytes, who: Principal) -> Work:
        said = waiver_of(content_type(request), body, api.clock())
        return lambda asked: api.waive(asked, said, who)

    return [
        Route(ROLLOUTS, on(api.rollouts)),
        Route(ROLLOUT, on(api.status)),
        Route(f"{ROLLOUT}/evaluations", on(api.evaluations)),
        Route(f"{ROLLOUT}/transitions", on(api.transitions)),
        Route(f"{ROLLOUT}/commands", on(api.commands)),
        Route(f"{ROLLOUT}/commands/{{command:{NUMBER}}}", on(api.command)),
        *(Route(f"{ROLLOUT}/{verb}", command(verb), methods=["POST"]) for verb in COMMANDS),
        Route(f"{ROLLOUT}/waive", changing.endpoint("waive", waive, on), methods=["POST"]),
    ]


def _recorded(stored: StoredRollout, rollout: Rollout, after: float, until: float) -> tuple[int, int]:
    """The part of (after, until] that can hold slots, on the grid."""
    if stored.started_at is None or stored.last_slot is None:
        return 0, 0
    first = int(max(after, stored.started_at)) // rollout.interval * rollout.interval
    return first, int(min(until, stored.last_slot))


def _row(objective: Objective, evaluation: Evaluation) -> dict[str, Any]:
    value = evaluation.value
    if value is None and evaluation.bad is not None and evaluation.total:
        value = evaluation.bad / evaluation.total
    return {
        "objective": objective.name,
        "at": rfc3339(evaluation.at),
        "verdict": evaluation.verdict.value,
        "reason": evaluation.reason.value if evaluation.reason is not None else None,
        "value": value,
        "bad": evaluation.bad,
        "total": evaluation.total,
        "why": sentence(objective, evaluation),
    }


def _next(name: str, objective: str | None, after: int, until: float) -> str:
    query = {"from": rfc3339(after), "to": rfc3339(until), **({"objective": objective} if objective else {})}
    return f"/api/v1/rollouts/{quote(name)}/evaluations?{urlencode(query)}"


def _command(rollout: str, command: Command, outcome: str | None) -> dict[str, Any]:
    return {
        "rollout": rollout,
        "command": command.id,
        "verb": command.verb,
        "by": command.by,
        "reason": command.reason,
        "at": rfc3339(command.at),
        "outcome": outcome,
    }
