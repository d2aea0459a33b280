"""Lists page by page, answers that somebody has already, orders before a start, and what an address takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.test_web import problem
from tests.webserver import NAME, RULE, TOKEN, Site, healthy
from watchdog.errors import FlagServiceError
from watchdog.model import Mode, Waiver
from watchdog.quantities import rfc3339
from watchdog.web.orders import VERBS

API = f"/api/v1/rollouts/{NAME}"
WHY = {"reason": "errors in the EU region", "by": "ada"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three rollouts, of which one has been watched for a while, was paged for, and has orders and waivers."""
    with Site(tmp_path_factory.mktemp("lists")) as running:
        running.add(rule=RULE.replace("slices: 2", "slices: 12"))
        running.add("second", "old-checkout")
        running.add("third", "old-checkout")
        for number in range(3):
            waiver = Waiver("preflight", f"ada-{number}", "no reader yet", running.now, running.now + 60)
            running.ledger.add_waiver(NAME, waiver)
        running.tick(12)
        running.source.answer = lambda expression, at: 99.0 if "queue_age" in expression else healthy(expression, at)
        running.tick(12)
        running.source.answer = healthy
        running.tick(20)
        for verb in ("hold", "resume", "hold", "resume", "hold"):
            running.order(verb, json=WHY)
            running.tick(1)
        yield running


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as running:
        yield running


LISTS = {
    "/api/v1/rollouts": "rollouts",
    **{
        f"{API}/{name}": name for name in ("transitions", "commands", "slices", "detectors", "notifications", "waivers")
    },
    "/api/v1/flags": "flags",
    "/api/v1/flags/new-checkout/history": "history",
    "/api/v1/alerts/episodes": "episodes",
}


def pages(site: Site, address: str, field: str, limit: int) -> Iterator[list[Any]]:
    following: str | None = f"{address}?limit={limit}"
    while following is not None:
        answer = site.get(following).json()
        yield answer[field]
        following = answer["next"]


@pytest.mark.parametrize("address", LISTS)
@pytest.mark.parametrize("limit", [1, 2])
def test_the_pages_of_a_list_are_the_list(site: Site, address: str, limit: int) -> None:
    field = LISTS[address]
    whole = site.get(address).json()
    assert whole["next"] is None
    found = list(pages(site, address, field, limit))
    assert [one for page in found for one in page] == whole[field]
    assert {len(page) for page in found[:-1]} <= {limit}
    assert whole[field], "else this shows nothing"


@pytest.mark.parametrize("address", LISTS)
def test_a_page_that_nobody_was_sent_to_is_none(site: Site, address: str) -> None:
    for after in ("", "0", "-1", "typo", "99999999999999999999", "\u0662"):
        assert "is no cursor" in problem(site.get(address, params={"after": after}), 404, "unknown-page")


@pytest.mark.parametrize("limit", ["", "0", "-1", "1.5", "x", "1001", "\u0662"])
@pytest.mark.parametrize("address", ["/api/v1/rollouts", f"{API}/slices", f"{API}/transitions"])
def test_a_limit_is_a_number_within_bounds(site: Site, address: str, limit: str) -> None:
    problem(site.get(address, params={"limit": limit}), 400, "bad-parameter")


def test_the_link_keeps_what_was_asked(site: Site) -> None:
    answer = site.get("/api/v1/flags/new-checkout/history?service=flags&limit=1").json()
    (change,) = answer["history"]
    assert answer["next"] == f"/api/v1/flags/new-checkout/history?service=flags&limit=1&after={change['id']}"


def test_a_page_of_evaluations_holds_whole_slots(site: Site) -> None:
    found = site.get(f"{API}/evaluations?limit=7").json()
    assert len(found["evaluations"]) == 6
    assert found["next"] is not None
    problem(site.get(f"{API}/evaluations?limit=2001"), 400, "bad-parameter")


def test_episodes_that_are_left_out_are_counted(site: Site) -> None:
    every = site.get("/api/v1/alerts/episodes").json()
    assert site.get("/api/v1/alerts/episodes?limit=1").json()["left_out"] == len(every["episodes"]) - 1


# --- what a caller has already ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/openapi.json", API, "/api/v1/rollouts", f"{API}/slices", "/api/v1/drills"])
def test_what_has_not_changed_is_not_sent_again(site: Site, address: str) -> None:
    first = site.get(address)
    tag = first.headers["ETag"]
    assert tag.startswith('"'), "a strong one"
    for known in (tag, f'"another", {tag}', f"W/{tag}", "*"):
        again = site.get(address, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert site.get(address, headers={"If-None-Match": '"another"'}).content == first.content
    assert site.ask("HEAD", address).headers["ETag"] == tag
    assert site.ask("HEAD", address, headers={"If-None-Match": tag}).status_code == 304


def test_what_has_changed_has_another_tag(empty: Site) -> None:
    empty.add()
    empty.tick(3)
    before = empty.get(API).headers["ETag"]
    assert empty.get(API).headers["ETag"] == before
    empty.tick(1)
    assert empty.get(API, headers={"If-None-Match": before}).status_code == 200


@pytest.mark.parametrize("address", ["/api/v1/rollouts/typo", "/metrics", f"{API}/report?format=md"])
def test_an_error_and_what_is_no_json_has_no_tag(site: Site, address: str) -> None:
    assert "ETag" not in site.get(address, headers={"If-None-Match": "*"}).headers


# --- the story of a rollout -------------------------------------------------------------------------------------------


def test_slices_tell_what_the_window_counts(site: Site) -> None:
    found = site.get(f"{API}/slices").json()["slices"]
    status = site.get(API).json()
    passed = [one for one in found if one["verdict"] == "pass"]
    assert len(passed) >= status["window"]["longest"] > 0
    assert {one["name"] for one in found[0]["objectives"]} == {"error_rate", "queue_age", "flag_ramp"}
    assert found[0]["to"] == found[1]["from"]


def test_breaches_tell_when_they_began_and_ended(site: Site) -> None:
    (breach,) = site.get(f"{API}/breaches").json()["breaches"]
    assert (breach["objective"], breach["detector"], breach["late"]) == ("queue_age", "confirm", False)
    assert breach["closed_at"] > breach["at"]
    assert breach["statistic"] >= breach["threshold"]


def test_detectors_stand_where_the_ledger_left_them(site: Site) -> None:
    found = {one["objective"]: one for one in site.get(f"{API}/detectors").json()["detectors"]}
    assert {name: one["state"] for name, one in found.items()} == dict.fromkeys(found, "armed")
    assert (found["queue_age"]["threshold"], found["queue_age"]["of"]) == (3.0, 5)
    assert found["error_rate"]["threshold"] > 1
    assert site.get("/api/v1/rollouts/second/detectors").json()["detectors"] == [], "it has not started"


def test_notifications_tell_of_the_page(site: Site) -> None:
    found = site.get(f"{API}/notifications").json()["notifications"]
    (page,) = [one for one in found if one["kind"] == "breach"]
    assert page["severity"] == "critical"
    assert page["deliveries"] == []
    assert page["details"]["objective"] == "queue_age"


def test_an_explanation_says_what_to_do(site: Site) -> None:
    text = site.get(f"{API}/explanation").json()["text"]
    assert "What you need to do:" in text
    assert "resume" in text
    early = site.get(f"{API}/explanation", params={"at": rfc3339(site.now - 900)}).json()["text"]
    assert early != text
    problem(site.get(f"{API}/explanation?at=noon"), 400, "bad-parameter")


@pytest.mark.parametrize("verb", VERBS)
def test_an_effect_changes_nothing(site: Site, verb: str) -> None:
    before = site.get(f"{API}/commands").json()
    told = site.get(f"{API}/effect?verb={verb}").json()
    assert told["sentences"]
    assert (told["refused"] is None) == (verb in ("resume", "rollback", "stop")), "it is held"
    assert site.get(f"{API}/commands").json() == before


def test_an_effect_is_of_a_verb_that_there_is(site: Site) -> None:
    problem(site.get(f"{API}/effect"), 400, "bad-parameter")
    assert "expected one of hold," in problem(site.get(f"{API}/effect?verb=explode"), 400, "bad-parameter")


# --- orders before the start ------------------------------------------------------------------------------------------

WAITING = RULE.replace("auto_start: true\n", "")


def order(site: Site, verb: str, name: str = NAME, **body: Any) -> Any:
    return site.order(verb, name, json={**WHY, **body})


def test_a_rollout_is_started_over_http(empty: Site) -> None:
    empty.add(rule=WAITING)
    empty.tick(2)
    assert empty.get(API).json()["phase"] == "pending"
    assert order(empty, "start").status_code == 202
    empty.tick(1)
    found = empty.get(API).json()
    assert found["phase"] == "ramping"
    assert empty.get(f"{API}/transitions").json()["transitions"][0]["by"] == "ada"


def test_a_rollout_is_adopted_at_what_its_flag_reads(empty: Site) -> None:
    empty.add(
        rule=WAITING.replace("{{strategy: all_at_once}}", "{{steps: [{{percent: 5, for: 1h}}, {{percent: 100}}]}}")
    )
    headers = {"Authorization": f"Bearer {TOKEN}"}
    empty.ask("POST", "/api/v1/flags/new-checkout/set", json={**WHY, "percent": 30}, headers=headers)
    empty.tick(1)
    assert empty.get(f"{API}/effect?verb=adopt").json()["exposure"]["after"]["percent"] == 30
    order(empty, "adopt")
    empty.tick(1)
    assert empty.get(API).json()["exposure"]["desired"] == 30


@pytest.mark.parametrize("verb", ["start", "adopt"])
def test_what_cannot_start_is_refused_at_once(empty: Site, verb: str) -> None:
    empty.add()
    empty.add("other", rule=WAITING)
    empty.tick(1)
    assert "it is ramping" in problem(order(empty, verb), 409, "rollout-refused")
    taken = problem(order(empty, verb, "other"), 409, "rollout-refused")
    assert f"is taken by {NAME}, which is ramping" in taken
    assert empty.get("/api/v1/rollouts/other/effect?verb=start").json()["refused"] in taken
    assert [one.id for one in empty.ledger.pending_commands(2)] == []


@pytest.mark.parametrize(
    ("until", "seconds"), [("48h", 172_800), ("2023-11-15T13:00:00Z", 3599.5), ("2023-11-15T14:00:00+01:00", 3599.5)]
)
def test_a_preflight_is_waived_until_a_time(empty: Site, until: str, seconds: float) -> None:
    stored = empty.add(rule=WAITING)
    answer = order(empty, "waive", until=until)
    assert answer.status_code == 201
    (waiver,) = empty.ledger.waivers(stored.id)
    assert waiver == Waiver("preflight", "ada", WHY["reason"], empty.now, empty.now + seconds)
    assert answer.json() == empty.get(answer.headers["Location"]).json()["waivers"][0]
    assert empty.woken == [NAME], "it may be what its start waits for"


@pytest.mark.parametrize("until", ["", "soon", "0s", "2023-11-15T11:00:00Z", "400d", None, 7])
def test_a_waiver_ends_within_a_year(empty: Site, until: object) -> None:
    stored = empty.add(rule=WAITING)
    assert "until" in problem(order(empty, "waive", until=until), 422, "bad-body")
    assert empty.ledger.waivers(stored.id) == []


def test_only_what_has_not_started_is_waived(empty: Site) -> None:
    empty.add()
    empty.tick(1)
    assert "has not started" in problem(order(empty, "waive", until="48h"), 409, "rollout-refused")
    observer = empty.add("observer", "old-checkout", f"mode: {Mode.OBSERVE.value}\n{WAITING}")
    assert "only observes" in problem(order(empty, "waive", "observer", until="48h"), 409, "rollout-refused")
    assert empty.ledger.waivers(observer.id) == []


def test_whoever_steers_needs_neither_prometheus_nor_the_flag_service(empty: Site) -> None:
    """Both are away: everything is still told, and every order is taken."""
    empty.add(rule=RULE.replace("slices: 2", "slices: 12"))
    empty.add("waiting", "old-checkout", WAITING)
    empty.tick(14)
    empty.flags.fail(FlagServiceError("connection refused"), times=10_000)
    empty.source.answer = lambda _expression, _at: None
    empty.tick(1)
    calls = dict(empty.flags.calls)
    for address in LISTS:
        assert empty.get(address).ok, address
    assert "connection refused" in empty.get(f"{API}/effect?verb=rollback").json()["sentences"][0]
    assert [order(empty, verb).status_code for verb in ("hold", "resume", "rollback", "stop")] == [202] * 4
    assert order(empty, "waive", "waiting", until="48h").status_code == 201
    assert [order(empty, verb, "waiting").status_code for verb in ("start", "adopt")] == [202] * 2
    assert dict(empty.flags.calls) == calls, "nobody asked it"


# --- methods ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "allowed"),
    [("/api/v1/drills", "GET, HEAD, POST"), ("/api/v1/rollouts", "GET, HEAD"), (f"{API}/hold", "POST")],
)
def test_an_address_says_everything_that_it_takes(site: Site, address: str, allowed: str) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = site.ask(method, address)
        assert allowed in problem(answer, 405, "method-not-allowed")
        assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize("address", ["/api", "/api/v1/nothing", f"{API}/slices/", "/api/v1/rollouts/a/b/c"])
def test_an_address_that_is_none_is_a_problem_document(site: Site, address: str) -> None:
    problem(site.get(address), 404, "not-found")
