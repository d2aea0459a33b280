"""deploy/alertmanager: amtool takes it, it holds no secret, and its names fit together."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from typing import Any

from tests.alertmanagerconfig import DIRECTORY, FILE, shipped
from tests.alertpack import alerts
from tests.servers import binary
from watchdog.config.notifysettings import AlertSettings
from watchdog.quantities import parse_duration

SECRET = re.compile(r"(routing_key|service_key|api_url|password|credentials|bearer_token|auth_secret)$")


def each(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of the configuration with its path."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from each(value, f"{path}.{key}")
    elif isinstance(node, list):
        for value in node:
            yield from each(value, path)
    else:
        yield path, node


def test_amtool_takes_it() -> None:
    done = subprocess.run([binary("amtool"), "check-config", str(FILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_secrets_are_files_and_nothing_else() -> None:
    found = list(each(shipped()))
    assert [path for path, _ in found if SECRET.search(path)] == []
    files = {value for path, value in found if path.endswith("_file")}
    assert len(files) == 5
    assert all(value.startswith("/etc/alertmanager/") for value in files)


def test_every_address_to_change_ends_in_example_but_for_pagerdutys() -> None:
    addresses = [str(value) for path, value in each(shipped()) if re.search(r"(url|smarthost|from|\.to)$", path)]
    own = [address for address in addresses if "{{" not in address and "events.pagerduty.com" not in address]
    assert own
    assert all(re.search(r"\.example(:\d+)?(/|$)", address) for address in own), own


def test_repeats_are_multiples_of_the_interval_at_which_they_are_looked_at() -> None:
    root = shipped()["route"]
    for route in [root, *root["routes"]]:
        every, repeat = (parse_duration(route.get(key, root[key])) for key in ("group_interval", "repeat_interval"))
        assert repeat % every == 0, route
        assert repeat > every, route


def test_the_daemon_hears_its_heartbeat_often_enough() -> None:
    beats = [route for route in shipped()["route"]["routes"] if route.get("matchers") == ['alertname="Watchdog"']]
    assert [route["receiver"] for route in beats] == ["dead-mans-switch", "slo-watchdog"]
    assert all(2 * parse_duration(route["repeat_interval"]) < AlertSettings().heartbeat for route in beats)


def test_every_alert_that_it_names_is_one_that_can_come() -> None:
    """A renamed alert must not leave an inhibition behind that matches nothing."""
    ours = {rule["alert"] for rule in alerts()} | {"SloWatchdogRollbackUnconfirmed"}
    matchers = " ".join(str(value) for path, value in each(shipped()) if path.endswith("matchers"))
    listed = re.findall(r'alertname!?=~?"([^"]*)"', matchers)
    named = {name for each_of in listed for name in each_of.split("|")}
    assert named
    for name in named:
        assert any(re.fullmatch(name, alert) for alert in ours), name


def test_inhibitions_ask_for_the_labels_that_they_compare() -> None:
    """Two missing labels are equal: without this one critical alert silences all warnings without a service."""
    for rule in shipped()["inhibit_rules"]:
        asked = " ".join([*rule["source_matchers"], *rule["target_matchers"]])
        assert "alertname" in rule["equal"] or "alertname" in asked or "source=" in asked or "objective=~" in asked, (
            rule
        )


def test_every_template_is_there_and_used() -> None:
    files = {path.name: path.read_text() for path in sorted((DIRECTORY / "templates").glob("*.tmpl"))}
    defined = {name for text in files.values() for name in re.findall(r'define "([^"]+)"', text)}
    used = set(re.findall(r'template "([^"]+)"', FILE.read_text() + "".join(files.values())))
    assert defined == used
