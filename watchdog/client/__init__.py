"""A daemon over HTTP, typed: `Client("http://127.0.0.1:8799", token=...)` has a method for each address of the API.

What it gives are the API's own shapes (`watchdog.client.shapes`); what goes wrong is a ClientError with a sentence.
Each call asks once, within its timeout; trying again is the caller's choice, and with the same `key` it is harmless.
"""

from __future__ import annotations

import ssl

from watchdog.client.alerts import Alerts
from watchdog.client.connection import Connection
from watchdog.client.drills import DrillCalls
from watchdog.client.errors import (
    ApiProblem,
    ClientError,
    Conflict,
    EvaluationFailed,
    Misunderstood,
    NotAllowed,
    NotThere,
    Trouble,
    Unreachable,
)
from watchdog.client.flags import Flags
from watchdog.client.orders import Orders
from watchdog.client.readers import Readers
from watchdog.client.rollouts import Report, Rollouts
from watchdog.client.tagged import Tagged

__all__ = [
    "ApiProblem",
    "Client",
    "ClientError",
    "Conflict",
    "EvaluationFailed",
    "Misunderstood",
    "NotAllowed",
    "NotThere",
    "Report",
    "Tagged",
    "Trouble",
    "Unreachable",
]


class Client(Rollouts, Orders, Flags, Alerts, DrillCalls, Readers):
    """One daemon. `url` is its `http.listen` or what stands before it, `token` its `http.token`, for changes.

    `timeout` is for each call, in seconds, connecting included; `tls` other certificates than the system's. Threads may
    share it: it keeps nothing. Raises ClientError for an address or a token that cannot be one; reaches nothing yet.
    """

    def __init__(
        self, url: str, token: str | None = None, *, timeout: float = 10.0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._connection = Connection(url, token, timeout=timeout, tls=tls)
