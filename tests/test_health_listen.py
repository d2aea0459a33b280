"""`health.listen`: probes and metrics at an address of their own, which tells and changes nothing else."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.processes import Daemon, Installation, Traffic, wait_for
from tests.scripted import ScriptedPrometheus
from tests.webserver import TOKEN
from watchdog.config import load_settings
from watchdog.daemon import Daemon as Inside
from watchdog.web.openapi import document

OWN = {"/healthz", "/livez", "/readyz", "/metrics"}
TOP = {"health": '{listen: "127.0.0.1:0"}', "http": f'{{listen: "127.0.0.1:0", token: {TOKEN}}}'}


@pytest.fixture(scope="module")
def prometheus() -> Iterator[ScriptedPrometheus]:
    with ScriptedPrometheus(Traffic()) as server:
        yield server


@pytest.fixture(scope="module")
def running(prometheus: ScriptedPrometheus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with one rollout and both addresses."""
    site = Installation(tmp_path_factory.mktemp("site"), prometheus.url, **TOP)
    site.rollout("checkout-1", auto_start="true")
    with site.daemon() as daemon:
        daemon.said("tick")
        yield daemon


def health_of(daemon: Daemon) -> str:
    return f"http://{daemon.said('started')['health']}"


def test_probes_and_metrics_are_answered_there(running: Daemon) -> None:
    url = health_of(running)
    assert url != running.url
    for path in ("/healthz", "/livez", "/readyz"):
        answer = requests.get(url + path, timeout=10)
        assert (answer.status_code, answer.json()["status"]) in {(200, "ok"), (200, "ready")}
    told = requests.get(f"{url}/metrics", timeout=10)
    assert told.headers["Content-Type"].startswith("text/plain")
    assert 'slo_watchdog_rollout_phase{phase="' in told.text or "slo_watchdog_build_info" in told.text


def test_nothing_else_is_answered_there_with_any_method_and_any_token(running: Daemon) -> None:
    url = health_of(running)
    tried = 0
    for path, item in document("x")["paths"].items():
        address = re.sub(r"{\w+}", "checkout-1", path)
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            if address in OWN and method == "GET":
                continue
            how = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
            answer = requests.request(method, url + address, headers=how, json={"reason": "x"}, timeout=10)
            assert answer.status_code == (405 if address in OWN else 404), (method, address)
            tried += method.lower() in item
    assert tried > 20, "every address of the API was tried"
    assert running.get("/api/v1/rollouts/checkout-1").json()["phase"] != "stopped"


def test_the_other_address_answers_probes_as_before(running: Daemon) -> None:
    for path in OWN:
        assert running.get(path).status_code == 200


def test_without_the_setting_there_is_no_such_address(tmp_path: Path, prometheus: ScriptedPrometheus) -> None:
    with Installation(tmp_path, prometheus.url).daemon() as daemon:
        assert "health" not in daemon.said("started")


def test_a_ledger_that_is_away_makes_it_unready_and_leaves_it_alive(
    tmp_path: Path, prometheus: ScriptedPrometheus
) -> None:
    site = Installation(tmp_path, prometheus.url, **TOP)
    site.rollout("checkout-1", auto_start="true")
    with site.daemon() as daemon:
        daemon.said("tick")
        url = health_of(daemon)
        connection = sqlite3.connect(site.ledger_file, timeout=10)
        connection.execute("ALTER TABLE rollouts RENAME TO elsewhere")
        connection.close()
        ready = f"{url}/readyz"
        wait_for(lambda: requests.get(ready, timeout=10).status_code == 503 or None, 15, lambda: "it is still ready")
        assert requests.get(f"{url}/livez", timeout=10).status_code == 200
        assert daemon.end() == 0


def test_ticks_that_do_not_end_are_told_but_not_ticks_that_fail(tmp_path: Path, prometheus: ScriptedPrometheus) -> None:
    """Not started: no tick runs, and only the clock moves."""
    site = Installation(tmp_path, prometheus.url)
    site.rollout("checkout-1", auto_start="true")
    now = [1e9]
    daemon = Inside(load_settings(site.config), clock=lambda: now[0])
    daemon.scan()
    assert daemon.jobs.stuck() is None
    now[0] += 60
    assert "no tick of rollout checkout-1 has ended for 60 s" in str(daemon.jobs.stuck())
    daemon.ledger.close()
    daemon.jobs._run("checkout-1")
    assert daemon.jobs.stuck() is None
    daemon.stop()
