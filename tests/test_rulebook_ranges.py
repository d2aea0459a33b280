"""What long ranges are made of, how often rules are evaluated, and what is left out because it only costs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.test_rulebook import OWN, made, objective, problems, record
from watchdog.rulebook import Links, generate, read_sources
from watchdog.rulebook.promql import everywhere

BAD, TOTAL, SHARE = (
    "environment_job:http_request_errors",
    "environment_job:http_requests",
    "environment_job:http_request_errors_per_http_requests:ratio_rate",
)


def then(series: str, ago: str) -> str:
    """What was recorded of the day that ended so long ago."""
    return f"(last_over_time({series}:increase1d[1h] offset {ago}) or 0 * {series}:increase1d)"


def windows(directory: Path, *burns: str, memory: str = "1d") -> Path:
    """A directory of sources with other burns."""
    written = ", ".join(f"{{severity: {burn}}}" for burn in burns)
    text = f"budgets: [{{period: 30d, burns: [{written}]}}]\nabsent_memory: {memory}\n"
    (directory / "windows.yaml").write_text(text)
    return directory


def groups(directory: Path | None = None) -> dict[str, dict[str, Any]]:
    """Every group of the pack by its name."""
    files = generate(read_sources(directory), Links())
    return {group["name"]: group for text in files.values() for group in yaml.safe_load(text)["groups"]}


def names_in(group: dict[str, Any]) -> set[str]:
    return {rule.get("record") or rule["alert"] for rule in group["rules"]}


# --- days -----------------------------------------------------------------------------------------------------------


def test_a_day_is_summed_once_and_several_are_put_together_from_it() -> None:
    rules = made()["objectives.yaml"]
    for series in (BAD, TOTAL):
        assert record(rules, f"{series}:increase1d") == f"sum_over_time({series}:increase5m[1d])"
    assert record(rules, f"{BAD}:increase48h") == f"{BAD}:increase1d\n+ {then(BAD, '1d')}"
    assert record(rules, f"{BAD}:increase3d") == f"{BAD}:increase48h\n+ {then(BAD, '48h')}"
    assert record(rules, f"{SHARE}1d") == f"{BAD}:increase1d\n/ ({TOTAL}:increase1d > 0)"
    two = f"{TOTAL}:increase1d\n+ {then(TOTAL, '1d')}"
    assert record(rules, f"{SHARE}48h") == f"{BAD}:increase48h\n/ ({two} > 0)"
    assert record(rules, f"{SHARE}3d") == f"{BAD}:increase3d\n/ ({two}\n+ {then(TOTAL, '48h')} > 0)"


def test_days_of_ones_own_windows_are_put_together_too_and_other_ranges_are_summed(tmp_path: Path) -> None:
    burns = ("warning, budget: 50%, long: 4d, short: 48h", "warning, budget: 20%, long: 36h, short: 2h")
    rules = made(windows(tmp_path, *burns))["objectives.yaml"]
    assert record(rules, f"{BAD}:increase1d") == f"sum_over_time({BAD}:increase5m[1d])"
    assert record(rules, f"{BAD}:increase48h") == f"{BAD}:increase1d\n+ {then(BAD, '1d')}"
    assert record(rules, f"{BAD}:increase4d") == f"{BAD}:increase48h\n+ {then(BAD, '48h')}\n+ {then(BAD, '3d')}"
    assert record(rules, f"{BAD}:increase36h") == f"sum_over_time({BAD}:increase5m[36h])"
    summed = f"sum_over_time({BAD}:increase5m[2h])\n/ (sum_over_time({TOTAL}:increase5m[2h]) > 0)"
    assert record(rules, f"{SHARE}2h") == summed


@pytest.mark.parametrize(
    ("memory", "read"),
    [
        ("1d", f"last_over_time({TOTAL}:increase1d[10m])"),
        ("12h", f"present_over_time({TOTAL}:increase5m[12h])"),
        ("3d", f"present_over_time({TOTAL}:increase5m[3d])"),
    ],
)
def test_data_of_a_day_is_remembered_by_its_recording_and_another_memory_is_scanned(
    tmp_path: Path, memory: str, read: str
) -> None:
    rules = made(windows(tmp_path, "critical, budget: 2%, long: 1h, short: 5m", memory=memory))
    absent = next(rule["expr"] for rule in rules["budgets.yaml"] if rule["alert"] == "ErrorRateDataAbsent")
    assert absent == f"group by (environment, job) ({read})\nunless on (environment, job) {TOTAL}:rate5m"
    assert record(rules["objectives.yaml"], f"{TOTAL}:increase1d")


# --- how often ------------------------------------------------------------------------------------------------------


def test_what_pages_for_an_hour_comes_each_minute_and_the_rest_later() -> None:
    found = groups()
    assert {f"{SHARE}5m", f"{BAD}:increase1h", f"{SHARE}1h"} <= names_in(found["error_rate now"])
    assert {f"{SHARE}30m", f"{SHARE}6h", "slo:current_burn_rate:ratio"} <= names_in(found["error_rate hours"])
    shown = names_in(found["latency_p95 shown"])
    assert "environment_job:http_request_duration_seconds:p95_rate5m" in shown
    intervals = {name.split()[-1]: group["interval"] for name, group in found.items() if "latency_p95" in name}
    assert intervals == {"now": "1m", "minutes": "5m", "hours": "2m", "days": "4m", "shown": "4m"}


def test_a_short_range_that_somebody_is_paged_for_within_an_hour_comes_each_minute(tmp_path: Path) -> None:
    found = groups(windows(tmp_path, "critical, budget: 2%, long: 1h, short: 30m"))
    assert f"{SHARE}30m" in names_in(found["error_rate now"])
    found = groups(windows(tmp_path, "warning, budget: 2%, long: 1h, short: 30m"))
    assert {f"{SHARE}30m", f"{SHARE}1h"} <= names_in(found["error_rate hours"])


def test_what_is_read_at_an_instant_is_there_when_prometheus_looks_back_five_minutes() -> None:
    found = groups()
    slow = {
        name
        for group in found.values()
        if group["interval"] not in {"1m", "2m", "4m", "30s"}
        for name in names_in(group)
    }
    assert slow
    for group in found.values():
        for rule in group["rules"]:
            for name in slow:
                assert not re.search(rf"\b{name}\b(?!\[)", rule["expr"]), f"{rule} reads {name} at an instant"


def test_an_alert_may_have_an_interval_of_its_own(tmp_path: Path) -> None:
    def alert(name: str, interval: str) -> str:
        said = f"alert: {name}, expr: up, severity: info, summary: A., description: 'A. First: b.'"
        return f"{{{said}, interval: {interval}}}"

    (tmp_path / "alerts").mkdir()
    written = ", ".join((alert("Soon", "60s"), alert("Later", "2m"), alert("LaterToo", "120s")))
    (tmp_path / "alerts" / "own.yaml").write_text(f"area: own\ndashboard: d\ninterval: 60s\nalerts: [{written}]\n")
    found = {
        name: (group["interval"], names_in(group)) for name, group in groups(tmp_path).items() if name[:3] == "own"
    }
    assert found == {"own alerts": ("1m", {"Soon"}), "own alerts each 2m": ("2m", {"Later", "LaterToo"})}
    (tmp_path / "alerts" / "own.yaml").write_text(f"area: own\ndashboard: d\nalerts: [{alert('Never', 'soon')}]\n")
    assert "own.yaml: alerts[0].interval: found 'soon'" in problems(tmp_path)


def test_outages_and_attacks_are_looked_for_each_minute_and_what_may_wait_is_not() -> None:
    found = groups()
    assert names_in(found["service alerts"]) == {"ServiceDown", "ServiceTrafficGone"}
    assert found["service alerts"]["interval"] == "1m"
    severity = {rule["labels"]["severity"] for rule in found["service alerts each 2m"]["rules"]}
    assert severity == {"warning"}
    assert names_in(found["security alerts"]) == {"AuthFailuresHigh", "PromptInjectionDetected"}


# --- zeros ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ("sum(a) - (sum(b) or 0 * sum(a))", True),
        ("sum(a)\n  - (max(sum(b), 1)\n  or 0 * sum(a))", True),
        ("sum(a) - sum(b)", False),
        ("sum(a) - (sum(b) or 0 * sum(c))", False),
        ("sum(a) - (sum(b)) * (sum(c) or 0 * sum(a))", False),
        ('sum(a) - (sum(b{c=")"}) or 0 * sum(a))', True),
    ],
)
def test_bad_events_that_are_there_wherever_all_events_are_need_no_zeros(bad: str, expected: bool) -> None:  # noqa: FBT001
    assert everywhere(bad, "sum(a)") is expected


def test_zeros_are_filled_in_once(tmp_path: Path) -> None:
    rules = made(objective(tmp_path, OWN))["objectives.yaml"]
    slow = record(rules, "environment_job:slow_http_requests:rate5m")
    assert slow.count("or 0 * environment_job:timed_http_requests:rate5m") == 1
    own = record(rules, "environment_job:checkout_errors_bad_events:rate5m")
    assert own.endswith("\nor 0 * environment_job:checkout_errors_events:rate5m")
