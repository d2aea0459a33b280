"""The reading side of a daemon on loopback: two flag files, the routes for readers, and a real HTTP server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import requests

from tests.flagfiles import FLAG, to
from watchdog.config.flagsettings import FlagSettings
from watchdog.flags.flagd_file import FlagdFile
from watchdog.metrics import Metrics
from watchdog.serving import Counts, FlagSet, Readers, flag_set
from watchdog.web.readers import reader_app
from watchdog.web.server import Server

EMERGENCY = "ops.shutdown"


class Reading:
    """Serves `checkout.flagd.json` and `ops.flagd.json` of a directory, or other `sets`; can be stopped and started."""

    def __init__(
        self,
        directory: Path,
        *,
        token: str | None = None,
        bucketing: str = "flagd-v2",
        sets: Sequence[FlagSet] | None = None,
    ) -> None:
        self.file = directory / "checkout.flagd.json"
        self.emergency_file = directory / "ops.flagd.json"
        self.flags = FlagdFile(self.file, bucketing=bucketing)
        self.emergency = FlagdFile(self.emergency_file, emergency=True)
        if sets is None:
            self.flags.init([FLAG], "ada")
            self.emergency.init([EMERGENCY], "ada")
        self._given = sets
        self._bucketing = bucketing
        self._token = token
        self._port = 0
        self.session = requests.Session()

    def start(self) -> Self:
        """A new process would know no more than this: nothing is carried over but the files and the port."""
        self.metrics = Metrics()
        self.readers = Readers(self._sets(), Counts(self.metrics.registry))
        self.server = Server(reader_app(self.readers, self._token, self.metrics), "127.0.0.1", self._port)
        self.server.start()
        self._port = self.server.port
        return self

    def stop(self) -> None:
        stopped = self.server.stop(10)
        self.readers.close()
        assert stopped

    def _sets(self) -> Sequence[FlagSet]:
        if self._given is not None:
            return self._given
        named = ((self.flags, self.file), (self.emergency, self.emergency_file))
        about = {"service": "flagd-file", "bucketing": self._bucketing}
        found = [flag_set(service, FlagSettings(**about, path=path)) for service, path in named]
        return [one for one in found if one is not None]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.session.close()
        if self.server is not None:
            self.stop()

    @property
    def url(self) -> str:
        return self.server.url

    def set(self, percent: float, *cohort: str) -> None:
        self.flags.set(FLAG, to(percent, *cohort))

    def kill(self) -> None:
        self.flags.kill(FLAG, to(0))

    def ask(self, key: str = FLAG, **context: Any) -> requests.Response:
        return self.post(f"/{key}", json={"context": context})

    def bulk(self, etag: str = "", **context: Any) -> requests.Response:
        return self.post("", json={"context": context}, headers={"If-None-Match": etag} if etag else {})

    def post(self, path: str, **how: Any) -> requests.Response:
        return self.session.post(f"{self.url}/ofrep/v1/evaluate/flags{path}", timeout=10, **how)

    def sync(self, name: str = "checkout", etag: str = "") -> requests.Response:
        headers = {"If-None-Match": etag} if etag else {}
        return self.session.get(f"{self.url}/flagd/{name}.json", headers=headers, timeout=10)

    def counted(self, name: str, **labels: str) -> float:
        """A sample of the metrics; 0 when there is none yet."""
        return self.metrics.registry.get_sample_value(f"slo_watchdog_{name}", labels) or 0.0
