"""What is read to be linted: files of rules, dashboards, objectives and reasons; and the command that does it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.processes import EVENTS, Installation, run
from tests.servers import free_port
from watchdog.errors import ConfigError
from watchdog.rolloutfile import DaemonFacts, parse_rollout
from watchdog.rulelint import Inputs, make_pack, metrics, read_inputs
from watchdog.rulelint.dashboards import filled, read_dashboard
from watchdog.rulelint.objectives import of_rollout
from watchdog.rulelint.offline import lint

ROOT = Path(__file__).parent.parent
RULES = """
groups:
  - name: g
    interval: 1m
    rules:
      - record: job:x:rate5m
        expr: sum by (job) (rate(x_total[5m]))
        labels: {team: a}
      - alert: XHigh
        expr: job:x:rate5m > 1
        for: 5m
        labels: {severity: info, area: service}
        annotations: {summary: "{{ $labels.job }} is high."}
"""
ROLLOUT = """
rollout: checkout-1
service: checkout
version: "1"
flag: new-checkout
ramp: {strategy: progressive, over: 1d, every: 1h}
waive: {dead_service: a test, rollback_bound: a test}
cohorts: {exposed: 'variant="on"', control: 'variant="off"'}
objectives:
  - name: errors
    bad: sum(increase(e_total{$cohort}[$range]))
    total: sum(increase(r_total{$cohort}[$range]))
    at_most: 1%
  - {name: speed, value: 'max(seconds)', below: 200ms, no_data: fail}
  - {name: ramp, internal: flag_ramp}
"""

KEYS = st.sampled_from(
    [
        "panels",
        "targets",
        "expr",
        "templating",
        "list",
        "name",
        "query",
        "type",
        "current",
        "value",
        "options",
        "title",
        "datasource",
        "legendFormat",
        "refId",
        "enable",
        "dashboard",
        "definition",
        "schemaVersion",
    ]
)
LEAVES = st.sampled_from(["query", "prometheus", "$a", "sum by ($a) (x)", "label_values(x{$a}, b)", "{{a}}", 1, None])
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))


def read(
    rules: Path | str, boards: Path | str = "", objectives: Path | str = "", waivers: Path | None = None
) -> Inputs:
    patterns = [[str(one)] if one else [] for one in (rules, boards, objectives)]
    return read_inputs(patterns[0], patterns[1], patterns[2], [], waivers=waivers)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def refused(*args: Any, **how: Any) -> list[str]:
    with pytest.raises(ConfigError) as error:
        read(*args, **how)
    return [str(problem) for problem in error.value.problems]


class TestRuleFiles:
    def test_each_rule_has_its_place_its_group_and_its_texts(self, tmp_path: Path) -> None:
        path = write(tmp_path / "r.yaml", RULES)
        record, alert = read(path).expressions[:2]
        assert record.place == f"{path}: group g: record job:x:rate5m"
        assert (record.role, record.rule and record.rule.every, record.rule and record.rule.labels) == (
            "record",
            60.0,
            {"team": "a"},
        )
        assert alert.rule is not None
        assert (alert.role, alert.rule.hold, alert.rule.texts[-1]) == (
            "alert",
            "5m",
            ("summary", "{{ $labels.job }} is high."),
        )

    def test_what_is_wrong_with_files_is_said_all_at_once(self, tmp_path: Path) -> None:
        write(tmp_path / "a.yaml", "groups: [{name: g, rules: [{record: a, alert: B, expr: x}, {alert: C}]}]")
        write(tmp_path / "b.yaml", "groups: {")
        write(tmp_path / "c.yaml", "alerts: []")
        write(tmp_path / "d.yaml", "groups: [{name: g, interval: 1 m, rules: [{alert: A, expr: x, for: soon}]}]")
        said = refused(tmp_path / "*.yaml", boards=tmp_path / "none", waivers=tmp_path / "w.yaml")
        assert [part for part in said if "rules[0]: expected either record: or alert:" in part]
        assert [part for part in said if "rules[1].expr: is missing" in part]
        assert [part for part in said if "b.yaml: line" in part]
        assert [part for part in said if "c.yaml: groups: is missing" in part]
        assert [part for part in said if "d.yaml: groups[0].interval: found '1 m', expected a duration" in part]
        assert [part for part in said if "rules[0].for: found 'soon', expected a duration" in part]
        assert [part for part in said if part.startswith("--dashboards:") and "matches no file" in part]
        assert [part for part in said if "w.yaml: cannot be read" in part]

    def test_reasons_are_read_and_an_empty_one_is_refused(self, tmp_path: Path) -> None:
        rules = write(tmp_path / "r.yaml", RULES)
        good = write(tmp_path / "good.yaml", "x_total: after an event\ny{a}: another one\n")
        assert read(rules, waivers=good).waivers == {"x_total": "after an event", "y{a}": "another one"}
        bad = write(tmp_path / "bad.yaml", "x_total:\n")
        assert "write why the metric need not be there" in refused(rules, waivers=bad)[0]


class TestDashboards:
    @pytest.mark.parametrize(
        ("written", "asked"),
        [
            ('x{a="$env"}', 'x{a=~".*"}'),
            ('x{a!="${env:regex}",b=~"p-[[env]]"}', 'x{a=~".*",b=~"p-.*"}'),
            ("rate(x[$__rate_interval])", "rate(x[300s])"),
            ("sum by ($group) (x[$step])", "sum by (job) (x[1m])"),
            ("x[${__range}] > $threshold", "x[3600s] > 5"),
            ("label_replace(x, 'a', '$1', 'b', '(.*)')", "label_replace(x, 'a', '$1', 'b', '(.*)')"),
        ],
    )
    def test_variables_are_filled_in(self, written: str, asked: str, tmp_path: Path) -> None:
        values = [("group", "job"), ("threshold", "5"), ("env", "prod")]
        variables = [{"name": name, "current": {"value": value}} for name, value in values]
        assert self.texts(tmp_path, self.board(written, variables))[-1] == asked

    def test_a_variable_that_is_not_known_becomes_a_minute(self) -> None:
        assert filled("x[$w]", {}) == "x[1m]"

    def test_panels_rows_annotations_and_variables_are_found_with_their_places(self, tmp_path: Path) -> None:
        board = {
            "title": "Board",
            "schemaVersion": 39,
            "templating": {
                "list": [
                    {"name": "env", "type": "query", "query": 'label_values(up{job="$job"}, environment)'},
                    {"name": "r", "type": "query", "query": {"query": "query_result(sum by (r) (y))"}},
                    {"name": "all", "type": "query", "query": "label_values(job)"},
                ]
            },
            "annotations": {"list": [{"name": "Steps", "enable": True, "expr": "a", "titleFormat": "{{rollout}}"}]},
            "panels": [
                {"title": "Row", "panels": [{"title": "Deep", "targets": [{"expr": "b", "refId": "B"}]}]},
                {"title": "Logs", "datasource": {"type": "loki"}, "targets": [{"expr": '{app="x"} |= "y"'}]},
                {"title": "It", "targets": [{"expr": "c", "refId": "A", "legendFormat": "{{job}} of {{ pod }}"}]},
            ],
        }
        path = write(tmp_path / "b.json", json.dumps(board))
        found = [(one.place.removeprefix(f"{path}: "), one.text, one.shows) for one in read_dashboard(path)]
        assert found == [
            ("variable env", 'up{job=~".*"}', ("environment",)),
            ("variable r", "sum by (r) (y)", ()),
            ("annotation 'Steps'", "a", ("rollout",)),
            ("panel 'Deep': query B", "b", ()),
            ("panel 'It': query A", "c", ("job", "pod")),
        ]

    @pytest.mark.parametrize("text", ["[1]", "{", "7", "[" * 100_000])
    def test_what_is_no_dashboard_is_refused(self, text: str, tmp_path: Path) -> None:
        rules = write(tmp_path / "r.yaml", RULES)
        assert len(refused(rules, boards=write(tmp_path / "b.json", text))) == 1

    @settings(max_examples=150, deadline=None)
    @given(JSON)
    def test_any_json_is_a_dashboard_or_a_sentence(self, board: object) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = write(Path(directory) / "b.json", json.dumps(board))
            if isinstance(board, dict):
                lint(make_pack(read_dashboard(path), 15.0))
            else:
                with pytest.raises(ConfigError):
                    read_dashboard(path)

    def board(self, expr: str, variables: list[dict[str, Any]]) -> Mapping[str, Any]:
        return {"templating": {"list": variables}, "panels": [{"title": "It", "targets": [{"expr": expr}]}]}

    def texts(self, directory: Path, board: Mapping[str, Any]) -> list[str]:
        return [one.text for one in read_dashboard(write(directory / "b.json", json.dumps(board)))]


class TestObjectives:
    def test_those_of_a_rollout_are_filled_in_as_the_engine_does(self) -> None:
        found = {one.place: one.text for one in of_rollout(parse_rollout(ROLLOUT, "r.yaml", DaemonFacts()))}
        errors = "rollout checkout-1: objective errors: "
        assert found[f"{errors}bad"] == 'sum(increase(e_total{variant="on"}[300s]))'
        assert found[f"{errors}control total"] == 'sum(increase(r_total{variant="off"}[300s]))'
        assert found["rollout checkout-1: objective speed: present"].startswith("count(count_over_time(up[")
        assert not [place for place in found if "ramp" in place]

    def test_a_standard_one_is_read_for_every_service(self) -> None:
        inputs = read(ROOT / "rules/prometheus/thresholds.yaml", objectives=ROOT / "rules/objectives/error_rate.yaml")
        texts = [one.text for one in inputs.expressions if one.role == "objective"]
        assert texts == [
            'sum(increase(http_requests_total{code=~"5.."}[300s]))',
            "sum(increase(http_requests_total[300s]))",
        ]


def test_what_the_project_ships_is_clean() -> None:
    """Rules, dashboards and objectives of the repository have no finding, not even a warning."""
    boards = ROOT / "deploy/grafana/dashboards/*.json"
    whole = make_pack(
        read(ROOT / "rules/prometheus/*.yaml", boards, ROOT / "rules/objectives/*.yaml").expressions, 15.0
    )
    assert [str(finding) for finding in lint(whole)] == []
    assert {"up", "ALERTS", "http_requests_total", "slo:error_budget:ratio"} <= metrics(whole).keys()


class TestTheCommand:
    def test_a_clean_pack_exits_with_0_and_lists_what_it_names(self, tmp_path: Path) -> None:
        done = run("rules", "lint", "--json", directory=tmp_path)
        assert (done.status, done.err) == (0, "")
        assert (done.data["clean"], done.data["online"], done.data["findings"]) == (True, False, [])
        (code,) = [one for one in done.data["metrics"] if one["metric"] == "http_requests_total"]
        assert "code" in [label["label"] for label in code["labels"]]
        assert any("record environment_job:http_requests:rate5m" in place for place in code["named_in"])

    def test_an_error_exits_with_1_and_is_a_row_of_a_table(self, tmp_path: Path) -> None:
        write(tmp_path / "r.yaml", RULES.replace("[5m]", "[5s]"))
        done = run("rules", "lint", "--rules", "r.yaml", "--list", directory=tmp_path)
        assert done.status == 1
        assert "job:x:rate5m" in done.out
        assert "short-range" in done.out
        assert "2 errors, 0 warnings" in done.out

    def test_what_cannot_be_read_or_asked_exits_with_2_and_4(self, tmp_path: Path) -> None:
        done = run("rules", "lint", "--rules", "nothing", directory=tmp_path)
        assert (done.status, done.out) == (2, "")
        assert "matches no file" in done.err
        assert "no configuration to take the server from" in run("rules", "lint", "--online", directory=tmp_path).err
        done = run("rules", "lint", "--prometheus", f"http://127.0.0.1:{free_port()}", directory=tmp_path)
        assert done.status == 4
        assert "could not be reached" in done.err

    def test_the_rollouts_of_a_configuration_are_linted_with_its_scrape_interval(self, tmp_path: Path) -> None:
        site = Installation(tmp_path, "http://127.0.0.1:1")
        site.rollout(objectives=EVENTS.replace("errors_total[$range]", "sum(increase(errors_total[$range]))"))
        assert site.run("rules", "lint").status == 0
        path = site.directory / "rollouts" / "checkout-1.yaml"
        path.write_text(path.read_text().replace("range: 2s", "range: 1s"))
        done = site.run("rules", "lint", "--json")
        assert done.status == 1
        (finding,) = done.data["findings"]
        assert finding["place"] == "rollout checkout-1: objective error_rate: bad"
        assert "less than 4 scrape intervals of 500ms" in finding["message"]
