"""A live, growing Prometheus that loses scrapes and is killed in mid-run: once settled, live run and replay agree."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Installation, wait_for
from tests.servers import PrometheusServer, Reply, ScriptedPrometheus, scripted

NAME = "checkout-1"
OBJECTIVES = """
  - name: error_rate
    bad: sum(increase(http_requests_total{code="500"}[$range]))
    total: sum(increase(http_requests_total[$range]))
    at_most: 1%
    range: 3s
    min_slice_events: 10
    sequential: {every: 2s}
    on_breach: page
  - name: latency
    value: max(latency_seconds)
    below: 200ms
    range: 3s
    confirm: {fails: 3, of: 5, every: 2s}
    on_breach: page
"""


class Shop:
    """A page of metrics that follow the wall clock: 50 requests a second, 20 % of them failing while it is `ill`."""

    def __init__(self) -> None:
        self.since = self.last = time.time()
        self.served = self.failed = 0.0
        self.ill = self.silent = False

    def __call__(self, asked: Any) -> Reply:
        if self.silent:
            return scripted.status(500)(asked)  # type: ignore[no-any-return]
        now = time.time()
        events = 50 * (now - self.last)
        self.last = now
        self.failed += events * 0.2 * self.ill
        self.served += events * (1 - 0.2 * self.ill)
        slow = 0.5 if self.ill else 0.1
        text = (
            f'http_requests_total{{code="200"}} {self.served:.0f}\n'
            f'http_requests_total{{code="500"}} {self.failed:.0f}\n'
            f"latency_seconds {slow}\n"
        )
        return scripted.page(lambda: text)(asked)  # type: ignore[no-any-return]


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def prometheus(shop: Shop) -> Iterator[PrometheusServer]:
    with ScriptedPrometheus(shop) as page:
        jobs = f"  - {{job_name: checkout, static_configs: [{{targets: ['127.0.0.1:{page.port}']}}]}}\n"
        with PrometheusServer(scrape_configs=jobs, scrape_interval="500ms") as server:
            yield server


def slots(site: Installation, more: int) -> None:
    """Wait until so many more slots have been judged."""

    def judged() -> int:
        ledger = site.ledger()
        try:
            stored = ledger.rollout(NAME)
            return stored.last_slot or 0 if stored is not None else 0
        finally:
            ledger.close()

    until = judged() + more
    wait_for(lambda: judged() >= until or None, more + 20, lambda: f"{until - judged()} slots to go")


def test_after_lost_scrapes_and_a_killed_prometheus_live_run_and_replay_agree(
    tmp_path: Path, shop: Shop, prometheus: PrometheusServer
) -> None:
    site = Installation(tmp_path, prometheus.url)
    file = site.rollout(
        NAME,
        OBJECTIVES,
        auto_start="true",
        delay="2s",
        settle="3s",
        ramp="{steps: [{percent: 25, for: 1h}, {percent: 100}]}",
        window="{slices: 2, slice: 4s, max_gap: 3s}",
        waive="{dead_service: a test, pooled_exposure: a test, rollback_bound: a test}",
    )
    wait_for(lambda: shop.served > 100 or None, 10, lambda: "nobody scrapes")
    with site.daemon() as daemon:
        site.until(NAME, lambda status: status["phase"] in ("ramping", "soaking"))
        slots(site, 4)
        shop.ill = True
        site.until(NAME, lambda _: len(site.history(NAME, "breach")) == 2, within=25)
        shop.ill = False
        slots(site, 3)
        shop.silent = True
        slots(site, 3)
        shop.silent = False
        slots(site, 3)
        prometheus.kill()
        slots(site, 2)
        prometheus.start()
        slots(site, 5)
        daemon.kill()
    with site.daemon() as daemon:
        # Old enough that nothing of it will be asked again.
        slots(site, 7)
        assert daemon.end() == 0
    live = site.run("report", NAME, "--format", "json").data
    again = site.run("replay", str(file), "--from", live["from"], "--to", live["to"], "--json", "--keep-going")
    replayed = again.data
    assert again.status == 1
    assert live["slots"] == replayed["slots"] >= 30
    reasons = live["evaluations"]["latency"]["reasons"]
    assert reasons.get("no_data", 0) > 0, "the lost scrapes left a hole"
    assert live["evaluations"] == replayed["evaluations"]
    at = [(breach["objective"], breach["at"]) for breach in live["breaches"]]
    assert at == [(breach["objective"], breach["at"]) for breach in replayed["breaches"]]
    assert {name for name, _ in at} == {"error_rate", "latency"}
    spans = [(gap["from"], gap["to"], gap["reason"]) for gap in live["gaps"]]
    assert spans == [(gap["from"], gap["to"], gap["reason"]) for gap in replayed["gaps"]]
    assert spans
    for key in ("required", "current", "longest", "completed_at", "idle", "unknown_s", "resets"):
        assert live["window"][key] == replayed["window"][key], key
