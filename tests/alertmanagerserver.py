"""A real Alertmanager on a loopback port, alone (no cluster), with its own data directory, ended by its own process id.

with AlertmanagerServer(tmp_path, config=routed_to(receiver.url)) as server:
    requests.post(f"{server.url}/api/v2/alerts", json=[...], timeout=10)
    assert server.alerts()
"""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.ownprocess import OwnProcess, is_ready

SILENT = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
"""A configuration that tells nobody of anything."""


def alertmanager_binary() -> str:
    """The path of Alertmanager, as Debian or upstream calls it; a sentence that says how to get it when missing."""
    found = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if found is None:
        message = "neither `prometheus-alertmanager` nor `alertmanager` is on the PATH, and these tests need a real one"
        raise RuntimeError(f"{message}: run `apt install prometheus-alertmanager`.")
    return found


def routed_to(url: str, *, token: str | None = None, options: str = "") -> str:
    """A configuration that posts every group to `url` after 0 s, again after 1 s when it changed, and says its end.

    `token` goes along as bearer token; `options` are further lines of the route, such as `repeat_interval: 1s`.
    """
    authorization = f"\n        http_config: {{authorization: {{credentials: {json.dumps(token)}}}}}" if token else ""
    further = "".join(f"\n  {line}" for line in options.splitlines())
    return f"""\
route:
  receiver: webhook
  group_by: ["..."]
  group_wait: 0s
  group_interval: 1s{further}
receivers:
  - name: webhook
    webhook_configs:
      - url: {json.dumps(url)}
        send_resolved: true{authorization}
"""


class AlertmanagerServer(OwnProcess):
    """One Alertmanager that keeps configuration, data and log below `directory`.

    `start()` returns when it answers; `stop()` ends it by SIGTERM, `kill()` at once; `start()` after either uses the
    same port and data again. What it knew of alerts is gone then, as in production: it keeps silences and its
    notification log only.
    """

    what = "Alertmanager"

    def __init__(self, directory: Path, config: str = SILENT, extra_args: Sequence[str] = ()) -> None:
        self.directory = directory / "alertmanager"
        self.config = config
        self.extra_args = tuple(extra_args)
        super().__init__(self.directory / "log")

    def alerts(self, **query: str) -> list[dict[str, Any]]:
        """What it holds at present, by its own API (`active`, `silenced`, `inhibited`, `filter`); not what ended."""
        found = urllib.parse.urlencode(query)
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts?{found}", timeout=10) as answer:  # noqa: S310 - loopback
            alerts: list[dict[str, Any]] = json.load(answer)
        return alerts

    def _command(self) -> Sequence[str]:
        configuration = self.directory / "alertmanager.yml"
        configuration.write_text(self.config)
        return (
            alertmanager_binary(),
            f"--config.file={configuration}",
            f"--storage.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
            "--log.level=warn",
            *self.extra_args,
        )

    def _answers(self) -> bool:
        return is_ready(self.url)
