"""What the settings say of who is let in, as the gate takes it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Protocol

from watchdog.access import Gate
from watchdog.access.logouts import Shared
from watchdog.access.model import ROLES
from watchdog.access.proxy import Proxy
from watchdog.access.sessions import Sessions
from watchdog.access.tokenfile import TokenFile
from watchdog.config import revealed
from watchdog.config.httpsettings import HttpSettings, ProxySettings
from watchdog.web.access import Entrance


class Counting(Protocol):
    """Where it is counted who was refused, and whether the tokens file is good."""

    def on_http_refused(self, why: str) -> None:
        """A request was refused for who sent it."""

    def set_tokens_file(self, *, ok: bool) -> None:
        """Whether the tokens file could be read."""


def entrance_of(http: HttpSettings, clock: Callable[[], float], metrics: Counting, shared: Shared) -> Entrance:
    """Who is let in at `http.listen`. A tokens file that cannot be read is said in the log, and lets nobody in.

    `shared` is where processes with the same session key tell each other of logouts.
    """
    tokens = TokenFile(http.tokens_file, metrics.set_tokens_file) if http.tokens_file is not None else None
    if tokens is not None:
        tokens.tokens()
    gate = Gate(
        shared=revealed(http.token),
        tokens=tokens,
        proxy=_proxy(http.proxy) if http.proxy is not None else None,
        sessions=Sessions(revealed(http.session_key), shared),
        clock=clock,
    )
    return Entrance(gate, http.reads == "token", http.external_url, metrics.on_http_refused)


def _proxy(written: ProxySettings) -> Proxy:
    return Proxy(
        tuple(ipaddress.ip_network(network) for network in written.trusted),
        written.user_header,
        written.groups_header,
        {group: ROLES[role] for group, role in written.roles.items()},
        ROLES[written.default_role] if written.default_role is not None else None,
        written.client_header,
    )
