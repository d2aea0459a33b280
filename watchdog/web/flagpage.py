"""Flags: what each serves as far as is known here, who changed it, the emergency switches, and the kill.

Looking asks no flag service: this page must come up while one is away. Only an order waits for its service.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from watchdog.access import Principal
from watchdog.errors import LedgerError
from watchdog.flagsystem import EMERGENCY, PRIMARY, FlagSystem
from watchdog.flagsystem.views import change_view, flags_list
from watchdog.ledger import Ledger, StoredChange, StoredRollout
from watchdog.model import EMERGENCY_FLAGS
from watchdog.quantities import format_number
from watchdog.web.access import allow, may
from watchdog.web.access_forms import form_of
from watchdog.web.bodies import Order, Wish
from watchdog.web.flags import Flags
from watchdog.web.layout import page
from watchdog.web.problems import Problem
from watchdog.web.rolloutpage import flag_address
from watchdog.web.rolloutpage_view import address
from watchdog.web.steering_form import SHOWN, Confirmation, Fields, ask, done_once, reason_of

Endpoint = Callable[[Request], Awaitable[Response]]
Work = Callable[[Request], Response]
Json = dict[str, Any]
FLAGS = "/flags"
MOST = 200
"""Changes of one flag on its page, the newest."""
KILL, ON, OFF = "kill", "on", "off"
OBEYED = {
    "ops.shutdown": "Every rollout under way takes its feature back.",
    "ops.read-only": "Every rollout under way is held until the switch is off and a person resumes it.",
    "ops.maintenance": "Every rollout under way is held until the switch is off and a person resumes it.",
}


@dataclass(frozen=True, slots=True)
class FlagPages:
    """The handlers. They run on worker threads and raise Problem, LedgerError."""

    ledger: Ledger
    clock: Callable[[], float]
    flags: Flags

    def show(self, request: Request) -> Response:
        """Every flag that is known."""
        found = [_listed(one) for one in flags_list(self._system(), self.ledger, ask=False)]
        return page(
            request,
            "flags.html",
            switches=[one for one in found if one["switch"]],
            flags=[one for one in found if not one["switch"]],
            may=may(request, KILL),
            refresh=30,
        )

    def one(self, request: Request) -> Response:
        """One flag with its history."""
        service, flag = self._named(request)
        changes, steered, trouble = list[StoredChange](), list[StoredRollout](), ""
        try:
            known = self._known(service, flag)
            changes = self.ledger.flag_history(service, flag, MOST)
            steered = [stored for stored in self.ledger.rollouts() if stored.flag == flag and service == PRIMARY]
            if known is None and not changes:
                known_ones = f"nothing is known of a flag {flag[:100]!r} of {service}; {FLAGS} lists all"
                raise Problem("unknown-flag", known_ones)
        except LedgerError as error:
            known, trouble = None, f"{error}: who changed it cannot be told now; a kill works all the same"
        return page(
            request,
            "flag.html",
            flag=known or _listed({**_UNKNOWN, "flag": flag, "service": service}),
            changes=[{**change_view(one), "from_to": _from_to(one.change.before, one.change.after)} for one in changes],
            rollouts=[{"name": one.name, "href": address(one.name), "phase": one.phase.value} for one in steered[::-1]],
            more=len(changes) == MOST,
            trouble=trouble,
            may=may(request, KILL),
            refresh=30,
        )

    def confirm(self, request: Request) -> Response:
        """What the order would do, and the form that gives it."""
        return ask(request, self._asked(request))

    def give(self, request: Request, fields: Fields, who: Principal) -> Response:
        """Do it, and wait for the flag service; 303 back to the flag."""
        service, flag = self._named(request)
        try:
            done_once(self.ledger, request, fields, self.clock(), lambda: self._done(request, fields, who))
        except Problem as problem:
            if problem.kind not in SHOWN:
                raise
            return ask(request, self._asked(request), problem, fields)
        return RedirectResponse(flag_address(service, flag), 303)

    def _done(self, request: Request, fields: Fields, who: Principal) -> Response:
        service, _ = self._named(request)
        verb, order = request.path_params["verb"], Order(reason_of(fields))
        scope = {**request.scope, "query_string": urlencode({"service": service}).encode()}
        if verb == KILL:
            return self.flags.change(Request(scope), KILL, Wish(order), who)
        return self.flags.change(Request(scope), "switch", Wish(order, verb == ON), who)

    def _asked(self, request: Request) -> Confirmation:
        service, flag = self._named(request)
        verb = request.path_params["verb"]
        try:
            known = self._known(service, flag)
        except LedgerError:
            known = None  # an order needs no ledger: what comes of it is then recorded in the journal
        here = known["percent_text"] if known is not None and known["percent"] is not None else "not known"
        target = "100 %" if verb == ON else "0 %"
        return Confirmation(
            KILL if verb == KILL else "switch",
            {KILL: "Kill", ON: "Switch on", OFF: "Switch off"}[verb],
            {KILL: "Kill it now", ON: "Switch it on now", OFF: "Switch it off"}[verb],
            flag,
            flag_address(service, flag),
            flag_address(service, flag, verb),
            _effect(verb, flag, service, known),
            {"before": here, "after": target} if here != target else None,
            danger=verb != OFF,
        )

    def _known(self, service: str, flag: str) -> Json | None:
        listed = flags_list(self._system(), self.ledger, ask=False)
        return next((_listed(one) for one in listed if (one["service"], one["flag"]) == (service, flag)), None)

    def _named(self, request: Request) -> tuple[str, str]:
        """Service and flag; Problem for a service that is not there, and for a switch of what is none."""
        service, flag = request.path_params["service"], request.path_params["flag"]
        if service not in self._system().services:
            there = ", ".join(self._system().services)
            raise Problem("unknown-flag", f"there is no flag service {service[:60]!r}; there are {there}")
        verb = request.path_params.get("verb")
        switch = service == EMERGENCY and flag in EMERGENCY_FLAGS
        if verb is not None and verb not in ((ON, OFF) if switch else (KILL,)):
            raise Problem("not-found", f"{flag[:60]} of {service} cannot be ordered to {verb[:20]!r}; {FLAGS} has more")
        return service, flag

    def _system(self) -> FlagSystem:
        if self.flags.system is None:
            raise Problem("no-flags", "this server was given no flag service")
        return self.flags.system


_UNKNOWN: Json = {
    "percent": None,
    "cohort": None,
    "audiences": [],
    "latch": None,
    "error": "not read yet",
    "last_change": None,
    "owner": None,
}


def _listed(one: Json) -> Json:
    """A flag with its words and addresses."""
    service, flag, percent = one["service"], one["flag"], one["percent"]
    switch = service == EMERGENCY and flag in EMERGENCY_FLAGS
    besides = ["the cohort"] if one["cohort"] else []
    besides += [f"audience {name}" for name in one["audiences"]]
    return {
        **one,
        "switch": switch,
        "on": None if percent is None else percent > 0,
        "percent_text": "not known" if percent is None else f"{format_number(percent)} %",
        "besides": " and ".join(besides),
        "href": flag_address(service, flag),
        "turn": {verb: flag_address(service, flag, verb) for verb in ((ON, OFF) if switch else (KILL,))},
        "owner_href": None if one["owner"] is None else address(one["owner"]),
        "obeyed": OBEYED.get(flag, "") if switch else "",
    }


def _effect(verb: str, flag: str, service: str, known: Json | None) -> list[str]:
    """What an order does, in sentences."""
    owner = known["owner"] if known is not None else None
    if verb == KILL:
        said = [f"Flag {flag} of {service} is taken from everybody at once; nothing is asked or waited for first."]
        if owner:
            said.append(f"{owner} steers it: the watchdog follows, and holds that rollout until a person resumes it.")
        return said
    if verb == ON:
        return [
            f"{flag} is switched on for everybody: each service that obeys it does so at once.",
            OBEYED.get(flag, ""),
        ]
    return [
        f"{flag} is switched off for everybody: services that obey it go back to normal.",
        "What was held for it stays held until a person resumes it; what was rolled back stays so.",
    ]


def _from_to(before: Any, after: Any) -> str:
    """Who had the feature before a change and after it, where both are known as a percentage."""
    found = [None if one is None else one.get("percent") for one in (before, after)]
    words = ["not known" if one is None else f"{format_number(one)} %" for one in found]
    return f"{words[0]} → {words[1]}" if any(one is not None for one in found) else ""


def flag_page_routes(
    pages: FlagPages, look: Callable[[Work], Endpoint], act: Callable[[Work], Endpoint]
) -> list[Route]:
    """The routes; `look` and `act` put work on threads, those of readers and those that wait for flag services."""

    async def give(request: Request) -> Response:
        who = allow(request, KILL if request.path_params["verb"] == KILL else "switch")
        fields = await form_of(request)
        return await act(lambda asked: pages.give(asked, fields, who))(request)

    one = f"{FLAGS}/{{service}}/{{flag}}"
    return [
        Route(FLAGS, look(pages.show)),
        Route(one, look(pages.one)),
        Route(f"{one}/{{verb}}", look(pages.confirm), methods=["GET"]),
        Route(f"{one}/{{verb}}", give, methods=["POST"]),
    ]
