"""The page of one rollout, of one of its objectives, and the numbers behind their charts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from watchdog.account import Account
from watchdog.errors import ConfigError
from watchdog.flagsystem import PRIMARY
from watchdog.ledger import Ledger, StoredRollout
from watchdog.messages.links import graph
from watchdog.model import Objective, Verdict
from watchdog.quantities import rfc3339
from watchdog.queries import expressions
from watchdog.web.layout import html, page, render
from watchdog.web.problems import Problem
from watchdog.web.rolloutpage_charts import exposure_columns, objective_columns
from watchdog.web.rolloutpage_record import record, reports
from watchdog.web.rolloutpage_text import marked, sentence
from watchdog.web.rolloutpage_view import address, glance, value_text

Endpoint = Callable[[Request], Awaitable[Response]]
Work = Callable[[Request], Response]
PAGE = "/rollouts/{id}"
REFRESH = 30
"""Seconds after which a browser without scripts asks again."""
MOST_SLICES = 200


@dataclass(frozen=True, slots=True)
class RolloutPages:
    """The handlers, each a plain function of a request. They run on worker threads and raise Problem, LedgerError.

    `prometheus_url` is where people open graphs, without credentials; None shows no links.
    """

    ledger: Ledger
    clock: Callable[[], float]
    prometheus_url: str | None = None
    names: dict[int, str] = field(default_factory=dict)
    """Of rollouts by their number: neither ever changes."""

    def show(self, request: Request) -> Response:
        """The whole page."""
        account, now = self.account(request), self.clock()
        seen = self._glance(account, now)
        told = {**seen, "record": record(account, now), "refresh": REFRESH, "now": rfc3339(int(now))}
        return page(
            request,
            "rollout.html",
            **told,
            waived="waived" in request.query_params,
            given=self._given(account, request.query_params),
            flag_href=flag_address(PRIMARY, account.stored.flag),
        )

    def live(self, request: Request) -> Response:
        """The part that changes, for who gets no events."""
        return html(request, render("rollout_live.html", **self._glance(self.account(request), self.clock())))

    def numbered(self, number: int) -> str | None:
        """The part that changes of the rollout of that number in the ledger; None when there is none."""
        if number not in self.names:
            self.names.update({one.id: one.name for one in self.ledger.rollouts()})
        stored = self.ledger.rollout(self.names[number]) if number in self.names else None
        try:
            return None if stored is None else self.fragment(stored, self.clock())
        except ConfigError:
            return None  # a damaged row: its page says so

    def fragment(self, stored: StoredRollout, now: float) -> str:
        """The part that changes, the same for every reader. Raises LedgerError, ConfigError."""
        return render("rollout_live.html", **self._glance(Account(self.ledger, stored), now))

    def objective(self, request: Request) -> Response:
        """One objective of a rollout."""
        account, now = self.account(request), self.clock()
        objective = _objective(account, request)
        seen = self._glance(account, now)
        card = next(one for one in seen["objectives"] if one["name"] == objective.name)
        name = account.stored.name
        return page(
            request,
            "objective.html",
            refresh=REFRESH,
            name=name,
            href=address(name),
            card=card,
            objective=objective,
            chart=address(name, "charts", "objectives", objective.name),
            slots=_slots(account, objective),
            queries=self._queries(account, objective),
            slices=_slices(account, objective),
            report=reports(account)[0]["href"],
        )

    def exposure(self, request: Request) -> Response:
        """The columns of the exposure chart."""
        return JSONResponse(exposure_columns(self.account(request), self.clock()))

    def column(self, request: Request) -> Response:
        """The columns of an objective's chart."""
        account = self.account(request)
        return JSONResponse(objective_columns(account, _objective(account, request)))

    def stored(self, request: Request) -> StoredRollout:
        """The rollout that the address names."""
        name = request.path_params["id"]
        stored = self.ledger.rollout(name)
        if stored is None:
            raise Problem("unknown-rollout", f"the ledger holds no rollout {name[:100]!r}; / lists all")
        return stored

    def account(self, request: Request) -> Account:
        """What the ledger tells of that rollout. Raises Problem for a rule that cannot be read any more."""
        stored = self.stored(request)
        try:
            return Account(self.ledger, stored)
        except ConfigError as error:
            detail = f"rollout {stored.name}: its rule in the ledger is damaged ({error}): put a backup in its place"
            raise Problem("ledger", detail) from error

    def _glance(self, account: Account, now: float) -> dict[str, Any]:
        return {**glance(account, now, self.prometheus_url), "marked": marked, "sentence": sentence}

    def _given(self, account: Account, query: Mapping[str, str]) -> dict[str, Any] | None:
        """The order that this reader gave last, by its number; None when there is none of that number."""
        number = query.get("command", "")
        if not (number.isascii() and number.isdigit() and len(number) < 12):
            return None
        for command, outcome in self.ledger.commands(account.stored.id):
            if command.id == int(number):
                return {"id": command.id, "verb": command.verb, "by": command.by, "outcome": outcome}
        return None

    def _queries(self, account: Account, objective: Objective) -> list[dict[str, Any]]:
        rollout, stored = account.rollout, account.stored
        last = stored.last_slot or int(self.clock())
        start = account.control.started_at
        span = f"{max(3600, last - start)}s" if start is not None else "1h"
        found = []
        for role, query in expressions(rollout, objective, objective.range).items():
            url = self.prometheus_url
            links = {"graph": graph(url, query, last), "whole": graph(url, query, last, span)} if url else {}
            found.append({"role": role, "query": query, "graph": None, "whole": None, **links})
        return found


def flag_address(service: str, flag: str, *more: str) -> str:
    """The address of a flag's page, or of something below it."""
    return "/".join(("/flags", *(quote(part, safe="") for part in (service, flag, *more))))


def _objective(account: Account, request: Request) -> Objective:
    name = request.path_params["objective"]
    for objective in account.rollout.objectives:
        if objective.name == name:
            return objective
    known = ", ".join(one.name for one in account.rollout.objectives)
    raise Problem("not-found", f"{account.stored.name} has no objective {name[:100]!r}; it has {known}")


def _slots(account: Account, objective: Objective) -> dict[str, Any]:
    """How many slots of the watch had which verdict."""
    counts, reasons = dict.fromkeys(Verdict, 0), dict[str, int]()
    last = account.stored.last_slot or 0
    for _, one in account.ledger.evaluations(account.stored.id, objective.name, 0, last):
        counts[one.verdict] += 1
        if one.reason is not None:
            reasons[one.reason.value] = reasons.get(one.reason.value, 0) + 1
    said = ", ".join(f"{reason.replace('_', ' ')} {count}" for reason, count in sorted(reasons.items()))
    return {
        "all": sum(counts.values()),
        "passed": counts[Verdict.PASS],
        "failed": counts[Verdict.FAIL],
        "unknown": counts[Verdict.UNKNOWN],
        "reasons": said,
    }


def _slices(account: Account, objective: Objective) -> dict[str, Any]:
    """The part of every slice that is about this objective, the newest first."""
    length = account.rollout.window.slice
    rows = []
    for item in reversed(account.slices):
        for own in item.objectives:
            if own.objective == objective.name:
                share = own.bad / own.total if own.bad is not None and own.total else own.value
                rows.append(
                    {
                        "from": rfc3339(item.end - length),
                        "verdict": own.verdict.value,
                        "value": value_text(objective, share),
                        "measured": own.measured,
                        "slots": own.slots,
                        "why": own.why,
                    }
                )
    return {"rows": rows[:MOST_SLICES], "left_out": max(0, len(rows) - MOST_SLICES), "total": len(rows)}


def rollout_page_routes(pages: RolloutPages, look: Callable[[Work], Endpoint]) -> list[Route]:
    """The routes; `look` puts work on threads. Before those of orders, which take any word in the second place."""
    return [
        Route(PAGE, look(pages.show)),
        Route(f"{PAGE}/live", look(pages.live)),
        Route(f"{PAGE}/objectives/{{objective}}", look(pages.objective)),
        Route(f"{PAGE}/charts/exposure", look(pages.exposure)),
        Route(f"{PAGE}/charts/objectives/{{objective}}", look(pages.column)),
    ]
