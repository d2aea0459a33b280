"""What systemd is told of the daemon: that it is ready, that it works, that it ends. Nothing where nobody asks.

`Type=notify` gives a process the address of a socket in its environment; with `WatchdogSec=` systemd ends and starts
anew a process that has not said for so long that it works. See sd_notify(3).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping

import structlog

SOCKET, MICROSECONDS, WHO = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
log = structlog.get_logger()


class Supervisor:
    """The service manager of this process, if it has one. No method raises or waits."""

    def __init__(
        self, environ: Mapping[str, str] = os.environ, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._address = environ.get(SOCKET, "")
        self._monotonic = monotonic
        self.every = _every(environ) if self._address else 0.0
        """Seconds between two signs of life: half of what systemd waits for; 0 where it waits for none."""
        self._last: float | None = None
        self._failed = False

    def ready(self, status: str) -> None:
        """The daemon ticks and serves."""
        self._last = self._monotonic()
        self._tell(f"READY=1\nSTATUS={_line(status)}")

    def alive(self, status: str) -> None:
        """The daemon does its work; told at most each `every` seconds, and not before it was ready."""
        if not self.every or self._last is None or self._monotonic() - self._last < self.every:
            return
        self._last = self._monotonic()
        self._tell(f"WATCHDOG=1\nSTATUS={_line(status)}")

    def stopping(self) -> None:
        """The daemon was asked to end."""
        self._tell("STOPPING=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        # A name that begins with @ is one of the kernel's, not of the file system.
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as to:
                to.sendto(message.encode(), address)
        except OSError as error:
            if not self._failed:
                log.warning("systemd cannot be told", why=f"{SOCKET} is {self._address}: {error}")
            self._failed = True
        else:
            self._failed = False


def _every(environ: Mapping[str, str]) -> float:
    """Half of what the service manager waits for, if it waits for this process."""
    given, who = environ.get(MICROSECONDS, ""), environ.get(WHO, "")
    if not given.isdigit() or (who and who != str(os.getpid())):
        return 0.0
    return int(given) / 2e6


def _line(text: str) -> str:
    """One line of the protocol: a status with a line break would begin another word."""
    return " ".join(text.split())[:500]
