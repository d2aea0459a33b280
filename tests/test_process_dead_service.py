"""The service dies at 50 % exposure: the flag is off within the bound that `check` promised. Prometheus dies: it stays.

The service is the demo's shop with the demo's users and probe, scraped by a real Prometheus.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.processes import Daemon, Installation, wait_for
from tests.servers import PrometheusServer

DEMO = Path(__file__).parent.parent / "deploy" / "demo"
OUTSIDE = """
  - name: availability
    bad: sum(increase(probe_requests_total{job="load",result!="ok"}[$range]))
    total: sum(increase(probe_requests_total{job="load"}[$range]))
    at_least: 99%
    range: 4s
    sequential: {every: 2s}
    outside: true
"""
SILENCE = """
  - name: error_rate
    bad: sum(increase(http_requests_total{job="shop",code=~"5.."}[$range]))
    total: sum(increase(http_requests_total{job="shop"}[$range]))
    at_most: 5%
    range: 4s
    sequential: {every: 2s}
    no_data: fail
"""


@dataclass
class Child:
    """A program of the demo, and the port that it serves on."""

    process: subprocess.Popen[str]
    port: int

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def child(script: str, *arguments: str) -> Child:
    command = [sys.executable, str(DEMO / script), "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    started = Child(process, 0)
    line = process.stdout.readline()
    places = re.findall(r"127\.0\.0\.1:(\d+)", line)
    if not places:
        started.kill()
    assert places, f"{script} did not say where it serves: {line!r}"
    started.port = int(places[-1])
    return started


@dataclass
class World:
    site: Installation
    shop: Child
    prometheus: PrometheusServer
    daemon: Daemon

    @property
    def promised(self) -> dict[str, float]:
        """The worst case that `check` computes for each objective, seconds."""
        found: dict[str, float] = self.site.run("check", "--json").data["rollouts"][0]["worst_case_s"]
        return found

    def at_half(self) -> None:
        """Ramped to 50 %, and measured good there for a few slots."""
        self.site.until("shop-2", lambda status: status.get("exposure", {}).get("actual") == 50, within=40)
        assert self.site.serves == 50


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        site = Installation(tmp_path, "http://127.0.0.1:1")
        shop = child("shop.py", "--flags", str(site.flag_file))
        stack.callback(shop.kill)
        load = child("load.py", "--shop", f"127.0.0.1:{shop.port}", "--failures", str(tmp_path / "failures"))
        stack.callback(load.kill)
        jobs = "".join(
            f"  - {{job_name: {name}, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n"
            for name, port in (("shop", shop.port), ("load", load.port))
        )
        prometheus = stack.enter_context(PrometheusServer(scrape_configs=jobs, scrape_interval="500ms"))
        site = Installation(tmp_path, prometheus.url)
        site.rollout(
            "shop-2",
            OUTSIDE + SILENCE,
            auto_start="true",
            ramp="{steps: [{percent: 50, for: 1h}, {percent: 100}]}",
            waive="{pooled_exposure: a test}",
        )
        yield World(site, shop, prometheus, stack.enter_context(site.daemon()))


def test_a_service_that_dies_at_half_exposure_loses_its_flag_within_the_promised_bound(world: World) -> None:
    promised = world.promised
    world.at_half()
    world.shop.kill()
    died = time.time()
    wait_for(lambda: world.site.serves == 0 or None, max(promised.values()) + 1, lambda: world.daemon.text[-3000:])
    took = time.time() - died
    status = world.site.until("shop-2", lambda status: status["phase"] == "rolled_back")
    cause = status["rollback"]["cause"].partition(" ")[0]
    assert took <= promised[cause], f"{cause} took {took:.1f} s"
    assert min(promised.values()) == promised["availability"], "who looks from outside sees it first"
    # Everything is dead and silent now, and both objectives say so.
    world.site.until("shop-2", lambda status: {o["verdict"] for o in status["objectives"]} == {"fail"})
    assert world.daemon.end() == 0


def test_prometheus_dead_for_a_while_is_no_reason_to_take_anything_back(world: World) -> None:
    world.at_half()
    world.prometheus.kill()
    status = world.site.until(
        "shop-2", lambda status: {o["reason"] for o in status["objectives"]} == {"unreachable"}, within=20
    )
    assert "connection refused" in status["objectives"][0]["why"]
    # As long as a total failure would have needed at most to take the flag back.
    wait_for(lambda: world.site.history("shop-2", "blind") or None, 20, lambda: world.daemon.text[-3000:])
    assert world.site.serves == 50
    world.prometheus.start()
    status = world.site.until(
        "shop-2", lambda status: {o["verdict"] for o in status["objectives"]} == {"pass"}, within=30
    )
    assert world.site.history("shop-2", "sighted")
    assert (status["phase"], status["hold"], status["rollback"]) == ("ramping", None, None)
    assert world.site.serves == 50
    assert world.site.history("shop-2", "breach") == []
    assert world.daemon.end() == 0
