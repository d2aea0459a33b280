"""Operators' commands over HTTP: who may give one, what it must say, and that a refused one leaves no trace."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.test_web import problem
from tests.webserver import NAME, TOKEN, Site
from watchdog.model import Command
from watchdog.quantities import rfc3339
from watchdog.web.bodies import BODY_WITHIN, LARGEST_BODY

WHY = {"reason": "errors in the EU region"}
VERBS = ("hold", "resume", "rollback", "stop")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as running:
        running.add()
        yield running


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """For requests that must be refused: at the end nothing was recorded and nobody was woken."""
    with Site(tmp_path_factory.mktemp("untouched")) as running:
        stored = running.add()
        yield running
        assert running.ledger.commands(stored.id) == []
        assert running.woken == []


@pytest.fixture(scope="module")
def without_token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("without-token"), token=None) as running:
        stored = running.add()
        yield running
        assert running.ledger.commands(stored.id) == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_command_is_recorded_with_who_and_why_and_the_tick_is_woken(site: Site, verb: str) -> None:
    answer = site.order(verb, json={**WHY, "by": "ada"})
    assert answer.status_code == 202
    (command, outcome), *none = site.ledger.commands(1)
    assert (command, outcome, none) == (Command(command.id, verb, "ada", WHY["reason"], site.now), None, [])
    assert site.woken == [NAME]
    assert answer.json() == {
        "rollout": NAME,
        "command": command.id,
        "verb": verb,
        "by": "ada",
        "reason": WHY["reason"],
        "at": rfc3339(site.now),
        "outcome": None,
    }
    assert answer.headers["Location"] == f"/api/v1/rollouts/{NAME}/commands/{command.id}"


def test_the_outcome_is_found_where_the_answer_points(site: Site) -> None:
    site.tick(3)
    where = site.order("hold", json=WHY).headers["Location"]
    assert site.get(where).json()["outcome"] is None
    site.tick(1)
    assert site.get(where).json()["outcome"] == "held"
    assert site.get(f"/api/v1/rollouts/{NAME}").json()["hold"]["why"] == WHY["reason"]


def test_who_does_not_say_who_is_recorded_by_address(site: Site) -> None:
    assert site.order("hold", json=WHY).json()["by"] == "api (127.0.0.1)"


def test_text_that_no_database_holds_is_recorded_all_the_same(site: Site) -> None:
    body = b'{"reason": "half a \\ud83d pair, a \\u0000 and a \\"quote\\""}'
    assert site.order("hold", data=body, headers={"Content-Type": "application/json; charset=utf-8"}).status_code == 202
    ((command, _),) = site.ledger.commands(1)
    assert command.reason.startswith("half a ")
    assert command.reason.endswith('"quote"')


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        b"Bearer \xff\xfe",
    ],
)
@pytest.mark.parametrize("name", [NAME, "typo"])
def test_without_the_token_nothing_is_done_nor_told(untouched: Site, name: str, given: str | bytes | None) -> None:
    headers = {} if given is None else {"Authorization": given}
    answer = untouched.order("rollback", name, None, json=WHY, headers=headers)
    said = problem(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="slo-watchdog"'
    assert TOKEN not in said + answer.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_in_any_case(site: Site, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {TOKEN}"}
    assert site.order("hold", token=None, json=WHY, headers=headers).status_code == 202


@pytest.mark.parametrize("given", [None, "Bearer ", f"Bearer {TOKEN}", "Bearer None"])
@pytest.mark.parametrize("verb", VERBS)
def test_without_a_configured_token_every_change_is_refused(without_token: Site, verb: str, given: str | None) -> None:
    headers = {} if given is None else {"Authorization": given}
    answer = without_token.order(verb, token=None, json=WHY, headers=headers)
    assert "set http.token_file" in problem(answer, 403, "no-token")


def test_reading_needs_no_token(without_token: Site) -> None:
    assert without_token.get("/api/v1/rollouts").ok


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "reason is missing; say why"),
        ({"reason": ""}, "reason is empty"),
        ({"reason": " \t\n "}, "reason is empty"),
        ({"reason": None}, "reason is nothing, expected text"),
        ({"reason": 7}, "reason is '7', expected text"),
        ({"reason": ["x"]}, "reason is a list, expected text"),
        ({"reason": "x" * 2001}, "reason has 2001 characters, expected at most 2000"),
        ({"reason": "x" * 2000 + " "}, "reason has 2001 characters, expected at most 2000"),
        ({"reason": "x", "by": ""}, "by is empty"),
        ({"reason": "x", "by": "y" * 201}, "by has 201 characters, expected at most 200"),
        ({"reason": "x", "force": True}, "'force' is not a known key; expected reason, and by if you like"),
        (["x"], "the body is a list, expected an object"),
        ("x", "the body is 'x', expected an object"),
        (None, "the body is nothing, expected an object"),
    ],
)
def test_a_body_that_does_not_say_why_is_refused(untouched: Site, body: Any, said: str) -> None:
    # `json=None` would send no body at all.
    answer = untouched.order("hold", json=body) if body is not None else raw(untouched, b"null")
    assert said in problem(answer, 422, "bad-body")


def raw(site: Site, body: Any, mime: str | None = "application/json") -> Any:
    return site.order("hold", data=body, headers={"Content-Type": mime} if mime is not None else {})


@pytest.mark.parametrize(
    "body", [b"", b"{", b"{'reason': 'x'}", b"\xff\xfe\x00", b"[" * 60_000, b'{"reason": "x"} trailing']
)
def test_a_body_that_is_not_json_is_refused(untouched: Site, body: bytes) -> None:
    assert 'expected {"reason": "..."}' in problem(raw(untouched, body), 400, "bad-request")


@pytest.mark.parametrize(
    "mime", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp"]
)
def test_a_body_that_is_not_declared_as_json_is_refused(untouched: Site, mime: str | None) -> None:
    assert "expected application/json" in problem(raw(untouched, b'{"reason": "x"}', mime), 415, "not-json")


@pytest.mark.parametrize(
    ("size", "announced"), [(LARGEST_BODY + 1, True), (LARGEST_BODY + 1, False), (900_000, True), (900_000, False)]
)
def test_a_body_that_is_too_large_is_refused(untouched: Site, size: int, announced: bool) -> None:  # noqa: FBT001
    body = b'{"reason": "' + b"x" * (size - 14) + b'"}'
    pieces = (body[at : at + 5000] for at in range(0, len(body), 5000))
    assert "larger than 64 KiB" in problem(raw(untouched, body if announced else pieces), 413, "too-large")


def begun(site: Site, *headers: str) -> bytes:
    """What is answered to a command whose body breaks off after its first character."""
    head = [f"POST /api/v1/rollouts/{NAME}/hold HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}", *headers]
    with socket.create_connection(("127.0.0.1", site.answering.port), timeout=BODY_WITHIN + 5) as line:
        line.sendall("\r\n".join([*head, "Content-Type: application/json", "", "{"]).encode())
        return line.recv(65536)


def test_a_huge_body_is_refused_before_it_comes(untouched: Site) -> None:
    assert begun(untouched, "Content-Length: 8000000000").startswith(b"HTTP/1.1 413 ")


def test_the_largest_body_is_still_read(untouched: Site) -> None:
    body = b'{"reason": "' + b"x" * (LARGEST_BODY - 14) + b'"}'
    assert len(body) == LARGEST_BODY
    assert "65522 characters" in problem(raw(untouched, body), 422, "bad-body")


def test_a_body_that_never_comes_is_not_waited_for(untouched: Site) -> None:
    assert begun(untouched, "Content-Length: 30").startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("verb", VERBS)
def test_a_command_to_an_unknown_rollout_is_refused(untouched: Site, verb: str) -> None:
    said = problem(untouched.order(verb, "typo", json=WHY), 404, "unknown-rollout")
    assert said == "the ledger holds no rollout 'typo'; /api/v1/rollouts lists all"


@pytest.mark.parametrize("verb", ["explode", "HOLD", "hold/now"])
def test_an_unknown_command_is_refused(untouched: Site, verb: str) -> None:
    problem(untouched.order(verb, json=WHY), 404, "not-found")
