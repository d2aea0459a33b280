"""A listening socket, had before anything is loaded that serves it: a taken address is known at once."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watchdog.errors import ConfigError, Problem

if TYPE_CHECKING:
    from watchdog.config.settings import Settings

PLACE = "http.listen"
BACKLOG = 2048
"""Connections that may wait to be taken."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """Every address of the daemon, listened on; None for one that is not set. Clients connect, and wait."""

    http: socket.socket
    serve: socket.socket | None
    health: socket.socket | None


def listen_everywhere(settings: Settings) -> Sockets:
    """All of the daemon's addresses, or none of them.

    Raises ConfigError for the first that cannot be had, and for a certificate that is none.
    """
    if settings.http.tls is not None:
        from watchdog.web.tls import check_tls  # noqa: PLC0415 - most daemons leave TLS to a proxy

        check_tls(settings.http.tls)
    with ExitStack() as had:

        def at(address: tuple[str, int] | None, place: str) -> socket.socket | None:
            return had.enter_context(listen(*address, place)) if address is not None else None

        http = had.enter_context(listen(*settings.http.listen))
        sockets = Sockets(http, at(settings.serve.listen, "serve.listen"), at(settings.health.listen, "health.listen"))
        had.pop_all()
    return sockets


def listen(host: str, port: int, place: str = PLACE) -> socket.socket:
    """A socket that clients can connect to from now on. Raises ConfigError when the address cannot be had."""
    asked = f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # `localhost` is both: whoever writes it may ask 127.0.0.1 just as well.
        family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        advice = "another program may have it; end that one, or write another address (port 0: any free one)"
        raise ConfigError([Problem(place, f"{asked} cannot be listened on ({error}): {advice}")]) from error
    return listening
