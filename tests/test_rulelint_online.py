"""`rules lint --online` against a real Prometheus that scrapes itself and holds a made past, and a scripted one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import requests

from tests.linting import alert, objective, pack, panel, record
from tests.processes import run, wait_for
from tests.servers import History, PrometheusServer, ScriptedPrometheus, free_port, scripted
from watchdog.config.settings import Settings
from watchdog.errors import SourceError
from watchdog.model import Rollout
from watchdog.prometheus import Prometheus
from watchdog.rolloutfile import DaemonFacts, parse_rollout
from watchdog.rulelint import Finding, Inputs, lint_configuration, lint_online, read_inputs
from watchdog.rulelint.model import Expression, make_pack
from watchdog.rulelint.promised import looks_back
from watchdog.rulelint.tree import parse

RULES = """
groups:
  - name: kept
    interval: 1s
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
      - alert: Down
        expr: job:up:sum == 0
        for: 1m
        labels: {severity: info, area: service}
        annotations: {summary: S., description: D., runbook_url: /r, dashboard_url: /d}
  - name: broken
    interval: 1s
    rules:
      - record: job:broken:sum
        expr: up * on (job) prometheus_http_requests_total
"""
OWN = """
  - job_name: prometheus
    scrape_interval: 1s
    static_configs: [{targets: ["127.0.0.1:PORT"]}]
rule_files: ["RULES"]
"""
HEAD = """
rollout: checkout-1
service: checkout
version: "1"
flag: new-checkout
ramp: {strategy: progressive, over: 1d, every: 1h}
waive: {dead_service: tested elsewhere, rollback_bound: tested elsewhere}
objectives:
"""

ERRORS = """
bad: sum(increase(http_requests_total[$range]))
total: sum(increase(http_requests_total[$range]))
at_most: 1%
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """A shop's last hour, up to a minute ago, and its own metrics, live; three rules, one of which fails."""
    home = tmp_path_factory.mktemp("lint")
    (home / "rules.yaml").write_text(RULES)
    end = int(time.time()) - 60
    past = History()
    past.requests(end - 3600, end, rps=40, error_share=0.001)
    past.requests(end - 3600, end - 1800, rps=4, metric="old_requests_total")
    past.latency(end - 3600, end, rps=40)
    past.gauge("queue_length", {"job": "checkout"}, end - 3600, end, 7)
    port = free_port()
    own = OWN.replace("PORT", str(port)).replace("RULES", str(home / "rules.yaml"))
    with PrometheusServer(past.build(home / "tsdb"), own, port=port) as running:
        with Prometheus(running.url) as source:
            wait_for(lambda: settled(source), 30, lambda: running.log)
        yield running


def settled(source: Prometheus) -> bool | None:
    """Whether it has scraped itself, recorded that, and failed at the broken rule."""
    errors = [rule.get("lastError") for group in source.told("/api/v1/rules")["groups"] for rule in group["rules"]]
    return (any(errors) and bool(source.labels_of("job:up:sum", int(time.time())))) or None


@pytest.fixture
def source(server: PrometheusServer) -> Iterator[Prometheus]:
    with Prometheus(server.url) as opened:
        yield opened


def ask(
    source: Prometheus,
    *expressions: Expression,
    rollouts: Sequence[Rollout] = (),
    rules: Sequence[Path] = (),
    waivers: dict[str, str] | None = None,
) -> list[Finding]:
    """What is found, without the broken rule that the server always has."""
    inputs = Inputs(expressions, rollouts, rules, waivers or {})
    found = lint_online(make_pack(expressions, 1.0), inputs, source, time.time())
    return [one for one in found if one.check != "health"]


def only(found: Sequence[Finding], check: str, severity: str, *words: str) -> None:
    assert [(one.check, one.severity) for one in found] == [(check, severity)], found
    for word in words:
        assert word in found[0].message


def rollout(objective: str, head: str = HEAD) -> Rollout:
    lines = "".join(f"    {line.strip()}\n" for line in objective.strip().splitlines())
    return parse_rollout(f"{head}  - name: it\n{lines}", "r.yaml", DaemonFacts())


class TestSeries:
    def test_what_is_there_has_no_finding(self, source: Prometheus) -> None:
        good = [
            alert('sum by (job) (rate(http_requests_total{code="500"}[5m])) > 1', summary="{{ $labels.job }}."),
            panel("sum by (job, code) (increase(old_requests_total[1h]))", "code"),
            panel("histogram_quantile(0.9, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))"),
        ]
        assert ask(source, *good) == []

    def test_a_metric_that_nobody_exports_is_an_error_told_once(self, source: Prometheus) -> None:
        twice = [panel("http_request_total"), alert("http_request_total > 1")]
        only(ask(source, *twice), "series", "error", "names http_request_total", "for 6h", "1 other place")

    def test_unless_there_is_a_reason_and_a_reason_for_nothing_is_idle(self, source: Prometheus) -> None:
        assert ask(source, panel("event_total"), waivers={"event_total": "after an event"}) == []
        idle = ask(source, panel("up"), waivers={"up": "why", "gone_total": "why"})
        assert [(one.check, one.severity) for one in idle] == [("idle-waiver", "warning")] * 2
        assert "gives a reason for gone_total, which nothing names" in idle[0].message
        assert "gives a reason for up, which is there" in idle[1].message

    def test_what_only_bad_events_would_export_is_a_warning(self, source: Prometheus) -> None:
        bad = Expression("rollout checkout-1: objective it: bad", "objective", "sum(increase(errors_total[5m]))")
        found = [one for one in ask(source, bad) if one.check == "series"]
        only(found, "series", "warning", "names errors_total")

    def test_a_recording_that_gives_nothing_is_a_warning_and_silent_where_its_input_is_missing(
        self, source: Prometheus
    ) -> None:
        dead = [record("job:dead:sum", "sum by (job) (up > 9)"), panel("job:dead:sum")]
        only(ask(source, *dead), "series", "warning", "names job:dead:sum", "all that it reads is there")
        no_input = [record("job:dead:sum", "sum by (job) (nothing)"), panel("job:dead:sum")]
        only(ask(source, *no_input), "series", "error", "names nothing")

    @pytest.mark.parametrize(
        ("expression", "severity"),
        [
            ('queue_length{pod="a"}', "error"),
            ("up * on (job) group_left (pod) queue_length", "error"),
            ("sum by (pod) (queue_length)", "warning"),
            ('queue_length{pod=~".*"}', "warning"),
        ],
    )
    def test_a_label_that_no_series_has(self, source: Prometheus, expression: str, severity: str) -> None:
        found = [one for one in ask(source, panel(expression)) if "pod of queue_length" in one.message]
        only(found, "label", severity, "they have job")

    def test_a_label_that_is_taken_away_need_not_be_there(self, source: Prometheus) -> None:
        assert ask(source, panel('sum without (pod) (queue_length{zone!="a"})')) == []

    def test_a_value_that_no_series_has_is_a_warning_that_lists_those_there_are(self, source: Prometheus) -> None:
        wrong = panel('sum(http_requests_total{job="checkout",code="5xx"})')
        only(ask(source, wrong), "value", "warning", "code is 200, 500")
        assert ask(source, wrong, waivers={"http_requests_total{code}": "after an event"}) == []

    def test_a_rate_of_a_gauge_and_a_delta_of_a_counter(self, source: Prometheus) -> None:
        only(ask(source, panel("rate(process_open_fds[1m])")), "type", "error", "calls a gauge", "use delta()")
        wrong = panel("deriv(prometheus_http_request_duration_seconds_count[1m])")
        assert ask(source, wrong) == []  # a part of a histogram: nobody says what it is
        assert ask(source, panel("rate(process_cpu_seconds_total[1m])")) == []


class TestExpressions:
    def test_one_that_prometheus_cannot_evaluate(self, source: Prometheus) -> None:
        wrong = panel("up * on (job) prometheus_http_requests_total")
        only(ask(source, wrong), "evaluates", "error", "found duplicate series")

    def test_ranges_are_compared_with_the_intervals_of_the_targets(self, source: Prometheus) -> None:
        found = ask(source, panel("rate(process_cpu_seconds_total[3s])"), panel("rate(process_cpu_seconds_total[4s])"))
        only(found, "short-range", "error", "over 3s", "scrape intervals of 1s", "at least 4s")

    def test_a_bucket_needs_its_bound_and_a_finite_one_above(self, source: Prometheus) -> None:
        for bound, check in (("0.3", "error"), ("1.0", "warning")):
            wrong = panel(f'sum(rate(http_request_duration_seconds_bucket{{job="checkout",le="{bound}"}}[5m]))')
            found = [one for one in ask(source, wrong) if one.check == "bucket"]
            only(found, "bucket", check, f'counts le="{bound}"')
        right = panel('sum(rate(http_request_duration_seconds_bucket{job="checkout",le="0.2"}[5m]))')
        assert ask(source, right) == []

    def test_a_range_longer_than_the_retention(self, source: Prometheus) -> None:
        found = ask(source, objective("sum(increase(http_requests_total[10y] offset 1y))"))
        only(
            [one for one in found if one.check == "retention"], "retention", "error", "looks back 4015d", "keeps 3650d"
        )

    def test_how_far_an_expression_looks_back(self) -> None:
        assert looks_back(parse("max_over_time(rate(x[5m] offset 1h)[1d:5m] offset 1d) + delta(y[7d])")) == 7 * 86400.0
        assert looks_back(parse("max_over_time(rate(x[5m] offset 1h)[1d:5m] offset 1d)")) == 2 * 86400.0 + 3900.0


class TestObjectives:
    def test_one_series_is_asked_for(self, source: Prometheus) -> None:
        many = rollout("value: max by (code) (http_requests_total)\nbelow: 1")
        found = lint_configuration(settings(source), [many], source, time.time())
        wrong = [one for one in found if one.check == "one-series"]
        only(wrong, "one-series", "error", "more than one series", 'code="200"')
        assert wrong[0].place == "rollout checkout-1: objective it: value"

    def test_none_is_an_error_but_of_bad_events(self, source: Prometheus) -> None:
        none = rollout(ERRORS.replace("_total[", "_total{code='501'}["))
        found = lint_configuration(settings(source), [none], source, time.time())
        assert [one.place for one in found if one.check == "one-series"] == ["rollout checkout-1: objective it: total"]

    def test_before_the_start_nobody_is_exposed_and_that_is_no_fault(self, source: Prometheus) -> None:
        head = HEAD.replace("objectives:", "cohorts: {exposed: 'code=\"201\"', control: 'code=\"200\"'}\nobjectives:")
        split = rollout(ERRORS.replace("[$range]", "{$cohort}[$range]"), head)
        found = lint_configuration(settings(source), [split], source, time.time())
        assert [one for one in found if one.severity == "error"] == []

    @pytest.mark.parametrize(
        ("limit", "severity", "words"),
        [("1s", "error", "no finite bound above"), ("300ms", "warning", "no bound of"), ("200ms", "", "")],
    )
    def test_a_quantile_is_judged_at_a_bound(self, source: Prometheus, limit: str, severity: str, words: str) -> None:
        query = "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[$range])))"
        found = lint_configuration(settings(source), [rollout(f"value: {query}\nbelow: {limit}")], source, time.time())
        found = [one for one in found if one.check == "bucket"]
        assert [one.severity for one in found] == ([severity] if severity else [])
        assert not words or words in found[0].message

    def test_a_rule_of_somebody_else_that_fails_is_a_warning(self, source: Prometheus) -> None:
        found = lint_configuration(settings(source), [], source, time.time())
        only(found, "health", "warning", "fails to evaluate", "duplicate series")


class TestLoadedRules:
    def read(self, path: Path, text: str) -> Inputs:
        path.write_text(text)
        return read_inputs([str(path)], [], [], [])

    def found(self, source: Prometheus, path: Path, text: str) -> list[Finding]:
        inputs = self.read(path, text)
        rules = [one for one in inputs.expressions if one.rule is not None]
        return lint_online(make_pack(rules, 1.0), Inputs(rules, (), [path]), source, time.time())

    def test_those_of_the_file_are_loaded_and_a_failing_one_is_an_error(
        self, source: Prometheus, tmp_path: Path
    ) -> None:
        found = self.found(source, tmp_path / "rules.yaml", RULES.replace("sum by (job) (up)", "sum(up) by(job)"))
        assert {one.check for one in found} == {"health", "evaluates"}
        assert [one.severity for one in found if one.check == "health"] == ["error"]

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            (
                "sum by (job) (up)",
                "max by (job) (up)",
                "Prometheus has another one: its expression is sum by (job) (up)",
            ),
            ("for: 1m", "for: 2m", "its for is 1m, here it is 2m"),
            ("severity: info", "severity: warning", "its labels are"),
            ("name: kept", "name: new", "is not loaded: Prometheus has no group of this name (2 rules)"),
            ("alert: Down", "alert: Downs", "Prometheus does not have it in this group"),
        ],
    )
    def test_those_that_differ_are_errors(
        self, source: Prometheus, tmp_path: Path, old: str, new: str, words: str
    ) -> None:
        found = self.found(source, tmp_path / "rules.yaml", RULES.replace(old, new))
        first = next(one for one in found if one.check == "loaded")
        assert first.severity == "error"
        assert words in first.message


class TestServersThatDoNotAnswer:
    def test_one_that_cannot_be_reached_is_a_sentence(self) -> None:
        with Prometheus(f"http://127.0.0.1:{free_port()}") as nobody, pytest.raises(SourceError, match="refused"):
            ask(nobody, panel("up"))

    def test_what_could_not_be_asked_is_an_error_and_not_silence(self) -> None:
        with ScriptedPrometheus() as server, Prometheus(server.url) as source:
            server.always(scripted.error(422, "execution", "too many samples"))
            found = [one for one in ask(source, panel("up")) if one.check == "series"]
        only(found, "series", "error", "up could not be asked for", "too many samples")

    def test_what_a_server_does_not_know_is_a_warning(self) -> None:
        with ScriptedPrometheus() as server, Prometheus(server.url) as source:
            refuse, one = scripted.error(404, "not_found", "no such page"), scripted.value(1)
            server.always(lambda asked: one(asked) if asked.path.endswith("/query") else refuse(asked))
            found = ask(source, panel("up"))
        assert {(one.check, one.severity) for one in found} == {("evaluates", "warning")}
        assert {one.message.partition(" could")[0] for one in found} == {"rules", "types"}


def test_the_command_asks_the_server_that_is_named(server: PrometheusServer, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RULES)
    (tmp_path / "none.yaml").write_text("name: none\ninternal: flag_ramp\n")
    files = ("--rules", "r.yaml", "--objectives", "none.yaml")
    done = run("rules", "lint", *files, "--prometheus", server.url, "--json", directory=tmp_path)
    assert (done.status, done.data["online"]) == (1, True)
    assert {one["check"] for one in done.data["findings"]} == {"health", "evaluates"}


def settings(source: Prometheus) -> Settings:
    return Settings(prometheus={"url": source.url, "scrape_interval": "15s"})  # type: ignore[arg-type]


def test_progress_is_told(source: Prometheus) -> None:
    heard: list[tuple[str, int, int]] = []
    one = pack(panel("up"))
    lint_online(one, Inputs([]), source, time.time(), tell=lambda *what: heard.append(what))
    assert ("series", 1, 1) in heard


def test_the_server_is_as_these_tests_suppose(server: PrometheusServer) -> None:
    targets = requests.get(f"{server.url}/api/v1/targets", timeout=10).json()["data"]["activeTargets"]
    assert [target["scrapeInterval"] for target in targets] == ["1s"]
