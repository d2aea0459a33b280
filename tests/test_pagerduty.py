"""What arrives at PagerDuty, by its client and over real HTTP: at a server that enforces the published contract."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pagerdutying import BREACH, NOON, ROLLOUT, Effect, Link, Severity, Talk, message
from tests.pagerdutyserver import KEY, PagerDutyServer
from watchdog.errors import NotYet
from watchdog.messages.compose import About, compose
from watchdog.messages.notices import NOTICES
from watchdog.model import Notification, NotifyRule

TEAM = "fedcba9876543210fedcba9876543210"
RULESET = "R123456789abcdef0123456789abcdef"


@pytest.fixture
def server() -> Iterator[PagerDutyServer]:
    with PagerDutyServer(KEY, TEAM, RULESET) as server:
        yield server


@pytest.fixture
def talk(server: PagerDutyServer) -> Talk:
    return Talk(server)


def test_a_rollback_opens_one_incident_and_stands_in_the_list_of_changes(server: PagerDutyServer, talk: Talk) -> None:
    told = message("rollback", done="set the flag to 0%", todo="look at the traces", report="/var/r.html")

    answer = talk.send(told)

    assert answer == f"{BREACH} as error was accepted (202); a change event was accepted (202)"
    assert server.open == [BREACH]
    assert server.summaries == [told.summary]
    assert server.wakes == 1
    event = server.incident(BREACH).events[0]
    assert event["payload"] == {
        "summary": told.summary,
        "source": f"checkout/{ROLLOUT}",
        "severity": "error",
        "timestamp": "2026-09-21T14:13:20Z",
        "component": "new-checkout",
        "group": "checkout",
        "class": "rollback",
        "custom_details": {
            "what to do": "look at the traces",
            "what was done": "set the flag to 0%",
            "objective": "latency",
            "found": "240 ms",
            "target": "below 200 ms",
            "rollout": ROLLOUT,
            "service": "checkout",
            "version": "2.14.0",
            "flag": "new-checkout",
            "report": "/var/r.html",
            "message": told.key,
        },
    }
    assert event["client"] == "slo-watchdog"
    assert event["client_url"] == told.links[0].url
    assert event["links"] == [{"href": told.links[0].url, "text": "status"}]


def test_what_gets_worse_makes_the_same_incident_louder(server: PagerDutyServer, talk: Talk) -> None:
    talk.say("rollback")
    talk.say("rollback_unconfirmed")
    talk.say("rollback_late")

    assert server.open == [BREACH]
    assert server.incident(BREACH).severity == "critical"
    assert server.wakes == 2


def test_an_update_never_makes_an_incident_quieter(server: PagerDutyServer, talk: Talk) -> None:
    talk.say("rollback")
    talk.say("rollback_late")
    talk.say("rolled_back")
    talk.say("breach", severity=Severity.WARNING)

    assert [event["payload"]["severity"] for event in server.incident(BREACH).events] == [
        "error",
        "critical",
        "critical",
        "critical",
    ]
    assert server.wakes == 2


def test_the_end_resolves_it_and_the_next_cause_is_a_new_incident(server: PagerDutyServer, talk: Talk) -> None:
    talk.say("rollback_late")
    talk.say("recovered", summary="latency is good again")
    assert server.open == []
    assert server.incident(BREACH).summaries[-1] == "latency is good again"

    talk.say("rollback")

    assert server.open == [BREACH]
    assert server.incident(BREACH).severity == "error"
    assert len(server.incidents) == 2


def test_what_is_good_to_know_opens_no_incident(server: PagerDutyServer, talk: Talk) -> None:
    answer = talk.say("rolled_back", change=False)

    assert "a message of severity info opens none" in answer
    assert server.asked == []


def test_what_a_message_stands_for_is_among_its_details(server: PagerDutyServer, talk: Talk) -> None:
    talk.say("rolled_back", severity=Severity.CRITICAL, earlier=("latency is breached\nat 240 ms", "rolling back"))

    assert server.incident(BREACH).details["earlier updates"] == "- latency is breached at 240 ms\n- rolling back"


def test_severities_are_those_of_the_message(server: PagerDutyServer, talk: Talk) -> None:
    talk.say("blind", severity=Severity.WARNING)
    talk.say("drift_late", effect=Effect.ESCALATE, severity=Severity.WARNING, incident="drift")

    assert [incident.severity for incident in server.incidents] == ["warning", "warning"]


def test_a_step_is_a_change_event_only(server: PagerDutyServer, talk: Talk) -> None:
    talk.say("step", summary="exposure 5% to 10%")

    assert server.incidents == []
    assert server.changes[0]["payload"]["summary"] == "exposure 5% to 10%"
    assert server.changes[0]["payload"]["source"] == f"checkout/{ROLLOUT}"
    assert server.changes[0]["payload"]["custom_details"]["version"] == "2.14.0"


def test_what_is_for_the_record_is_not_sent(server: PagerDutyServer, talk: Talk) -> None:
    assert talk.say("window_reset") == "nothing was sent: it is for the record, and changes nothing"
    assert talk.say("rolled_back", effect=Effect.TELL, change=False).startswith("nothing was sent")
    assert server.asked == []


def test_a_message_that_ends_all_resolves_each_incident_it_names(server: PagerDutyServer, talk: Talk) -> None:
    talk.say("rollback", change=False)
    talk.say("blind")

    talk.say("signed_off", closes=(BREACH, f"slo-watchdog:{ROLLOUT}:blind", f"slo-watchdog:{ROLLOUT}:drift"))

    assert server.open == []
    assert [event["dedup_key"] for event in server.dropped] == [f"slo-watchdog:{ROLLOUT}:drift"]
    assert len(server.changes) == 1


def test_a_rollout_brings_its_own_key(server: PagerDutyServer, talk: Talk, tmp_path: Path) -> None:
    file = tmp_path / "team.key"
    file.write_text(f"  {TEAM}\n")
    rule = NotifyRule(routing_key_file=str(file))

    talk.say("rollback", rule=rule)
    assert {asked.event["routing_key"] for asked in server.asked} == {TEAM}

    file.write_text(KEY)
    talk.say("blind", rule=rule)
    assert server.asked[-1].event["routing_key"] == KEY


def test_a_rulesets_key_gets_no_change_events(server: PagerDutyServer) -> None:
    talk = Talk(server, RULESET)

    assert "takes none" in talk.say("step")
    assert "takes none" in talk.say("rollback")
    assert server.changes == []
    assert server.open == [BREACH]


@pytest.mark.parametrize("key", [KEY, RULESET])
def test_a_test_message_proves_the_key_and_wakes_nobody_each_time(server: PagerDutyServer, key: str) -> None:
    talk, told = Talk(server, key), message("test")

    assert "was accepted (202)" in talk.send(told)
    assert "was accepted (202)" in talk.send(told)

    assert len(server.asked) == 2
    assert (server.incidents, server.wakes, talk.notes.found) == ([], 0, {})


def test_no_key_is_used_faster_than_pagerduty_allows(server: PagerDutyServer, talk: Talk, tmp_path: Path) -> None:
    calls: list[float] = []
    while talk.now < NOON + 120:
        step = message("step")
        if talk.channel.ready_in(step, talk.now) == 0:
            talk.send(step)
            calls.append(talk.now)
        talk.now += 0.25

    assert max(sum(at <= each < at + 60 for each in calls) for at in calls) <= 120
    assert len(calls) > 200
    file = tmp_path / "team.key"
    file.write_text(TEAM)
    assert talk.channel.ready_in(message("step", rule=NotifyRule(routing_key_file=str(file))), talk.now) == 0


def test_a_message_of_many_events_goes_out_in_parts(server: PagerDutyServer, talk: Talk) -> None:
    closes = tuple(f"slo-watchdog:{ROLLOUT}:{number}" for number in range(14))
    told = message("signed_off", closes=closes)

    with pytest.raises(NotYet) as caught:
        talk.send(told)
    assert len(server.asked) == 10
    assert caught.value.retry_after == pytest.approx(talk.channel.ready_in(told, talk.now))
    while True:
        try:
            talk.send(told)
            break
        except NotYet as wait:
            talk.now += wait.retry_after or 0.0

    assert [asked.event["dedup_key"] for asked in server.asked[:-1]] == list(closes)
    assert len(server.changes) == 1


def test_every_kind_of_message_arrives_as_the_table_has_it(server: PagerDutyServer, talk: Talk) -> None:
    about = About(ROLLOUT, "checkout", "2.14.0", "new-checkout", None, NotifyRule(), "https://watchdog.example")
    details: dict[str, object] = {
        "objective": "latency",
        "service": "unleash",
        "flag": "old-checkout",
        "channel": "slack",
    }
    for number, notice in enumerate(NOTICES, start=1):
        told = compose(
            number, Notification(notice.kind, notice.kind, notice.severity, notice.when, NOON, details), about
        )
        assert told is not None
        pages = told.effect in (Effect.OPEN, Effect.ESCALATE) and told.severity is not Severity.INFO
        before = (server.wakes, len(server.changes))
        talk.now += 10

        talk.send(told)

        assert server.wakes - before[0] == int(pages), notice.kind
        assert len(server.changes) - before[1] == int(notice.change or notice.kind == "test"), notice.kind
        server.incidents.clear()
        talk.notes.found.clear()


def test_only_addresses_are_linked(server: PagerDutyServer, talk: Talk) -> None:
    links = (
        Link("a file", "file:///etc/passwd"),
        Link("", "https://a.example/x"),
        Link("long", "https://a/" + "x" * 9000),
    )

    talk.say("blind", links=links)

    event = server.incidents[0].events[0]
    assert event["links"] == [{"href": "https://a.example/x", "text": "https://a.example/x"}]


def test_the_client_is_imported_without_its_warning_and_only_when_it_is_used() -> None:
    script = (
        "import sys, watchdog.notifiers.base; assert 'pdpyras' not in sys.modules;"
        "import watchdog.notifiers.pagerduty; assert 'pdpyras' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
