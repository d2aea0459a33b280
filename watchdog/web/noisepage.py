"""Alert noise: what fired, what of it was false, how that stands against the budget, and what people say of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from watchdog.access import Principal
from watchdog.alarms import Alarms
from watchdog.evaluate import describe_target
from watchdog.ledger import Ledger, StoredRollout
from watchdog.model import ACTIVE
from watchdog.noise.episodes import DAY, Label
from watchdog.noise.summary import Asked, pages_of, rows, summary
from watchdog.quantities import format_duration, format_share, rfc3339
from watchdog.rolloutfile import rollout_from_resolved
from watchdog.web.access import NEEDED, allow, may
from watchdog.web.access_forms import form_of
from watchdog.web.alerts import Alerts
from watchdog.web.bodies import LONGEST_REASON, Labelled, Order
from watchdog.web.layout import page
from watchdog.web.problems import KINDS, Problem
from watchdog.web.rolloutpage_view import address
from watchdog.web.steering_form import SHOWN, Fields, done_once, new_key, reason_of

Endpoint = Callable[[Request], Awaitable[Response]]
Work = Callable[[Request], Response]
Json = dict[str, Any]
NOISE = "/noise"
SPANS = {"1": "24 hours", "7": "7 days", "30": "30 days"}
MOST = 100
"""Episodes on the page, the newest."""
LABELS = {
    Label.FALSE_POSITIVE: "False: nothing was wrong",
    Label.TRUE_POSITIVE: "True: something was wrong",
    Label.NOT_ACTIONABLE: "True, but nothing could be done",
    Label.ACKNOWLEDGED: "Acknowledged: somebody took it up",
    Label.SILENCED: "Silenced: known already",
}
TONES = {"false_positive": "bad", "true_positive": "good", "unclassified": "warn"}


@dataclass(frozen=True, slots=True)
class NoisePages:
    """The handlers. They run on worker threads and raise Problem, LedgerError."""

    ledger: Ledger
    clock: Callable[[], float]
    alerts: Alerts
    _targets: dict[int, str | None] = field(default_factory=dict)
    """What a rollout wants of its alerts, by its number: a rule never changes."""

    def show(self, request: Request, problem: Problem | None = None, fields: Fields | None = None) -> Response:
        """The page; after a `problem` with a label, with what was wrong and what was written."""
        now, days = self.clock(), _days(request)
        asked = Asked(self.alerts.how.rule, now - int(days) * DAY, now, now)
        known = Alarms().known(self.ledger, asked.first, now)
        found = pages_of(known, asked)
        shown = rows(found[::-1][:MOST], known.said, now)
        told = fields or {}
        return page(
            request,
            "noise.html",
            status=200 if problem is None else KINDS[problem.kind][0],
            days=days,
            spans=SPANS,
            sum=_summary(summary(known, asked)),
            budgets=self._budgets(),
            episodes=[_episode(one) for one in shown],
            left_out=max(0, len(found) - MOST),
            labels=LABELS.items(),
            may=may(request, "label"),
            needed=str(NEEDED["label"]),
            key=new_key(),
            longest=LONGEST_REASON,
            problem=None if problem is None else problem.detail,
            wrong=request.path_params.get("episode"),
            reason=told.get("reason", ""),
            chosen=told.get("label", ""),
            takes_alerts=self.alerts.how.token is not None,
            refresh=60,
            now=rfc3339(int(now)),
        )

    def label(self, request: Request, fields: Fields, who: Principal) -> Response:
        """Record what a person says of an episode; 303 back to it."""
        episode = request.path_params["episode"]
        try:
            done_once(self.ledger, request, fields, self.clock(), lambda: self._labelled(request, fields, who))
        except Problem as problem:
            if problem.kind not in SHOWN:
                raise
            return self.show(request, problem, fields)
        return RedirectResponse(f"{NOISE}?days={_days(request)}#{anchor(episode)}", 303)

    def _labelled(self, request: Request, fields: Fields, who: Principal) -> Response:
        word = fields.get("label", "")
        if word not in list(Label):
            raise Problem("bad-body", "Say what it was: choose one of the labels.")
        return self.alerts.label(request, Labelled(Order(reason_of(fields)), Label(word)), who)

    def _budgets(self) -> list[Json]:
        """What each rollout under way wants of its alerts."""
        found = []
        for stored in self.ledger.rollouts(ACTIVE):
            target = self._target(stored)
            if target is not None:
                row = {"rollout": stored.name, "href": address(stored.name), "service": stored.service}
                found.append({**row, "target": target})
        return found

    def _target(self, stored: StoredRollout) -> str | None:
        if stored.id not in self._targets:
            rollout = rollout_from_resolved(stored.resolved, stored.text, stored.name)
            judged = (one for one in rollout.objectives if one.internal == "alert_noise")
            self._targets[stored.id] = next((describe_target(one) for one in judged), None)
        return self._targets[stored.id]


def _days(request: Request) -> str:
    days = request.query_params.get("days", "1")
    return days if days in SPANS else "1"


def anchor(episode: str) -> str:
    """Where an episode is on its page."""
    return f"episode-{quote(episode, safe='')}"


def _summary(told: Json) -> Json:
    shares = {
        name: None if told[name] is None else format_share(round(told[name], 4)) for name in ("precision", "recall")
    }
    times = ("detected_in_s", "reset_in_s")
    spans = {name: None if told[name] is None else format_duration(round(told[name])) for name in times}
    return {**told, **shares, **spans, "grace": format_duration(told["grace_s"])}


def _episode(one: Json) -> Json:
    return {
        **one,
        "anchor": anchor(one["id"]),
        "action": f"{NOISE}/{quote(one['id'], safe='')}/label",
        "tone": TONES.get(one["class"], "") if one["page"] else "",
        "url": one["url"] if one["url"].startswith(("http://", "https://")) else "",
    }


def noise_page_routes(pages: NoisePages, look: Callable[[Work], Endpoint]) -> list[Route]:
    """The routes; `look` puts work on threads."""

    async def label(request: Request) -> Response:
        who = allow(request, "label")
        fields = await form_of(request)
        return await look(lambda asked: pages.label(asked, fields, who))(request)

    return [Route(NOISE, look(pages.show)), Route(f"{NOISE}/{{episode}}/label", label, methods=["POST"])]
