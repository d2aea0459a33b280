"""What the ledger tells of one rollout beside its status: slices, breaches, detectors, messages, waivers, effects.

None of it asks Prometheus or a flag service; an explanation holds links to the one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from watchdog.account import Account
from watchdog.detectors import detector_states
from watchdog.explain import explain
from watchdog.ledger import BreachFact, Delivery, StoredNotification
from watchdog.model import Exposure, ObjectiveSlice, Rollout, Slice
from watchdog.quantities import rfc3339
from watchdog.stamps import time_of as instant
from watchdog.stamps import waived
from watchdog.web.api import ROLLOUT, Api
from watchdog.web.bodies import time_of
from watchdog.web.changing import Endpoint, Work
from watchdog.web.orders import VERBS
from watchdog.web.paging import page_of
from watchdog.web.problems import Problem

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Story:
    """The handlers. They run on worker threads and raise Problem, LedgerError.

    `prometheus_url` is where people open graphs.
    """

    api: Api
    prometheus_url: str = ""

    def explanation(self, request: Request) -> Response:
        """The rollout in plain words: what was measured, what was done, what a person must do."""
        account = self._account(request)
        at = time_of(request, "at", math.inf)
        text = explain(account, self.prometheus_url, at if math.isfinite(at) else None)
        return JSONResponse({"rollout": account.rollout.name, "text": text})

    def slices(self, request: Request) -> Response:
        """The finished slices of the window, oldest first, as the window judged them."""
        account = self._account(request)
        page = page_of(request, account.watch.slices, lambda one: str(one.end))
        told = [_slice(account.rollout, one) for one in page.items]
        return JSONResponse({"rollout": account.rollout.name, "slices": told, "next": page.next})

    def breaches(self, request: Request) -> Response:
        """Every breach by its detector step, oldest first."""
        stored = self.api.rollout(request)
        page = page_of(request, self.api.ledger.breaches(stored.id), _cursor)
        return JSONResponse(
            {"rollout": stored.name, "breaches": [_breach(one) for one in page.items], "next": page.next}
        )

    def detectors(self, request: Request) -> Response:
        """Each detector as it stands; none before the start."""
        name = self.api.rollout(request).name
        found = detector_states(self.api.ledger, name)
        page = page_of(request, found, lambda one: one.objective)
        told = [
            {
                "objective": one.objective,
                "detector": one.detector,
                "at": rfc3339(one.at),
                "state": one.state,
                "statistic": one.statistic,
                "threshold": one.threshold,
                "of": one.of,
            }
            for one in page.items
        ]
        return JSONResponse({"rollout": name, "detectors": told, "next": page.next})

    def notifications(self, request: Request) -> Response:
        """Every message to people with how its channels fare, oldest first."""
        stored = self.api.rollout(request)
        found = self.api.ledger.notifications_of(stored.id)
        page = page_of(request, found, lambda one: str(one.id))
        told = [_notification(one) for one in page.items]
        return JSONResponse({"rollout": stored.name, "notifications": told, "next": page.next})

    def waivers(self, request: Request) -> Response:
        """Every waiver, oldest first."""
        stored = self.api.rollout(request)
        page = page_of(request, self.api.ledger.waivers(stored.id))
        return JSONResponse({"rollout": stored.name, "waivers": [waived(one) for one in page.items], "next": page.next})

    def effect(self, request: Request) -> Response:
        """What a verb would do now."""
        stored = self.api.rollout(request)
        verb = request.query_params.get("verb", "")
        if verb not in VERBS:
            raise Problem("bad-parameter", f"verb: found {verb[:60]!r}, expected one of {', '.join(VERBS)}")
        told = self.api.orders.effect(stored, verb)
        return JSONResponse(
            {
                "rollout": stored.name,
                "verb": verb,
                "refused": told.refused,
                "sentences": list(told.sentences),
                "exposure": {"before": _exposure(told.exposure_before), "after": _exposure(told.exposure_after)},
                "window_lost": told.window_lost,
            }
        )

    def _account(self, request: Request) -> Account:
        return Account(self.api.ledger, self.api.rollout(request))


def story_routes(story: Story, on: Callable[[Work], Endpoint]) -> list[Route]:
    """The routes; `on` puts work on threads."""
    told = ("explanation", "slices", "breaches", "detectors", "notifications", "waivers", "effect")
    return [Route(f"{ROLLOUT}/{name}", on(getattr(story, name))) for name in told]


def _cursor(fact: BreachFact) -> str:
    return f"{fact.breach.at}/{fact.breach.objective}"


def _exposure(exposure: Exposure | None) -> Json | None:
    if exposure is None:
        return None
    besides = {"cohort": exposure.cohort, "audiences": list(exposure.audiences)}
    return {"percent": exposure.percent, **besides, "words": str(exposure)}


def _slice(rollout: Rollout, one: Slice) -> Json:
    slots = sum((last - first) // rollout.interval + 1 for first, last in one.unmeasured)
    return {
        "from": rfc3339(one.end - rollout.window.slice),
        "to": rfc3339(one.end),
        "verdict": one.verdict.value,
        "why": one.why,
        "final": one.final,
        "exposure": _exposure(one.exposure),
        "unmeasured_s": slots * rollout.interval,
        "objectives": [_of_slice(found) for found in one.objectives],
    }


def _of_slice(found: ObjectiveSlice) -> Json:
    return {
        "name": found.objective,
        "verdict": found.verdict.value,
        "why": found.why,
        "value": found.value,
        "bad": found.bad,
        "total": found.total,
        "slots": found.slots,
        "measured": found.measured,
        "failed": found.failed,
    }


def _breach(fact: BreachFact) -> Json:
    breach = fact.breach
    return {
        "objective": breach.objective,
        "at": rfc3339(breach.at),
        "detected_at": instant(fact.detected_at),
        "closed_at": instant(breach.closed_at),
        "detector": breach.detector,
        "statistic": breach.statistic,
        "threshold": breach.threshold,
        "value": breach.value,
        "bad": breach.bad,
        "total": breach.total,
        "why": breach.why,
        "late": fact.late,
        "unconfirmed": fact.unconfirmed,
    }


def _notification(stored: StoredNotification) -> Json:
    told = stored.notification
    return {
        "id": stored.id,
        "at": rfc3339(told.at),
        "kind": told.kind,
        "key": told.key,
        "severity": told.severity.value,
        "summary": told.summary,
        "details": told.details,
        "deliveries": [_delivery(one) for one in stored.deliveries],
    }


def _delivery(one: Delivery) -> Json:
    return {
        "channel": one.channel,
        "attempts": one.attempts,
        "sent_at": instant(one.sent_at),
        "next_try_at": instant(one.next_try_at),
        "given_up": one.given_up,
        "withheld": one.withheld,
        "superseded_by": one.superseded_by,
        "error": one.error or None,
    }
