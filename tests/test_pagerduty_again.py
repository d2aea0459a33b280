"""Retries, restarts and repeats: PagerDuty hears of everything, and of nothing twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pagerdutying import BREACH, Notes, Talk, message
from tests.pagerdutyserver import PagerDutyServer, down, refusing
from watchdog.errors import NotifierError


@pytest.fixture
def server() -> Iterator[PagerDutyServer]:
    with PagerDutyServer() as server:
        yield server


@pytest.fixture
def talk(server: PagerDutyServer) -> Talk:
    return Talk(server)


def test_a_second_daemon_with_the_same_ledger_goes_on_with_the_same_incident(server: PagerDutyServer) -> None:
    first = Talk(server)
    first.say("rollback")

    second = Talk(server, notes=first.notes)
    second.say("rolled_back")
    second.say("recovered")

    assert len(server.incidents) == 1
    assert server.open == []


def test_a_repeat_after_a_crash_repeats_nothing_that_was_noted(server: PagerDutyServer, talk: Talk) -> None:
    told = message("rollback")
    talk.send(told)

    answer = Talk(server, notes=talk.notes).send(told, again=True)

    assert answer == f"{BREACH}: was told by an earlier attempt; its change event was sent by an earlier attempt"
    assert len(server.asked) == 2


def test_a_repeat_of_which_nothing_was_noted_says_so(server: PagerDutyServer, talk: Talk) -> None:
    told = message("rollback")
    talk.send(told)

    Talk(server, notes=Notes()).send(told, again=True)

    assert len(server.incidents) == 1
    assert server.wakes == 1
    assert "note" not in server.changes[0]["payload"]["custom_details"]
    assert "possibly a repeat" in server.changes[1]["payload"]["custom_details"]["note"]


def test_a_repeated_end_is_told_once(server: PagerDutyServer, talk: Talk) -> None:
    talk.say("blind")
    told = message("sighted")
    talk.send(told)

    assert "was resolved by an earlier attempt" in talk.send(told, again=True)
    assert len(server.asked) == 2


def test_what_comes_late_neither_reopens_nor_ends_what_a_newer_message_spoke_of(
    server: PagerDutyServer, talk: Talk
) -> None:
    late, late_end = message("blind"), message("sighted")
    talk.say("sighted")
    assert "is over already" in talk.send(late)
    assert server.incidents == []

    talk.say("blind")
    assert "a newer message has spoken of it" in talk.send(late_end)
    assert len(server.open) == 1


def test_after_a_failure_only_what_is_missing_is_sent(server: PagerDutyServer, talk: Talk) -> None:
    told = message("rollback")
    server.next(None, down())
    with pytest.raises(NotifierError):
        talk.send(told)
    assert (server.open, server.summaries) == ([BREACH], [])

    assert talk.send(told) == f"{BREACH}: was told by an earlier attempt; a change event was accepted (202)"

    assert (len(server.asked), server.summaries) == (3, [told.summary])


def test_a_change_event_that_is_refused_takes_nothing_back_of_the_page(server: PagerDutyServer, talk: Talk) -> None:
    server.next(None, refusing(400, "no"))

    assert "refuses this event (400): no" in talk.say("rollback")

    assert (server.open, server.changes) == ([BREACH], [])


def test_a_full_disk_repeats_no_change_event(server: PagerDutyServer, talk: Talk) -> None:
    told = message("rollback")
    talk.notes.full = True
    talk.send(told)
    talk.send(told)
    assert (len(server.changes), len(server.incident(BREACH).events)) == (1, 1)

    talk.notes.full = False
    talk.say("rolled_back")
    assert server.incident(BREACH).severity == "error"


def test_a_memo_of_another_make_is_as_good_as_none(server: PagerDutyServer, talk: Talk) -> None:
    for written in ("open", "[]", '{"by": 1}', '{"by": 1, "open": true, "severity": "loud"}'):
        talk.notes.found[f"incident:{BREACH}"] = written
        talk.say("rollback", change=False)

    assert len(server.incident(BREACH).events) == 4
