"""The services of deploy/compose with their own commands and configurations, as processes: each finds the others.

Grafana is not among them; `make tools` builds the flagd.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from tests.composing import Composition
from tests.processes import wait_for

ROLLOUT = "shop-2.14.1"


@pytest.fixture(scope="module")
def composition(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composition]:
    with Composition(tmp_path_factory.mktemp("compose") / "running") as running:
        yield running


def until(holds: Callable[[], Any], what: str, within: float = 40.0) -> None:
    wait_for(lambda: True if holds() else None, within, lambda: f"{what}: {holds()!r}")


def told(composition: Composition, channel: str) -> list[dict[str, Any]]:
    """What the inbox has taken by this channel."""
    messages: list[dict[str, Any]] = requests.get(composition.url("inbox", 8090, "/messages"), timeout=5).json()
    return [message for message in messages if message["channel"] == channel]


def test_prometheus_reaches_every_target_and_alertmanager(composition: Composition) -> None:
    def down() -> set[str]:
        found = requests.get(composition.url("prometheus", 9090, "/api/v1/targets"), timeout=5).json()
        active = found["data"]["activeTargets"]
        return {each["labels"]["job"] for each in active if each["health"] != "up"} if active else {"all of them"}

    until(lambda: not down(), "targets are down")
    found = requests.get(composition.url("prometheus", 9090, "/api/v1/alertmanagers"), timeout=5).json()
    assert [each["url"] for each in found["data"]["activeAlertmanagers"]] == [
        composition.url("alertmanager", 9093, "/api/v2/alerts")
    ]


def test_prometheus_has_all_rules(composition: Composition) -> None:
    found = requests.get(composition.url("prometheus", 9090, "/api/v1/rules"), timeout=10).json()
    files = {group["file"].rpartition("/")[2] for group in found["data"]["groups"]}
    assert {"meta.yaml", "objectives.yaml", "rollout.yaml"} <= files


def test_the_daemon_has_taken_up_the_rollout(composition: Composition) -> None:
    address = composition.url("watchdog", 8799, f"/api/v1/rollouts/{ROLLOUT}")
    until(lambda: requests.get(address, timeout=5).json().get("phase") == "ramping", "the rollout does not ramp")


def test_a_switch_that_the_daemon_throws_reaches_the_shop_through_flagd(composition: Composition) -> None:
    token = (composition.secrets / "http.token").read_text()
    switch = composition.url("watchdog", 8799, "/api/v1/emergency/ops.maintenance")
    shop = composition.url("shop", 8080, "/checkout?user=ada")

    def throw(*, on: bool) -> None:
        answer = requests.post(
            switch,
            json={"on": on, "by": "ada", "reason": "a test"},
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
        )
        assert answer.ok, answer.text

    assert requests.get(shop, timeout=5).status_code != 503
    throw(on=True)
    until(lambda: requests.get(shop, timeout=5).status_code == 503, "the shop stays open")
    throw(on=False)
    until(lambda: requests.get(shop, timeout=5).status_code != 503, "the shop stays closed")


def test_flagd_is_let_in_by_its_token_only(composition: Composition) -> None:
    address = composition.url("watchdog", 8798, "/flagd/shop.json")
    assert requests.get(address, timeout=5).status_code == 401
    token = (composition.secrets / "readers.token").read_text()
    assert "new-checkout" in requests.get(address, headers={"Authorization": f"Bearer {token}"}, timeout=5).text


def test_alertmanager_tells_the_inbox_and_the_daemon(composition: Composition) -> None:
    labels = {"alertname": "Watchdog", "severity": "none", "environment": "demo"}
    urgent = {"alertname": "X", "severity": "critical", "source": "slo-watchdog", "service": "shop", "rollout": "r"}
    ends = (datetime.fromtimestamp(time.time(), UTC) + timedelta(minutes=5)).isoformat()
    address = composition.url("alertmanager", 9093, "/api/v2/alerts")
    alerts = [{"labels": each, "annotations": {"summary": "It is."}, "endsAt": ends} for each in (labels, urgent)]
    assert requests.post(address, json=alerts, timeout=5).ok
    for channel in ("dead-mans-switch", "pagerduty", "slack"):
        until(lambda channel=channel: told(composition, channel), f"nothing came by {channel}")  # type: ignore[misc]
    log = composition.log("alertmanager")
    assert "401" not in log, "the daemon refuses Alertmanager's token"
    assert "Notify for alerts failed" not in log
