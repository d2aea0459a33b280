"""Every page beside the fleet, put together: a rollout and its orders, alert noise, preflight, drills, flags."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watchdog.ledger import Ledger
from watchdog.web.alerts import Alerts
from watchdog.web.drillpage import DrillPage, drill_page_routes
from watchdog.web.drills import Drills
from watchdog.web.flagpage import FlagPages, flag_page_routes
from watchdog.web.flags import Flags
from watchdog.web.noisepage import NoisePages, noise_page_routes
from watchdog.web.orders import Orders
from watchdog.web.preflight import Preflights
from watchdog.web.preflightpage import PreflightPage, preflight_page_routes
from watchdog.web.rolloutpage import RolloutPages, rollout_page_routes
from watchdog.web.steering import Steering, steering_routes

Endpoint = Callable[[Request], Awaitable[Response]]
Work = Callable[[Request], Response]


@dataclass(frozen=True, slots=True)
class Behind:
    """What the pages show and steer: the same handlers as behind the API."""

    ledger: Ledger
    clock: Callable[[], float]
    wake: Callable[[str], None]
    alerts: Alerts
    flags: Flags
    preflights: Preflights
    drills: Drills


def page_routes(
    behind: Behind, rollouts: RolloutPages, look: Callable[[Work], Endpoint], act: Callable[[Work], Endpoint]
) -> list[Route]:
    """The routes; `look` and `act` put work on threads, those of readers and those that wait for flag services."""
    ledger, clock = behind.ledger, behind.clock
    return [
        *rollout_page_routes(rollouts, look),
        *steering_routes(Steering(ledger, Orders(ledger, clock, behind.wake)), look),
        *noise_page_routes(NoisePages(ledger, clock, behind.alerts), look),
        *preflight_page_routes(PreflightPage(ledger, clock, behind.preflights), look),
        *drill_page_routes(DrillPage(clock, behind.drills), look),
        *(flag_page_routes(FlagPages(ledger, clock, behind.flags), look, act) if behind.flags.system else ()),
    ]
