"""`Idempotency-Key`: a change that is sent again is not made again, and is answered as it was."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.test_web import problem
from tests.webserver import NAME, TOKEN, Site
from watchdog.errors import LedgerConflict
from watchdog.ledger.requests import KEPT
from watchdog.model import Exposure
from watchdog.web.describe import KEY as KEY_PARAMETER
from watchdog.web.once import LONGEST_WORK

WHY = {"reason": "errors in the EU region", "by": "ada"}
KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as running:
        running.add()
        yield running


def hold(site: Site, key: str = KEY, **body: str) -> requests.Response:
    return site.order("hold", json=body or WHY, headers={"Idempotency-Key": key})


def test_a_repeat_is_answered_as_the_first_was_and_orders_nothing(site: Site) -> None:
    first = hold(site)
    site.now += 60
    again = hold(site)
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert len(site.ledger.commands(1)) == 1
    assert site.woken == [NAME]


def test_a_key_in_quotes_is_the_same_key(site: Site) -> None:
    hold(site)
    assert hold(site, f'"{KEY}"').headers["Idempotent-Replayed"] == "true"


def test_without_a_key_and_with_another_one_it_is_another_request(site: Site) -> None:
    hold(site)
    hold(site, "another")
    site.order("hold", json=WHY)
    assert len(site.ledger.commands(1)) == 3


@pytest.mark.parametrize("change", ["body", "verb", "rollout"])
def test_a_key_belongs_to_one_request(site: Site, change: str) -> None:
    site.add("other", "old-checkout")
    hold(site)
    headers = {"Idempotency-Key": KEY}
    verb, name = "resume" if change == "verb" else "hold", "other" if change == "rollout" else NAME
    answer = site.order(verb, name, json={"reason": "another"} if change == "body" else WHY, headers=headers)
    assert KEY in problem(answer, 422, "key-reused")
    assert len(site.ledger.commands(1)) == 1
    assert site.ledger.commands(2) == []


def test_a_refusal_leaves_the_key_free(site: Site) -> None:
    headers = {"Idempotency-Key": KEY}
    problem(site.order("hold", "typo", json=WHY, headers=headers), 404, "unknown-rollout")
    problem(site.order("hold", json={}, headers=headers), 422, "bad-body")
    assert hold(site).status_code == 202


def test_who_may_not_change_anything_is_told_nothing_of_an_earlier_answer(site: Site) -> None:
    hold(site)
    problem(site.order("hold", token="wrong", json=WHY, headers={"Idempotency-Key": KEY}), 401, "unauthorized")


def test_another_person_has_keys_of_their_own(site: Site) -> None:
    site.ledger.begin_request("ada", KEY, "what she asked", site.now)
    assert hold(site).status_code == 202


def described(key: str) -> bool:
    """Whether the description of the API allows it."""
    schema = KEY_PARAMETER["schema"]
    within = schema["minLength"] <= len(key) <= schema["maxLength"]
    return within and re.search(schema["pattern"], key) is not None


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "a key with \xe4", "\xa0key"])
def test_a_key_is_short_and_plain(site: Site, key: str) -> None:
    answer = site.order("hold", json=WHY, headers={"Idempotency-Key": key.encode("latin-1")})
    assert "Idempotency-Key: found" in problem(answer, 400, "bad-parameter")
    assert site.ledger.commands(1) == []
    assert not described(key)


@pytest.mark.parametrize("key", ["7", '"', 'in"side', "two words", f'"{KEY}"', "x" * 255])
def test_a_key_is_any_plain_text(site: Site, key: str) -> None:
    assert hold(site, key).status_code == 202
    assert hold(site, key).headers["Idempotent-Replayed"] == "true"
    assert described(key)


def test_after_a_day_a_key_is_forgotten(site: Site) -> None:
    hold(site)
    site.now += KEPT - 1
    assert hold(site).headers["Idempotent-Replayed"] == "true"
    site.now += 1
    assert "Idempotent-Replayed" not in hold(site).headers
    assert len(site.ledger.commands(1)) == 2


def test_many_that_arrive_at_once_are_one(site: Site) -> None:
    """Eight of the same: one orders, the others are told the same, or that it is under way."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: hold(site), range(8)))
    assert len(site.ledger.commands(1)) == 1
    assert {answer.status_code for answer in answers} <= {202, 409}
    said = {answer.text for answer in answers if answer.status_code == 202}
    assert len(said) == 1
    for answer in answers:
        if answer.status_code == 409:
            assert "is under way" in problem(answer, 409, "request-running")
            assert answer.headers["Retry-After"] == "1"


def test_nobody_knows_of_a_request_that_was_broken_off(site: Site) -> None:
    """This program died in it: it may have been carried out, so it is not carried out again."""
    answered = hold(site)
    with site.ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE requests SET status = NULL")
    assert "is under way" in problem(hold(site), 409, "request-running")
    site.now += LONGEST_WORK
    assert "was broken off" in problem(hold(site), 409, "request-running")
    assert answered.status_code == 202
    assert len(site.ledger.commands(1)) == 1


def test_a_kill_needs_no_ledger_and_so_its_key_neither(site: Site) -> None:
    site.flags.changed_by_person("new-checkout", Exposure(50.0))
    with site.ledger.writing() as connection:
        connection.exec_driver_sql("DROP TABLE requests")
    headers = {"Idempotency-Key": KEY, "Authorization": f"Bearer {TOKEN}"}
    answer = site.ask("POST", "/api/v1/flags/new-checkout/kill", json=WHY, headers=headers)
    assert (answer.status_code, answer.json()["percent"]) == (200, 0.0)


def test_two_that_begin_at_once_are_one(site: Site) -> None:
    """What the ledger itself says when another process was first."""
    assert site.ledger.begin_request("ada", KEY, "asked", site.now) is None
    found = site.ledger.begin_request("ada", KEY, "asked", site.now)
    assert found is not None
    assert (found.digest, found.status) == ("asked", None)
    with pytest.raises(LedgerConflict), site.ledger.writing() as connection:
        connection.exec_driver_sql("INSERT INTO requests (who, key, digest, at) VALUES ('ada', ?, 'x', 0)", (KEY,))
