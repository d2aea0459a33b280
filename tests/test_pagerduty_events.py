"""The bodies of events keep PagerDuty's limits, whatever the texts are; each is sent to a server that refuses more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pagerdutycontract import LARGEST
from tests.pagerdutying import ROLLOUT, Link, Talk
from tests.pagerdutyserver import PagerDutyServer
from watchdog.notifiers.pagerduty_events import dedup_key

WOMAN = "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{ROCKET}"


@pytest.fixture
def server() -> Iterator[PagerDutyServer]:
    with PagerDutyServer() as server:
        yield server


@pytest.fixture
def talk(server: PagerDutyServer) -> Talk:
    return Talk(server)


def test_letters_of_every_script_arrive(server: PagerDutyServer, talk: Talk) -> None:
    talk.say("blind", summary=f"Zażółć 語 {WOMAN}", todo="zeile eins\nzeile zwei", facts=(("größe", "½"),))

    incident = server.incidents[0]
    assert incident.summaries == [f"Zażółć 語 {WOMAN}"]
    assert incident.details["what to do"] == "zeile eins\nzeile zwei"
    assert incident.details["größe"] == "½"


def test_control_characters_and_halves_of_letters_do_not(server: PagerDutyServer, talk: Talk) -> None:
    talk.say("blind", summary="a\x00b\x1b[31m\r\nc \udc80\u202ed", todo="x\x07y\udfff", facts=(("a\nb", "c"),))

    incident = server.incidents[0]
    assert incident.summaries == ["a b [31m c \N{REPLACEMENT CHARACTER} d"]
    assert incident.details["what to do"] == "x y\N{REPLACEMENT CHARACTER}"
    assert incident.details["a b"] == "c"


@pytest.mark.parametrize("letter", ["x", "語", "\N{ROCKET}"])
def test_a_long_summary_is_cut_and_says_so(server: PagerDutyServer, talk: Talk, letter: str) -> None:
    talk.say("blind", summary=letter * 5000)

    summary = server.incidents[0].summaries[0]
    assert len(summary) == 1024
    assert summary.startswith(letter * 900)
    left = 5000 - summary.count(letter) + "more characters".count(letter)
    assert summary.endswith(f"… [{left} more characters]")


def test_a_message_without_words_is_called_by_its_kind(server: PagerDutyServer, talk: Talk) -> None:
    talk.say("blind", summary=" \n ", service="", rollout="", links=())

    payload = server.incidents[0].events[0]["payload"]
    assert (payload["summary"], payload["source"]) == ("blind", "slo-watchdog")
    assert "group" not in payload


def test_100_kb_of_details_arrive_whole(server: PagerDutyServer, talk: Talk) -> None:
    talk.say("blind", facts=(("query", "q" * 100_000),))

    assert server.incidents[0].details["query"] == "q" * 100_000


@pytest.mark.parametrize("letter", ["x", "\\", "語", "\N{ROCKET}"])
def test_what_is_larger_than_pagerduty_takes_is_cut_at_its_longest(
    server: PagerDutyServer, talk: Talk, letter: str
) -> None:
    facts = (("labels", letter * 700_000), ("query", letter * 1_000), ("error", letter * 600_000))

    talk.say("rollback", facts=facts, earlier=("sooner",) * 50)

    details = server.incidents[0].details
    assert details["query"] == letter * 1_000
    assert details["earlier updates"].count("sooner") == 50
    assert details["labels"].endswith(" more characters]")
    assert len(details["labels"]) == len(details["error"])
    assert LARGEST - 3000 < len(server.asked[0].body) <= LARGEST
    assert LARGEST - 3000 < len(server.asked[1].body) <= LARGEST


def test_thousands_of_facts_links_and_names_fit_too(server: PagerDutyServer, talk: Talk) -> None:
    rocket = "\N{ROCKET}"
    facts = tuple((f"{number}{rocket * 500}", rocket * 500) for number in range(5000))
    links = tuple(Link(rocket * 500, f"https://a.example/{'x' * 1900}") for _ in range(300))

    talk.say(
        "rollback", facts=facts, links=links, flag=rocket * 999, service=rocket * 999, earlier=(rocket * 9,) * 9999
    )

    assert server.incidents[0].details["further facts"] == "4800 are left out"
    assert len(server.incidents[0].events[0]["links"]) == 20
    assert len(server.changes) == 1


def test_facts_of_one_name_are_told_apart_and_repeats_are_left_out(server: PagerDutyServer, talk: Talk) -> None:
    talk.say(
        "blind", facts=(("rollout", "another"), ("a", "1"), ("a", "1"), ("a", "2"), ("a", "3"), ("", "x"), ("b", ""))
    )

    details = server.incidents[0].details
    assert (details["rollout"], details["rollout (2)"]) == ("another", ROLLOUT)
    assert (details["a"], details["a (2)"], details["a (3)"], details["fact"]) == ("1", "2", "3", "x")
    assert "b" not in details


def test_the_key_of_an_incident_is_stable_and_never_too_long() -> None:
    usual = f"slo-watchdog:{ROLLOUT}:breach:latency"
    assert dedup_key(usual) == usual

    long = [dedup_key("slo-watchdog:" + letter * 400 + ending) for letter in "x語\N{ROCKET}" for ending in ("a", "b")]
    assert all(len(key.encode()) <= 255 and key.startswith("slo-watchdog:") for key in long)
    assert len(set(long)) == 6
    assert dedup_key("slo-watchdog:" + "x" * 400 + "a") == long[0]
    assert long[0][-64:] == "ec226270831ff9a940d863afe91849b359e9a38a5af70237efb679c67d876bc1"


def test_an_incident_of_a_long_name_is_opened_and_closed(server: PagerDutyServer, talk: Talk) -> None:
    incident = "slo-watchdog:" + "語" * 400

    talk.say("blind", incident=incident)
    talk.say("sighted", incident=incident)

    assert len(server.incidents) == 1
    assert server.open == []
