"""The process that answers readers at `serve.listen`: started, watched, started again, ended.

In the daemon's own process a tick would hold them up for as long as it computes. The daemon keeps the socket and hands
it down, so that connections wait for the next process instead of being refused.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog

from watchdog.config.settings import Settings
from watchdog.errors import ConfigError

SETTLED = 10.0
"""Seconds after which a process that ends has worked, and its successor is started at once."""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds before another try: doubled from the first to the longest with each process that ends sooner than that."""
REFUSE_AFTER = 2
"""So many in a row, and clients are refused until one answers: to let them wait would hold them up for nothing."""
UNREADY_AFTER = 10.0
"""Seconds without an answering process after which the daemon is not ready."""
log = structlog.get_logger()


class ServingProcess:
    """`start` it once; from then on there is such a process, or an attempt at one. `listen` makes its socket.

    The first process gets one that is `listening` already, if there is one.
    `tell` hears whether one answers, whenever that changes. A thread waits for it to end, which costs nothing.
    """

    def __init__(
        self,
        settings: Settings,
        listen: Callable[[int], socket.socket],
        port: int,
        tell: Callable[[bool], None],
        listening: socket.socket | None = None,
    ) -> None:
        self.port = port
        self._command = [sys.executable, "-m", "watchdog.serve"]
        if settings.path is not None:
            self._command += ["--config", str(settings.path)]
        self._listen = listen
        self._tell = tell
        self._listening = listening
        self._process: subprocess.Popen[bytes] | None = None
        self._failures = 0
        self._down: tuple[float, str] | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen, and start the process without waiting for it. Raises ConfigError when the address cannot be had."""
        self._listening = self._listening or self._listen(self.port)
        self.port = int(self._listening.getsockname()[1])
        self._fell("it is being started")
        self._thread = threading.Thread(target=self._watch, name="serving", daemon=True)
        self._thread.start()

    def problem(self) -> str | None:
        """Why nobody has answered readers for a while, in words; None while somebody does."""
        down = self._down
        if down is None or time.monotonic() - down[0] < UNREADY_AFTER:
            return None
        return f"nothing answers readers at serve.listen: {down[1]}"

    def stop(self, timeout: float) -> bool:
        """End the process, gently for most of `timeout` seconds, then by force; whether it is gone."""
        with self._lock:
            self._stopping.set()
            if self._process is not None:
                self._process.send_signal(signal.SIGTERM)
        if self._thread is not None:
            self._thread.join(0.8 * timeout)
            if self._thread.is_alive() and self._process is not None:
                log.warning("serving", why="the process does not end and is killed", pid=self._process.pid)
                self._process.kill()
            self._thread.join(0.2 * timeout)
        self._close()
        return self._thread is None or not self._thread.is_alive()

    def _watch(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            why = self._one()
            if self._stopping.is_set():
                return
            self._failures = 0 if time.monotonic() - began > SETTLED else self._failures + 1
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self._failures - 1)) if self._failures else 0.0
            self._fell(why)
            if self._failures >= REFUSE_AFTER:
                self._close()
            again = f"another one is started in {pause:g} s" if pause else "another one is started"
            log.warning("serving", why=f"the process that answers readers {why}; {again}")
            self._stopping.wait(pause)

    def _one(self) -> str:
        """One process from its start to its end; how it ended."""
        try:
            if self._listening is None:
                self._listening = self._listen(self.port)
            process = self._started(self._listening)
        except (ConfigError, OSError) as error:
            return f"could not be started: {error}"
        said: dict[str, Any] = {}
        with process:
            for line in process.stdout or ():
                said = _told(line)
                if said.get("serving"):
                    self._rose(process.pid)
        if process.returncode < 0:
            return f"was ended by signal {-process.returncode}"
        return f"ended with status {process.returncode}: {said.get('failed', 'it did not say why')}"

    def _started(self, listening: socket.socket) -> subprocess.Popen[bytes]:
        """A new process. It has the socket; its input ends when this process does, however that happens."""
        handed = listening.fileno()
        with self._lock:
            self._process = subprocess.Popen(  # noqa: S603 - this program, with words of our own
                [*self._command, "--listening", str(handed)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[handed],
                start_new_session=True,
            )
            if self._stopping.is_set():
                self._process.send_signal(signal.SIGTERM)
            return self._process

    def _rose(self, pid: int) -> None:
        self._down = None
        self._tell(True)  # noqa: FBT003
        log.info("serving", why="readers are answered by a process of their own", port=self.port, pid=pid)

    def _fell(self, why: str) -> None:
        self._down = (time.monotonic() if self._down is None else self._down[0], why)
        self._tell(False)  # noqa: FBT003

    def _close(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.close()


def _told(line: bytes) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
