"""The shipped deploy/alertmanager as tests use it: what it says, and the same with its channels on this machine.

config = local(tmp_path, Channels(slack=..., switch=..., watchdog=..., pagerduty=..., mail=...))
with AlertmanagerServer(tmp_path, config, ARGUMENTS) as server: ...
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.alertpack import alerts
from watchdog.notifiers.email import Server
from watchdog.quantities import rfc3339

DIRECTORY = Path(__file__).parent.parent / "deploy" / "alertmanager"
FILE = DIRECTORY / "alertmanager.yml"
PAGER_KEY = "0123456789abcdef0123456789abcdef"
SWITCH_TOKEN, WATCHDOG_TOKEN = "token of the switch", "token of the daemon"
MAIL_USER, MAIL_PASSWORD = "alertmanager", "password of the mail server"
JSON = {"Content-Type": "application/json"}
WRONG = {"summary": "Something is wrong.", "description": "It is. First: look."}
WAIT, EVERY = "0s", "1s"
"""In place of the shipped group_wait and group_interval."""
ALWAYS = {"weekdays": ["sunday:saturday"]}
NEVER = {"years": ["2001"]}


@dataclass(frozen=True)
class Channels:
    """Where the receivers send to: addresses, and a mail server with the certificate that it is known by."""

    switch: str
    watchdog: str
    pagerduty: str
    slack: str
    mail: Server
    certificate: Path


def shipped() -> dict[str, Any]:
    """The configuration as it is shipped."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


def local(directory: Path, channels: Channels, *, hours: dict[str, Any] = ALWAYS) -> str:
    """The configuration with local channels, without waits, and with these working hours; nothing else differs."""
    config = shipped()
    secrets = {
        "slack.url": channels.slack,
        "smtp.password": MAIL_PASSWORD,
        "dead-mans-switch.token": SWITCH_TOKEN,
        "slo-watchdog.token": WATCHDOG_TOKEN,
        "pagerduty.key": PAGER_KEY,
    }
    for name, secret in secrets.items():
        # Alertmanager 0.25 takes a newline at the end of the password for a part of it, of the others not.
        (directory / name).write_text(secret if name == "smtp.password" else f"{secret}\n")
    config["templates"] = [str(DIRECTORY / path) for path in config["templates"]]
    config["time_intervals"][0]["time_intervals"] = [hours]
    smarthost = f"{channels.mail.host}:{channels.mail.port}"
    config["global"] |= {"pagerduty_url": f"{channels.pagerduty}/v2/enqueue", "smtp_smarthost": smarthost}
    receivers = {receiver["name"]: receiver for receiver in config["receivers"]}
    receivers["dead-mans-switch"]["webhook_configs"][0]["url"] = channels.switch
    receivers["slo-watchdog"]["webhook_configs"][0]["url"] = channels.watchdog
    receivers["mail"]["email_configs"][0]["tls_config"] = {"ca_file": str(channels.certificate)}
    _hurry(config["route"])
    return yaml.safe_dump(config).replace("/etc/alertmanager/", f"{directory}/")


def _hurry(route: dict[str, Any]) -> None:
    for key, value in (("group_wait", WAIT), ("group_interval", EVERY)):
        if key in route:
            route[key] = value
    for child in route.get("routes", []):
        _hurry(child)


def labels_of(rule: dict[str, Any]) -> dict[str, str]:
    """The labels that an alert of this rule has when it fires, templates filled in, and where it is from."""
    own = {key: "shop" if "{{" in value else value for key, value in rule["labels"].items()}
    return {"alertname": rule["alert"], "environment": "production", **own}


def labels(alertname: str, **more: str) -> dict[str, str]:
    """The labels of the alert of that name in the pack; where it has several severities, `severity` says which."""
    wanted = {key: more[key] for key in ("severity", "budget") if key in more}
    rule = next(
        rule for rule in alerts() if rule["alert"] == alertname and wanted.items() <= dict(rule["labels"]).items()
    )
    return labels_of(rule) | more


def post(server: str, *alert_labels: dict[str, str], said: Mapping[str, str] = WRONG, lasts: float = 300.0) -> None:
    """Let alerts begin at an Alertmanager; with `lasts` of 0 they end."""
    now = time.time()
    body = [
        {
            "labels": each,
            "annotations": dict(said),
            "startsAt": rfc3339(now - 1),
            "endsAt": rfc3339(now + lasts),
            "generatorURL": "http://prometheus.example/graph",
        }
        for each in alert_labels
    ]
    answer = requests.post(f"{server}/api/v2/alerts", data=json.dumps(body), timeout=10, headers=JSON)
    assert answer.status_code == 200, answer.text
