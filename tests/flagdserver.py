"""The real flagd, built from tests/tools by `make tools`, as a process on loopback ports.

with FlagdServer([{"uri": f"{daemon}/flagd/checkout.json", "provider": "http", "interval": 1}]) as flagd:
    flagd.evaluate("new-checkout", "user-7")
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import requests

from tests.servers import free_port

BINARY = Path(__file__).parent.parent / "build" / "tools" / "flagd"
READY_WITHIN = 20.0
STOP_WITHIN = 10.0


class FlagdServer:
    """One flagd with these sources (flagd's own JSON). It ends by itself when a source's first answer fails."""

    def __init__(self, sources: Sequence[Mapping[str, object]]) -> None:
        if not BINARY.exists():
            raise RuntimeError(f"{BINARY} is missing, and these tests need the real flagd: run `make tools`.")
        self.sources = json.dumps(list(sources))
        self.session = requests.Session()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def log(self) -> str:
        """What it has written so far."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def evaluate(self, flag: str, targeting_key: str | None = None, **context: object) -> dict[str, Any]:
        """Its own OFREP answer."""
        caller = {**context, **({"targetingKey": targeting_key} if targeting_key is not None else {})}
        address = f"{self.url}/ofrep/v1/evaluate/flags/{flag}"
        found: dict[str, Any] = self.session.post(address, json={"context": caller}, timeout=5).json()
        return found

    def __enter__(self) -> Self:
        ports = [free_port() for _ in range(4)]
        self.url = f"http://127.0.0.1:{ports[0]}"
        names = ("--ofrep-port", "--port", "--management-port", "--sync-port")
        listen = [text for name, port in zip(names, ports, strict=True) for text in (name, str(port))]
        self._process = subprocess.Popen(
            [str(BINARY), "start", "--sources", self.sources, *listen], stdout=self._log, stderr=subprocess.STDOUT
        )
        ready = f"http://127.0.0.1:{ports[2]}/readyz"
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if requests.get(ready, timeout=1).ok and self.session.get(self.url, timeout=1).status_code:
                    return self
            except requests.ConnectionError:
                pass
            time.sleep(0.02)
        self.__exit__()
        raise RuntimeError(f"flagd was not ready within {READY_WITHIN:g} s")

    def __exit__(self, *_: object) -> None:
        self.session.close()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()
