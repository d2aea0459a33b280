"""`init`: the plain files pass `check`, the proposed ones `check --online` at the Prometheus they came from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.servers import History, PrometheusServer, free_port
from watchdog.config import load_all, load_settings
from watchdog.config.settings import Settings
from watchdog.errors import ConfigError, SourceError
from watchdog.model import Objective, Rollout
from watchdog.online import check_online
from watchdog.prometheus import Prometheus
from watchdog.rolloutfile import DaemonFacts, parse_rollout
from watchdog.starter import Proposal, propose, write_proposal, write_starter
from watchdog.starter.drafts import bad_status

END = 1_794_009_600  # 2026-11-07T00:00:00Z
START = END - 3600
NOW = END + 30.0


def past() -> History:
    history = History()
    history.requests(START, END, rps=40, error_share=0.0005, variant="off")
    history.latency(START, END, rps=40, slow_share=0.02)
    history.counter("http_client_requests_total", {"job": "checkout", "code": "500"}, START, END, 40)
    history.up(START, END)
    history.gauge("probe_success", {"job": "blackbox", "instance": "https://checkout.example/"}, START, END, 1)
    history.gauge("probe_success", {"job": "blackbox", "instance": "https://checkout2.example/"}, START, END, 0)
    history.gauge("node_load1", {"job": "node"}, START, END, 0.5)
    history.requests(START, END, rps=2, error_share=0.5, job="search", variant="on")
    history.requests(START, END, rps=18, error_share=0.001, job="search", variant="off")
    history.up(START, END, "search")
    for result, rate in (("passed", 0.2), ("failed", 0.001)):
        history.counter("smoke_tests_total", {"job": "search", "result": result}, START, END, rate)
    history.counter("idle_requests_total", {"job": "idle", "status": "200"}, START, END, 0)
    slow = {"scrape": 60, "job": "slow"}
    history.latency(START, END, rps=2, slow_share=0.02, metric="request_duration_seconds", **slow)
    history.gauge("tests_passed_percent", {"job": "gauges"}, START, END, 99.5)
    history.counter("e2e_tests_failures_total", {"job": "pairs"}, START, END, 0.001)
    history.counter("e2e_tests_runs_total", {"job": "pairs"}, START, END, 0.3)
    for bound, rate in (("100", 9.0), ("250", 9.8), ("+Inf", 10.0)):
        labels = {"job": "millis", "le": bound}
        history.counter("rpc_time_milliseconds_bucket", labels, START, END, rate, kind="histogram")
    for code, rate in (("OK", 20.0), ("Internal", 0.0), ("NotFound", 2.0)):
        history.counter("grpc_server_handled_total", {"job": "millis", "grpc_code": code}, START, END, rate)
    return history


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with PrometheusServer(past().build(tmp_path_factory.mktemp("past") / "tsdb")) as running:
        yield running


@pytest.fixture
def real(server: PrometheusServer) -> Iterator[Prometheus]:
    with Prometheus(server.url) as source:
        yield source


def loaded(directory: Path) -> tuple[Settings, list[Rollout]]:
    """Read the files of `init` as `check` does; a refusal fails the test with its sentence."""
    settings = load_settings(directory / "watchdog.yaml", {})
    rollouts = []
    for _, found in load_all(settings):
        if isinstance(found, ConfigError):
            raise found
        rollouts.append(found)
    return settings, rollouts


def objectives(proposal: Proposal) -> dict[str, Objective]:
    return {one.name: one for one in proposal.rollout.objectives}


class TestTheStarter:
    def test_passes_check(self, tmp_path: Path) -> None:
        files = write_starter(tmp_path / "new" / "place")
        assert [file.relative_to(tmp_path / "new" / "place").as_posix() for file in files] == [
            "watchdog.yaml",
            "rollouts/example.yaml",
            "flags",
        ]
        settings, (rollout,) = loaded(tmp_path / "new" / "place")
        assert settings.prometheus.url == "http://127.0.0.1:9090"
        assert [one.name for one in rollout.objectives] == ["availability", "error_rate", "latency_p95", "flag_ramp"]

    def test_settings_are_the_defaults_and_comments_show_no_others(self, tmp_path: Path) -> None:
        write_starter(tmp_path)
        settings, _ = loaded(tmp_path)
        plain = load_settings(None, {"WATCHDOG_PROMETHEUS__URL": "http://127.0.0.1:9090"})
        for name in ("http", "tick_deadline", "log", "notify"):
            assert getattr(settings, name) == getattr(plain, name)
        text = (tmp_path / "watchdog.yaml").read_text()
        shown = text.replace("  # timeout:", "  timeout:").replace("# tick_deadline:", "tick_deadline:")
        (tmp_path / "watchdog.yaml").write_text(shown.replace("  # propagation:", "  propagation:"))
        assert loaded(tmp_path)[0].facts() == settings.facts()

    @pytest.mark.parametrize("taken", ["watchdog.yaml", "rollouts/example.yaml"])
    def test_overwrites_nothing_and_then_writes_nothing(self, tmp_path: Path, taken: str) -> None:
        (tmp_path / taken).parent.mkdir(exist_ok=True)
        (tmp_path / taken).write_text("mine")
        with pytest.raises(ConfigError, match="is there already") as refused:
            write_starter(tmp_path)
        assert [problem.place for problem in refused.value.problems] == [str(tmp_path / taken)]
        assert [file.read_text() for file in tmp_path.rglob("*.yaml")] == ["mine"]

    def test_a_directory_that_cannot_be_written_is_a_sentence_and_leaves_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "rollouts").write_text("a file in the way")
        with pytest.raises(ConfigError, match="cannot be written"):
            write_starter(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["rollouts"]


class TestAProposal:
    @pytest.mark.parametrize("job", ["checkout", "search", "slow", "gauges", "pairs", "millis"])
    def test_passes_check_and_check_online(self, server: PrometheusServer, real: Prometheus, tmp_path: Path,
                                           job: str) -> None:  # fmt: skip
        files = write_proposal(tmp_path, propose(real, job, NOW), server.url)
        assert [file.name for file in files] == ["watchdog.yaml", f"{job}.yaml", "flags"]
        settings, rollouts = loaded(tmp_path)
        findings = check_online(settings, rollouts, real, NOW)
        assert [finding for finding in findings if finding.level == "error"] == []
        assert [f for f in findings if f.place == "prometheus.scrape_interval"] == []

    def test_says_what_each_query_answered(self, real: Prometheus) -> None:
        text = propose(real, "checkout", NOW).text
        assert "# now: error_rate 0.052627% bad (6.31579 bad of 12001.1), wanted below 0.1% bad" in text
        assert "# now: p95 in s is 0.184691" in text
        assert "job 'checkout' from what Prometheus had at 2026-11-07T00:00:00Z" in text

    def test_takes_the_requests_that_are_served_and_the_standard_bucket(self, real: Prometheus) -> None:
        found = objectives(propose(real, "checkout", NOW))
        assert list(found) == ["availability", "error_rate", "latency_p95", "flag_ramp"]
        assert found["error_rate"].total == 'sum(increase(http_requests_total{job="checkout"}[$range]))'
        assert found["error_rate"].allowed == 0.001
        assert 'le="0.2"' in (found["latency_p95"].bad or "")

    def test_takes_the_probe_that_names_the_job(self, real: Prometheus) -> None:
        availability = objectives(propose(real, "checkout", NOW))["availability"]
        assert 'probe_success{job="blackbox",instance="https://checkout.example/"}' in (availability.total or "")
        assert availability.outside
        assert availability.silence_fails

    def test_says_what_a_cohort_would_need(self, real: Prometheus) -> None:
        proposal = propose(real, "checkout", NOW)
        assert proposal.rollout.cohorts is None
        assert 'nobody is in the cohort variant="on" yet' in proposal.notes[0]
        assert "# - error_rate_exposed: nobody is in the cohort" in proposal.text

    def test_splits_the_error_rate_where_somebody_is_exposed(self, real: Prometheus) -> None:
        proposal = propose(real, "search", NOW)
        assert proposal.rollout.cohorts is not None
        assert proposal.rollout.cohorts.exposed == 'variant="on"'
        assert objectives(proposal)["error_rate_exposed"].uses_cohort
        assert "50% bad (300 bad of 600)" in proposal.text
        assert "NOT MET NOW" in proposal.text

    def test_uses_up_where_there_is_no_probe(self, real: Prometheus) -> None:
        availability = objectives(propose(real, "search", NOW))["availability"]
        assert availability.total == 'sum(count_over_time(up{job="search"}[$range]))'
        assert availability.silence_fails
        assert not availability.outside

    def test_finds_tests_by_result_in_pairs_and_as_a_gauge(self, real: Prometheus) -> None:
        by_result = objectives(propose(real, "search", NOW))["test_pass_rate"]
        assert 'result=~"passed|failed|error"' in (by_result.total or "")
        pairs = objectives(propose(real, "pairs", NOW))["test_pass_rate"]
        assert pairs.total == 'sum(increase(e2e_tests_runs_total{job="pairs"}[$range]))'
        gauge = objectives(propose(real, "gauges", NOW))["test_pass_rate"]
        assert gauge.value == 'min(tests_passed_percent{job="gauges"})'
        assert gauge.target.limit == 98

    def test_takes_the_next_bound_and_says_which_there_are(self, real: Prometheus) -> None:
        proposal = propose(real, "millis", NOW)
        assert 'le="250"' in (objectives(proposal)["latency_p95"].bad or "")
        assert "No bucket ends at 200; the bounds are 100, 250." in proposal.text
        assert "p95 in ms" in proposal.text

    def test_knows_the_words_of_grpc(self, real: Prometheus) -> None:
        errors = objectives(propose(real, "millis", NOW))["error_rate"]
        assert 'grpc_code=~"Unknown|Internal|' in (errors.bad or "")

    def test_a_slow_scrape_is_measured_and_the_bound_widened_to_what_holds(self, real: Prometheus) -> None:
        proposal = propose(real, "slow", NOW)
        assert proposal.scrape_interval == 60
        assert proposal.rollout.rollback.within > 900
        assert proposal.rollout.waive == {}
        assert objectives(proposal)["latency_p95"].silence_fails  # nothing else would see a dead service

    def test_a_job_without_traffic_is_proposed_with_a_warning(self, real: Prometheus) -> None:
        text = propose(real, "idle", NOW).text
        assert "There is no traffic now" in text
        assert "idle_requests_total" in text

    def test_credentials_in_the_address_are_not_written(self, real: Prometheus, tmp_path: Path) -> None:
        write_proposal(tmp_path, propose(real, "checkout", NOW), "http://me:hunter2@prometheus.example:9090/")
        text = (tmp_path / "watchdog.yaml").read_text()
        assert "hunter2" not in text
        assert "which are not written here" in text
        assert loaded(tmp_path)[0].prometheus.url == "http://prometheus.example:9090"

    def test_a_strange_job_is_quoted_everywhere(self, tmp_path: Path) -> None:
        job = "a 'b' \"c\" #d: {e}"
        history = History()
        escaped = job.replace('"', '\\"')
        history.counter("http_requests_total", {"job": escaped, "code": "200"}, START, END, 20)
        history.up(START, END, escaped)
        data = history.build(tmp_path / "tsdb")
        with PrometheusServer(data) as server, Prometheus(server.url) as source:
            files = write_proposal(tmp_path / "out", propose(source, job, NOW), server.url)
            settings, rollouts = loaded(tmp_path / "out")
            assert [f for f in check_online(settings, rollouts, source, NOW) if f.level == "error"] == []
        assert files[1].name == "a-b-c-d-e.yaml"


class TestNothingToPropose:
    def test_a_job_without_metrics_is_told_which_jobs_there_are(self, real: Prometheus) -> None:
        with pytest.raises(ConfigError, match="no metric of it in the last hour") as refused:
            propose(real, "chekout", NOW)
        assert "the jobs it scrapes are checkout, search" in str(refused.value)

    def test_unusable_metrics_are_named_with_what_was_looked_for(self, real: Prometheus) -> None:
        with pytest.raises(ConfigError, match="found node_load1") as refused:
            propose(real, "node", NOW)
        assert "http_requests_total{code=...}" in str(refused.value)
        assert "smoke_tests_total" in str(refused.value)

    def test_a_prometheus_that_is_not_there(self) -> None:
        with Prometheus(f"http://127.0.0.1:{free_port()}") as source, pytest.raises(SourceError):
            propose(source, "checkout", NOW)


@pytest.mark.parametrize(
    ("values", "matcher"),
    [
        ({"200", "404"}, '=~"5.."'),
        ({"2xx", "5xx"}, '=~"5.."'),
        ({"OK", "NotFound"}, '=~"Unknown|Internal|Unavailable|DataLoss|DeadlineExceeded"'),
        ({"EUR", "USD"}, None),
        ({"200", "unknown"}, None),
        (set(), None),
    ],
)
def test_a_status_label_is_known_by_its_values(values: set[str], matcher: str | None) -> None:
    assert bad_status(values) == matcher


EXAMPLE = (Path(__file__).parent.parent / "watchdog" / "starter" / "templates" / "example.yaml").read_text()


@pytest.mark.parametrize("line", re.findall(r"^# ([a-z_]+: .*)$", EXAMPLE, flags=re.MULTILINE))
def test_a_key_in_a_comment_of_the_example_can_be_used_as_it_stands(line: str) -> None:
    key = line.partition(":")[0]
    written = parse_rollout(EXAMPLE, "example.yaml", DaemonFacts())
    others = "".join(f"{one}\n" for one in EXAMPLE.splitlines() if not one.startswith(f"{key}:"))
    used = parse_rollout(f"{others}{line}\n", "example.yaml", DaemonFacts())
    if key not in {"ramp", "cohorts"}:  # those two show alternatives, all others their defaults
        assert replace(used, text="", sha256="", resolved="") == replace(written, text="", sha256="", resolved="")
