"""Every metric and label that the shipped rules, dashboards and objectives name is really exported by the stack."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.stack.running import Found, Stack

ROOT = Path(__file__).parents[2]
WITHIN = 180.0
KNOWN = {
    # A panel that shows as much of 30 days as Prometheus holds; it keeps 15 unless told otherwise.
    "retention": "deploy/grafana/dashboards/",
    # What is there only after an event may have turned up by the time this is asked.
    "idle-waiver": "lint.yaml",
}
"""Warnings that are no news: check -> how the place begins."""


RECORDED_WITHIN = 600.0
"""Seconds: recordings of days, every four minutes, read those of five minutes, which come every five."""
NOT_YET = "whether it is loaded and evaluated"


@pytest.fixture(scope="module")
def linted(stack: Stack | Found) -> dict[str, Any]:
    """What the command says of the stack, run in the repository as CI does."""
    command = [sys.executable, "-m", "watchdog", "rules", "lint", "--online", "--json", "--config", str(stack.config)]
    until = time.monotonic() + RECORDED_WITHIN
    while True:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=WITHIN, check=False)
        assert done.stdout, done.stderr
        found = dict(json.loads(done.stdout))
        if time.monotonic() > until or not any(NOT_YET in one["message"] for one in found["findings"]):
            return found


def said(linted: dict[str, Any], severity: str) -> list[str]:
    return [
        f"{one['check']}: {one['place']}: {one['message']}"
        for one in linted["findings"]
        if one["severity"] == severity
        and not (severity == "warning" and one["place"].startswith(KNOWN.get(one["check"], "-")))
    ]


def test_every_metric_and_label_that_is_named_is_exported(linted: dict[str, Any]) -> None:
    assert said(linted, "error") == []
    assert linted["clean"] is True


def test_nothing_else_is_odd(linted: dict[str, Any]) -> None:
    assert said(linted, "warning") == []


def test_everything_shipped_was_looked_at(linted: dict[str, Any], stack: Stack | Found) -> None:
    named = {one["metric"]: one["named_in"] for one in linted["metrics"]}
    places = {place.partition(":")[0] for many in named.values() for place in many}
    boards = {str(path.relative_to(ROOT)) for path in ROOT.glob("deploy/grafana/dashboards/*.json")}
    rules = {str(path.relative_to(ROOT)) for path in ROOT.glob("rules/prometheus/*.yaml")} - {
        "rules/prometheus/thresholds.yaml"  # names no metric
    }
    assert boards
    assert boards | rules <= places
    assert any(place.startswith("rollout ") for place in named["http_requests_total"])
    for metric in {one["metric"] for one in linted["metrics"] if not one["recorded"]} - set(linted["waivers"]):
        assert stack.query(f"count(present_over_time({{__name__={json.dumps(metric)}}}[6h]))"), metric
