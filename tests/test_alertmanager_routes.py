"""Who is told of each alert: the table deploy/alertmanager/routes.yaml, asked of amtool for every alert of the pack."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
import yaml

from tests.alertmanagerconfig import DIRECTORY, FILE, labels_of
from tests.alertpack import alerts
from tests.servers import binary

Row = dict[str, Any]
OWN = [
    {"alertname": alertname, "source": "slo-watchdog", "severity": severity, "service": "shop", "rollout": "shop-2"}
    for alertname, severity in (
        ("SloWatchdogRollback", "critical"),
        ("SloWatchdogHold", "warning"),
        ("SloWatchdogDrift", "info"),
    )
]
"""What the watchdog sends where Alertmanager is its channel (docs/notify/alertmanager.md)."""
FOREIGN = [{"alertname": "InfoInhibitor", "severity": "none"}, {"alertname": "TheirAlert", "severity": "page"}]
PACK = {f"{rule['alert']}-{rule['labels']['severity']}": labels_of(rule) for rule in alerts()}
ALL = [*PACK.values(), *OWN, *FOREIGN]


def table() -> list[Row]:
    found: list[Row] = yaml.safe_load((DIRECTORY / "routes.yaml").read_text())["routes"]
    return found


def row_of(labels: Mapping[str, str]) -> Row:
    """The first row whose labels these are."""

    def has(key: str, wanted: str | list[str]) -> bool:
        return labels.get(key) in ([wanted] if isinstance(wanted, str) else wanted)

    return next(row for row in table() if all(has(key, wanted) for key, wanted in row["when"].items()))


@cache
def routed(*labels: str) -> list[str]:
    done = subprocess.run(
        [binary("amtool"), "config", "routes", "test", f"--config.file={FILE}", *labels],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip().split(",")


def receivers(labels: Mapping[str, str]) -> list[str]:
    """Where amtool says that an alert with these labels goes."""
    return routed(*(f"{key}={value}" for key, value in labels.items()))


@pytest.mark.parametrize("labels", ALL, ids=lambda labels: f"{labels['alertname']}-{labels['severity']}")
def test_an_alert_goes_where_the_table_says(labels: dict[str, str]) -> None:
    assert receivers(labels) == row_of(labels)["to"]


def test_every_alert_of_the_pack_is_in_a_row_that_names_it() -> None:
    """The last row is for what nobody has thought of; an alert of ours has been thought of."""
    unknown = [name for name, labels in PACK.items() if not row_of(labels)["when"]]
    assert unknown == []


def test_every_row_is_of_use() -> None:
    used = [row_of(labels) for labels in ALL]
    assert [row for row in table() if row not in used] == []


def test_only_critical_alerts_wake_anybody_and_all_of_them_do() -> None:
    for name, labels in PACK.items():
        assert ("on-call" in receivers(labels)) == (labels["severity"] == "critical"), name


def test_the_watchdog_hears_of_everything_that_people_are_told() -> None:
    for labels in ALL:
        told = set(receivers(labels)) - {"nobody", "dead-mans-switch"}
        assert not told or "slo-watchdog" in told, labels


def test_the_heartbeat_comes_first_and_nothing_can_hold_it_up() -> None:
    first = yaml.safe_load(FILE.read_text())["route"]["routes"][0]
    assert first["matchers"] == ['alertname="Watchdog"']
    assert first["receiver"] == "dead-mans-switch"
    assert (first["group_wait"], first["group_interval"]) == ("0s", "1m")
    assert "active_time_intervals" not in first
    assert "mute_time_intervals" not in first
