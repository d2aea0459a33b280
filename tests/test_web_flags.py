"""Flags over HTTP: what they serve, who changed them, and changes by whoever has the token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.test_web import problem
from tests.test_web_openapi import described, misfits
from tests.webserver import NAME, TOKEN, Site
from watchdog.errors import FlagServiceError
from watchdog.model import Exposure

FLAG = "new-checkout"
HERE = f"/api/v1/flags/{FLAG}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as running:
        yield running


def change(site: Site, address: str, token: str | None = TOKEN, **body: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    return site.ask("POST", f"/api/v1/{address}", headers=headers, json={"reason": "a test", "by": "ada", **body})


def history(site: Site, flag: str = FLAG) -> list[tuple[str, str, str]]:
    found = site.get(f"/api/v1/flags/{flag}/history").json()["history"]
    return [(one["action"], one["result"], one["by"]) for one in found]


def test_a_flag_is_set_killed_and_reverted_each_on_record_with_who_and_why(site: Site) -> None:
    done = change(site, f"flags/{FLAG}/set", percent=12.5)
    assert done.status_code == 200
    assert (done.json()["percent"], done.json()["recorded"], done.json()["service"]) == (12.5, "ledger", "flags")
    assert change(site, f"flags/{FLAG}/kill").json()["percent"] == 0
    assert change(site, f"flags/{FLAG}/revert", version=2).json()["percent"] == 12.5
    assert history(site) == [
        ("revert", "applied", "ada"),
        ("revert", "intended", "ada"),
        ("kill", "applied", "ada"),
        ("set", "applied", "ada"),
        ("set", "intended", "ada"),
        ("seen", "found", "unknown"),
    ]
    audit = site.get("/api/v1/flags-audit").json()
    assert (audit["ok"], audit["rows"]) == (True, 6)
    assert site.get(f"/api/v1/flags-audit?anchor={audit['head']}").json()["ok"] is True
    assert site.get(f"/api/v1/flags-audit?anchor=6:{'0' * 64}").json()["ok"] is False


def test_who_does_not_say_who_is_recorded_by_address(site: Site) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert site.ask("POST", f"{HERE}/kill", headers=headers, json={"reason": "now"}).status_code == 200
    assert history(site)[0][2] == "api (127.0.0.1)"


def test_emergency_flags_have_an_address_of_their_own(site: Site) -> None:
    done = change(site, "emergency/ops.shutdown", on=True)
    assert (done.json()["service"], done.json()["percent"]) == ("emergency", 100)
    assert site.emergency.read("ops.shutdown").exposure.percent == 100
    assert 'slo_watchdog_emergency_flag{flag="ops.shutdown"} 1.0' in site.get("/metrics").text
    assert change(site, "emergency/ops.shutdown", on=False).json()["percent"] == 0
    assert 'slo_watchdog_emergency_flag{flag="ops.shutdown"} 0.0' in site.get("/metrics").text
    assert history(site, "ops.shutdown")[0] == ("emergency", "applied", "ada")
    problem(change(site, f"emergency/{FLAG}", on=True), 409, "flag-refused")
    problem(change(site, "flags/ops.shutdown/set", percent=50), 409, "flag-refused")


def test_a_flag_shows_its_rollout_with_step_and_next_step(site: Site) -> None:
    site.add()
    found = site.get(HERE).json()
    assert (found["rollout"]["phase"], found["rollout"]["step"], found["rollout"]["steps"]) == ("pending", 0, 1)
    assert (found["rollout"]["next"]["percent"], found["rollout"]["next"]["not_before"]) == (100, None)
    site.tick(4)
    found = site.get(HERE).json()
    rollout = found["rollout"]
    assert (rollout["rollout"], rollout["strategy"], rollout["phase"]) == (NAME, "all_at_once", "soaking")
    assert (rollout["step"], rollout["steps"], rollout["next"]) == (1, 1, None)
    assert found["percent"] == 100
    assert [one["by"] for one in found["history"]][:1] == ["slo-watchdog"]
    listed = {one["flag"]: one for one in site.get("/api/v1/flags").json()["flags"]}
    assert (listed[FLAG]["owner"], listed[FLAG]["percent"]) == (NAME, 100)


def test_a_flag_that_a_rollout_owns_is_lowered_and_not_raised(site: Site) -> None:
    site.add()
    site.tick(1)
    detail = problem(change(site, f"flags/{FLAG}/set", percent=100), 409, "flag-refused")
    assert f"belongs to {NAME}" in detail
    assert change(site, f"flags/{FLAG}/kill").status_code == 200


def test_a_latched_flag_is_not_reverted_to_more(site: Site) -> None:
    site.add()
    site.tick(4)
    assert site.order("rollback", json={"reason": "enough"}).status_code == 202
    site.tick(2)
    version = next(
        one["version"]
        for one in site.get(f"{HERE}/history").json()["history"]
        if one["version"] and one["after"]["percent"] == 100
    )
    detail = problem(change(site, f"flags/{FLAG}/revert", version=version), 409, "flag-refused")
    assert f"killed by the rollback of {NAME}" in detail
    problem(change(site, f"flags/{FLAG}/revert", version=99), 409, "flag-refused")


def test_a_kill_works_while_the_ledger_does_not(site: Site) -> None:
    change(site, f"flags/{FLAG}/set", percent=40)
    with site.ledger.writing():  # somebody holds it
        done = change(site, f"flags/{FLAG}/kill")
    assert (done.status_code, done.json()["recorded"]) == (200, "journal")
    assert site.flags.read(FLAG).exposure.none
    site.now += 60
    change(site, f"flags/{FLAG}/kill")
    assert ("kill", "applied", "ada") in history(site)


def test_a_service_that_fails_is_said_with_when_to_come_back(site: Site) -> None:
    change(site, f"flags/{FLAG}/set", percent=10)
    site.flags.fail(FlagServiceError("the service answers 503", retry_after=7), on=["kill"])
    answer = change(site, f"flags/{FLAG}/kill")
    assert "503" in problem(answer, 502, "flag-service")
    assert answer.headers["Retry-After"] == "7"
    site.flags.fail(FlagServiceError("unreachable"), on=["read"], times=2)
    found = site.get(HERE).json()
    assert (found["percent"], found["error"]) == (None, "unreachable")


def test_a_reader_cannot_make_the_audit_write_of_flags_that_nobody_knows(site: Site) -> None:
    problem(site.get("/api/v1/flags/old-checkout"), 404, "unknown-flag")
    problem(site.get("/api/v1/flags/typo/history"), 404, "unknown-flag")
    problem(site.get(f"{HERE}?service=nowhere"), 404, "unknown-flag")
    assert site.ledger.flags_known() == []


@pytest.mark.parametrize(
    ("verb", "body", "said"),
    [
        ("set", {}, "percent is nothing, expected a number from 0 to 100"),
        ("set", {"percent": 101}, "expected a number from 0 to 100"),
        ("set", {"percent": True}, "expected a number from 0 to 100"),
        ("set", {"percent": "5"}, "expected a number from 0 to 100"),
        ("set", {"percent": 5, "version": 1}, "is not a known key; expected reason, percent"),
        ("revert", {"version": 1.5}, "expected a whole number from 1"),
        ("revert", {"version": 0}, "expected a whole number from 1"),
        ("kill", {"percent": 0}, "is not a known key"),
        ("kill", {"reason": " "}, "reason is empty"),
    ],
)
def test_a_body_that_does_not_say_what_is_wanted_changes_nothing(
    site: Site, verb: str, body: dict[str, Any], said: str
) -> None:
    assert said in problem(change(site, f"flags/{FLAG}/{verb}", **body), 422, "bad-body")
    assert site.flags.calls["set"] + site.flags.calls["kill"] == 0


@pytest.mark.parametrize("address", [f"flags/{FLAG}/set", f"flags/{FLAG}/kill", "emergency/ops.shutdown"])
def test_nobody_changes_a_flag_without_the_token(site: Site, address: str) -> None:
    problem(change(site, address, token=None, percent=1, on=True), 401, "unauthorized")
    problem(change(site, address, token="wrong", percent=1, on=True), 401, "unauthorized")
    assert site.ledger.flags_known() == []


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1001", "99999999999", "\u0662"])
def test_a_limit_is_a_number_within_bounds(site: Site, limit: str) -> None:
    problem(site.get(f"{HERE}/history?limit={limit}"), 400, "bad-parameter")


def test_every_answer_is_as_described(site: Site) -> None:
    site.add()
    site.tick(4)
    site.flags.changed_by_person(FLAG, Exposure(10.0))
    site.tick(2)
    for path, asked in (
        ("/api/v1/flags", "/api/v1/flags"),
        ("/api/v1/flags/{flag}", HERE),
        ("/api/v1/flags/{flag}/history", f"{HERE}/history?limit=1000"),
        ("/api/v1/flags-audit", "/api/v1/flags-audit"),
    ):
        assert list(misfits(described(path, "get", 200), site.get(asked).json())) == []
    for path, address, body in (
        ("/api/v1/flags/{flag}/kill", f"flags/{FLAG}/kill", {}),
        ("/api/v1/emergency/{flag}", "emergency/ops.read-only", {"on": True}),
    ):
        answer = change(site, address, **body)
        assert list(misfits(described(path, "post", 200), answer.json())) == []
