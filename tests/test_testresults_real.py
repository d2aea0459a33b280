"""Results of tests in Debian's node exporter and Pushgateway, and in a Prometheus that scrapes them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import requests
import yaml

from tests.processes import wait_for
from tests.scripted import ScriptedPrometheus, scripted
from tests.servers import PrometheusServer
from tests.test_testresults import AT, run
from tests.test_testresults_plugin import Project
from tests.textfileserver import NodeExporter, PushgatewayServer
from watchdog.errors import ConfigError, SourceError
from watchdog.testresults.model import Suite
from watchdog.testresults.pushgateway import Pushgateway
from watchdog.testresults.series import FAMILIES
from watchdog.testresults.sinks import Sink
from watchdog.testresults.textfile import Textfile

ROOT = Path(__file__).parent.parent
SUITE = Suite("smoke", "checkout", {"environment": "staging"})
HONOR = """
  - job_name: {name}
    honor_labels: true
    static_configs: [{{targets: ["{address}"]}}]
"""


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeExporter, Path]]:
    directory = tmp_path_factory.mktemp("exporter") / "textfiles"
    with NodeExporter(directory) as running:
        yield running, directory


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PushgatewayServer]:
    with PushgatewayServer(tmp_path_factory.mktemp("gateway")) as running:
        yield running


def sample(metrics: str, name: str, *labels: str) -> float:
    """The one sample of that name with these labels, in whatever order a server writes them."""
    found = [
        line for line in metrics.splitlines() if line.startswith(f"{name}{{") and all(each in line for each in labels)
    ]
    assert len(found) == 1, f"{found} of {name} {labels}"
    return float(found[0].rpartition(" ")[2])


def passed(server: PushgatewayServer | NodeExporter, suite: Suite) -> float:
    return sample(server.metrics(), "smoke_tests_total", 'result="passed"', f'job="{suite.job}"')


# --- node exporter ----------------------------------------------------------------------------------------------------


def test_node_exporter_tells_all_of_it_under_the_service_s_own_name(exporter: tuple[NodeExporter, Path]) -> None:
    server, directory = exporter
    for suite in (Suite("one", "told"), Suite("two", 'a "strange" \\ name')):
        Textfile(directory, suite).add(run(4, 1, flaky=1))
    metrics = server.metrics()
    assert "node_textfile_scrape_error 0" in metrics
    for family in FAMILIES:
        for value in family.values:
            own = f'{family.label}="{value}"' if family.label else ""
            sample(metrics, family.name, own, 'job="told"', 'suite="one"')
            sample(metrics, family.name, own, r'job="a \"strange\" \\ name"', 'suite="two"')
    assert sample(metrics, "smoke_tests_total", 'job="told"', 'result="failed"') == 1
    assert sample(metrics, "smoke_tests_last_run_timestamp_seconds", 'job="told"') == AT


# --- Pushgateway ------------------------------------------------------------------------------------------------------


def test_the_gateway_is_asked_what_it_holds_and_given_the_sum(gateway: PushgatewayServer) -> None:
    for number in (1, 2):
        push = Pushgateway(f"{gateway.url}/", SUITE)
        assert push.begin(AT + 60 * number - 3) == []
        assert push.finish(run(4, 1, at=AT + 60 * number)) == []
        assert passed(gateway, SUITE) == 4 * number
    metrics = gateway.metrics()
    assert sample(metrics, "smoke_tests_total", 'result="failed"', 'environment="staging"', 'suite="smoke"') == 2
    assert sample(metrics, "smoke_tests_last_run_success", 'job="checkout"') == 0


def test_labels_of_any_kind_make_a_group_and_groups_are_apart(gateway: PushgatewayServer) -> None:
    for number, job in enumerate(("a/b", "50 % of it", 'a "quote"', "\\", "Prüfung")):
        suite = Suite("apart", job)
        for _ in range(2):
            Pushgateway(gateway.url, suite).finish(run(number + 1))
        escaped = job.replace("\\", r"\\").replace('"', r"\"")
        assert passed(gateway, Suite("apart", escaped)) == 2 * (number + 1)


def test_what_others_push_into_the_group_stays(gateway: PushgatewayServer) -> None:
    suite = Suite("shared", "shared")
    Pushgateway(gateway.url, suite).add(run(1))
    theirs = f"{gateway.url}/metrics/job/shared/suite/shared"
    assert requests.post(theirs, data="theirs 7\n", timeout=10).status_code == 200
    Pushgateway(gateway.url, suite).add(run(1, at=AT + 1))
    assert sample(gateway.metrics(), "theirs", 'job="shared"') == 7
    assert passed(gateway, suite) == 2


def test_a_run_that_never_ended_counts_when_the_next_begins_and_a_report_counts_once(
    gateway: PushgatewayServer,
) -> None:
    suite = Suite("dying", "dying")
    Pushgateway(gateway.url, suite).begin(AT)
    again = Pushgateway(gateway.url, suite)
    (note,) = again.begin(AT + 60)
    assert "never ended" in note
    again.finish(run(2, at=AT + 62))
    assert sample(gateway.metrics(), "smoke_tests_total", 'job="dying"', 'result="error"') == 1
    (note,) = Pushgateway(gateway.url, suite).add(run(2, at=AT + 62))
    assert "not counted again" in note
    assert passed(gateway, suite) == 2


def test_a_gateway_that_was_restarted_begins_at_0_and_one_that_refuses_says_why(tmp_path: Path) -> None:
    with PushgatewayServer(tmp_path) as server:
        Pushgateway(server.url, SUITE).add(run(4))
        server.stop()
        server.start()
        Pushgateway(server.url, SUITE).add(run(3, at=AT + 1))
        assert passed(server, SUITE) == 3
        server.stop()
        server.start()
        clash = "# TYPE smoke_tests_total gauge\nsmoke_tests_total 1\n"
        assert requests.post(f"{server.url}/metrics/job/other", data=clash, timeout=10).status_code == 200
        with pytest.raises(SourceError, match=r"did not take the push: status 400: .*inconsistent") as refused:
            Pushgateway(server.url, SUITE).add(run(1))
        assert refused.value.permanent


def test_without_an_answer_nothing_is_pushed_and_no_password_is_shown(scripted_prometheus: ScriptedPrometheus) -> None:
    host = scripted_prometheus.url.removeprefix("http://")
    push = Pushgateway(f"http://ada:s3cret@{host}", SUITE)
    assert "s3cret" not in push.where
    strange = scripted.json({"data": [{"labels": SUITE.all_labels, "smoke_tests_total": {"metrics": [7]}}]})
    for reply, said in (
        (scripted.status(503), "status 503: out of order"),
        (scripted.redirect("http://elsewhere"), "status 302"),
        (scripted.html(), "holds something else"),
        (scripted.json({"data": [7]}), "holds something else"),
        (strange, "holds something else"),
        (scripted.truncated(scripted.html()), "did not say what it holds"),
        (scripted.not_http(), "did not say what it holds"),
    ):
        scripted_prometheus.always(reply)
        with pytest.raises(SourceError, match=said) as failed:
            push.add(run(1))
        assert "s3cret" not in str(failed.value)
    assert {asked.method for asked in scripted_prometheus.asked} == {"GET"}


def test_a_gateway_that_is_not_there_is_named() -> None:
    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:9 did not say what it holds: Connection refus"):
        Pushgateway("http://127.0.0.1:9", SUITE).begin(AT)
    for wrong in ("push:9091", "ftp://push", "http://", "http://push:99999", "http://push/?x=1"):
        with pytest.raises(ConfigError, match="expected http"):
            Pushgateway(wrong, SUITE)


def test_pytest_pushes_and_says_when_it_cannot(gateway: PushgatewayServer, tmp_path: Path) -> None:
    project = Project(tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "watchdog.testresults.plugin", "--slo-suite", "pytest"]
    for number in (1, 2):
        done = project.run(command=[*command, "--slo-pushgateway", gateway.url])
        assert done.status == 0, done.out
        assert passed(gateway, Suite("pytest", "pytest")) == 2 * number
    done = project.run(command=[*command, "--slo-pushgateway", "http://127.0.0.1:9"])
    assert done.status == 1
    assert "2 passed\nNOT COUNTED: pushgateway http://127.0.0.1:9 did not say what it holds" in done.out


# --- the objective ----------------------------------------------------------------------------------------------------


def test_the_objective_asks_prometheus_and_gets_the_share(
    exporter: tuple[NodeExporter, Path], gateway: PushgatewayServer
) -> None:
    """Both ways into one Prometheus: 2 of 50 failed on the host, and a suite that proved nothing in the gateway."""
    server, directory = exporter
    objective = yaml.safe_load((ROOT / "rules" / "objectives" / "test_pass_rate.yaml").read_text())
    ways: dict[str, Sink] = {
        "on-host": Textfile(directory, Suite("smoke", "on-host")),
        "pushed": Pushgateway(gateway.url, Suite("smoke", "pushed")),
    }
    scrapes = HONOR.format(name="node", address=server.address) + HONOR.format(name="push", address=gateway.address)
    with PrometheusServer(scrape_configs=scrapes, scrape_interval="1s") as prometheus:
        at: dict[str, str] = {}

        def asked(expression: str, job: str) -> float | None:
            query = expression.replace("$labels", f'job="{job}"').replace("$range", "10m")
            told = requests.get(f"{prometheus.url}/api/v1/query", params={"query": query, **at}, timeout=10).json()
            return float(told["data"]["result"][0]["value"][1]) if told["data"]["result"] else None

        def until(expression: str) -> None:
            for job in ways:
                wait_for(partial(asked, expression, job), 60, lambda: f"{expression} gives nothing")

        now = time.time()
        for way in ways.values():
            way.begin(now)
        until('count_over_time(smoke_tests_total{$labels,result="error"}[1m]) > 0')
        ways["on-host"].finish(run(48, 1, 1, 3, at=now + 5))
        ways["pushed"].finish(run(49, skipped=1, at=now + 5, faults=("critical tests were skipped (test_login)",)))
        until("smoke_tests_last_run_timestamp_seconds{$labels} > 0")
        at["time"] = str(time.time())
        shares = {job: (asked(objective["bad"], job) or 0) / (asked(objective["total"], job) or 1) for job in ways}
    assert shares == {"on-host": pytest.approx(0.04), "pushed": 1}
