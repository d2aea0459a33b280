"""The connections of one HTTP exchange: each address and each byte within the time that is left of one deadline.

A socket's own timeout starts anew with each address that is tried and with each byte that arrives, so that a server
which drips headers, or a name with many dead addresses, would hold a tick for ever.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
from http.client import HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter


class Deadline:
    """So many seconds from now on, by the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self._expires = time.monotonic() + seconds

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self._expires

    def left(self) -> float:
        """Seconds that are left. Raises TimeoutError when none are."""
        left = self._expires - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time is up")
        return left


class TimedRaw(io.RawIOBase):
    """The bytes from a socket, each of them within the time that is left."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: Deadline) -> None:
        self._raw, self._sock, self._deadline = raw, sock, deadline

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what is there. Raises TimeoutError when no time is left."""
        self._sock.settimeout(self._deadline.left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Give the socket's reading side back."""
        self._raw.close()
        super().close()


class Wire(HTTPAdapter):
    """The adapter for one call: no retry, its own connection, everything before `deadline`."""

    def __init__(self, deadline: Deadline, tls: ssl.SSLContext | None) -> None:
        self._deadline = deadline
        self._tls = tls
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make connections that keep the deadline."""
        super().init_poolmanager(*args, **self._with_tls(kwargs))
        self._time(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Likewise through a proxy."""
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **self._with_tls(kwargs))
        if not known:
            self._time(manager)
        return manager

    def _with_tls(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        return kwargs if self._tls is None else {**kwargs, "ssl_context": self._tls}

    def _time(self, manager: Any) -> None:
        manager.pool_classes_by_scheme = {
            scheme: type(pool.__name__, (pool,), {"ConnectionCls": _timed(pool.ConnectionCls, self._deadline)})
            for scheme, pool in manager.pool_classes_by_scheme.items()
        }


def _timed(base: Any, deadline: Deadline) -> Any:
    """A connection class of urllib3, made to keep the deadline."""

    class TimedResponse(HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
            super().__init__(sock, *args, **kwargs)
            self.fp = io.BufferedReader(TimedRaw(self.fp.detach(), sock, deadline))

    class TimedConnection(base):  # type: ignore[misc]
        response_class = TimedResponse

        def _new_conn(self) -> socket.socket:
            return connected(self._dns_host, self.port, self.socket_options or (), deadline)

    return TimedConnection


def connected(host: str, port: int, options: Any, deadline: Deadline) -> socket.socket:
    """A connection to one of the host's addresses, each with an equal share of the time. Raises OSError."""
    found = socket.getaddrinfo(host.strip("[]"), port, 0, socket.SOCK_STREAM)
    failure: OSError = OSError(f"{host} has no address")
    for k, (family, kind, protocol, _, address) in enumerate(found):
        sock = socket.socket(family, kind, protocol)
        try:
            for option in options:
                sock.setsockopt(*option)
            sock.settimeout(deadline.left() / (len(found) - k))
            sock.connect(address)
            sock.settimeout(deadline.left())
        except OSError as error:
            failure = error
            sock.close()
        else:
            return sock
    raise failure


def innermost(error: BaseException) -> BaseException:
    """What a library's error was made of, at the bottom: the outer ones repeat addresses and say little."""
    seen: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and step not in seen:
        seen.append(step)
        reason = getattr(step, "reason", None)
        nested = [arg for arg in step.args if isinstance(arg, BaseException)]
        step = reason if isinstance(reason, BaseException) else nested[0] if nested else step.__cause__
    return seen[-1]
