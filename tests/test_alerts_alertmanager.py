"""A real Alertmanager sends its webhooks to the real daemon: firing, repeats, ends, groups, bursts, and an outage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.alertmanagerserver import AlertmanagerServer
from tests.processes import Daemon, Installation, wait_for
from tests.servers import free_port

TOKEN = "what only Alertmanager knows"
NOBODY = "http://127.0.0.1:9"
"""No rollout asks Prometheus here."""
CONFIG = """\
route:
  receiver: watchdog
  group_by: [alertname]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 4h
  routes:
    - {{matchers: [alertname="Watchdog"], receiver: watchdog, repeat_interval: 1s}}
    - {{matchers: [alertname="Repeats"], receiver: watchdog, repeat_interval: 1s}}
receivers:
  - name: watchdog
    webhook_configs:
      - url: http://127.0.0.1:{port}/api/v1/alerts
        send_resolved: true
        http_config: {{authorization: {{credentials: "{token}"}}}}
"""


class Scene:
    """A daemon with a receiver, and an Alertmanager that sends to it."""

    def __init__(self, directory: Path, token: str = TOKEN) -> None:
        self.port = free_port()
        (directory / "alerts.token").write_text(TOKEN + "\n")
        self.site = Installation(
            directory, NOBODY, listen=f"127.0.0.1:{self.port}", alerts="{token_file: alerts.token}"
        )
        self.alertmanager = AlertmanagerServer(directory, CONFIG.format(port=self.port, token=token))

    @contextmanager
    def daemon(self) -> Iterator[Daemon]:
        with self.site.daemon() as daemon:
            yield daemon

    def fires(self, name: str, *pods: str, ends: float | None = None) -> None:
        """What a Prometheus would post: alerts of one name, firing, or over `ends` seconds from now."""
        now = datetime.now(UTC)
        alerts = [
            {
                "labels": {"alertname": name, "service": "checkout", "severity": "critical", "pod": pod},
                "annotations": {"summary": f"{name} of {pod}"},
                "startsAt": (now - timedelta(minutes=1)).replace(microsecond=0).isoformat(),
                "generatorURL": "http://prometheus.example/graph?g0.expr=up",
                **({} if ends is None else {"endsAt": (now + timedelta(seconds=ends)).isoformat()}),
            }
            for pod in pods or ("a",)
        ]
        posted = requests.post(f"{self.alertmanager.url}/api/v2/alerts", json=alerts, timeout=10)
        assert posted.status_code == 200, posted.text

    def told(self, holds: Callable[[list[dict[str, Any]]], bool], within: float = 30.0) -> list[dict[str, Any]]:
        """The episodes of the API, once they are as they should be."""
        last: list[list[dict[str, Any]]] = [[]]

        def found() -> list[dict[str, Any]] | None:
            answer = requests.get(f"http://127.0.0.1:{self.port}/api/v1/alerts/episodes", timeout=10)
            last[0] = answer.json()["episodes"]
            return last[0] if holds(last[0]) else None

        return wait_for(found, within, lambda: f"{last[0]}\nAlertmanager: {self.alertmanager.log[-2000:]}")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    with scene.alertmanager:
        yield scene


def test_an_alert_fires_is_repeated_and_ends(scene: Scene) -> None:
    with scene.daemon() as daemon:
        scene.fires("Repeats")
        (one,) = scene.told(lambda all_: bool(all_) and all_[0]["notified"] >= 3)
        assert (one["alertname"], one["service"], one["severity"]) == ("Repeats", "checkout", "critical")
        assert (one["class"], one["ended_at"], one["summary"]) == ("unclassified", None, "Repeats of a")
        assert one["url"] == "http://prometheus.example/graph?g0.expr=up"

        scene.fires("Repeats", ends=-1)
        (one,) = scene.told(lambda all_: all_[0]["ended_at"] is not None)
        assert one["id"] == "a1"
        assert TOKEN not in daemon.text


def test_a_burst_of_three_hundred_is_one_group_and_one_page(scene: Scene) -> None:
    pods = [f"checkout-{number}" for number in range(300)]
    with scene.daemon():
        scene.fires("PodDown", *pods)
        (one,) = scene.told(lambda all_: bool(all_) and all_[0]["alerts"] == 300)
        scene.fires("PodDown", *pods[:299], ends=-1)
        scene.fires("PodDown", pods[299], ends=-1)
        (one,) = scene.told(lambda all_: all_[0]["ended_at"] is not None)
        assert one["alerts"] == 300


def test_what_fires_while_the_daemon_is_down_is_told_when_it_is_back(scene: Scene) -> None:
    with scene.daemon() as daemon:
        scene.fires("Before")
        scene.told(lambda all_: len(all_) == 1)
        daemon.kill()
    scene.fires("Meanwhile")
    scene.fires("Before", ends=-1)
    wait_for(lambda: "refused" in scene.alertmanager.log or None, 30.0, lambda: "Alertmanager did not try")
    with scene.daemon():
        found = scene.told(lambda all_: len(all_) == 2 and any(one["ended_at"] is not None for one in all_), 60.0)
        assert {one["alertname"]: one["ended_at"] is not None for one in found} == {"Before": True, "Meanwhile": False}


def test_its_watchdog_alert_shows_that_it_is_heard(scene: Scene) -> None:
    with scene.daemon() as daemon:
        assert daemon.get("/api/v1/noise").json()["last_heard_at"] is None
        scene.fires("Watchdog")
        wait_for(
            lambda: daemon.get("/api/v1/noise").json()["last_heard_at"], 30.0, lambda: scene.alertmanager.log[-2000:]
        )
        assert daemon.get("/api/v1/alerts/episodes").json()["episodes"] == []


def test_with_a_wrong_token_nothing_is_taken_and_both_sides_say_so(tmp_path: Path) -> None:
    scene = Scene(tmp_path, token="guessed")
    with scene.alertmanager, scene.daemon() as daemon:
        scene.fires("HighLatency")
        said = daemon.said("http", 30.0, "alerts.token")
        assert said["refused"] == "alerts"
        wait_for(lambda: "401" in scene.alertmanager.log or None, 30.0, lambda: scene.alertmanager.log)
        assert daemon.get("/api/v1/alerts/episodes").json()["episodes"] == []
        assert not any(secret in daemon.text for secret in (TOKEN, "guessed"))
