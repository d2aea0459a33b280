"""Debian's node exporter and Pushgateway on loopback ports, ended by their own process ids.

with NodeExporter(tmp_path) as exporter:
    print(requests.get(f"{exporter.url}/metrics", timeout=10).text)
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Self

import requests

from tests.processes import wait_for
from tests.servers import free_port

READY_WITHIN = 60.0
STOP_WITHIN = 20.0


class _Server:
    """A program that serves /metrics at a port of its own."""

    names: tuple[str, ...]
    package: str

    def __init__(self, *options: str, log: Path) -> None:
        self._options = options
        self._log = log
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def metrics(self) -> str:
        answer = requests.get(f"{self.url}/metrics", timeout=10)
        assert answer.status_code == 200
        return answer.text

    def start(self) -> Self:
        program = next(filter(None, map(shutil.which, self.names)), None)
        assert program, f"{self.names[0]} is not on the PATH, and this test needs it: run `apt install {self.package}`"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [program, f"--web.listen-address={self.address}", *self._options], stdout=log, stderr=log
            )
        wait_for(self._ready, READY_WITHIN, lambda: self._log.read_text(errors="replace")[-2000:])
        return self

    def _ready(self) -> bool | None:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text(errors="replace")[-2000:]
        try:
            return requests.get(f"{self.url}/metrics", timeout=5).status_code == 200 or None
        except requests.RequestException:
            return None

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class NodeExporter(_Server):
    """With nothing but the textfile collector."""

    names = ("prometheus-node-exporter", "node_exporter")
    package = "prometheus-node-exporter"

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        where = f"--collector.textfile.directory={directory}"
        super().__init__(
            "--collector.disable-defaults", "--collector.textfile", where, log=directory.with_suffix(".log")
        )


class PushgatewayServer(_Server):
    """Keeps nothing on the disk, where Debian would have it: a restart forgets everything."""

    names = ("prometheus-pushgateway", "pushgateway")
    package = "prometheus-pushgateway"

    def __init__(self, directory: Path) -> None:
        super().__init__("--persistence.file=", log=directory / "pushgateway.log")
