"""The service that every figure watches: made histories of it in a real Prometheus, and rules of seven objectives."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.history import History
from tests.servers import PrometheusServer
from watchdog.model import Rollout
from watchdog.rolloutfile import DaemonFacts, parse_rollout

HOUR, DAY = 3600, 86_400
START = 1_764_028_800
"""Midnight, UTC: the first instant of every made rollout."""

HEAD = """
rollout: {name}
service: checkout
version: "2.14.0"
flag: {flag}
interval: 30s
auto_start: true
ramp: {{strategy: {strategy}, from: 0, to: 100{plan}}}
"""

SEVEN = """
waive: {pooled_exposure: the service has no label for the cohort}
objectives:
  - {use: test_pass_rate, labels: {job: smoke}}
  - {use: error_rate, labels: {job: checkout}}
  - {use: latency_p95, labels: {job: checkout}}
  - {use: availability, labels: {job: probe}}
  - name: orders
    bad: sum(increase(orders_total{job="checkout",result="failed"}[$range]))
    total: sum(increase(orders_total{job="checkout"}[$range]))
    at_most: 1%
  - name: latency_p50
    value: histogram_quantile(0.5, sum by (le) (rate(http_request_duration_seconds_bucket{job="checkout"}[$range])))
    below: 150ms
  - name: queue
    value: max(max_over_time(queue_length{job="checkout"}[$range]))
    below: 100
"""
"""Five event and two value objectives, all by different expressions: twelve queries a slot."""


def rule(name: str = "checkout-2.14.0", *, ramps: bool = True, flag: str = "new-checkout") -> str:
    """The rule as text: a ramp of seven days in hourly steps, or all at once."""
    strategy, plan = ("progressive", ", over: 7d, every: 1h") if ramps else ("all_at_once", "")
    return HEAD.format(name=name, flag=flag, strategy=strategy, plan=plan) + SEVEN


def rollout(name: str = "checkout-2.14.0", *, ramps: bool = True) -> Rollout:
    """The same, parsed."""
    return parse_rollout(rule(name, ramps=ramps), f"{name}.yaml", DaemonFacts())


def history(start: int, end: int) -> History:
    """A healthy service in [start, end): scrapes every 15 s, 50 requests a second, a fifth of what is allowed fails."""
    made = History()
    made.up(start, end)
    made.requests(start, end, error_share=0.0002, seed=1)
    made.latency(start, end, slow_share=0.01, seed=2)
    for result, per_second in (("done", 4.99), ("failed", 0.01)):
        made.counter("orders_total", {"job": "checkout", "result": result}, start, end, per_second, seed=3)
    for result, per_second in (("passed", 0.995), ("failed", 0.005)):
        made.counter("smoke_tests_total", {"job": "smoke", "result": result}, start, end, per_second, seed=4)
    made.gauge("probe_success", {"job": "probe", "instance": "shop"}, start, end)
    made.gauge("queue_length", {"job": "checkout"}, start, end, lambda t: float(t // 15 % 17))
    return made


@contextmanager
def prometheus(seconds: int) -> Iterator[PrometheusServer]:
    """A real Prometheus that holds `seconds` of history after START, and an hour before it."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        data = history(START - HOUR, START + seconds).build(Path(directory) / "tsdb")
        with PrometheusServer(data) as server:
            yield server
