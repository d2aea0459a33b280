"""The daemon's doors: page and API at `http.listen`, readers of flags at `serve.listen`, probes at `health.listen`.

Apart from the daemon, which opens them when its rollouts tick already: what they import is a good part of a start, and
no tick needs it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from watchdog.config import revealed
from watchdog.config.settings import Settings
from watchdog.flagsystem import FlagSystem
from watchdog.ledger import Ledger
from watchdog.metrics import Metrics
from watchdog.prometheus.redact import split_credentials
from watchdog.serving import FlagSet, Readers
from watchdog.serving.process import ServingProcess
from watchdog.web.alerts import Receiving
from watchdog.web.app import create_app
from watchdog.web.drillrun import DrillRuns
from watchdog.web.entrance import entrance_of
from watchdog.web.health import health_app
from watchdog.web.listening import listen
from watchdog.web.payload import Labels
from watchdog.web.preflightrun import PreflightRuns
from watchdog.web.readers import reader_app, serve_routes
from watchdog.web.server import Server
from watchdog.web.tls import files_of, tls_context


@dataclass(frozen=True, slots=True)
class House:
    """What the doors lead to."""

    settings: Settings
    ledger: Ledger
    metrics: Metrics
    flags: FlagSystem
    readers: Readers
    clock: Callable[[], float]
    ready: Callable[[], tuple[bool, str]]
    wake: Callable[[str], None]
    stuck: Callable[[], str | None]
    ticking: Callable[[], bool]


def open_http(house: House, listening: socket.socket) -> Server:
    """The page, the API and the metrics, at a socket that listens already. Not started yet."""
    settings = house.settings
    app = create_app(
        ledger=house.ledger,
        metrics=house.metrics,
        token=revealed(settings.http.token),
        clock=house.clock,
        ready=house.ready,
        wake=house.wake,
        stuck=house.stuck,
        ticking=house.ticking,
        readers=serve_routes(house.readers, revealed(settings.serve.token)),
        flags=house.flags,
        alerts=_receiving(settings),
        preflights=PreflightRuns(settings, house.clock),
        drills=DrillRuns(settings, house.clock),
        entrance=entrance_of(settings.http, house.clock, house.metrics, house.ledger),
        prometheus_url=split_credentials(settings.prometheus.url)[0],
    )
    files, at = files_of(settings.http.tls), settings.http.listen
    return Server(app, at.host, at.port, listening=listening, tls=tls_context(files) if files is not None else None)


def open_health(house: House, listening: socket.socket | None) -> Server | None:
    """What answers at `health.listen`, None where that is not set. Not started yet."""
    address = house.settings.health.listen
    if address is None:
        return None
    app = health_app(metrics=house.metrics, ready=house.ready, stuck=house.stuck)
    return Server(app, address.host, address.port, place="health.listen", listening=listening)


def open_serving(
    house: House, sets: Sequence[FlagSet], listening: socket.socket | None, *, shared: bool
) -> ServingProcess | Server | None:
    """What answers at `serve.listen`: a process of its own where it can read the flags, else a server in here.

    What only this process has (`shared` is false), no other process can read. Not started yet.
    """
    settings, metrics, place = house.settings, house.metrics, "serve.listen"
    address = settings.serve.listen
    if address is None:
        return None
    if not (shared and sets):
        app = reader_app(house.readers, revealed(settings.serve.token), metrics)
        return Server(app, address.host, address.port, place=place, listening=listening)
    return ServingProcess(
        settings,
        lambda port: listen(address.host, port, place),
        address.port,
        lambda up: metrics.set_serving(f"{address.host}:{address.port}", up=up),
        listening,
    )


def _receiving(settings: Settings) -> Receiving:
    """How alerts are taken."""
    alerts = settings.alerts
    return Receiving(revealed(alerts.token), Labels(alerts.service_label, alerts.severity_label), alerts.rule())
