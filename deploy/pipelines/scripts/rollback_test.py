#!/usr/bin/env python3
"""Switch to the new colour and back while users are served, count who was failed, and leave the new colour serving."""

from __future__ import annotations

import http.client
import threading
import time
from urllib.parse import urlsplit

import installation
import steps

USERS = 4
STALE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
"""How a kept connection ends that the server has closed meanwhile; a client asks again on a new one."""


class Users:
    """Asks one address over kept connections, again and again, until `end`."""

    def __init__(self, address: str, path: str) -> None:
        self._host, self._path = urlsplit(address).netloc, path
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.requests = 0
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._run) for _ in range(USERS)]
        for one in self._threads:
            one.start()

    def end(self) -> None:
        """Let everybody finish."""
        self._over.set()
        for one in self._threads:
            one.join()

    def _run(self) -> None:
        connection, fresh = self._connection(), True
        while not self._over.wait(0.01):
            try:
                said = self._ask(connection)
                fresh = False
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                connection, stale = self._connection(), isinstance(error, STALE) and not fresh
                fresh = True
                if stale:
                    continue
                said = f"{type(error).__name__}: {error}"
            with self._lock:
                self.requests += 1
                if said:
                    self.failures.append(said)
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._host, timeout=10)

    def _ask(self, connection: http.client.HTTPConnection) -> str:
        connection.request("GET", self._path)
        answer = connection.getresponse()
        answer.read()
        return "" if answer.status < 500 else f"status {answer.status}"


def _step() -> None:
    build = steps.build()
    new, old = installation.idle(build), installation.active()
    if old is None:
        steps.warn("nothing serves yet, so there is nothing to roll back to: this is the first deployment here")
        installation.switch(new.colour)
        return
    users = Users(installation.front(), steps.optional("PIPELINE_PROBE") or "/healthz")
    try:
        told = _there_and_back(new, old)
    finally:
        users.end()
    told |= {"requests": users.requests, "failed": len(users.failures)}
    told["passed"] = bool(told["passed"] and users.requests and not users.failures)
    steps.keep(steps.ROLLBACK_TEST, told)
    if not told["passed"]:
        shown = "; ".join(sorted(set(users.failures))[:3]) or "the traffic did not come back"
        raise steps.StepFailed(f"the rollback test failed {told['failed']} of {told['requests']} requests: {shown}")
    steps.summary(f"rolled back in {told['back_s']} s under {told['requests']} requests, none failed")


def _there_and_back(new: installation.Installed, old: installation.Installed) -> dict[str, object]:
    """To the new colour, back, and there again, where it stays; the way back is timed."""
    installation.switch(new.colour)
    time.sleep(1)  # some traffic on the new colour
    ordered = time.monotonic()
    installation.back("the rollback test of staging")
    back = time.monotonic() - ordered
    serves = installation.active()
    installation.switch(new.colour)
    return {"passed": serves is not None and serves.digest == old.digest, "back_s": round(back, 3)}


steps.main(_step)
