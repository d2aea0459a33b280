"""What a running stack says: queries, rules, targets and alerts, by the APIs of Prometheus and Alertmanager."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
from collections.abc import Iterator
from typing import Any

from stage import fetch

AWAITED = ("5m", "slo:period_error_budget_remaining:ratio")
"""How the recordings end that are there when all is settled: those that come last, and those that they are made of."""
TIMEOUT = 10.0


class Asking:
    """Questions to the servers that `url` names."""

    rollout: str

    def url(self, server: str, path: str = "") -> str:
        """Address of one of the servers."""
        raise NotImplementedError

    @property
    def prometheus(self) -> str:
        """Base address of the Prometheus that has all targets."""
        return self.url("prometheus")

    @property
    def alertmanager(self) -> str:
        """Base address of Alertmanager."""
        return self.url("alertmanager")

    @property
    def watchdog(self) -> str:
        """Base address of the daemon."""
        return self.url("watchdog")

    def query(self, expr: str, at: float | None = None) -> list[dict[str, Any]]:
        """Ask Prometheus: the `result` of an instant query; AssertionError with its text when it refuses."""
        asked = {"query": expr} if at is None else {"query": expr, "time": f"{at:.3f}"}
        try:
            answer = json.loads(fetch(f"{self.prometheus}/api/v1/query?{urllib.parse.urlencode(asked)}", TIMEOUT))
        except urllib.error.HTTPError as refused:
            with refused:
                raise AssertionError(f"Prometheus refuses {expr!r}: {refused.read().decode()}") from refused
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def targets(self, server: str = "prometheus") -> list[dict[str, Any]]:
        """Active targets of a Prometheus."""
        found: list[dict[str, Any]] = self._told(server, "targets?state=active")["activeTargets"]
        return found

    def groups(self, server: str = "prometheus") -> list[dict[str, Any]]:
        """Rule groups of a Prometheus, with health and time of the last evaluation."""
        found: list[dict[str, Any]] = self._told(server, "rules")["groups"]
        return found

    def alerts_of(self, server: str = "prometheus") -> list[dict[str, Any]]:
        """Alerts of a Prometheus, pending and firing."""
        found: list[dict[str, Any]] = self._told(server, "alerts")["alerts"]
        return found

    def firing(self, server: str = "prometheus") -> set[str]:
        """Names of the alerts that fire."""
        return {alert["labels"]["alertname"] for alert in self.alerts_of(server) if alert["state"] == "firing"}

    def notified(self) -> list[dict[str, Any]]:
        """Alerts that Alertmanager holds."""
        found: list[dict[str, Any]] = json.loads(fetch(f"{self.alertmanager}/api/v2/alerts", TIMEOUT))
        return found

    def told(self) -> list[dict[str, Any]]:
        """What people were told, newest first: `at`, `channel` (pagerduty, slack, mail, ...), `title` and `body`."""
        found: list[dict[str, Any]] = json.loads(fetch(self.url("inbox", "/messages"), TIMEOUT))
        return found

    def unsettled(self) -> list[str]:
        """Say what is still missing of a stack that runs as it should; empty when nothing is."""
        return list(self._missing())

    def _told(self, server: str, what: str) -> Any:
        return json.loads(fetch(self.url(server, f"/api/v1/{what}"), TIMEOUT))["data"]

    def _missing(self) -> Iterator[str]:
        for target in self.targets():
            if target["health"] != "up":
                yield f"target {target['labels']['job']} ({target['lastError'] or 'not scraped yet'})"
        for group in self.groups():
            for rule in group["rules"]:
                if rule["health"] != "ok":
                    yield f"rule {rule['name']} of {group['name']} ({rule['health']}: {rule.get('lastError', '')})"
        known = {series["metric"]["__name__"] for series in self.query('group by (__name__) ({__name__=~".+:.+"})')}
        for group in self.groups():
            for rule in group["rules"]:
                if rule["name"].endswith(AWAITED) and rule["name"] not in known:
                    yield f"samples of {rule['name']}"
        if not self.query(f'slo_watchdog_rollout_phase{{rollout="{self.rollout}",phase="ramping"}} == 1'):
            yield f"{self.rollout} to be ramping"
        if not self.query(f'slo_watchdog_flag_percent_actual{{rollout="{self.rollout}"}} > 0'):
            yield f"{self.rollout} to have taken a step"
