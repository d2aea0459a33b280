"""OpenSLO v1 is read, or refused by name; what was imported is an objective of a rollout and gives rules."""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.processes import run
from tests.servers import binary
from watchdog.errors import ConfigError
from watchdog.model import Kind
from watchdog.rolloutfile import DaemonFacts, parse_rollout
from watchdog.rulebook import Imported, Links, generate, import_openslo, read_sources, write

GOOD = 'sum(rate(http_requests_total{code!~"5.."}[{{.window}}]))'
TOTAL = "sum(rate(http_requests_total[{{ window }}]))"


def source(query: str, kind: str = "Prometheus") -> dict[str, Any]:
    return {"metricSource": {"type": kind, "spec": {"query": query}}}


def slo(**spec: Any) -> dict[str, Any]:
    indicator = {"metadata": {"name": "i"}, "spec": {"ratioMetric": {"good": source(GOOD), "total": source(TOTAL)}}}
    return {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {"name": "checkout", "labels": {"team": ["a"]}},
        "spec": {
            "service": "shop",
            "indicator": indicator,
            "budgetingMethod": "Occurrences",
            "objectives": [{"target": 0.999}],
            **spec,
        },
    }


def imported(path: Path, *documents: dict[str, Any]) -> list[Imported]:
    file = path / "slo.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    return import_openslo(file)


def keys(one: Imported) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(one.text)
    return found


def refused(path: Path, *documents: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        imported(path, *documents)
    return str(caught.value)


def threshold(op: str = "lt", value: float = 0.2, target: float = 0.95) -> dict[str, Any]:
    metric = source("histogram_quantile(0.95, sum by (le) (rate(d_bucket[5m])))")
    return slo(
        indicator={"metadata": {"name": "i"}, "spec": {"thresholdMetric": metric}},
        objectives=[{"op": op, "value": value, "target": target}],
    )


def test_good_of_total_becomes_bad_of_total_and_rates_become_counts(tmp_path: Path) -> None:
    (one,) = imported(tmp_path, slo())
    total = "sum(increase(http_requests_total[$range]))"
    good = 'sum(increase(http_requests_total{code!~"5.."}[$range]))'
    assert keys(one) == {
        "name": "checkout",
        "bad": f"({total}) - (({good}) or 0 * ({total}))",
        "total": total,
        "at_least": "99.9%",
        "rules": {"by": [], "labels": {"service": "shop"}},
    }


def test_a_bare_counter_gets_its_increase(tmp_path: Path) -> None:
    ratio = {"counter": True, "bad": source('e{a="b"}'), "total": source("sum(n)")}
    (one,) = imported(tmp_path, slo(indicator={"spec": {"ratioMetric": ratio}}))
    assert keys(one)["bad"] == 'sum(increase(e{a="b"}[$range]))'
    assert keys(one)["total"] == "sum(increase(n[$range]))"


def test_references_within_the_file_are_followed(tmp_path: Path) -> None:
    ratio = {"good": {"metricSource": {"metricSourceRef": "main", "spec": {"query": GOOD}}}, "total": source(TOTAL)}
    sli = {"apiVersion": "openslo/v1", "kind": "SLI", "metadata": {"name": "i"}, "spec": {"ratioMetric": ratio}}
    data = {"apiVersion": "openslo/v1", "kind": "DataSource", "metadata": {"name": "main"}, "spec": {"type": "Thanos"}}
    document = slo(indicatorRef="i")
    del document["spec"]["indicator"]
    assert keys(imported(tmp_path, document, sli, data)[0])["at_least"] == "99.9%"
    assert "a DataSource that is not in this file" in refused(tmp_path, document, sli)
    assert "an SLI that is not in this file" in refused(tmp_path, document)


def test_several_objectives_become_several_files(tmp_path: Path) -> None:
    found = imported(tmp_path, slo(objectives=[{"target": 0.99}, {"targetPercent": 99.5, "op": "gt"}]))
    assert [(one.name, keys(one)["at_least"]) for one in found] == [("checkout-1", "99%"), ("checkout-2", "99.5%")]


@pytest.mark.parametrize(("op", "key"), [("lt", "below"), ("lte", "at_most"), ("gt", "above"), ("gte", "at_least")])
def test_a_threshold_becomes_a_value(tmp_path: Path, op: str, key: str) -> None:
    (one,) = imported(tmp_path, threshold(op))
    assert keys(one)[key] == "0.2"
    assert "value" in keys(one)
    assert any("is of time" in note for note in one.notes)


@pytest.mark.parametrize(("kind", "key", "limit"), [("success", "at_least", "0.999"), ("failure", "at_most", "0.001")])
def test_a_ratio_that_is_computed_already_is_a_value(tmp_path: Path, kind: str, key: str, limit: str) -> None:
    raw = {"rawType": kind, "raw": source("shop:errors:ratio")}
    (one,) = imported(tmp_path, slo(indicator={"spec": {"ratioMetric": raw}}))
    assert keys(one)[key] == limit


def test_slices_that_must_all_be_good_are_our_window(tmp_path: Path) -> None:
    objectives = [{"target": 0.99, "timeSliceTarget": 0.999, "timeSliceWindow": "1h"}]
    window = [{"duration": "48h", "isRolling": True}]
    (one,) = imported(tmp_path, slo(budgetingMethod="Timeslices", timeWindow=window, objectives=objectives))
    assert keys(one)["at_least"] == "99.9%"
    assert "in the rollout write window: {slices: 48, slice: 1h}" in one.notes
    objectives[0]["target"] = 0.97
    said = refused(tmp_path, slo(budgetingMethod="Timeslices", timeWindow=window, objectives=objectives))
    assert "0.97 of 48 slices lets slices fail" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"budgetingMethod": "RatioTimeslices"}, "RatioTimeslices averages ratios"),
        ({"timeWindow": [{"duration": "1M", "isRolling": True}]}, "found '1M', expected minutes, hours, days or weeks"),
        ({"timeWindow": [{"duration": "4w", "calendar": {"startTime": "x"}}]}, "aligns the window with a calendar"),
        ({"timeWindow": [{"duration": "4w"}, {"duration": "1w"}]}, "has 2 items"),
        ({"objectives": [{"target": 0.9, "compositeWeight": 1}]}, "composite SLO"),
        ({"objectives": [{"target": 0.9, "indicatorRef": "x"}]}, "composite SLO"),
        ({"objectives": [{"target": 1.0}]}, "expected a share above 0 and below 1"),
        ({"objectives": [{"target": 0.9, "targetPercent": 90}]}, "exactly one of target and targetPercent"),
        ({"objectives": [{"target": 0.9, "op": "lt"}]}, "turns a ratio's target round"),
        ({"objectives": [{"target": 0.9, "wieght": 1}]}, "unknown key 'wieght'"),
        ({"objectives": []}, "an SLO has at least one"),
        ({"owner": "me"}, "unknown key 'owner'"),
        ({"indicator": {"spec": {"ratioMetric": {"good": source(GOOD)}}}}, "write good and total"),
        ({"indicator": {"spec": {}}}, "an SLI has it or thresholdMetric"),
    ],
)
def test_what_has_no_meaning_here_is_refused_by_name(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    found = refused(tmp_path, slo(**change))
    assert said in found
    assert str(tmp_path / "slo.yaml") in found


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sum(rate(a[5m]))", "has the fixed range [5m]"),
        ("sum(a)", "has no range"),
        ("", "found '', expected text"),
    ],
)
def test_a_query_without_a_range_of_ours_is_refused(tmp_path: Path, query: str, said: str) -> None:
    ratio = {"good": source(query), "total": source(TOTAL)}
    assert said in refused(tmp_path, slo(indicator={"spec": {"ratioMetric": ratio}}))


def test_other_sources_and_versions_are_refused(tmp_path: Path) -> None:
    ratio = {"good": source(GOOD, "Datadog"), "total": source(TOTAL)}
    assert "only Prometheus" in refused(tmp_path, slo(indicator={"spec": {"ratioMetric": ratio}}))
    assert "only openslo/v1 is read" in refused(tmp_path, {**slo(), "apiVersion": "openslo.com/v2alpha"})
    assert "has no SLO" in refused(tmp_path, {**slo(), "kind": "Service"})
    assert "asks for 0.99 of the time" in refused(tmp_path, threshold(target=0.99))


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    found = refused(tmp_path, slo(budgetingMethod="Sometimes", objectives=[{"target": 2}], timeWindow=[]))
    assert found.count("\n") >= 2


def test_the_specifications_own_examples_are_refused_for_what_they_are(tmp_path: Path) -> None:
    """Its examples ask `type: Any`; the calendar month and the averaged ratios are refused, too."""
    window = [
        {"duration": "1m", "isRolling": False, "calendar": {"startTime": "2022-01-01 12:00:00", "timeZone": "UTC"}}
    ]
    objectives = [{"displayName": "SLA", "op": "gt", "target": 0.995, "timeSliceTarget": 0.99, "timeSliceWindow": "1m"}]
    example = slo(budgetingMethod="Timeslices", timeWindow=window, objectives=objectives, alertPolicies=None)
    example["spec"]["indicator"]["spec"]["ratioMetric"] = {"good": source("Any", "Any"), "total": source("Any", "Any")}
    said = refused(tmp_path, example)
    assert "'Any'; only Prometheus" in said
    assert "calendar" in said


@pytest.mark.parametrize("document", [slo(), threshold(target=0.9)], ids=["events", "value"])
def test_an_imported_objective_is_one_of_a_rollout_and_gives_rules(tmp_path: Path, document: dict[str, Any]) -> None:
    (one,) = imported(tmp_path, copy.deepcopy(document))
    data = {key: value for key, value in keys(one).items() if key != "rules"}
    rollout = {
        "rollout": "r-1",
        "service": "shop",
        "version": "1",
        "flag": "f",
        "ramp": {"strategy": "progressive", "over": "7d", "every": "1h"},
        "objectives": [{**data, "outside": "true"}],
        "waive": {"rollback_bound": "a test"},
    }
    read = parse_rollout(yaml.safe_dump(rollout), "r.yaml", DaemonFacts())
    assert read.objectives[0].kind is (Kind.EVENT if "total" in data else Kind.VALUE)
    out = tmp_path / "rules" / "objectives"
    out.mkdir(parents=True)
    one.path(out).write_text(one.text)
    write(generate(read_sources(tmp_path / "rules"), Links()), tmp_path / "out")
    files = [str(path) for path in sorted((tmp_path / "out").glob("*.yaml"))]
    checked = subprocess.run(
        [binary("promtool"), "check", "rules", *files], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_command_writes_objectives_and_replaces_none_unasked(tmp_path: Path) -> None:
    (tmp_path / "slo.yaml").write_text(
        f"# comment\n---\n{yaml.safe_dump(slo(alertPolicies=[{'alertPolicyRef': 'x'}]))}"
    )
    done = run("rules", "import", "slo.yaml", directory=tmp_path)
    assert (done.status, done.err) == (0, "")
    assert "wrote rules/objectives/checkout.yaml" in done.out
    assert "alert policies are not imported" in done.out
    again = run("rules", "import", "slo.yaml", directory=tmp_path)
    assert (again.status, "--force" in again.err) == (2, True)
    assert run("rules", "import", "slo.yaml", "--force", directory=tmp_path).status == 0
