"""The daemon as a real process: real signals, SIGKILL and restart, its log, its readiness, two at once."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.processes import Daemon, Installation, Traffic, wait_for
from tests.servers import ScriptedPrometheus, scripted

NAME = "checkout-1"
TOKEN, HTTP_TOKEN, TENANT = "bearer-0123456789", "http-9876543210", "tenant-5555555555"


@pytest.fixture
def traffic(scripted_prometheus: ScriptedPrometheus) -> Traffic:
    """A healthy service, until the test says otherwise."""
    traffic = Traffic()
    scripted_prometheus.always(traffic)
    return traffic


@pytest.fixture
def site(tmp_path: Path, scripted_prometheus: ScriptedPrometheus, traffic: Traffic) -> Installation:
    return Installation(tmp_path, scripted_prometheus.url)


@pytest.fixture
def started(site: Installation) -> Iterator[Daemon]:
    site.rollout(NAME, auto_start="true")
    with site.daemon() as daemon:
        yield daemon


def ramped(site: Installation, percent: float) -> None:
    site.until(NAME, lambda status: status.get("exposure", {}).get("desired", 0) >= percent)


# --- signals ----------------------------------------------------------------------------------------------------------


def test_a_signal_ends_it_with_status_0_and_a_last_line(started: Daemon) -> None:
    started.said("tick")
    assert started.end(signal.SIGINT, within=10) == 0
    assert started.lines[-1]["event"] == "stopped"


@pytest.mark.parametrize("first", [None, signal.SIGINT], ids=["one", "two in a row"])
def test_a_signal_ends_it_in_time_while_prometheus_hangs(
    started: Daemon, traffic: Traffic, scripted_prometheus: ScriptedPrometheus, first: int | None
) -> None:
    """Whichever thread the system hands it to."""
    started.said("tick")
    traffic.fault = scripted.hang()
    asked = len(scripted_prometheus.asked)
    wait_for(lambda: len(scripted_prometheus.asked) > asked or None, 10, lambda: "nothing was asked")
    begun = time.monotonic()
    if first is not None:
        started.process.send_signal(first)
    assert started.end(signal.SIGTERM, within=10) == 0
    assert time.monotonic() - begun < 6, "a tick is bounded by its deadline of 2 s"


# --- errors inside ----------------------------------------------------------------------------------------------------


def test_three_ticks_that_fail_inside_hold_the_rollout_and_end_readiness(site: Installation) -> None:
    """Somebody damaged the rollout's row: every tick fails, until the row is good again; then it is held."""
    site.rollout(NAME, auto_start="true")
    with site.daemon() as daemon:
        ramped(site, 20)
        assert daemon.get("/readyz").status_code == 200
        daemon.kill()
    good = damage(site, "not a phase")
    with site.daemon() as daemon:
        assert daemon.said("tick failed", within=10)["level"] == "error"
        answer = wait_for(lambda: unready(daemon), 15, lambda: "still ready")
        assert NAME in answer
        assert "has not ticked" in answer
        assert daemon.get("/healthz").status_code == 200, "the process answers"
        damage(site, good)
        status = site.until(NAME, lambda status: status["hold"] is not None)
        assert status["hold"]["cause"] == "internal_error"
        assert status["hold"]["by"] == "watchdog"
        assert "3 ticks in a row failed inside the watchdog" in status["hold"]["why"]
        wait_for(lambda: daemon.get("/readyz").status_code == 200 or None, 10, lambda: "not ready again")
        at = site.serves
        assert daemon.end() == 0
    assert site.serves == at < 100


def damage(site: Installation, phase: str) -> str:
    """Write another phase into the rollout's control; the one that was there."""
    connection = sqlite3.connect(site.ledger_file, timeout=10)
    with connection:
        (text,) = connection.execute("SELECT control FROM heads").fetchone()
        control = json.loads(text)
        was, control["phase"] = control["phase"], phase
        connection.execute("UPDATE heads SET control = ?", (json.dumps(control),))
    connection.close()
    return str(was)


def unready(daemon: Daemon) -> str | None:
    answer = daemon.get("/readyz")
    return None if answer.status_code == 200 else str(answer.json()["detail"])


# --- log and start ----------------------------------------------------------------------------------------------------


def test_every_line_is_json_and_no_secret_is_in_any_output(
    tmp_path: Path, scripted_prometheus: ScriptedPrometheus, traffic: Traffic
) -> None:
    """Prometheus repeats the token in its error, as a proxy in front of it might."""
    site = Installation(
        tmp_path,
        scripted_prometheus.url,
        prometheus=f"{{url: {scripted_prometheus.url}, timeout: 1s, scrape_interval: 500ms, "
        f"bearer_token: {TOKEN}, headers: {{X-Scope-OrgID: {TENANT}}}}}",
        http=f'{{listen: "127.0.0.1:0", token: {HTTP_TOKEN}}}',
        log="{format: json, level: debug}",
    )
    site.rollout(NAME, auto_start="true")
    with site.daemon() as daemon:
        ramped(site, 10)
        traffic.fault = scripted.error(401, "unauthorized", f"no access for Bearer {TOKEN} of {TENANT}")
        waiting = site.until(NAME, lambda status: status["waiting"])["waiting"]
        site.until(NAME, lambda status: status["objectives"][0]["reason"] == "query_error")
        refused = daemon.get("/api/v1/rollouts").text
        assert daemon.end() == 0
        assert daemon.lines, "every line is JSON"
        assert all({"event", "level", "timestamp"} <= line.keys() for line in daemon.lines)
        assert any(asked.headers.get("Authorization") == f"Bearer {TOKEN}" for asked in scripted_prometheus.asked)
        told = site.run("status", NAME).out + site.run("explain", NAME).out
        everything = daemon.text + refused + told + " ".join(waiting)
        everything += (tmp_path / "watchdog.db").read_bytes().decode(errors="replace")
    for secret in (TOKEN, HTTP_TOKEN, TENANT):
        assert secret not in everything


def test_a_port_that_is_taken_is_a_sentence_and_status_2(
    tmp_path: Path, scripted_prometheus: ScriptedPrometheus
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        done = Installation(tmp_path, scripted_prometheus.url, listen=place).run("run")
    assert done.status == 2
    (line,) = [line for line in done.err.splitlines() if line.startswith("slo-watchdog: ")]
    assert line.startswith(f"slo-watchdog: http.listen: {place} cannot be listened on")
    assert "another program may have it" in line


def test_a_command_without_a_token_is_refused_and_one_with_it_is_carried_out_at_once(
    tmp_path: Path, scripted_prometheus: ScriptedPrometheus, traffic: Traffic
) -> None:
    site = Installation(tmp_path, scripted_prometheus.url, http=f'{{listen: "127.0.0.1:0", token: {HTTP_TOKEN}}}')
    # A long interval: only being woken makes it this quick.
    site.rollout(
        NAME,
        auto_start="true",
        interval="30s",
        objectives="""
  - {name: error_rate, bad: "errors_total[$range]", total: "requests_total[$range]", at_most: 1%, range: 1m}
""",
        window="{slices: 100, slice: 1h}",
        ramp="{strategy: progressive, over: 1h, every: 10m}",
        rollback="{within: 15m}",
    )
    with site.daemon() as daemon:
        site.until(NAME, lambda status: status["phase"] == "ramping")
        place = f"{daemon.url}/api/v1/rollouts/{NAME}/rollback"
        assert requests.post(place, json={"reason": "x"}, timeout=10).status_code == 401
        key = {"Authorization": f"Bearer {HTTP_TOKEN}"}
        answer = requests.post(place, json={"reason": "a test"}, headers=key, timeout=10)
        assert answer.status_code in (200, 202)
        site.until(NAME, lambda status: status["phase"] == "rolled_back", within=5)
        assert daemon.end() == 0


def test_it_starts_with_no_rollout_at_all_and_takes_in_what_is_started_later(site: Installation) -> None:
    with site.daemon() as daemon:
        assert daemon.said("started")["rollouts"] == []
        assert daemon.get("/readyz").status_code == 200
        path = site.rollout(NAME)
        done = site.run("start", str(path), "--by", "ada")
        assert done.status == 0, done.err
        site.until(NAME, lambda status: status["phase"] == "ramping")
        assert "ada" in site.history(NAME, "start")[0]
        assert daemon.end() == 0


def test_the_tests_leave_no_daemon_of_ours(site: Installation) -> None:
    """The helper itself: leaving the block ends the process."""
    with site.daemon() as daemon:
        pid = daemon.process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
