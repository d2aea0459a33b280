"""Real and scripted servers on loopback ports for the tests; everything here is importable as `tests.servers`.

    with PrometheusServer(data_dir=history.build(tmp_path / "tsdb")) as server:
        ask(server.url)

`History` (tests/history.py) makes the data, `ScriptedPrometheus` (tests/scripted.py) says what no real server would.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.history import History
from tests.scripted import Asked, Reply, ScriptedPrometheus, scripted

__all__ = ["Asked", "History", "PrometheusServer", "Reply", "ScriptedPrometheus", "binary", "free_port", "scripted"]

READY_WITHIN = 60.0
STOP_WITHIN = 20.0


def free_port() -> int:
    """A loopback TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def binary(name: str) -> str:
    """The path of `prometheus` or `promtool`; a sentence that says how to get it when it is missing."""
    found = shutil.which(name)
    if found is None:
        message = f"`{name}` is not on the PATH, and these tests need a real Prometheus: run `apt install prometheus`."
        raise RuntimeError(message)
    return found


class PrometheusServer:
    """One real Prometheus on a loopback port, with its own data directory.

    `scrape_configs` is the YAML list below `scrape_configs:`; without it nothing is scraped. `start()` returns when
    the server is ready; `stop()` ends it gently, `kill()` by SIGKILL; either may be followed by `start()`, which
    uses the same port and data again. A given `data_dir` is kept, an own one is removed by `stop()` at the end of
    a `with` block.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        scrape_configs: str | None = None,
        extra_args: Sequence[str] = (),
        *,
        scrape_interval: str = "15s",
        port: int | None = None,
    ) -> None:
        self._own = tempfile.mkdtemp(prefix="prometheus-test-")
        self.data_dir = data_dir or Path(self._own) / "data"
        self.scrape_configs = scrape_configs
        self.scrape_interval = scrape_interval
        self.extra_args = tuple(extra_args)
        self._pinned = port is not None
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

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
        """What the server has written so far."""
        path = Path(self._own) / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> Self:
        """Start and wait until it answers; another port is tried when somebody took ours before the first start."""
        if self._process is not None:
            raise RuntimeError("This Prometheus runs already.")
        for attempt in range(3):
            self._launch()
            if self._ready():
                self._pinned = True
                return self
            lost_port = "address already in use" in self.log
            self.kill()
            if self._pinned or not lost_port or attempt == 2:
                break
            self.port = free_port()
        raise RuntimeError(f"Prometheus was not ready within {READY_WITHIN:g} s. It wrote:\n{self.log[-2000:]}")

    def restart(self) -> Self:
        """Stop gently (if it runs) and start again on the same port and data."""
        self.stop()
        return self.start()

    def stop(self) -> None:
        """End it with SIGTERM, with SIGKILL if that does not help in time. Harmless when it does not run."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._process.wait()
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
        self.unpause()
        self.stop()
        shutil.rmtree(self._own, ignore_errors=True)

    def _launch(self) -> None:
        own = Path(self._own)
        own.mkdir(exist_ok=True)
        configuration = own / "prometheus.yml"
        scrapes = f"scrape_configs:\n{self.scrape_configs}" if self.scrape_configs else ""
        interval = self.scrape_interval
        timeout = f"{{scrape_interval: {interval}, scrape_timeout: {interval}, evaluation_interval: {interval}}}"
        configuration.write_text(f"global: {timeout}\n{scrapes}\n")
        with (own / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    binary("prometheus"),
                    f"--config.file={configuration}",
                    f"--storage.tsdb.path={self.data_dir}",
                    "--storage.tsdb.retention.time=10y",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--log.level=warn",
                    *self.extra_args,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _ready(self) -> bool:
        assert self._process is not None
        give_up = time.monotonic() + READY_WITHIN
        while time.monotonic() < give_up and self._process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}/-/ready", timeout=1).close()  # noqa: S310 - our own loopback
            except (OSError, urllib.error.URLError):
                time.sleep(0.03)
            else:
                # Somebody else may hold the port: ours must still be alive once it answered.
                return self._process.poll() is None
        return False
