"""Channels that answer 429 and `Retry-After: 2` to everything, for a while of real time: is any request early?

Beside ours a real Alertmanager is given one alert, for the same fakes; it is what people have today.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.drain import EACH, record
from bench.figure import Figure, printed
from bench.proc import disk_directory
from tests.alertmanagerserver import AlertmanagerServer, alertmanager_binary
from tests.pagerdutyserver import KEY, PagerDutyServer, busy
from tests.slackserver import TOKEN, SlackServer
from tests.slackworkspace import limited
from watchdog.ledger import open_ledger
from watchdog.notifiers.pagerduty import PagerDuty
from watchdog.notifiers.slack import Slack
from watchdog.notifiers.slack_api import SlackApi
from watchdog.notify import Sender

ASKED = 2
"""Seconds that the channels want to be left alone for."""
LASTS = 20.0
ROLLOUTS = 5
METHODS = ("chat.postMessage", "chat.update", "webhook")
PEER = """
route: {{receiver: people, group_wait: 0s, group_interval: 1s}}
receivers:
  - name: people
    pagerduty_configs: [{{routing_key: "{key}", url: "{pagerduty}/v2/enqueue"}}]
    slack_configs: [{{api_url: "{slack}", channel: "#deploys"}}]
"""


@dataclass(frozen=True)
class Requests:
    """When requests came, in seconds."""

    at: Sequence[float]

    @property
    def earliest(self) -> float | None:
        """The shortest gap between two of them; None when there were no two."""
        return min((later - earlier for earlier, later in itertools.pairwise(self.at)), default=None)

    def __str__(self) -> str:
        gap = f"the earliest {self.earliest:.3f} s after the one before" if self.earliest is not None else "never again"
        return f"{len(self.at)} requests in {LASTS:g} s, {gap}"


def figures() -> Iterator[Figure]:
    """Ours by PagerDuty and Slack, then Alertmanager's."""
    for name, found in _ours().items():
        held = found.earliest is not None and found.earliest >= ASKED
        what = f"{name} answers 429, Retry-After: {ASKED}: the earliest request"
        yield Figure(what, f">= {ASKED} s later", str(found), held, {"at": list(found.at)})
    for name, found in _peers().items():
        yield printed(f"the same, {_version()}, {name}", str(found), at=list(found.at))


def _ours() -> dict[str, Requests]:
    """A sender with its threads, a hundred messages of five rollouts, and nobody who takes any."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=disk_directory()) as directory,
        PagerDutyServer(KEY) as pagerduty,
        SlackServer() as slack,
    ):
        _limit(pagerduty, slack)
        ledger = open_ledger(f"sqlite:///{Path(directory) / 'ledger.db'}")
        channels = (PagerDuty(KEY, pagerduty.url), Slack(SlackApi(TOKEN, url=slack.url, timeout=10.0), "#deploys"))
        sender = Sender(ledger, channels, time.time)
        ledger.told = sender.wake
        sender.start()
        record(ledger, ROLLOUTS * EACH, time.time())
        _wait(LASTS, sender.wake)
        found = _seen(pagerduty, slack)
        sender.stop(10.0)
        ledger.close()
    return found


def _peers() -> dict[str, Requests]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as directory,
        PagerDutyServer(KEY) as pagerduty,
        SlackServer() as slack,
    ):
        _limit(pagerduty, slack)
        config = PEER.format(key=KEY, pagerduty=pagerduty.url, slack=slack.hook_url)
        with AlertmanagerServer(Path(directory), config) as server:
            alert = {"labels": {"alertname": "Breach"}, "startsAt": datetime.now(UTC).isoformat()}
            request = urllib.request.Request(  # noqa: S310 - our own loopback
                f"{server.url}/api/v2/alerts", json.dumps([alert]).encode(), {"Content-Type": "application/json"}
            )
            urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
            _wait(LASTS)
            return _seen(pagerduty, slack)


def _limit(pagerduty: PagerDutyServer, slack: SlackServer) -> None:
    pagerduty.always(busy(ASKED))
    for method in METHODS:
        slack.fail(method, *[limited(ASKED)] * 1000)


def _seen(pagerduty: PagerDutyServer, slack: SlackServer) -> dict[str, Requests]:
    calls = [call.at for call in slack.calls]
    return {"PagerDuty": Requests([asked.at for asked in pagerduty.asked]), "Slack": Requests(calls)}


def _wait(seconds: float, wake: Callable[[], None] = lambda: None) -> None:
    """Real time; `wake` is called now and then, as if something were recorded: it must bring no request forward."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.25)
        wake()


def _version() -> str:
    command = [alertmanager_binary(), "--version"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=10)
    found = re.search(r"version (\d+\.\d+\.\d+)", said.stdout + said.stderr)
    return f"Alertmanager {found[1] if found is not None else ''}".strip()
