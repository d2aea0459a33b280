"""What the preflight says of each objective, on a real Prometheus: one series, fresh, in its unit, with its bucket."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.history import History
from tests.preflighting import RULE, failed, held, look, warned
from tests.processes import Installation, wait_for
from tests.servers import PrometheusServer

HOUR = 3600


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """A service with two instances, a gauge in milliseconds, a share above 1, and one that is not scraped any more."""
    now = int(time.time())
    start, end, old = now - HOUR, now + HOUR // 2, now - 200
    history = History()
    history.up(start, end)
    history.requests(start, end, error_share=0.0002)
    history.requests(start, old, job="gone")
    history.latency(start, end)
    history.gauge("request_latency", {"job": "checkout"}, start, end, 180.0)
    history.gauge("tests_passed_ratio", {"job": "checkout"}, start, end, 99.2)
    for instance in ("a", "b"):
        history.gauge("queue_seconds", {"job": "checkout", "instance": instance}, start, end, 3.0)
    target = "  - {job_name: gone, static_configs: [{targets: ['127.0.0.1:9']}]}"
    with PrometheusServer(history.build(tmp_path_factory.mktemp("service") / "tsdb"), target) as server:
        targets = f"{server.url}/api/v1/targets"
        wait_for(lambda: "gone" in requests.get(targets, timeout=10).text or None, 30, lambda: "no target is there")
        yield server


ERRORS = """
  - name: error_rate
    bad: sum(increase(http_requests_total{job="checkout",code=~"5.."}[$range]))
    total: sum(increase(http_requests_total{job="checkout"}[$range]))
    at_most: 0.1%
    outside: true
"""


def site(directory: Path, prometheus: PrometheusServer, objective: str = "") -> Installation:
    site = Installation(
        directory, prometheus.url, prometheus=f"{{url: '{prometheus.url}', timeout: 5s}}", tick_deadline="10s"
    )
    waive = "{pooled_exposure: a test, feasibility: a test, rollback_bound: a test}"
    site.rollout("checkout-1", ERRORS + objective, **{**RULE, "waive": waive})
    return site


def value(name: str, query: str, *keys: str) -> str:
    lines = "".join(f"    {key}\n" for key in (f"value: {query}", *keys))
    return f"  - name: {name}\n{lines}"


def bucket(bound: str) -> str:
    count = f'sum(increase(http_request_duration_seconds_bucket{{job="checkout",le="{bound}"}}[$range]))'
    whole = 'sum(increase(http_request_duration_seconds_count{job="checkout"}[$range]))'
    return f"  - name: latency\n    bad: {whole} - {count}\n    total: {whole}\n    at_most: 5%\n"


def test_an_objective_that_is_well_says_what_it_reads_and_how_old_that_is(
    tmp_path: Path, prometheus: PrometheusServer
) -> None:
    verdict = look(site(tmp_path, prometheus, bucket("0.2")), "objectives")
    assert failed(verdict) == {}
    found = held(verdict)
    names = {name.removeprefix("objectives: checkout-1: ") for name in found}
    wanted = ("answers with one series", "is fresh", "is in its unit", "has its bucket")
    assert names == {f"{name} {what}" for name in ("error_rate", "latency") for what in wanted}
    assert "old, at most 5m may be" in found["objectives: checkout-1: error_rate is fresh"]


@pytest.mark.parametrize(
    ("objective", "check", "said"),
    [
        (value("queue", "queue_seconds", "below: 30s"), "queue answers with one series", "many_series"),
        (value("queue", "no_such_thing", "below: 30s"), "queue answers with one series", "no_data"),
        (value("latency", "max(request_latency)", "below: 200ms"), "latency is in its unit", "looks like milliseconds"),
        (value("passed", "min(tests_passed_ratio)", "at_least: 98%"), "passed is in its unit", "looks like percent"),
        (bucket("0.25"), "latency has its bucket", 'names le="0.25"'),
        (bucket("1.0"), "latency has its bucket", "is the last finite bound"),
        (
            value(
                "old",
                'sum(http_requests_total{job="gone"})',
                "below: 1000000000",
                'fresh: max(timestamp(http_requests_total{job="gone"}))',
                "max_age: 1m",
            ),
            "old is fresh",
            "older than max_age",
        ),
    ],
    ids=["two series", "none", "milliseconds", "percent", "no such bound", "nothing above", "too old"],
)
def test_what_is_wrong_with_an_answer_stands_in_the_way_by_name(
    tmp_path: Path, prometheus: PrometheusServer, objective: str, check: str, said: str
) -> None:
    wrong = failed(look(site(tmp_path, prometheus, objective), "objectives"))
    assert f"objectives: checkout-1: {check}" in wrong, wrong
    assert said in wrong[f"objectives: checkout-1: {check}"]


def test_a_target_that_is_not_scraped_any_more_is_noticed_while_its_samples_still_stand(
    tmp_path: Path, prometheus: PrometheusServer
) -> None:
    """Prometheus answers with the last sample for five minutes; four missed scrapes of 15 s are enough to know."""
    objective = value("gone", 'sum(http_requests_total{job="gone"})', "below: 1000000000")
    wrong = failed(look(site(tmp_path, prometheus, objective), "objectives"))
    assert list(wrong) == ["objectives: checkout-1: gone is fresh"]
    assert "old, at most 1m may be" in wrong["objectives: checkout-1: gone is fresh"]

    later = time.time() + 240
    wrong = failed(look(site(tmp_path, prometheus, objective), "objectives", clock=lambda: later))
    assert wrong["objectives: checkout-1: gone is fresh"] == "there is no sample of the last five minutes"


def test_what_is_odd_is_warned_of(tmp_path: Path, prometheus: PrometheusServer) -> None:
    """It fails now: that would hold a ramp, and is no reason not to begin one."""
    objective = value("queue", "max(queue_seconds)", "below: 1s")
    verdict = look(site(tmp_path, prometheus, objective), "objectives")
    assert failed(verdict) == {}
    assert "it fails now" in warned(verdict)["objectives: checkout-1: queue: worth a look"]
