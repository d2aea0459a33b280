"""The receiver for Alertmanager's webhook, the noise that its alerts make, and labels for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from watchdog.access import Principal
from watchdog.alarms import Alarms
from watchdog.errors import LedgerError, Refused
from watchdog.ledger import Ledger
from watchdog.model import NoiseRule
from watchdog.noise.classify import Class, Known
from watchdog.noise.episodes import ALERTMANAGER, DAY
from watchdog.noise.summary import Asked, label_row, pages_of, rows, summary
from watchdog.web.bodies import Labelled, labelled_of, read_body, time_of
from watchdog.web.changing import Changing, Endpoint, Work, content_type
from watchdog.web.paging import page_of
from watchdog.web.payload import Labels, payload_of
from watchdog.web.problems import Problem

LARGEST_MESSAGE = 8 * 1024 * 1024
"""Bytes of one message: thousands of alerts."""
TOO_LARGE = "set max_alerts in Alertmanager's webhook_configs, or group by more labels"
LONGEST_SPAN = 31 * DAY
EPISODES = "/api/v1/alerts/episodes"
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Receiving:
    """How alerts are taken: the token that lets them in (None: none are), how they are read and counted."""

    token: str | None = None
    labels: Labels = field(default_factory=Labels)
    rule: NoiseRule = field(default_factory=NoiseRule)


@dataclass(frozen=True, slots=True)
class Alerts:
    """The handlers, each a plain function of a request. They run on worker threads and raise Problem, LedgerError."""

    ledger: Ledger
    clock: Callable[[], float]
    how: Receiving

    def take(self, body: bytes) -> Response:
        """Record a message; the answer is sent when it is on record, for then Alertmanager sends it no more."""
        found = payload_of(body, self.how.labels)
        try:
            taken = self.ledger.take_alerts(ALERTMANAGER, found.alerts, self.clock())
        except LedgerError as error:
            detail = f"{error}; nothing of the message was recorded, send it again"
            raise Problem("ledger", detail, {"Retry-After": "5"}) from error
        told = {"alerts": taken.alerts + found.quiet, "new": taken.new, "ended": taken.ended}
        if found.truncated:
            log.warning("alerts", **told, why=f"Alertmanager left {found.truncated} out; set max_alerts: 0")
        elif taken.alerts:
            log.info("alerts", **told)
        return JSONResponse(told)

    def noise(self, request: Request) -> Response:
        """How many false alarms there were, and how good the alerts are."""
        return JSONResponse(summary(*self._asked(request)))

    def episodes(self, request: Request) -> Response:
        """The newest episodes, newest first, with what they turned out to be."""
        known, asked = self._asked(request)
        wanted = request.query_params.get("class")
        if wanted is not None and wanted not in list(Class):
            expected = ", ".join(Class)
            raise Problem("bad-parameter", f"class: found {wanted[:60]!r}, expected one of {expected}")
        kept = [one for one in pages_of(known, asked) if wanted in (None, one.found.value)]
        page = page_of(request, kept[::-1], lambda one: one.page.first.id)
        shown = rows(page.items, known.said, asked.at)
        return JSONResponse({"episodes": shown, "left_out": page.left, "next": page.next})

    def label(self, request: Request, said: Labelled, who: Principal) -> Response:
        """Record what a person says of an episode."""
        now = self.clock()
        happened_at = now if said.at is None else said.at
        if happened_at > now:
            raise Problem("bad-body", "at: is in the future; it says when the thing was done")
        order, episode = said.order, request.path_params["episode"]
        by = who.signs(order.by)
        try:
            done = self.ledger.label_episode(episode, said.label, by, order.reason, happened_at, now)
        except Refused as error:
            raise Problem("unknown-episode", f"there is no episode {episode[:60]!r}; {EPISODES} lists them") from error
        return JSONResponse(label_row(done), 201)

    def _asked(self, request: Request) -> tuple[Known, Asked]:
        at = min(time_of(request, "to", self.clock()), self.clock())
        first = time_of(request, "from", at - DAY)
        if first > at:
            raise Problem("bad-parameter", "from: is later than `to`")
        if at - first > LONGEST_SPAN:
            raise Problem("bad-parameter", "from: is more than 31 days before `to`; ask for less at a time")
        asked = Asked(self.how.rule, first, at, at, request.query_params.get("service"))
        return Alarms().known(self.ledger, first, at), asked


def alert_routes(
    alerts: Alerts,
    *,
    look: Callable[[Work], Endpoint],
    take: Callable[[Work], Endpoint],
    refuse: Callable[[Request, str], None],
    changing: Changing,
) -> list[Route]:
    """The routes; `look` and `take` put work on threads, `refuse` raises Problem for who may not send alerts."""

    async def receive(request: Request) -> Response:
        refuse(request, "alerts")
        body = await read_body(request, LARGEST_MESSAGE, TOO_LARGE)
        return await take(lambda _: alerts.take(body))(request)

    def label(request: Request, body: bytes, who: Principal) -> Work:
        said = labelled_of(content_type(request), body)
        return lambda asked: alerts.label(asked, said, who)

    return [
        Route("/api/v1/alerts", receive, methods=["POST"]),
        Route("/api/v1/noise", look(alerts.noise)),
        Route(EPISODES, look(alerts.episodes)),
        Route(f"{EPISODES}/{{episode}}/label", changing.endpoint("label", label, look), methods=["POST"]),
    ]
