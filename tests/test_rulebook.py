"""Rules out of objectives: what is derived, what is refused, and what a directory of one's own changes."""

from __future__ import annotations

import json
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.processes import Finished, run
from tests.servers import binary
from watchdog.errors import ConfigError
from watchdog.model import STANDARD_OBJECTIVES
from watchdog.rolloutfile.standard import needs_labels, standard_objective, with_labels
from watchdog.rulebook import Links, differences, generate, left_out, read_sources, write
from watchdog.rulebook.promql import as_rate, bucket, filled, leveled, number, span

BY = ("environment", "job")
OWN = """
name: checkout_errors
bad: sum(increase(checkouts_total{result="failed"}[$range]))
total: sum(increase(checkouts_total[$range]))
at_most: 1%
rules: {}
"""


def objective(directory: Path, text: str, name: str = "checkout_errors") -> Path:
    """A directory of sources with one objective of one's own."""
    (directory / "objectives").mkdir(exist_ok=True)
    (directory / "objectives" / f"{name}.yaml").write_text(text)
    return directory


def made(directory: Path | None = None, links: Links | None = None) -> dict[str, list[dict[str, Any]]]:
    """The rules of each file."""
    files = generate(read_sources(directory), links or Links())
    return {
        name: [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
        for name, text in files.items()
    }


def record(rules: list[dict[str, Any]], name: str, **labels: str) -> str:
    found = [
        rule["expr"]
        for rule in rules
        if rule.get("record") == name and labels.items() <= dict(rule.get("labels", {})).items()
    ]
    assert len(found) == 1, (name, found)
    return str(found[0])


def problems(directory: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_sources(directory)
    return str(caught.value)


# --- expressions ----------------------------------------------------------------------------------------------------


def test_a_sum_becomes_one_by_the_labels_and_a_quoted_sum_stays() -> None:
    query = 'sum(increase(x{$labels,path="sum(a)"}[$range])) - sum (rate(y{$labels}[$range]))'
    assert leveled(query, BY) == (
        'sum by (environment, job) (increase(x{path="sum(a)"}[$range])) - sum by (environment, job) (rate(y[$range]))'
    )


@pytest.mark.parametrize(
    "query", ["max(x[$range])", "sum by (code) (x)", "sum(x) or vector(0)", "x - y", "count without (a) (sum(x))"]
)
def test_what_would_be_another_sum_for_each_label_is_refused(query: str) -> None:
    with pytest.raises(ValueError, match="recorded by environment, job"):
        leveled(query, BY)


def test_only_increases_become_rates() -> None:
    assert as_rate('sum(increase(x{a="increase("}[5m]))') == ('sum(rate(x{a="increase("}[5m]))', True)
    assert as_rate("sum(count_over_time(x[5m]))") == ("sum(count_over_time(x[5m]))", False)


def test_ranges_are_named_as_people_say_them() -> None:
    named = ["5m", "30m", "1h", "6h", "1d", "48h", "3d", "30d", "90s"]
    assert [span(seconds) for seconds in (300, 1800, 3600, 21600, 86400, 172800, 259200, 2592000, 90)] == named


def test_numbers_are_exact() -> None:
    assert [number(Decimal(text)) for text in ("0.0144", "1E+3", "0.10", "24")] == ["0.0144", "1000", "0.1", "24"]


def test_a_bucket_is_known_only_if_there_is_one() -> None:
    assert bucket('a{le="+Inf"} - b{le="0.2"}') == Decimal("0.2")
    assert bucket('a{le="0.1"} - b{le="0.2"}') is None


def test_a_parameter_that_nobody_knows_is_named() -> None:
    assert filled("[$a] ${b}", {"a": "1h", "b": "2"}) == "[1h] 2"
    with pytest.raises(ValueError, match=r"uses \$c"):
        filled("$c", {"a": ""})


# --- the shipped rules ----------------------------------------------------------------------------------------------


def test_thresholds_are_those_of_the_objectives_that_rollouts_use() -> None:
    thresholds = made()["thresholds.yaml"]
    assert record(thresholds, "slo:objective:ratio", objective="error_rate") == "vector(0.999)"
    assert record(thresholds, "slo:objective:ratio", objective="latency_p95") == "vector(0.95)"
    assert record(thresholds, "slo:latency:seconds", objective="latency_p95") == "vector(0.2)"
    assert record(thresholds, "slo:error_budget:ratio", objective="test_pass_rate") == "vector(0.02)"
    assert (
        record(thresholds, "slo:burn_limit:ratio", objective="error_rate", budget="30d", long="1h") == "vector(0.0144)"
    )
    assert record(thresholds, "slo:saturation:ratio") == "vector(0.9)"


def test_the_generator_reads_every_standard_objective_and_a_rollout_sees_nothing_of_it() -> None:
    judged = {indicator.name for indicator in read_sources().indicators}
    assert judged == {name for name in STANDARD_OBJECTIVES if needs_labels(standard_objective(name))}
    assert all("rules" not in standard_objective(name) for name in STANDARD_OBJECTIVES)


@pytest.mark.parametrize("name", ["error_rate", "latency_p95", "availability", "test_pass_rate"])
def test_what_is_recorded_for_a_job_is_what_a_rollout_would_ask(name: str, tmp_path: Path) -> None:
    """promtool evaluates both, the recording and the objective's own queries, over the same series."""
    indicator = next(one for one in read_sources().indicators if one.name == name)
    labels = {"job": "shop", **({"instance": "a"} if "instance" in indicator.by else {})}
    asked = with_labels(standard_objective(name), labels)
    own = f"({asked['bad']}) / ({asked['total']})".replace("$range", "5m")
    ratio = next(
        rule["record"]
        for rule in made()["objectives.yaml"]
        if rule["record"].endswith(f"{indicator.bad_name}_per_{indicator.total_name}:ratio_rate5m")
    )
    series = [
        ('http_requests_total{job="shop",code="200"}', "0+90x20"),
        ('http_requests_total{job="shop",code="500"}', "0+3x20"),
        ('http_requests_total{job="other",code="500"}', "0+50x20"),
        *((f'http_request_duration_seconds_bucket{{job="shop",le="{le}"}}', f"0+{up}x20") for le, up in BUCKETS),
        ('smoke_tests_total{job="shop",result="passed"}', "0+40x20"),
        ('smoke_tests_total{job="shop",result="failed"}', "0+2x20"),
        ('probe_success{job="shop",instance="a"}', "1 1 0 1 1 0 1 1 0 1 1 0 1 1 0 1 1 0 1"),
        ('probe_success{job="shop",instance="b"}', "0x20"),
    ]
    matchers = ",".join(f'{key}="{value}"' for key, value in labels.items())
    test = {
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series],
        "promql_expr_test": [
            {
                "expr": f"abs(sum({ratio}{{{matchers}}}) - ({own})) < bool 1e-9",
                "eval_time": "15m",
                "exp_samples": [{"labels": "{}", "value": 1}],
            }
        ],
    }
    write(generate(read_sources(), Links()), tmp_path)
    document = {"rule_files": ["thresholds.yaml", "objectives.yaml"], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "test.json").write_text(json.dumps(document))
    command = [binary("promtool"), "test", "rules", "test.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


BUCKETS = (("0.1", 60), ("0.2", 80), ("0.4", 93), ("+Inf", 93))


def test_a_burn_that_can_never_happen_is_left_out_and_said() -> None:
    (said,) = left_out(read_sources())
    assert said.startswith("latency_p95 has no critical alert for 50% of the 48h budget within 1h")
    assert said.endswith("that is 24 times 5%, more than all events")


def test_absent_data_is_told_when_the_fastest_page_would_have_come() -> None:
    held = {rule["alert"]: rule["for"] for rule in made()["budgets.yaml"] if rule["alert"].endswith("DataAbsent")}
    assert held == {
        "AvailabilityDataAbsent": "5m",
        "ErrorRateDataAbsent": "5m",
        "LatencyDataAbsent": "44m",
        "TestPassRateDataAbsent": "18m",
    }


def test_the_same_sources_give_the_same_bytes() -> None:
    assert generate(read_sources(), Links()) == generate(read_sources(), Links())


def test_links_stand_below_the_bases_that_were_given() -> None:
    links = Links("https://wiki.example.com/slo/", "https://grafana.example.com/d")
    for rule in made(links=links)["meta.yaml"]:
        assert rule["annotations"]["runbook_url"] == f"https://wiki.example.com/slo/{rule['alert']}"
        assert rule["annotations"]["dashboard_url"].startswith("https://grafana.example.com/d/slo-")


# --- sources of one's own -------------------------------------------------------------------------------------------


def test_an_objective_of_ones_own_joins_the_shipped_ones(tmp_path: Path) -> None:
    rules = made(objective(tmp_path, OWN))
    expected = "sum by (environment, job) (rate(checkouts_total[5m]))"
    assert record(rules["objectives.yaml"], "environment_job:checkout_errors_events:rate5m") == expected
    names = {rule["alert"] for rule in rules["budgets.yaml"]}
    assert {"CheckoutErrorsBudgetBurn", "CheckoutErrorsDataAbsent", "ErrorRateBudgetBurn"} <= names


def test_a_file_of_the_same_name_replaces_and_one_without_rules_takes_away(tmp_path: Path) -> None:
    objective(tmp_path, OWN.replace("checkout_errors", "error_rate"), "error_rate")
    text = (tmp_path / "objectives" / "error_rate.yaml").read_text()
    thresholds = made(tmp_path)["thresholds.yaml"]
    assert record(thresholds, "slo:objective:ratio", objective="error_rate") == "vector(0.99)"
    objective(tmp_path, text.replace("rules: {}", ""), "error_rate")
    assert "ErrorRateBudgetBurn" not in {rule["alert"] for rule in made(tmp_path)["budgets.yaml"]}


def test_a_value_gets_a_limit_and_an_alert(tmp_path: Path) -> None:
    text = "name: queue\nvalue: max(queue_length)\nbelow: 100\nrules: {by: [], labels: {service: mail}}\n"
    rules = made(objective(tmp_path, text, "queue"))
    assert record(rules["objectives.yaml"], "service:queue:value") == "max(queue_length)"
    assert record(rules["thresholds.yaml"], "slo:objective:value", objective="queue") == "vector(100)"
    missed = next(rule for rule in rules["budgets.yaml"] if rule["alert"] == "QueueMissed")
    assert missed["expr"] == 'service:queue:value >= scalar(slo:objective:value{objective="queue"})'


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("sum(increase(checkouts_total[$range]))", "max(checkouts_total)"), "aggregates with something else than sum"),
        (("$range", "$window"), "unknown parameter '$window'"),
        (("checkouts_total{", "checkouts_total{$cohort,"), "uses $cohort, which is a rollout's"),
        (("at_most: 1%", "at_most: 0"), "there is no budget that could burn"),
        (("at_most: 1%", "at_most: 1%\nbelow: 2%"), "has 2 targets"),
        (("rules: {}", "rules: {by: []}"), "nothing tells whose series they are"),
        (("rules: {}", "rules: {labels: {service: x}}"), "write by: [] too"),
        (("rules: {}", "rules: {bye: [job]}"), "did you mean 'by'"),
        (("rules: {}", "rules: {service: pod}"), "none of environment, job"),
        (("rules: {}", "rules: {alert: checkout}"), "first word of alerts' names"),
    ],
)
def test_a_source_that_is_wrong_is_refused_with_its_place(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    found = problems(objective(tmp_path, OWN.replace(*change)))
    assert said in found
    assert str(tmp_path / "objectives" / "checkout_errors.yaml") in found


def test_windows_and_alerts_that_are_wrong_are_refused_all_at_once(tmp_path: Path) -> None:
    burn = "{severity: page, budget: 2%, long: 7m, short: 5m}"
    (tmp_path / "windows.yaml").write_text(f"budgets: [{{period: 30d, burns: [{burn}]}}]\n")
    (tmp_path / "alerts").mkdir()
    alert = "{alert: A b, expr: up, severity: critical, summary: no stop, description: What it is.}"
    (tmp_path / "alerts" / "own.yaml").write_text(f"area: own\ndashboard: d\nalerts: [{alert}]\n")
    found = problems(tmp_path)
    for said in (
        "found 'page', expected critical or warning or info",
        "expected a multiple of 5m",
        "a name in CamelCase",
        "does not end with a full stop",
        "does not say what to do first",
    ):
        assert said in found


def test_a_threshold_that_nobody_wrote_is_named(tmp_path: Path) -> None:
    (tmp_path / "alerts").mkdir()
    alert = "{alert: Own, expr: 'up[$later]', severity: info, summary: A., description: 'A. First: b.'}"
    (tmp_path / "alerts" / "own.yaml").write_text(f"area: own\ndashboard: d\nalerts: [{alert}]\n")
    with pytest.raises(ConfigError, match=r"Own: uses \$later"):
        generate(read_sources(tmp_path), Links())


# --- the command ----------------------------------------------------------------------------------------------------


def rules_command(directory: Path, *arguments: str) -> Finished:
    return run("rules", *arguments, directory=directory)


def test_the_command_writes_checks_and_removes_what_is_generated_no_more(tmp_path: Path) -> None:
    assert rules_command(tmp_path, "generate", "--check").status == 1
    assert rules_command(tmp_path, "generate").status == 0
    assert rules_command(tmp_path, "generate", "--check").status == 0
    out = tmp_path / "rules" / "prometheus"
    (out / "mine.yaml").write_text("groups: []\n")
    (out / "gone.yaml").write_text((out / "cost.yaml").read_text())
    (out / "cost.yaml").write_text((out / "cost.yaml").read_text().replace("24h", "12h"))
    checked = rules_command(tmp_path, "generate", "--check")
    assert checked.status == 1
    assert "cost.yaml is not what its sources say" in checked.err
    assert "gone.yaml is generated by nothing any more" in checked.err
    assert "mine.yaml" not in checked.err
    assert rules_command(tmp_path, "generate").status == 0
    assert (out / "mine.yaml").exists()
    assert not (out / "gone.yaml").exists()
    assert differences(generate(read_sources(), Links()), out) == []


def test_the_command_refuses_a_directory_that_is_not_there(tmp_path: Path) -> None:
    done = rules_command(tmp_path, "generate", "--from", "nowhere")
    assert (done.status, "there is no directory nowhere" in done.err) == (2, True)
