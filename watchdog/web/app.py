"""The Starlette application: which address is answered by what, and on which thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Lifespan

from watchdog import __version__
from watchdog.access import Gate
from watchdog.errors import LedgerError
from watchdog.flagsystem import FlagSystem
from watchdog.ledger import Ledger
from watchdog.metrics import Metrics
from watchdog.web.access import Access, Entrance, allow, of_alertmanager
from watchdog.web.alerts import Alerts, Receiving, alert_routes
from watchdog.web.api import ROLLOUT, Api, rollout_routes
from watchdog.web.changing import Changing
from watchdog.web.childrun import ChildRuns
from watchdog.web.drillrun import DrillRuns
from watchdog.web.drills import Drills, drill_routes
from watchdog.web.etags import tagged
from watchdog.web.flags import Flags, flag_routes
from watchdog.web.fleet import Fleet
from watchdog.web.fleetpage import FleetPage
from watchdog.web.guard import Guard
from watchdog.web.health import Endpoint, exposition, healthz, liveness, readiness
from watchdog.web.live import Live
from watchdog.web.loggingout import hearing_of_logouts
from watchdog.web.login import login_routes
from watchdog.web.openapi import document
from watchdog.web.preflight import Preflights, preflight_routes
from watchdog.web.preflightrun import PreflightRuns
from watchdog.web.problempage import on_http_exception_or_page, on_problem_or_page
from watchdog.web.problems import Problem
from watchdog.web.readers import serve_routes
from watchdog.web.reports import Build, Reports, builder
from watchdog.web.rolloutpage import RolloutPages
from watchdog.web.rolloutpage_routes import Behind, page_routes
from watchdog.web.static import static_routes
from watchdog.web.story import Story, story_routes

READERS = 4
"""Threads that read the ledger: few, so that no crowd of readers takes the connections that ticks need."""
FLAG_ACTS = 4
"""Threads that change flags and wait for flag services; readers of flags have as many of their own."""
END_PREFLIGHT = 5.0
"""Seconds that a preflight under way has to end when the server stops."""
log = structlog.get_logger()

Work = Callable[[Request], Response]


def create_app(  # noqa: PLR0913 - everything that is served, by name
    *,
    ledger: Ledger,
    metrics: Metrics,
    token: str | None,
    clock: Callable[[], float],
    ready: Callable[[], tuple[bool, str]],
    wake: Callable[[str], None],
    stuck: Callable[[], str | None] = lambda: None,
    ticking: Callable[[], bool] = lambda: False,
    report_bytes: Build | None = None,
    readers: Sequence[Route] | None = None,
    flags: FlagSystem | None = None,
    alerts: Receiving | None = None,
    preflights: PreflightRuns | None = None,
    drills: DrillRuns | None = None,
    entrance: Entrance | None = None,
    prometheus_url: str | None = None,
) -> Starlette:
    """The daemon's HTTP side. `wake` is called with a rollout's name after a command for it was recorded.

    `entrance` says who is let in and asked for what; without it, whoever has the `token` is, and with neither every
    changing call is refused. `ready` says whether the daemon works, and in words why not, `stuck`
    what stands still in it, `ticking` whether a tick runs at this moment, for which live pages make way. `readers`
    are the routes of `serve_routes`, None where no flags are served; `flags` are the ones that can be changed here.
    `alerts` says how alerts are taken, None that none are. `preflights` and `drills` start them, None that none are
    started here. `prometheus_url` is where people open graphs, without credentials.
    """
    api = Api(ledger, clock, wake)
    reports = Reports(ledger, report_bytes or builder(ledger, clock))
    workers = Workers(preflights, drills)
    changing = Changing(ledger, clock, allow)
    entry = entrance or Entrance(Gate(shared=token, clock=clock))
    on = workers.on
    fleet = Fleet(ledger)
    pages = RolloutPages(ledger, clock, prometheus_url)
    allowed = entry.gate if entry.reads_need_token else None
    live = Live(ledger, fleet, clock, pages.numbered, gate=allowed, ticking=ticking)
    heard, started = Alerts(ledger, clock, alerts or Receiving()), Preflights(ledger, clock, preflights)
    behind = Behind(ledger, clock, wake, heard, Flags(flags, ledger), started, Drills(ledger, drills))
    routes = [
        Route("/", on(FleetPage(fleet, clock))),
        *static_routes(),
        *live.routes(),
        *login_routes(entry, on),
        *_probes(metrics, on(lambda _: readiness(*ready())), stuck),
        Route("/openapi.json", on(lambda _: JSONResponse(document(__version__)))),
        *rollout_routes(api, changing, on),
        *story_routes(Story(api, prometheus_url or ""), on),
        Route(f"{ROLLOUT}/report", workers.on_report(lambda asked: reports.serve(asked, api.rollout(asked)))),
        *(serve_routes(None, None) if readers is None else readers),
        *_behind_routes(behind, changing, workers),
        *page_routes(behind, pages, on, workers.on_flag_act),
    ]
    app = _assembled(routes, metrics, entry, lambda _: _serving(workers, live, entry.gate))
    app.state.ending, ledger.ticked = live.end, live.tell
    return app


def _probes(metrics: Metrics, ready: Endpoint, stuck: Callable[[], str | None]) -> list[Route]:
    """What machines ask of the daemon itself."""
    return [
        Route("/healthz", healthz),
        Route("/livez", liveness(stuck)),
        Route("/readyz", ready),
        Route("/metrics", exposition(metrics)),
    ]


def _behind_routes(behind: Behind, changing: Changing, workers: Workers) -> list[Route]:
    """Flags, alerts, preflights and drills, as the API has them."""
    token = behind.alerts.how.token
    return [
        *flag_routes(behind.flags, look=workers.on_flag, act=workers.on_flag_act, changing=changing),
        *alert_routes(
            behind.alerts,
            look=workers.on,
            take=workers.on_alerts,
            refuse=lambda asked, _: of_alertmanager(asked, token),
            changing=changing,
        ),
        *preflight_routes(behind.preflights, look=workers.on, changing=changing),
        *drill_routes(behind.drills, look=workers.on, changing=changing),
    ]


def _assembled(routes: list[Route], metrics: Metrics, entry: Entrance, lifespan: Lifespan[Starlette]) -> Starlette:
    """The routes with what stands before them, and what becomes of errors."""
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(Guard, metrics=metrics),
            Middleware(Access, entrance=entry),
        ],
        exception_handlers={
            Problem: on_problem_or_page,
            LedgerError: _on_ledger_error,
            HTTPException: on_http_exception_or_page,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


class Workers:
    """The threads on which handlers run: whatever reads the ledger would hold up the event loop."""

    def __init__(self, *runs: ChildRuns | None) -> None:
        self._runs = [one for one in runs if one is not None]
        self._readers = ThreadPoolExecutor(READERS, "http-reader")
        self._reporter = ThreadPoolExecutor(1, "http-report")
        self._flags = ThreadPoolExecutor(FLAG_ACTS, "http-flag")
        self._flag_acts = ThreadPoolExecutor(FLAG_ACTS, "http-flag-act")
        self._alerts = ThreadPoolExecutor(1, "http-alerts")

    def on(self, work: Work) -> Endpoint:
        """An endpoint that does `work` on one of a few threads."""
        return _endpoint(self._readers, work)

    def on_report(self, work: Work) -> Endpoint:
        """Likewise, one at a time: the report of a long watch is seconds of work and much memory."""
        return _endpoint(self._reporter, work)

    def on_flag(self, work: Work) -> Endpoint:
        """Likewise, for who reads of flags: a flag service may be slow to answer."""
        return _endpoint(self._flags, work)

    def on_flag_act(self, work: Work) -> Endpoint:
        """Likewise, for who changes flags: no crowd of readers holds up a kill."""
        return _endpoint(self._flag_acts, work)

    def on_alerts(self, work: Work) -> Endpoint:
        """Likewise, one at a time: they write to the ledger, which takes one writer, and no reader waits for them."""
        return _endpoint(self._alerts, work)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Give the threads up when the server stops; what they do is finished, what waits is dropped.

        A preflight or a drill under way ends gently: a drill switches its flag off.
        """
        yield
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(None, one.stop, END_PREFLIGHT) for one in self._runs))
        for pool in (self._readers, self._reporter, self._flags, self._flag_acts, self._alerts):
            pool.shutdown(wait=False, cancel_futures=True)


@asynccontextmanager
async def _serving(workers: Workers, live: Live, gate: Gate) -> AsyncIterator[None]:
    """From the start of the server to its end."""
    async with workers.open(), hearing_of_logouts(gate), live.open():
        yield


def _endpoint(pool: ThreadPoolExecutor, work: Work) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return tagged(request, await asyncio.get_running_loop().run_in_executor(pool, work, request))

    return endpoint


async def _on_ledger_error(request: Request, error: Exception) -> Response:
    detail = str(error)
    if request.method == "POST":
        detail += "; nothing was recorded. Without a ledger, `slo-watchdog flags kill FLAG` takes a flag back"
    return await on_problem_or_page(request, Problem("ledger", detail, {"Retry-After": "5"}))
