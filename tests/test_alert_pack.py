"""The alert pack is whole: generated from its sources, valid, documented, and every alert proved both ways."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import requests

from tests.alertpack import FILES, alerts, checks, key_of, read, rules
from tests.processes import run, wait_for
from tests.servers import PrometheusServer, binary, free_port
from watchdog.metrics import Metrics
from watchdog.rulebook import MARK, read_sources
from watchdog.rulebook.promql import number, span

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "rules.md"
FEWEST = 36
ALWAYS = "Watchdog"
"""It fires whatever happens: that is what it is for."""
IN_242 = {"name", "interval", "limit", "rules"}
"""The keys of a group that Prometheus 2.42 knows: query_offset and labels came later."""
SERVING = {"slo_watchdog_flag_answers_total", "slo_watchdog_flags_stale_seconds"}
ACTIVE = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
WORDS = {
    *("by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool", "offset"),
    *("sum", "avg", "min", "max", "group", "count"),
}


def metrics_of(expression: str) -> set[str]:
    """The names of metrics in an expression: no functions, words, labels, strings or durations."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|offset \w+|\b(by|on|ignoring|group_left|without)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"\b\d[\w.]*", " ", bare)
    called = set(re.findall(r"([A-Za-z_][A-Za-z0-9_]*)\s*\(", bare))
    return set(ACTIVE.findall(bare)) - called - WORDS


def test_the_rules_are_what_their_sources_say() -> None:
    done = run("rules", "generate", "--check", directory=ROOT)
    assert done.status == 0, done.out + done.err
    assert all(file.read_text().startswith(f"# {MARK}") for file in FILES)


def test_promtool_finds_nothing_to_object_to() -> None:
    command = [binary("promtool"), "check", "rules", "--lint=all", "--lint-fatal", *map(str, FILES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_used_that_came_after_prometheus_2_42() -> None:
    for file in FILES:
        for group in read(file)["groups"]:
            assert set(group) <= IN_242


def test_there_are_enough_alerts_in_three_severities() -> None:
    names = {rule["alert"] for rule in alerts()} - {ALWAYS}
    assert len(names) >= FEWEST
    assert {rule["labels"]["severity"] for rule in alerts() if rule["alert"] != ALWAYS} == {
        "critical",
        "warning",
        "info",
    }
    assert len({key_of(rule) for rule in alerts()}) == len(alerts())


def test_every_alert_says_what_it_means_what_to_do_first_and_where_to_read_on() -> None:
    for rule in alerts():
        said = rule["annotations"]
        assert said["summary"].endswith("."), rule["alert"]
        assert "{{" not in said["summary"], "a summary is the same for every firing: it groups them"
        assert "First: " in said["description"], rule["alert"]
        assert said["runbook_url"] == f"/runbooks/{rule['alert']}"
        assert said["dashboard_url"].startswith("/d/slo-"), rule["alert"]
        assert rule["labels"]["area"], rule["alert"]


def test_alerts_on_what_the_watchdog_does_itself_are_info_and_those_on_the_watchdog_page() -> None:
    severity = {rule["alert"]: rule["labels"]["severity"] for rule in alerts()}
    own = ("RolloutOnHold", "RolloutFlagDrift", "RolloutBreach", "RolloutRollingBack", "RolloutWindowReset")
    assert {severity[name] for name in own} == {"info"}
    meta = {rule["labels"]["severity"] for rule in alerts() if rule["labels"]["area"] == "meta"}
    assert meta == {"critical", "none"}


def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    found = checks()
    unproved = []
    for rule in alerts():
        about = [check for check in found if check.proves(rule)]
        if not any(check.fires for check in about):
            unproved.append((*key_of(rule), "never fires"))
        if not any(not check.fires for check in about) and rule["alert"] != ALWAYS:
            unproved.append((*key_of(rule), "is never silent"))
    assert unproved == []


def test_no_silent_test_is_silent_for_lack_of_data() -> None:
    recorded = {rule["record"]: metrics_of(rule["expr"]) for rule in rules() if "record" in rule}

    def reaches(names: set[str]) -> set[str]:
        deeper = {name for each in names for name in recorded.get(each, set())} - names
        return reaches(names | deeper) if deeper else names

    asked = {rule["alert"]: reaches(metrics_of(rule["expr"])) for rule in alerts()}
    for check in checks():
        given = {re.split(r"[{ ]", series["series"])[0] for series in check.test["input_series"]}
        if not check.fires and check.name != "SloThresholdMissing":
            assert given & asked[check.name], f"{check.file.name}: {check.name} at {check.at} has nothing of its own"


def test_no_check_names_an_alert_that_is_not_there() -> None:
    assert {check.name for check in checks()} <= {rule["alert"] for rule in alerts()}


def test_every_metric_is_recorded_exported_or_listed_as_expected() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    own = {sample.name for metric in Metrics().registry.collect() for sample in metric.samples}
    own |= {f"{metric.name}_total" for metric in Metrics().registry.collect() if metric.type == "counter"}
    own |= {metric.name for metric in Metrics().registry.collect()} | SERVING
    own |= {
        f"{metric.name}{part}"
        for metric in Metrics().registry.collect()
        if metric.type == "histogram"
        for part in ("_sum", "_count", "_bucket")
    }
    expected = set(re.findall(r"^\| `(\w+)`", PAGE.read_text(), re.MULTILINE))
    used = {name for rule in rules() for name in metrics_of(rule["expr"])}
    assert used - recorded - own - expected == set()
    assert {name for name in used if name.startswith("slo_watchdog_")} <= own


def test_every_threshold_of_an_alert_is_recorded_and_none_is_written_into_it() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    compared = {name for rule in alerts() for name in metrics_of(rule["expr"]) if name.startswith("slo:")}
    assert compared <= recorded
    missing = next(rule for rule in alerts() if rule["alert"] == "SloThresholdMissing")
    assert compared <= set(re.findall(r"absent\((slo:[\w:]+)", missing["expr"]))
    literal = re.compile(r"(?:[<>]=?|==)\s*(?:bool\s+)?(\d[\d.]*)")
    assert {number for rule in alerts() for number in literal.findall(rule["expr"])} <= {"0", "1"}


def test_a_real_prometheus_evaluates_every_rule_and_exports_what_is_asked_of_it(tmp_path: Path) -> None:
    for file in FILES:
        (tmp_path / file.name).write_text(re.sub(r"interval: \w+", "interval: 1s", file.read_text()))
    port = free_port()
    jobs = f"""
  - {{job_name: prometheus, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}
rule_files: ["{tmp_path}/*.yaml"]
"""
    with PrometheusServer(scrape_configs=jobs, scrape_interval="500ms", port=port) as server:

        def asked(path: str) -> Any:
            return requests.get(f"{server.url}/api/v1/{path}", timeout=10).json()["data"]

        def evaluated() -> list[dict[str, Any]] | None:
            found = [rule for group in asked("rules")["groups"] for rule in group["rules"]]
            return found if found and all(rule["health"] != "unknown" for rule in found) else None

        found = wait_for(evaluated, 60, lambda: "some rules were never evaluated")
        assert len(found) == len(list(rules()))
        assert [(rule["name"], rule["lastError"]) for rule in found if rule["health"] != "ok"] == []
        used = {name for rule in rules() for name in metrics_of(rule["expr"]) if name.startswith("prometheus_")}

        def exported() -> bool | None:
            return used <= set(asked("label/__name__/values")) or None

        assert wait_for(exported, 20, lambda: f"not all of {sorted(used)} are exported")


def test_the_page_lists_every_alert_under_its_area_and_no_other() -> None:
    rows = re.findall(r"^\| (\w+) \| (`[A-Z].*) \|$", PAGE.read_text(), re.MULTILINE)
    listed = {(area, name) for area, names in rows for name in re.findall(r"`(\w+)`", names)}
    assert listed == {(rule["labels"]["area"], rule["alert"]) for rule in alerts()}


def test_the_page_shows_the_burns_of_the_windows_file() -> None:
    def spaced(seconds: int) -> str:
        return re.sub(r"^(\d+)(\w)$", r"\1 \2", span(seconds)).replace(" m", " min")

    shown = [
        f"| {spaced(budget.period)} | {burn.severity} | {spaced(burn.long)} | {spaced(burn.short)} "
        f"| {number(burn.budget * 100)} % | {number(budget.factor(burn))} |"
        for budget in read_sources().windows.budgets
        for burn in budget.burns
    ]
    assert [row for row in shown if row not in PAGE.read_text()] == []
