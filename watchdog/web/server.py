"""The HTTP server: uvicorn on a thread of its own, started and stopped from outside."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette

from watchdog.errors import WatchdogError
from watchdog.web.listening import PLACE, listen
from watchdog.web.onewrite import OneWrite

START_WITHIN = 10.0
_LOOK = 0.01


class Server:
    """Serves one app. `port` is the one really bound once `start` has returned (0 asks the system for a free one).

    `place` is the setting that names the address. A socket that is `listening` already is served instead of a new one.
    `protocol` is what connections speak, inside of `tls` where that is given.
    """

    def __init__(
        self,
        app: Starlette,
        host: str,
        port: int,
        *,
        place: str = PLACE,
        listening: socket.socket | None = None,
        protocol: type[OneWrite] = OneWrite,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.place = place
        self._listening = listening
        self._tls = tls
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            loop="asyncio",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            ssl_context_factory=(lambda *_: tls) if tls is not None else None,
        )
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None
        self._ending: Callable[[], None] | None = getattr(getattr(app, "state", None), "ending", None)
        """Lets go whoever would stay for ever, such as the readers of live pages: `state.ending` of the application."""

    @property
    def url(self) -> str:
        """Where it is served, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls is not None else 'http'}://{host}:{self.port}"

    def start(self) -> None:
        """Listen and serve. Raises ConfigError when the address cannot be had, WatchdogError when nothing serves."""
        listening = self._listening or listen(self.host, self.port, self.place)
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
                raise WatchdogError(f"{self.place}: nothing serves {self.url} within {START_WITHIN:g} s of its start")
            time.sleep(_LOOK)

    def problem(self) -> str | None:
        """None: it lives and dies with this process."""
        return None

    def stop(self, timeout: float) -> bool:
        """Take no more requests, finish those under way, for `timeout` seconds at most; whether that was enough."""
        thread = self._thread
        if thread is None:
            return True
        # What is under way gets a part of the time, so that ending it and the thread fits in the rest.
        self._server.config.timeout_graceful_shutdown = max(1, int(timeout * 0.6))
        self._server.should_exit = True
        if self._ending is not None:
            self._ending()
        thread.join(timeout)
        self._server.force_exit = True
        return not thread.is_alive()
