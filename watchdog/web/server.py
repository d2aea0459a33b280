"""The HTTP server: uvicorn on a thread of its own, started and stopped from outside."""

from __future__ import annotations

import socket
import threading
import time

import uvicorn
from starlette.applications import Starlette

from watchdog.errors import ConfigError, Problem, WatchdogError
from watchdog.web.onewrite import OneWrite

START_WITHIN = 10.0
_LOOK = 0.01


class Server:
    """Serves one app. `port` is the one really bound once `start` has returned (0 asks the system for a free one)."""

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=OneWrite,
                ws="none",
                loop="asyncio",
                lifespan="on",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
            )
        )
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it is served, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def start(self) -> None:
        """Listen and serve. Raises ConfigError when the address cannot be had, WatchdogError when nothing serves."""
        listening = _listen(self.host, self.port)
        self.port = int(listening.getsockname()[1])
        # Signals belong to the main thread: uvicorn leaves them alone in any other.
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listening]}, name="http", daemon=True
        )
        self._thread.start()
        give_up = time.monotonic() + START_WITHIN
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > give_up:
                self._server.should_exit = True
                listening.close()
                raise WatchdogError(f"http: nothing serves {self.url} within {START_WITHIN:g} s of its start")
            time.sleep(_LOOK)

    def stop(self, timeout: float) -> bool:
        """Take no more requests, finish those under way, for `timeout` seconds at most; whether that was enough."""
        thread = self._thread
        if thread is None:
            return True
        # What is under way gets a part of the time, so that ending it and the thread fits in the rest.
        self._server.config.timeout_graceful_shutdown = max(1, int(timeout * 0.6))
        self._server.should_exit = True
        thread.join(timeout)
        self._server.force_exit = True
        return not thread.is_alive()


def _listen(host: str, port: int) -> socket.socket:
    place = f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # `localhost` is both: whoever writes it may ask 127.0.0.1 just as well.
        family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        advice = "another program may have it; end that one, or write another address (port 0: any free one)"
        raise ConfigError([Problem("http.listen", f"{place} cannot be listened on ({error}): {advice}")]) from error
    return listening
