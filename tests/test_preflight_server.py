"""What the preflight says of Prometheus, its clock, retention and rules, and of the way that an alert takes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.alertmanagerserver import AlertmanagerServer
from tests.answering import Answering, Reply, Request, reply
from tests.ledgers import ledger_at
from tests.preflighting import SICK, failed, held, installed, look, monitoring, served, setting, warned
from tests.processes import Installation, wait_for
from tests.servers import PrometheusServer
from watchdog.noise.episodes import ALERTMANAGER, Alert

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def well(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PrometheusServer, AlertmanagerServer]]:
    with monitoring(tmp_path_factory.mktemp("well")) as both:
        yield both


@pytest.fixture(scope="module")
def ill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """It sends alerts to nobody, and cannot evaluate one of its rules."""
    rules = ({"record": "sick", "expr": SICK}, {"record": "fine", "expr": "vector(1)"})
    with served(tmp_path_factory.mktemp("ill"), None, *rules) as server:
        ask = f"{server.url}/api/v1/rules"
        wait_for(lambda: "err" in get(ask) or None, 30, lambda: f"no rule fails:\n{get(ask)}")
        yield server


def get(url: str) -> str:
    return requests.get(url, timeout=10).text


def on(directory: Path, url: str, **top: str) -> Installation:
    return installed(directory, url, NOBODY, **top)


# --- Prometheus -----------------------------------------------------------------------------------------------------


def test_a_server_that_is_well_is_told_with_its_version(tmp_path: Path, well: tuple[PrometheusServer, object]) -> None:
    verdict = look(on(tmp_path, well[0].url), "prometheus")

    assert failed(verdict) == warned(verdict) == {}
    found = held(verdict)
    assert "is version 2." in found["prometheus: answers"]
    assert found["prometheus: clock"] == "its clock agrees with this host's to the second"
    assert "keeps 3650d, the whole watch takes 9d" in found["prometheus: checkout-1: retention"]
    assert found["prometheus: rules are healthy"] == "1 rules in 1 groups"
    assert [build.what for build in verdict.builds] == ["prometheus"]


def test_a_rule_that_fails_stands_in_the_way(tmp_path: Path, ill: PrometheusServer) -> None:
    wrong = failed(look(on(tmp_path, ill.url), "prometheus"))

    assert set(wrong) == {"prometheus: rules are healthy"}
    assert "1 of 2 rules in 1 groups: sick: " in wrong["prometheus: rules are healthy"]
    assert "many" in wrong["prometheus: rules are healthy"], "with the reason that Prometheus gives"


def told(**answers: object) -> Answering:
    """A server that tells of itself by the end of the path, and of nothing else."""

    def answer(asked: Request) -> Reply:
        data = answers.get(asked.target.partition("?")[0].rpartition("/")[2])
        if data is None:
            return reply(404, json={"status": "error", "error": "there is no such thing here"})
        date = answers.get("date")
        headers = {"Date": str(date)} if date else {}
        return reply(json={"status": "success", "data": data}, headers=headers)

    server = Answering()
    server.always(answer)
    return server


BUILD = {"version": "3.1.0", "revision": "0123456789abcdef"}


def a_date(ahead: float) -> str:
    return format_datetime(datetime.fromtimestamp(time.time() + ahead, UTC), usegmt=True)


def test_a_clock_that_is_off_stands_in_the_way(tmp_path: Path) -> None:
    with told(buildinfo=BUILD, date=a_date(90), flags={}, rules={"groups": []}) as server:
        wrong = failed(look(on(tmp_path, server.url), "prometheus"))
    assert "s ahead of this host's" in wrong["prometheus: clock"]


def test_data_that_is_gone_before_the_watch_ends_stands_in_the_way(tmp_path: Path) -> None:
    keeps = {"storage.tsdb.retention.time": "2d"}
    with told(buildinfo=BUILD, date=a_date(0), flags=keeps, rules={"groups": []}) as server:
        verdict = look(on(tmp_path, server.url), "prometheus")
    assert failed(verdict) == {
        "prometheus: checkout-1: retention": "it keeps 2d, the whole watch takes 9d (ramp and window)"
    }
    (check,) = [one.check for one in verdict.found if not one.holds]
    assert "--storage.tsdb.retention.time=9d" in check.todo


def test_a_clock_that_cannot_be_compared_and_a_retention_that_is_not_told_are_failures(tmp_path: Path) -> None:
    with told(buildinfo=BUILD, rules={"groups": []}) as server:
        site = on(tmp_path, server.url)
        wrong = failed(look(site, "prometheus"))
        assert "carry no Date" in wrong["prometheus: clock"]
        assert wrong["prometheus: retention"] == "it does not say how long it keeps its data"

        setting(site, "preflight", {"retention": "30d"})
        assert set(failed(look(site, "prometheus"))) == {"prometheus: clock"}


def test_a_server_that_does_not_tell_its_rules_cannot_be_looked_at(tmp_path: Path) -> None:
    with told(buildinfo=BUILD, date=a_date(0), flags={"storage.tsdb.retention.time": "30d"}) as server:
        wrong = failed(look(on(tmp_path, server.url), "prometheus"))
    assert list(wrong) == ["prometheus: can be looked at"]
    assert "404" in wrong["prometheus: can be looked at"]


def group(ago: float, *, took: float = 0.1, health: str = "ok", interval: object = 30) -> dict[str, object]:
    last = datetime.fromtimestamp(time.time() - ago, UTC).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
    rule = {"name": "up:sum", "type": "recording", "query": "sum(up)", "health": health}
    return {"name": "own", "interval": interval, "evaluationTime": took, "lastEvaluation": last, "rules": [rule]}


@pytest.mark.parametrize(
    ("given", "check", "said"),
    [
        ({"ago": 300.0}, "groups are evaluated in time", "own was evaluated 5m"),
        ({"ago": 1.0, "took": 31.0}, "groups are evaluated in time", "own takes 31.0 s, every 30 s"),
        ({"ago": 1.0, "interval": "soon"}, "can be looked at", "what is not understood"),
    ],
    ids=["stands still", "too slow", "not understood"],
)
def test_groups_that_are_late_stand_in_the_way(tmp_path: Path, given: dict[str, Any], check: str, said: str) -> None:
    keeps = {"storage.tsdb.retention.time": "30d"}
    with told(buildinfo=BUILD, date=a_date(0), flags=keeps, rules={"groups": [group(**given)]}) as server:
        wrong = failed(look(on(tmp_path, server.url), "prometheus"))
    assert list(wrong) == [f"prometheus: {check}"]
    assert said in wrong[f"prometheus: {check}"]


def test_a_rule_that_was_not_evaluated_yet_and_no_rules_at_all_are_warned_of(tmp_path: Path) -> None:
    keeps = {"storage.tsdb.retention.time": "30d"}
    new = group(1, health="unknown")
    with told(buildinfo=BUILD, date=a_date(0), flags=keeps, rules={"groups": [new]}) as server:
        verdict = look(on(tmp_path, server.url), "prometheus")
    assert failed(verdict) == {}
    assert warned(verdict) == {"prometheus: every rule was evaluated": "1 of 1 rules in 1 groups: up:sum"}

    with told(buildinfo=BUILD, date=a_date(0), flags=keeps, rules={"groups": []}) as server:
        assert list(warned(look(on(tmp_path, server.url), "prometheus"))) == ["prometheus: rules"]


# --- the way of an alert ---------------------------------------------------------------------------------------------


def heard(site: Installation, ago: float) -> None:
    ledger = ledger_at(site.ledger_file)
    now = time.time() - ago
    ledger.take_alerts(ALERTMANAGER, [Alert("a", "Watchdog", "", "none", now)], now)
    ledger.close()


def with_receiver(site: Installation) -> Installation:
    (site.directory / "alerts.token").write_text("what only Alertmanager knows")
    setting(site, "alerts", {"token_file": "alerts.token"})
    return site


def test_an_alertmanager_in_which_the_watchdog_fires_and_that_is_heard(
    tmp_path: Path, well: tuple[PrometheusServer, AlertmanagerServer]
) -> None:
    site = with_receiver(on(tmp_path, well[0].url))
    heard(site, ago=60)
    verdict = look(site, "alerting")

    assert failed(verdict) == warned(verdict) == {}
    assert held(verdict)["alerting: Prometheus sends to an Alertmanager"] == f"to {well[1].url}"
    assert held(verdict)["alerting: Watchdog fires"] == f"Watchdog fires in {well[1].url}"
    assert [build.what for build in verdict.builds] == ["alertmanager"]


def test_an_alertmanager_that_is_not_heard_stands_in_the_way_of_who_counts_on_it(
    tmp_path: Path, well: tuple[PrometheusServer, AlertmanagerServer]
) -> None:
    site = on(tmp_path, well[0].url)
    without = look(site, "alerting")
    assert failed(without) == {}
    assert "alerts.token is not set" in warned(without)["alerting: Alertmanager is heard here"]

    never = failed(look(with_receiver(site), "alerting"))
    assert list(never) == ["alerting: Alertmanager is heard here"]
    assert "no message came in the last day" in never["alerting: Alertmanager is heard here"]

    heard(site, ago=1000)
    late = failed(look(site, "alerting"))
    assert "one is expected every 15m (alerts.heartbeat)" in late["alerting: Alertmanager is heard here"]


def test_a_prometheus_that_sends_alerts_to_nobody_stands_in_the_way(tmp_path: Path, ill: PrometheusServer) -> None:
    wrong = failed(look(on(tmp_path, ill.url), "alerting"))
    assert wrong == {"alerting: Prometheus sends to an Alertmanager": "none is configured there"}


def test_a_watchdog_that_does_not_fire_stands_in_the_way(
    tmp_path: Path, ill: PrometheusServer, well: tuple[PrometheusServer, AlertmanagerServer]
) -> None:
    """Alertmanager answers, and nobody sends it anything."""
    empty = AlertmanagerServer(tmp_path).start()
    try:
        site = on(tmp_path, well[0].url)
        setting(site, "preflight", {"alertmanager": empty.url})
        wrong = failed(look(site, "alerting"))
        assert wrong == {"alerting: Watchdog fires": f"Watchdog does not fire in {empty.url}"}
    finally:
        empty.stop()
    gone = failed(look(site, "alerting"))
    assert f"alerting: {empty.url} answers" in gone
    assert "could not be reached" in gone[f"alerting: {empty.url} answers"]


def test_where_prometheus_cannot_tell_of_alertmanagers_the_settings_must(
    tmp_path: Path, well: tuple[PrometheusServer, AlertmanagerServer]
) -> None:
    with told(buildinfo=BUILD, date=a_date(0)) as server:
        site = on(tmp_path, server.url)
        assert "it does not tell" in failed(look(site, "alerting"))["alerting: Prometheus sends to an Alertmanager"]
        setting(site, "preflight", {"alertmanager": well[1].url})
        assert failed(look(site, "alerting")) == {}


@pytest.mark.parametrize("body", [b"<html>", json.dumps({"versionInfo": 1}).encode()], ids=["no JSON", "odd JSON"])
def test_what_is_no_alertmanager_is_told(tmp_path: Path, body: bytes) -> None:
    with Answering() as other, told(buildinfo=BUILD, date=a_date(0)) as server:
        other.always(reply(body=body))
        site = on(tmp_path, server.url)
        setting(site, "preflight", {"alertmanager": other.url})
        assert f"alerting: {other.url} answers" in failed(look(site, "alerting"))
