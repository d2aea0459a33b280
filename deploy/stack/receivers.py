"""The shipped Alertmanager configuration with everybody it tells on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

SECRETS = "/etc/alertmanager/"
GROUP_WAIT, GROUP_INTERVAL = "1s", "10s"
"""In place of the shipped waits: whoever breaks something here wants to see what happens."""


def local(shipped: Path, secrets: Path, *, inbox: str, mail: str, watchdog: str) -> str:
    """Give a configuration that sends to `inbox` (base address), `mail` (host:port) and `watchdog` (base address).

    Routes, groups and inhibitions stay what they are. `secrets` is a directory; what is missing there is written, all
    but `slo-watchdog.token`, which the daemon has to know, too.
    """
    config: dict[str, Any] = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    for name, secret in (
        ("slack.url", f"{inbox}/slack"),
        ("pagerduty.key", "0" * 32),
        ("dead-mans-switch.token", "of nobody"),
    ):
        (secrets / name).write_text(secret, encoding="utf-8")
    settings = config["global"]
    for key in [key for key in settings if key.startswith("smtp_auth")]:
        del settings[key]
    settings |= {"pagerduty_url": f"{inbox}/pagerduty/v2/enqueue", "smtp_smarthost": mail, "smtp_require_tls": False}
    config["templates"] = [str(shipped.parent / pattern) for pattern in config.get("templates", [])]
    for receiver in config["receivers"]:
        for webhook in receiver.get("webhook_configs", []):
            path = "/api/v1/alerts" if receiver["name"] == "slo-watchdog" else f"/{receiver['name']}"
            webhook["url"] = f"{watchdog if receiver['name'] == 'slo-watchdog' else inbox}{path}"
    _hurry(config["route"])
    return yaml.safe_dump(config, sort_keys=False).replace(SECRETS, f"{secrets}/")


def _hurry(route: dict[str, Any]) -> None:
    for key, value in (("group_wait", GROUP_WAIT), ("group_interval", GROUP_INTERVAL)):
        if key in route:
            route[key] = value
    for child in route.get("routes", []):
        _hurry(child)
