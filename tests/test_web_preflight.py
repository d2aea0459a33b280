"""Preflights over HTTP: in the background, one at a time, by who has the token; the newest result with its age."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.answering import Answering, Reply
from tests.ledgers import NOON
from tests.processes import EVENTS, Installation, wait_for
from tests.test_web_openapi import described, misfits
from tests.webserver import TOKEN, Site
from watchdog.config import load_settings
from watchdog.flags.base import Check
from watchdog.ledger import MadePreflight, RuleVerdict
from watchdog.preflight.verdict import Build, Found, Preflight, Rule
from watchdog.web.bodies import Asked as Wanted
from watchdog.web.preflightrun import PreflightRuns

PREFLIGHT = "/api/v1/preflight"
KEY = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real daemon whose Prometheus answers nobody: a preflight fails, and that is a result. Nothing starts on it."""
    directory = tmp_path_factory.mktemp("site")
    (directory / "http.token").write_text(TOKEN)
    http = "{listen: '127.0.0.1:0', token_file: http.token}"
    site = Installation(directory, "http://127.0.0.1:9", http=http, preflight="{required: true}")
    site.rollout("checkout-1", EVENTS, auto_start="true")
    with site.daemon() as running:
        yield running.url


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        yield site


def a_result() -> dict[str, Any]:
    checks = [
        Found("ledger", Check("can be written", ok=True, found="it took a row")),
        Found("drill", Check("in time", ok=False, found="no drill", todo="hold one"), "checkout-1", "later"),
    ]
    verdict = Preflight(checks, [Build("python", "3.11.7")], [Rule("checkout-1", "ab" * 32)])
    return {"at": "2023-11-15T12:00:00Z", "finished_at": "2023-11-15T12:00:09Z", "by": "ada", **verdict.as_data()}


def test_a_daemon_makes_one_in_the_background_and_tells_its_result(daemon: str) -> None:
    before = requests.get(daemon + PREFLIGHT, timeout=10).json()
    assert before == {"running": None, "trouble": None, "last": None}

    body = {"by": "ada", "drill": False, "image": "checkout@sha256:1e", "commit": "9fceb02"}
    started = requests.post(daemon + PREFLIGHT, json=body, headers=KEY, timeout=10)
    assert (started.status_code, started.headers["Location"]) == (202, PREFLIGHT)
    assert started.json()["running"]["by"] == "ada"
    again = requests.post(daemon + PREFLIGHT, headers=KEY, timeout=10)
    assert (again.status_code, again.json()["type"].rpartition(":")[2]) == (409, "preflight-running")

    def over() -> dict[str, Any] | None:
        told: dict[str, Any] = requests.get(daemon + PREFLIGHT, timeout=10).json()
        return told if told["running"] is None else None

    told = wait_for(over, 60, lambda: requests.get(daemon + PREFLIGHT, timeout=10).text)
    last = told["last"]
    assert (last["by"], last["passed"], last["id"]) == ("ada", False, 1)
    assert 0 <= last["age_s"] < 60
    assert {"what": "release image", "value": "checkout@sha256:1e"} in last["builds"]
    failed = {one["area"] for one in last["checks"] if one["outcome"] == "failed"}
    assert {"prometheus", "drill"} <= failed
    assert list(misfits(described(PREFLIGHT, "get", 200), told)) == []

    def waits() -> str | None:
        status = requests.get(f"{daemon}/api/v1/rollouts/checkout-1", timeout=10).json()
        return next((reason for reason in status["waiting"] if "its preflight 1 of" in reason), None)

    assert "do not hold" in wait_for(waits, 20, lambda: "it does not wait for a preflight that holds")


def test_the_newest_is_told_with_its_age_whoever_made_it(site: Site) -> None:
    result = a_result()
    for by, at in (("eve", NOON - 500), ("ada", NOON - 100)):
        verdicts = [RuleVerdict("checkout-1", "ab", 0, 1, 60)]
        site.ledger.add_preflight(MadePreflight(at - 9, at, by, result["passed"], 60, {**result, "by": by}, verdicts))
    answer = site.get(PREFLIGHT)
    assert list(misfits(described(PREFLIGHT, "get", 200), answer.json())) == []
    last = answer.json()["last"]
    assert (last["id"], last["by"], last["age_s"]) == (2, "ada", 100.5)
    assert len(last["sha256"]) == 64


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({}, 401),
        ({"headers": {"Authorization": "Bearer wrong"}}, 401),
        ({"headers": KEY, "data": "drill=no"}, 415),
        ({"headers": {**KEY, "Content-Type": "application/json"}, "data": "{"}, 400),
        ({"headers": KEY, "json": {"drill": "no"}}, 422),
        ({"headers": KEY, "json": {"by": " "}}, 422),
        ({"headers": KEY, "json": {"reason": "because"}}, 422),
        ({"headers": KEY}, 503),
    ],
    ids=["no token", "wrong token", "no JSON", "broken", "drill", "nobody", "a stranger", "a server without settings"],
)
def test_a_refusal_is_a_problem_as_described(site: Site, how: dict[str, Any], status: int) -> None:
    answer = site.ask("POST", PREFLIGHT, **how)
    assert answer.status_code == status, answer.text
    assert list(misfits(described(PREFLIGHT, "post", status), answer.json())) == []


def test_without_a_token_nobody_starts_one(tmp_path: Path) -> None:
    with Site(tmp_path, token=None) as site:
        assert site.ask("POST", PREFLIGHT, headers=KEY).status_code == 403


def test_one_that_is_stopped_ends_and_says_that_it_recorded_nothing(tmp_path: Path) -> None:
    """The daemon stops while Prometheus keeps the preflight waiting."""
    with Answering() as silent:
        silent.always(Reply(hang=True))
        site = Installation(tmp_path, "", prometheus=f"{{url: '{silent.url}', timeout: 60s}}", tick_deadline="90s")
        runs = PreflightRuns(load_settings(site.config), time.time)
        assert runs.longest > 600, "an hour-long drill would not be cut"
        assert runs.start(Wanted("ada")) is not None
        assert runs.start(Wanted("eve")) is None, "one at a time"
        wait_for(lambda: silent.asked or None, 60, lambda: "Prometheus was not asked")
        runs.stop(0.5)
        wait_for(lambda: runs.under_way is None or None, 20, lambda: str(runs.under_way))
    assert runs.trouble == "it ended with status -9"
    runs.stop(0.5)
