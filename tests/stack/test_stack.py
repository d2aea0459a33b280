"""What `make stack` starts works together: everything is scraped, every rule is evaluated, and nothing is wrong."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.alertpack import FILES
from tests.processes import wait_for
from tests.stack.running import Asking

JOBS = {
    "prometheus": {
        *("shop", "load", "blackbox", "watchdog", "alertmanager", "prometheus", "prometheus-second"),
        *("node", "blackbox-exporter"),
    },
    "prometheus-second": {"prometheus", "prometheus-second", "alertmanager", "watchdog"},
}
OF_THIS_MACHINE = {"HostCpuBusy", "HostDiskNearFull", "HostMemoryNearFull"}
"""Alerts that tell of the machine that the tests run on, not of the stack."""
DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("server", JOBS)
def test_every_target_is_up_and_says_its_environment(stack: Asking, server: str) -> None:
    found = {target["labels"]["job"]: target for target in stack.targets(server)}
    assert set(found) == JOBS[server]
    for job, target in found.items():
        assert target["health"] == "up", f"{job}: {target['lastError']}"
        assert target["labels"]["environment"] == "demo"


@pytest.mark.parametrize("server", JOBS)
def test_every_rule_of_every_file_is_loaded_and_evaluated_without_error(stack: Asking, server: str) -> None:
    shipped = {
        (file.name, group["name"]): [rule.get("alert") or rule["record"] for rule in group["rules"]]
        for file in FILES
        for group in yaml.safe_load(file.read_text())["groups"]
    }
    loaded = {(Path(group["file"]).name, group["name"]): group for group in stack.groups(server)}
    assert {key: [rule["name"] for rule in group["rules"]] for key, group in loaded.items()} == shipped
    unwell = [
        f"{rule['name']}: {rule['health']} {rule.get('lastError', '')}"
        for group in loaded.values()
        for rule in group["rules"]
        if rule["health"] != "ok"
    ]
    assert not unwell


def test_no_evaluation_has_failed_or_was_missed_since_the_start(stack: Asking) -> None:
    for counter in ("rule_evaluation_failures", "rule_group_iterations_missed"):
        bad = stack.query(f"prometheus_{counter}_total > 0")
        assert not bad, bad
        assert stack.query(f"prometheus_{counter}_total"), f"{counter} is not exported"


def test_no_notification_is_dropped_once_alertmanager_is_found(stack: Asking) -> None:
    """Before that, in its first seconds, a Prometheus drops what fires already."""
    quiet = stack.query("increase(prometheus_notifications_dropped_total[1m]) == 0")
    assert {series["metric"]["job"] for series in quiet} == {"prometheus", "prometheus-second"}


def test_every_metric_that_the_docs_ask_for_is_exported(stack: Asking) -> None:
    page = (DOCS / "rules.md").read_text(encoding="utf-8").partition("## What has to be exported")[2]
    asked = re.findall(r"^\| `(\w+)` \|", page.partition("\n## ")[0], re.MULTILINE)
    assert len(asked) > 20
    assert [name for name in asked if not stack.query(f"count({name}) > 0")] == []


def test_the_shop_exports_every_label_that_alerts_and_objectives_ask_it_for(stack: Asking) -> None:
    for series in (
        'http_requests_total{job="shop",code=~"5..",variant="on"}',
        'http_requests_total{job="shop",code="401"} > 0',
        'http_requests_total{job="shop",code="403"} > 0',
        'http_request_duration_seconds_bucket{job="shop",le="0.2"} > 0',
        'auth_attempts_total{job="shop",result="failed"} > 0',
        'auth_attempts_total{job="shop",result="succeeded"} > 0',
        'prompt_injection_detections_total{job="shop"} == 0',
        'increase(service_spend_total{job="shop"}[1m]) > 0',
        'service_spend_daily_budget{job="shop"} > 0',
        'smoke_tests_total{job="shop",result="passed"} > 0',
        'process_open_fds{job="shop"} / process_max_fds{job="shop"} < 0.5',
        'probe_success{job="blackbox",instance="shop"} == 1',
    ):
        assert stack.query(series), f"{series} has no sample"


def test_the_watchdog_alert_reaches_alertmanager_and_from_there_both_who_wait_for_it(stack: Asking) -> None:
    def arrived() -> bool | None:
        names = {alert["labels"]["alertname"] for alert in stack.notified() if alert["status"]["state"] == "active"}
        told = {message["channel"] for message in stack.told() if "Watchdog" in message["title"]}
        heard = stack.query('slo_watchdog_alerts_last_heard_timestamp_seconds{source="alertmanager"} > 0')
        return ("Watchdog" in names and "dead-mans-switch" in told and bool(heard)) or None

    wait_for(arrived, 60, lambda: f"Alertmanager has {stack.notified()}, people were told {stack.told()}")


@pytest.mark.parametrize("server", JOBS)
def test_nothing_but_the_watchdog_alert_fires_while_all_is_well(stack: Asking, server: str) -> None:
    assert stack.firing(server) - OF_THIS_MACHINE == {"Watchdog"}


def test_each_prometheus_watches_the_other(stack: Asking) -> None:
    """An alert about the end of the one can only come from the other."""
    by_job = {series["metric"]["job"] for series in stack.query("prometheus_build_info")}
    assert by_job == {"prometheus", "prometheus-second"}
    jobs = {target["labels"]["job"]: target["scrapeUrl"] for target in stack.targets("prometheus-second")}
    assert jobs["prometheus"] == stack.url("prometheus", "/metrics")


@pytest.mark.parametrize("server", ["watchdog", "shop", "load"])
def test_the_metrics_are_written_as_prometheus_wants_them(stack: Asking, server: str) -> None:
    from stage import fetch  # noqa: PLC0415 - found by tests.stack.running

    promtool = shutil.which("promtool")
    assert promtool, "promtool is not on PATH: apt-get install prometheus"
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=fetch(stack.url(server, "/metrics")),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
