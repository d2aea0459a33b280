"""One rollout's page: what it tells at a glance and on record, in every phase, without a script, whatever its name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.entering import Browser
from tests.ledgers import NOON
from tests.pagecheck import Page, page_of
from tests.webserver import NAME, RULE, Site, healthy
from watchdog.attribution import attribute
from watchdog.errors import FlagServiceError
from watchdog.ledger import Ledger, Record
from watchdog.model import Contributor, Contributors, Counts, Waiver
from watchdog.quantities import rfc3339

RAMP = RULE.replace("all_at_once", "progressive, from: 0, to: 100, over: 1h, every: 10m").replace(
    "slices: 2", "slices: 6"
)
BY_HAND = RULE.replace("auto_start: true", "auto_start: false")
HOSTILE = '"><script>alert(1)<script> %2e%2e & ümlaut?x=1#y;\\'


def broken(expression: str, at: int) -> float | None:
    return 9000.0 if "bad_total" in expression else healthy(expression, at)


def slow_queue(expression: str, at: int) -> float | None:
    return 99.0 if "queue_age" in expression else healthy(expression, at)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One in each phase, each with something to tell."""
    with Site(tmp_path_factory.mktemp("shop"), prometheus_url="http://prometheus.example:9090") as site:
        site.flags.init(("f1", "f2", "f3", "f4"), "a test")
        site.add("signed", "f1")
        site.tick(40, "signed")
        site.source.answer = healthy
        site.add("taken-back", "f2", RAMP)
        site.tick(45, "taken-back")
        site.source.answer = broken
        site.tick(30, "taken-back")
        site.source.answer = healthy
        site.add("held", "f3", RAMP)
        site.tick(3, "held")
        site.ledger.add_command("held", "hold", "ada <ada@example>", "<script>alert(1)</script> & co", site.now)
        site.tick(1, "held")
        site.add("rising", "f4", RAMP)
        site.tick(25, "rising")
        site.source.answer = slow_queue
        site.tick(8, "rising")
        site.add("later", "old-checkout", BY_HAND)
        site.ledger.add_waiver("later", Waiver("preflight", "bob", "no reader here yet", site.now, site.now + 3600))
        yield site


def rollout(site: Site, name: str) -> Page:
    return page_of(site.get(f"/rollouts/{name}"))


def phases(page: Page) -> dict[str, str]:
    """The words of the phase line with their states."""
    (line,) = re.findall(r'<ol class="phases".*?</ol>', page.source, re.DOTALL)
    return {phase: state for state, phase in re.findall(r'<li class="(\w+) phase-(\w+)"', line)}


# --- at a glance ------------------------------------------------------------------------------------------------------


def test_the_phase_line_tells_where_it_is_and_since_when(shop: Site) -> None:
    assert phases(rollout(shop, "later")) == {
        "pending": "now",
        "ramping": "ahead",
        "soaking": "ahead",
        "signed_off": "ahead",
    }
    assert phases(rollout(shop, "rising"))["ramping"] == "now"
    assert phases(rollout(shop, "signed")) == {
        "pending": "done",
        "ramping": "done",
        "soaking": "done",
        "signed_off": "now",
    }
    page = rollout(shop, "taken-back")
    assert phases(page) == {"pending": "done", "ramping": "done", "rolling_back": "done", "rolled_back": "now"}
    stored = shop.ledger.rollout("taken-back")
    assert stored is not None
    back = next(t for t in shop.ledger.transitions(stored.id) if t.target.value == "rolled_back")
    assert f'datetime="{rfc3339(back.at)}"' in page.source


def test_it_says_what_happened_what_was_done_and_what_to_do(shop: Site) -> None:
    said = rollout(shop, "taken-back").text
    assert "The flag was taken back: error_rate was breached." in said
    assert "Breach of error_rate since" in said
    assert "Rollback Detected" in said
    assert "What you need to do Nothing at once: the flag is off. Find the cause" in said
    assert "What the watchdog did" in said
    assert "Roll back…" not in said, "there is nothing left to take back"


def test_a_hold_tells_who_and_why_and_what_people_wrote_is_no_markup(shop: Site) -> None:
    page = rollout(shop, "held")
    assert "On hold: " in page.text
    assert "by ada <ada@example> (operator): <script>alert(1)</script> & co. Only a person ends it." in page.text
    assert "<script>alert" not in page.source
    assert "Look at why it is held. If all is well, resume it; if not, roll it back." in page.text
    assert page.links["Resume…"] == "/rollouts/held/resume"
    assert page.links["Roll back…"] == "/rollouts/held/rollback"
    assert "Hold…" not in page.links, "it is held already"


def test_an_open_breach_that_takes_nothing_back_asks_for_a_person(shop: Site) -> None:
    said = rollout(shop, "rising").text
    assert "Breach of queue_age since" in said
    assert "Look at queue_age: it is breached, and its rule takes nothing back by itself." in said
    assert "failing now: queue_age" in said


def test_every_objective_tells_value_target_detector_verdict_and_where_to_look(shop: Site) -> None:
    page = rollout(shop, "rising")
    said = page.text
    assert said.index("queue_age ✗ fail") < said.index("error_rate ✓ pass"), "what fails comes first"
    assert "99 target below 30" in said
    assert "0% bad target at most 0.1% bad" in said
    assert re.search(r"Detector [\d.]+ of \d+ needed \(sequential, armed\)", said)
    assert re.search(r"Detector \d failing steps among the last \d, \d needed \(confirm, breach open\)", said)
    graph = page.links["this hour in Prometheus of error_rate"]
    assert graph.startswith("http://prometheus.example:9090/graph?g0.expr=")
    assert page.links["error_rate"] == "/rollouts/rising/objectives/error_rate"
    assert '<svg class="spark"' in page.source


def test_the_strip_has_a_sign_for_each_slice_and_the_reason_of_each_that_did_not_pass(shop: Site) -> None:
    page = rollout(shop, "signed")
    (strip,) = re.findall(r'<div class="slices".*?</div>', page.source, re.DOTALL)
    assert re.findall(r'<span class="(\w+)"', strip) == ["pass", "pass"]
    bad = rollout(shop, "taken-back")
    (strip,) = re.findall(r'<div class="slices".*?</div>', bad.source, re.DOTALL)
    kinds = re.findall(r'<span class="(\w+)"', strip)
    assert len(kinds) == 6
    assert "fail" in kinds
    (missed,) = re.findall(r'<details class="missed".*?</details>', bad.source, re.DOTALL)
    assert "error_rate breached: " in missed
    assert (
        re.findall(r'<span class="verdict (\w+)">', missed)
        == [kind for kind in kinds if kind not in ("pass", "ahead")][::-1]
    )


def test_what_was_ordered_stands_there_until_it_is_carried_out(shop: Site) -> None:
    number = shop.ledger.add_command("rising", "hold", "ada", "look at the queue", shop.now)
    said = rollout(shop, "rising").text
    assert f"Order {number} hold by ada" in said
    assert "Not carried out yet" in said
    assert f"Your order {number} hold: recorded as ada" in page_of(shop.get(f"/rollouts/rising?command={number}")).text
    assert "Your order" not in page_of(shop.get("/rollouts/rising?command=99999")).text
    assert "Your order" not in page_of(shop.get("/rollouts/rising?command=%00x")).text


def test_a_watch_that_stands_still_says_so(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.add(rule=RAMP)
        site.tick(5)
        assert "Nothing was recorded lately" not in rollout(site, NAME).text
        site.now += 600
        assert "Nothing was recorded lately" in rollout(site, NAME).text


# --- on record --------------------------------------------------------------------------------------------------------


def test_everything_on_record_is_there_without_a_script(shop: Site) -> None:
    page = rollout(shop, "taken-back")
    said = page.text
    for heading in (
        "Exposure, planned and actual",
        "Breaches",
        "What happened",
        "Notifications",
        "Waivers and preflight",
    ):
        assert (3, heading) in page.headings
    assert "took the flag back" in said
    assert "no channel has taken it up yet" in said
    assert "Changes of flag f2" in said
    assert "kill" in said
    assert "intended" not in said, "a change that was carried out is told once"
    assert page.links["Report"] == "/api/v1/rollouts/taken-back/report?format=html"
    assert shop.get(page.links["Report as JSON"]).json()["rollout"] == "taken-back"
    assert "rollout: taken-back" in page.source, "the rule as it was frozen"


def test_waivers_tell_who_and_until_when(shop: Site) -> None:
    said = rollout(shop, "later").text
    assert "preflight no reader here yet bob" in said
    assert "dead_service a test has no service the rule for good" in said


def test_deliveries_tell_how_each_channel_fares(shop: Site) -> None:
    stored = shop.ledger.rollout("signed")
    assert stored is not None
    first, second, *_ = shop.ledger.notifications_of(stored.id)
    for one in (first, second):
        shop.ledger.claim(one.id, "pagerduty", shop.now)
    shop.ledger.mark_sent(first.id, "pagerduty", shop.now)
    shop.ledger.mark_failed(second.id, "pagerduty", shop.now, "PagerDuty answered 503", shop.now + 60, permanent=False)
    said = rollout(shop, "signed").text
    assert "pagerduty: sent" in said
    assert "pagerduty: tried again" in said
    assert "PagerDuty answered 503" in said


def test_what_is_known_of_a_cause_stands_beside_its_breach(shop: Site) -> None:
    stored = shop.ledger.rollout("taken-back")
    assert stored is not None
    (fact, *_) = shop.ledger.breaches(stored.id)
    at = fact.breach.at
    alike = attribute(
        "error_rate",
        at,
        number=1,
        first=at - 300,
        last=at,
        steps=5,
        exposed=Counts(90, 1000),
        control=Counts(900, 10_000),
        allowed=0.001,
    )
    found = (Contributor("route", "<b>/pay</b>", 87.0, 0.87, 900.0, 0.0967),)
    whose = Contributors("error_rate", at, shop.now, 300.0, found)
    shop.ledger.record(Record(stored.id, stored.revision, attributions=[alike], contributors=[whose]))
    page = rollout(shop, "taken-back")
    assert "Cause of the breach of error_rate Both cohorts fail: the flag is probably not the cause" in page.text
    assert "Most of the bad events in the 5 min before it: route <b>/pay</b> (87 %)" in page.text
    assert "<b>/pay" not in page.source
    assert (3, "Causes") in page.headings
    assert "route <b>/pay</b> 87 87 % 900" in page.text


# --- objectives and charts --------------------------------------------------------------------------------------------


def test_an_objective_has_a_page_with_its_queries_and_its_slices(shop: Site) -> None:
    page = page_of(shop.get("/rollouts/taken-back/objectives/error_rate"))
    assert (1, "error_rate") in page.headings
    assert "sum(increase(bad_total[300s]))" in page.text
    assert page.links["last hour in Prometheus, bad"].startswith("http://prometheus.example:9090/graph?")
    assert re.search(r"range_input=\d+s", page.links["whole watch in Prometheus, bad"])
    assert "✗ fail" in page.text
    assert page.links["taken-back"] == "/rollouts/taken-back"


def test_charts_have_a_column_a_line_of_the_same_length(shop: Site) -> None:
    exposure = shop.get("/rollouts/taken-back/charts/exposure").json()
    assert [line["name"] for line in exposure["lines"]] == ["planned", "asked for", "read back"]
    assert all(len(line["values"]) == len(exposure["at"]) for line in exposure["lines"])
    assert exposure["at"] == sorted(set(exposure["at"]))
    read = exposure["lines"][2]["values"]
    assert max(value for value in read if value is not None) > 0
    assert [value for value in read if value is not None][-1] == 0
    errors = shop.get("/rollouts/taken-back/charts/objectives/error_rate").json()
    assert errors["limit"] == 0.001
    assert all(len(line["values"]) == len(errors["at"]) for line in errors["lines"])
    assert {band["kind"] for band in errors["bands"]} == {"fail"}
    assert shop.get("/rollouts/later/charts/exposure").json()["at"] == []


def test_what_is_not_there_is_told_as_a_page_to_people_and_as_a_problem_to_programs(shop: Site) -> None:
    browser = Browser(shop.url)
    for path in ("/rollouts/nobody", "/rollouts/rising/objectives/nothing", "/rollouts/rising/dance", "/nowhere"):
        answer = browser.get(path)
        assert answer.status_code == 404
        page_of(answer)
        assert shop.get(path).headers["Content-Type"] == "application/problem+json"


# --- live -------------------------------------------------------------------------------------------------------------


def test_the_live_part_is_the_same_html_as_in_the_page_and_comes_as_an_event(shop: Site) -> None:
    stored = shop.ledger.rollout("rising")
    assert stored is not None
    part = shop.get("/rollouts/rising/live").text
    assert part in shop.get("/rollouts/rising").text
    assert f'sse-swap="rollout-{stored.id}"' in shop.get("/rollouts/rising").text
    answer = shop.get(f"/live?rollout={stored.id}", stream=True)
    lines = answer.iter_lines(decode_unicode=True)
    told: list[str] = []
    for line in lines:
        if line == f"event: rollout-{stored.id}":
            for data in lines:
                if not data.startswith("data: "):
                    break
                told.append(data.removeprefix("data: "))
            break
    answer.close()
    assert "\n".join(told) == "\n".join(part.splitlines())


def test_one_status_line_is_spoken_and_not_the_whole_part(shop: Site) -> None:
    source = rollout(shop, "rising").source
    assert source.count("aria-live") == 1
    assert 'id="announced" class="unseen" role="status" aria-live="polite"></p>' in source


# --- whatever the name ------------------------------------------------------------------------------------------------


def hostile(ledger: Ledger, stored_id: int) -> None:
    """Give a rollout a name that no rule file could."""
    with ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE rollouts SET name = ? WHERE id = ?", (HOSTILE, stored_id))


def test_a_hostile_name_is_quoted_in_addresses_and_escaped_in_text(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        stored = site.add(rule=BY_HAND)
        hostile(site.ledger, stored.id)
        page = page_of(site.get(f"/rollouts/{quote(HOSTILE, safe='')}"))
        assert (1, HOSTILE) in page.headings
        assert "<script>alert" not in page.source
        ours = [href for href in page.links.values() if href.startswith("/rollouts/")]
        assert ours
        for href in ours:
            assert href.startswith(f"/rollouts/{quote(HOSTILE, safe='')}")
            assert site.get(href).status_code == 200
        confirm = page_of(site.get(f"/rollouts/{quote(HOSTILE, safe='')}/stop"))
        assert "<script>alert" not in confirm.source
        json.loads(site.get(f"/rollouts/{quote(HOSTILE, safe='')}/charts/exposure").text)


def test_a_damaged_rule_is_told_on_its_page_and_hides_no_other(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        stored = site.add(rule=BY_HAND)
        site.add("other", "old-checkout", BY_HAND)
        with site.ledger.writing() as connection:
            connection.exec_driver_sql("UPDATE rollouts SET resolved = ? WHERE id = ?", ("{}", stored.id))
        answer = Browser(site.url).get(f"/rollouts/{NAME}")
        assert answer.status_code == 503
        assert "is damaged" in page_of(answer).text
        assert site.get("/rollouts/other").status_code == 200


def test_nothing_is_asked_of_prometheus_or_of_a_flag_service(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.add(rule=RAMP)
        site.tick(5)

        def never(_expression: str, _at: int) -> float | None:
            raise AssertionError("Prometheus was asked")

        site.source.answer = never
        site.flags.fail(FlagServiceError("the flag service is away"), times=99)
        page = rollout(site, NAME)
        assert "Ramping" in page.text
        assert site.get(f"/rollouts/{NAME}/objectives/error_rate").status_code == 200


def test_times_are_told_as_utc_and_can_be_made_local(shop: Site) -> None:
    source = rollout(shop, "signed").source
    assert re.search(
        r'<time datetime="2023-11-15T[\d:.]+Z" title="2023-11-15 [\d:]+ UTC">2023-11-15 [\d:]+ UTC</time>', source
    )
    assert rfc3339(NOON)[:10] == "2023-11-15"
