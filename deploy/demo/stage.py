"""The processes of the demo: started in order on free loopback ports, watched, and stopped by their own pid."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

HERE = Path(__file__).parent
STOP_WITHIN = 8.0


class DemoError(Exception):
    """The demo cannot go on, or did not show what it must; the text is one sentence for the person."""


@dataclass(frozen=True)
class Ports:
    """One loopback port for each server."""

    numbers: Mapping[str, int]

    def __getitem__(self, server: str) -> int:
        return self.numbers[server]

    @property
    def addresses(self) -> dict[str, str]:
        """What the @NAMES@ of the configuration files stand for."""
        return {name.upper().replace("-", "_"): f"127.0.0.1:{port}" for name, port in self.numbers.items()}

    def check(self) -> None:
        """DemoError when somebody listens on one of them already."""
        for name, port in self.numbers.items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError as problem:
                    raise DemoError(f"port {port}, where {name} is to listen, is taken: {problem.strerror}.") from None


def free_ports(servers: Iterable[str]) -> Ports:
    """Ports that nobody listens on: held open together, so that they differ."""
    held = {name: socket.socket() for name in servers}
    try:
        for one in held.values():
            one.bind(("127.0.0.1", 0))
        return Ports({name: one.getsockname()[1] for name, one in held.items()})
    finally:
        for one in held.values():
            one.close()


def prometheus_binary() -> str:
    """Where Prometheus is; DemoError says what to install."""
    found = os.environ.get("PROMETHEUS") or shutil.which("prometheus")
    if found is None:
        raise DemoError(
            "the demo needs a real Prometheus and there is no `prometheus` on PATH: install it"
            " (Debian and Ubuntu: apt-get install prometheus) or name its binary in the PROMETHEUS variable."
        )
    return found


def fill(template: str | Path, to: Path, names: Mapping[str, str]) -> Path:
    """Write `template` (a path, or a name in this directory) to `to` with its @NAMES@ filled in."""
    text = (HERE / template).read_text(encoding="utf-8")
    for name, value in names.items():
        text = text.replace(f"@{name}@", value)
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(text, encoding="utf-8")
    return to


def fetch(url: str, timeout: float = 2.0) -> bytes:
    """Body of a GET on loopback; OSError when there is none (HTTP errors are OSErrors too)."""
    with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310 - loopback addresses of our own
        body: bytes = answer.read()
    return body


def answers(url: str) -> bool:
    """Whether a GET is answered with success."""
    try:
        fetch(url)
    except OSError:
        return False
    return True


class Stage:
    """What runs. Each child is its own session, so that Ctrl-C reaches only the demo, which then stops them."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def start(
        self,
        name: str,
        command: list[str],
        ready: Callable[[], bool],
        *,
        within: float = 20.0,
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Start a child and wait until it is `ready`; DemoError with the end of its log when it is not in time."""
        with self.log(name).open("ab") as log:
            self._children[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **environ},
            )
        self.wait(f"{name} to be ready", ready, within=within)

    def wait(self, what: str, holds: Callable[[], bool], *, within: float) -> None:
        """Wait until it holds; DemoError when it does not in time, or when a child ends meanwhile."""
        until = time.monotonic() + within
        while not holds():
            self.check()
            if time.monotonic() > until:
                raise DemoError(f"waited {within:g} s for {what} in vain; the logs are in {self._logs}.")
            time.sleep(0.05)

    def check(self) -> None:
        """DemoError when a child has ended that nobody stopped."""
        for name, child in self._children.items():
            status = child.poll()
            if status is not None:
                raise DemoError(f"{name} ended with status {status}; the end of {self.log(name)}:\n{self.tail(name)}")

    def signal(self, name: str, number: int) -> None:
        """Signal one child."""
        self._children[name].send_signal(number)

    def stop(self, name: str) -> None:
        """SIGTERM, and SIGKILL when that does not end it in time."""
        child = self._children.pop(name, None)
        if child is None:
            return
        child.terminate()
        try:
            child.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            print(f"{name} (pid {child.pid}) did not end within {STOP_WITHIN:g} s of SIGTERM", file=sys.stderr)

    def stop_all(self) -> None:
        """Stop the children, the last started first."""
        for name in reversed(list(self._children)):
            self.stop(name)

    def log(self, name: str) -> Path:
        """Where the output of a child goes."""
        return self._logs / f"{name}.log"

    def tail(self, name: str, lines: int = 5) -> str:
        """Read the last lines of a child's log."""
        return "\n".join(self.log(name).read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    @property
    def started(self) -> bool:
        """Whether there is a log to look into."""
        return any(self._logs.iterdir())

    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {name: child.pid for name, child in self._children.items()}
