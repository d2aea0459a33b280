"""Real and scripted servers on loopback ports for the tests; everything here is importable as `tests.servers`.

    with PrometheusServer(data_dir=history.build(tmp_path / "tsdb")) as server:
        ask(server.url)

`History` (tests/history.py) makes the data, `ScriptedPrometheus` (tests/scripted.py) says what no real server would.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.history import History
from tests.ownprocess import OwnProcess, is_ready
from tests.ports import free_port
from tests.scripted import Asked, Reply, ScriptedPrometheus, scripted

__all__ = ["Asked", "History", "PrometheusServer", "Reply", "ScriptedPrometheus", "binary", "free_port", "scripted"]


def binary(name: str) -> str:
    """The path of `prometheus` or `promtool`; a sentence that says how to get it when it is missing."""
    found = shutil.which(name)
    if found is None:
        message = f"`{name}` is not on the PATH, and these tests need a real Prometheus: run `apt install prometheus`."
        raise RuntimeError(message)
    return found


class PrometheusServer(OwnProcess):
    """One real Prometheus on a loopback port, with its own data directory.

    `scrape_configs` is the YAML list below `scrape_configs:`; without it nothing is scraped. `more` are further keys
    of prometheus.yml. `start()` returns when the server is ready; `stop()` ends it gently, `kill()` by SIGKILL; either
    may be followed by `start()`, which uses the same port and data again. A given `data_dir` is kept, an own one is
    removed by `stop()` at the end of a `with` block.
    """

    what = "Prometheus"

    def __init__(
        self,
        data_dir: Path | None = None,
        scrape_configs: str | None = None,
        extra_args: Sequence[str] = (),
        *,
        scrape_interval: str = "15s",
        port: int | None = None,
        more: str = "",
    ) -> None:
        self._own = tempfile.mkdtemp(prefix="prometheus-test-")
        super().__init__(Path(self._own) / "log", port)
        self.data_dir = data_dir or Path(self._own) / "data"
        self.scrape_configs = scrape_configs
        self.scrape_interval = scrape_interval
        self.more = more
        self.extra_args = tuple(extra_args)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        shutil.rmtree(self._own, ignore_errors=True)

    def _command(self) -> Sequence[str]:
        configuration = Path(self._own) / "prometheus.yml"
        scrapes = f"scrape_configs:\n{self.scrape_configs}" if self.scrape_configs else ""
        interval = self.scrape_interval
        timeout = f"{{scrape_interval: {interval}, scrape_timeout: {interval}, evaluation_interval: {interval}}}"
        configuration.write_text(f"global: {timeout}\n{scrapes}\n{self.more}\n")
        return (
            binary("prometheus"),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={self.data_dir}",
            "--storage.tsdb.retention.time=10y",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=warn",
            *self.extra_args,
        )

    def _answers(self) -> bool:
        return is_ready(self.url)
