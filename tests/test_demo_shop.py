"""The demo's shop as a real process: it serves, follows its flag file, tells Prometheus, and ends when told."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

DEMO = Path(__file__).parent.parent / "deploy" / "demo"
BROKEN = 0.3


def flag_document(percent: float) -> str:
    """The flag file as the watchdog writes it: integer weights of 100000, "on" first."""
    on = round(percent * 1000)
    flag = {
        "state": "ENABLED",
        "variants": {"on": True, "off": False},
        "defaultVariant": "off",
        "targeting": {"fractional": [["on", on], ["off", 100_000 - on]]},
    }
    return json.dumps({"metadata": {"flagSetId": "shop"}, "flags": {"new-checkout": flag}})


def publish(path: Path, percent: float) -> None:
    """Replaces the flag file in one piece, its time newer than before: readers look at nothing else."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    fresh = path.with_suffix(".new")
    fresh.write_text(flag_document(percent))
    newer = max(time.time_ns(), before + 1_000_000)
    os.utime(fresh, ns=(newer, newer))
    fresh.replace(path)


class Running:
    """A shop that serves, and its flag file."""

    def __init__(self, flags: Path) -> None:
        self.flags = flags
        command = [sys.executable, str(DEMO / "shop.py"), "--port", "0", "--flags", str(flags)]
        self.process = subprocess.Popen(
            [*command, "--broken-share", str(BROKEN)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", first)
        assert found, f"the shop did not start: {first}{self.process.stdout.read()}"
        self.port = int(found.group(1))

    def get(self, path: str, user: str = "") -> tuple[int, str | None, str]:
        """Status, variant and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path, headers={"X-User": user} if user else {})
            answer = connection.getresponse()
            return answer.status, answer.getheader("X-Variant"), answer.read().decode()
        finally:
            connection.close()

    def metric(self, series: str) -> float:
        """The value of one series of /metrics; fails when it is not there."""
        found = re.search(rf"^{re.escape(series)} (\S+)$", self.get("/metrics")[2], re.MULTILINE)
        assert found, f"{series} is not exported"
        return float(found.group(1))

    def end(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(5)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Running]:
    flags = tmp_path / "shop.flagd.json"
    publish(flags, 0)
    running = Running(flags)
    yield running
    if running.process.poll() is None:
        running.end()


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Asks until it holds or the time is up."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
    return False


def test_serves_the_old_checkout_while_the_flag_is_off(shop: Running) -> None:
    status, variant, body = shop.get("/checkout", user="user-1")
    assert (status, variant) == (200, "off")
    assert body == "total 56.40\n"
    assert shop.get("/checkout?user=user-1")[1] == "off"
    assert shop.get("/healthz")[0] == 200
    assert shop.get("/no-such-page")[0] == 404


def test_a_change_of_the_flag_file_switches_the_variant_within_a_second(shop: Running) -> None:
    publish(shop.flags, 100)
    assert within(1, lambda: shop.get("/checkout", user="user-1")[1] == "on")
    publish(shop.flags, 0)
    assert within(1, lambda: shop.get("/checkout", user="user-1")[1] == "off")


def test_the_new_code_fails_always_the_same_part_of_its_users_and_the_old_code_nobody(shop: Running) -> None:
    users = [f"user-{number}" for number in range(100)]
    assert {shop.get("/checkout", user)[0] for user in users} == {200}
    publish(shop.flags, 100)
    assert within(1, lambda: shop.get("/checkout", user="user-1")[1] == "on")
    failing = {user for user in users if shop.get("/checkout", user)[0] == 500}
    assert 15 <= len(failing) <= 45
    assert {user for user in users if shop.get("/checkout", user)[0] == 500} == failing


def test_metrics_carry_the_variant_and_exist_before_the_first_failure(shop: Running) -> None:
    assert shop.metric('http_requests_total{code="500",variant="on"}') == 0
    assert shop.metric('http_requests_total{code="500",variant="off"}') == 0
    shop.get("/checkout", user="user-1")
    assert shop.metric('http_requests_total{code="200",variant="off"}') == 1
    assert shop.metric('http_request_duration_seconds_bucket{le="0.2",variant="off"}') == 1
    assert shop.metric('http_request_duration_seconds_count{variant="on"}') == 0
    assert within(2, lambda: shop.metric('smoke_tests_total{result="passed"}') > 0)
    assert shop.metric('smoke_tests_total{result="failed"}') == 0


def test_sigterm_ends_it_with_status_0_even_with_a_connection_open(shop: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=5)
    connection.request("GET", "/healthz")
    connection.getresponse().read()
    assert shop.end() == 0
    connection.close()


def test_the_load_counts_what_users_and_probe_saw_and_survives_the_shop(shop: Running, tmp_path: Path) -> None:
    failures = tmp_path / "failures.jsonl"
    command = [sys.executable, str(DEMO / "load.py"), "--shop", f"127.0.0.1:{shop.port}", "--port", "0"]
    load = subprocess.Popen([*command, "--failures", str(failures)], stdout=subprocess.PIPE, text=True)
    try:
        assert load.stdout is not None
        found = re.search(r"metrics on 127\.0\.0\.1:(\d+)", load.stdout.readline())
        assert found
        port = int(found.group(1))
        assert within(5, lambda: scraped(port, 'probe_requests_total{result="ok"}') >= 10)
        assert scraped(port, 'load_requests_total{result="ok",variant="off"}') > 0
        assert failures.read_text() == ""
        shop.end()
        assert within(5, lambda: scraped(port, 'probe_requests_total{result="failed"}') >= 5)
        assert json.loads(failures.read_text().splitlines()[0])["status"] == 0
    finally:
        load.send_signal(signal.SIGTERM)
        assert load.wait(5) == 0
        load.stdout.close()


def scraped(port: int, series: str) -> float:
    """One series of the load generator's /metrics."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        found = re.search(rf"^{re.escape(series)} (\S+)$", connection.getresponse().read().decode(), re.MULTILINE)
    finally:
        connection.close()
    assert found, f"{series} is not exported"
    return float(found.group(1))
