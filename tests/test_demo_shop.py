"""The demo's shop as a real process: it serves, follows its flag file, tells Prometheus, and ends when told."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demoshop import DEMO, Emergencies, Running, publish, within
from watchdog.model import EMERGENCY_FLAGS


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Running]:
    flags = tmp_path / "shop.flagd.json"
    publish(flags, 0)
    ops = tmp_path / "ops.flagd.json"
    Emergencies(ops).prepare()
    running = Running(flags, ops)
    yield running
    if running.process.poll() is None:
        running.end()


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


def test_everything_is_open_while_no_emergency_flag_is_on(shop: Running) -> None:
    assert shop.ask("POST", "/order")[0] == 201
    assert shop.ask("GET", "/orders")[2] == "1 orders\n"
    assert shop.metric("shop_orders_total") == 1
    for flag in EMERGENCY_FLAGS:
        assert shop.metric(f'shop_refused_total{{flag="{flag}"}}') == 0


def test_shutdown_turns_everybody_away_and_says_when_to_come_again(shop: Running) -> None:
    flags = Emergencies(shop.ops)
    flags.on("ops.shutdown", "the payment provider is down")
    assert within(1, lambda: shop.get("/checkout", user="user-1")[0] == 503)
    for method, path in (("GET", "/checkout"), ("GET", "/orders"), ("POST", "/order")):
        status, headers, body = shop.ask(method, path)
        assert status == 503
        assert int(headers["Retry-After"]) > 0
        assert "the payment provider is down" in body
    assert shop.get("/healthz")[0] == 200
    assert shop.metric('shop_refused_total{flag="ops.shutdown"}') >= 3
    assert shop.metric('http_requests_total{code="500",variant="off"}') == 0
    flags.off("ops.shutdown")
    assert within(1, lambda: shop.get("/checkout", user="user-1")[0] == 200)


def test_read_only_refuses_orders_and_lets_people_read(shop: Running) -> None:
    flags = Emergencies(shop.ops)
    assert shop.ask("POST", "/order")[0] == 201
    flags.on("ops.read-only", "a migration until noon")
    assert within(1, lambda: shop.ask("POST", "/order")[0] == 423)
    status, headers, body = shop.ask("POST", "/order")
    assert (status, "Retry-After" in headers) == (423, True)
    assert body == "the shop takes no orders now: a migration until noon; everything can still be read\n"
    taken = shop.metric("shop_orders_total")
    assert shop.ask("GET", "/orders")[2] == f"{taken:g} orders\n"
    assert shop.get("/checkout", user="user-1")[0] == 200
    flags.off("ops.read-only")
    assert within(1, lambda: shop.ask("POST", "/order")[0] == 201)


def test_maintenance_shows_a_page_for_people_with_the_reason_quoted(shop: Running) -> None:
    flags = Emergencies(shop.ops)
    flags.on("ops.maintenance", "a bigger <disk>")
    assert within(1, lambda: shop.ask("GET", "/checkout")[0] == 503)
    status, headers, body = shop.ask("GET", "/checkout")
    assert (status, headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert "Retry-After" in headers
    assert body.startswith("<!doctype html>")
    assert "a bigger &lt;disk&gt;" in body
    assert "@WHY@" not in body
    assert shop.metric('shop_refused_total{flag="ops.maintenance"}') >= 1


def test_a_broken_flag_file_of_the_features_keeps_nobody_from_closing_the_shop(shop: Running) -> None:
    shop.flags.write_text('{"flags": ')
    Emergencies(shop.ops).on("ops.shutdown", "now")
    assert within(1, lambda: shop.get("/checkout", user="user-1")[0] == 503)


def test_a_broken_emergency_set_leaves_the_shop_as_it_is(shop: Running) -> None:
    shop.ops.write_text("{}")
    assert not within(0.5, lambda: shop.get("/checkout", user="user-1")[0] != 200)


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
