"""A real server as a process of the test's own: started on a free port, frozen, killed, ended by its own id."""

from __future__ import annotations

import signal
import subprocess
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.ports import free_port

READY_WITHIN = 60.0
STOP_WITHIN = 20.0
TRIES = 3
"""Ports that are tried at the first start: somebody else may have taken one since it was free."""


class OwnProcess(ABC):
    """One server process at `port`. `start()` after `stop()` or `kill()` uses the same port and data again."""

    what: str
    """Its name, in sentences."""

    def __init__(self, log_file: Path, port: int | None = None) -> None:
        self.log_file = log_file
        self._pinned = port is not None
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """Its command line; what it needs on the disk is written by the way."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it answers now. OSError counts as no."""

    @property
    def url(self) -> str:
        """The base address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process else None

    @property
    def log(self) -> str:
        """What it has written since it was started last."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def start(self) -> Self:
        """Start and wait until it answers; another port is tried when somebody took ours before the first start."""
        if self._process is not None:
            raise RuntimeError(f"This {self.what} runs already.")
        for _ in range(TRIES):
            self._launch()
            if self._ready():
                self._pinned = True
                return self
            lost_port = "address already in use" in self.log.lower()
            self.kill()
            if self._pinned or not lost_port:
                break
            self.port = free_port()
        raise RuntimeError(f"{self.what} was not ready within {READY_WITHIN:g} s. It wrote:\n{self.log[-2000:]}")

    def restart(self) -> Self:
        """Stop gently (if it runs) and start again on the same port and data."""
        self.stop()
        return self.start()

    def stop(self) -> None:
        """End it with SIGTERM, with SIGKILL if that does not help in time. Harmless when it does not run."""
        if self._process is not None:
            self.unpause()
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._process.wait()
            self._process = None

    def wait(self) -> None:
        """Wait until it has ended by itself."""
        if self._process is not None:
            self._process.wait(STOP_WITHIN)
            self._process = None

    def kill(self) -> None:
        """End it at once, as a crash would. Harmless when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): it accepts connections and never answers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def unpause(self) -> None:
        """Let a frozen process go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _launch(self) -> None:
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        command = self._command()
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def _ready(self) -> bool:
        process = self._process
        assert process is not None
        give_up = time.monotonic() + READY_WITHIN
        while time.monotonic() < give_up and process.poll() is None:
            try:
                answers = self._answers()
            except OSError:
                answers = False
            if answers:
                # Somebody else may hold the port: ours must still be alive once it answered.
                return process.poll() is None
            time.sleep(0.03)
        return False


def is_ready(url: str) -> bool:
    """Whether a server that has Prometheus' `/-/ready` says that it is. OSError when nobody answers."""
    try:
        urllib.request.urlopen(f"{url}/-/ready", timeout=1).close()  # noqa: S310 - our own loopback
    except urllib.error.HTTPError:
        return False
    return True
