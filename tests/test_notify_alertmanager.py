"""Alertmanager as a channel, against Debian's own: one alert an incident, which stands until the incident is over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.alertmanagerserver import AlertmanagerServer, routed_to
from tests.answering import Answering, Reply, reply
from tests.channels import HOSTILE, INCIDENT, NOON, SECRET, Notes, record, refusal, told, traits, view
from watchdog.config.notifysettings import AlertmanagerSettings
from watchdog.errors import NotifierError
from watchdog.messages import Effect, Link
from watchdog.model import Severity
from watchdog.notifiers.alertmanager import Alertmanager, open_alertmanager
from watchdog.notifiers.base import Standing

DEADLINE = 30.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlertmanagerServer]:
    with AlertmanagerServer(tmp_path_factory.mktemp("am")) as server:
        yield server


@pytest.fixture
def fake() -> Iterator[Answering]:
    with Answering() as fake:
        yield fake


def of(server: AlertmanagerServer, rollout: str) -> list[dict[str, Any]]:
    """What Alertmanager holds of one rollout, by the names of the alerts."""
    found = server.alerts(filter=f'rollout="{rollout}"')
    return sorted(found, key=lambda alert: str(alert["labels"]["alertname"]))


def names(alerts: list[dict[str, Any]]) -> list[str]:
    return [alert["labels"]["alertname"] for alert in alerts]


def seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


class Incident:
    """One incident of a rollout of its own, and a channel that tells of it; it began a minute ago."""

    def __init__(self, server: AlertmanagerServer, rollout: str) -> None:
        self.server, self.rollout = server, rollout
        self.name = f"slo-watchdog:{rollout}:breach:error_rate"
        self.channel, self.memo = Alertmanager(server.url), Notes()
        self.now = time.time()

    def tell(self, effect: Effect, kind: str = "rollback", **changes: Any) -> str:
        changes = {"incident": self.name, "at": self.now - 60, **changes}
        message = told(rollout=self.rollout, effect=effect, kind=kind, **changes)
        return self.channel.send(message, self.memo, self.now, again=False)

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return of(self.server, self.rollout)


# --- the life of an incident, at a real Alertmanager ----------------------------------------------------------------


def test_an_incident_is_one_alert_with_its_labels_annotations_and_times(server: AlertmanagerServer) -> None:
    incident = Incident(server, "one")
    assert incident.tell(Effect.OPEN) == "took it: SloWatchdogBreach stands"
    [alert] = incident.alerts
    assert alert["labels"] == {
        "alertname": "SloWatchdogBreach",
        "cause": "breach:error_rate",
        "rollout": "one",
        "service": "checkout",
        "severity": "critical",
        "source": "slo-watchdog",
    }
    assert alert["annotations"] == {
        "summary": "error_rate_exposed is 2.1 %, at most 0.1 % is allowed: rolled back from 25 %",
        "description": "Done: The flag new-checkout is set to 0 %.\nTo do: Find the cause, then start a new release."
        "\nValue: 2.1 %\nTarget: at most 0.1 %\nWindow: 5 m",
        "runbook_url": "https://runbooks.example/rollback",
        "links": "status: https://watchdog.example/rollouts/checkout-2.14.0\nrunbook: https://runbooks.example/rollback",
    }
    assert alert["generatorURL"] == "https://watchdog.example/rollouts/checkout-2.14.0"
    assert seconds(alert["startsAt"]) == pytest.approx(incident.now - 60, abs=0.01)
    assert seconds(alert["endsAt"]) == pytest.approx(incident.now + 900, abs=0.01)


def test_new_facts_change_the_alert_and_not_its_identity(server: AlertmanagerServer) -> None:
    incident = Incident(server, "facts")
    incident.tell(Effect.OPEN)
    [before] = incident.alerts
    changed = {"severity": Severity.INFO, "summary": "the flag reads 0 %", "at": incident.now}
    incident.tell(Effect.OPEN, "rolled_back", **changed)
    [after] = incident.alerts
    assert after["fingerprint"] == before["fingerprint"]
    assert after["startsAt"] == before["startsAt"]
    assert after["annotations"]["summary"] == "the flag reads 0 %"
    assert after["labels"]["severity"] == "critical"


def test_an_escalation_is_a_second_alert_and_the_first_one_stays_the_same(server: AlertmanagerServer) -> None:
    incident = Incident(server, "escalated")
    incident.tell(Effect.OPEN)
    [first] = incident.alerts
    incident.tell(Effect.ESCALATE, "rollback_unconfirmed", summary="one minute later the flag does not read it")
    answer = incident.tell(Effect.ESCALATE, "rollback_late", at=incident.now)
    stands = ["SloWatchdogBreach", "SloWatchdogRollbackLate", "SloWatchdogRollbackUnconfirmed"]
    assert names(incident.alerts) == stands
    assert all(name in answer for name in stands)
    assert incident.alerts[0]["fingerprint"] == first["fingerprint"]
    assert incident.alerts[2]["annotations"]["summary"] == "one minute later the flag does not read it"


def test_escalations_end_when_something_else_is_the_matter(server: AlertmanagerServer) -> None:
    incident = Incident(server, "confirmed")
    incident.tell(Effect.OPEN)
    incident.tell(Effect.ESCALATE, "rollback_late")
    incident.tell(Effect.OPEN, "rolled_back")
    assert names(incident.alerts) == ["SloWatchdogBreach"]


def test_a_resolution_ends_everything_of_the_incident(server: AlertmanagerServer) -> None:
    incident = Incident(server, "over")
    incident.tell(Effect.OPEN)
    incident.tell(Effect.ESCALATE, "errors_continue")
    answer = incident.tell(Effect.RESOLVE, "recovered", severity=Severity.INFO)
    assert answer == "took it: SloWatchdogBreach has ended, SloWatchdogErrorsContinue has ended"
    assert incident.alerts == []


def test_a_sign_off_ends_what_it_closes_though_it_is_no_alert_itself(server: AlertmanagerServer) -> None:
    incident = Incident(server, "signed-off")
    incident.tell(Effect.OPEN)
    drift = "slo-watchdog:signed-off:drift"
    incident.tell(Effect.OPEN, "drift", incident=drift)
    assert names(incident.alerts) == ["SloWatchdogBreach", "SloWatchdogDrift"]
    incident.tell(Effect.TELL, "signed_off", incident="", closes=(incident.name, drift))
    assert incident.alerts == []


def test_an_incident_that_opens_again_is_an_alert_with_a_new_start(server: AlertmanagerServer) -> None:
    incident = Incident(server, "again")
    incident.tell(Effect.OPEN)
    incident.tell(Effect.RESOLVE, "recovered")
    incident.now = time.time()
    incident.tell(Effect.OPEN, at=incident.now)
    [alert] = incident.alerts
    assert seconds(alert["startsAt"]) == pytest.approx(incident.now, abs=0.01)


def test_a_repeat_changes_nothing(server: AlertmanagerServer) -> None:
    incident = Incident(server, "repeat")
    incident.tell(Effect.OPEN)
    [before] = incident.alerts
    message = told(rollout="repeat", incident=incident.name, at=incident.now - 60)
    incident.channel.send(message, incident.memo, incident.now, again=True)
    [after] = incident.alerts
    assert before | {"updatedAt": ""} == after | {"updatedAt": ""}


def test_an_alertmanager_that_was_restarted_learns_again_what_is_open(tmp_path: Path) -> None:
    with AlertmanagerServer(tmp_path) as server:
        incident = Incident(server, "restart")
        incident.tell(Effect.OPEN)
        incident.tell(Effect.ESCALATE, "rollback_late")
        before = incident.alerts
        server.restart()
        assert incident.alerts == []
        # A restarted watchdog has nothing but the memo, and the incident's newest message.
        newest = told(kind="rollback_late", effect=Effect.ESCALATE, rollout="restart", incident=incident.name)
        Alertmanager(server.url).refresh(view(newest), incident.memo, incident.now)
        after = incident.alerts
    assert [alert["fingerprint"] for alert in after] == [alert["fingerprint"] for alert in before]
    assert [alert["startsAt"] for alert in after] == [alert["startsAt"] for alert in before]
    assert [alert["annotations"] for alert in after] == [alert["annotations"] for alert in before]


def test_alertmanager_tells_people_of_the_breach_then_of_the_escalation_then_of_the_end(tmp_path: Path) -> None:
    """What the second alert is for: a changed annotation would wake nobody."""
    with Answering() as pager, AlertmanagerServer(tmp_path, routed_to(f"{pager.url}/pages")) as server:
        incident = Incident(server, "pages")

        def pages(name: str, status: str) -> bool:
            give_up = time.monotonic() + DEADLINE
            while time.monotonic() < give_up:
                found = [alert for request in list(pager.asked) for alert in request.json["alerts"]]
                if any((each["labels"]["alertname"], each["status"]) == (name, status) for each in found):
                    return True
                time.sleep(0.05)
            return False

        incident.tell(Effect.OPEN)
        assert pages("SloWatchdogBreach", "firing")
        incident.tell(Effect.ESCALATE, "rollback_late")
        assert pages("SloWatchdogRollbackLate", "firing")
        incident.tell(Effect.RESOLVE, "recovered")
        assert pages("SloWatchdogBreach", "resolved")
        assert pages("SloWatchdogRollbackLate", "resolved")


def test_texts_of_others_are_taken_whatever_is_in_them(server: AlertmanagerServer) -> None:
    incident = Incident(server, "hostile")
    incident.tell(
        Effect.OPEN,
        summary=HOSTILE * 1000,
        done=HOSTILE,
        todo="y" * 100_000,
        service=HOSTILE,
        facts=tuple((HOSTILE, HOSTILE) for _ in range(50)),
        links=(Link(HOSTILE, f"https://example/{HOSTILE}"), Link("status", "no address: \ud800\n")),
    )
    [alert] = incident.alerts
    assert len(alert["annotations"]["summary"]) <= 500
    assert "more characters]" in alert["annotations"]["summary"]
    assert len(alert["annotations"]["description"]) <= 4000
    assert alert["labels"]["service"].isprintable()
    assert "Grüße 日本語" in alert["labels"]["service"]
    assert incident.tell(Effect.RESOLVE, "recovered", service=HOSTILE).endswith("has ended")
    assert incident.alerts == []


def test_a_test_message_is_an_alert_that_ends_by_itself(server: AlertmanagerServer) -> None:
    now = time.time()
    message = record("test", rollout="notify-test", severity=Severity.INFO, at=now)
    answer = Alertmanager(server.url).send(message, Notes(), now, again=False)
    assert answer == "took the alert SloWatchdogTest, which ends by itself in 60 s"
    [alert] = of(server, "notify-test")
    assert alert["labels"]["severity"] == "info"
    assert seconds(alert["endsAt"]) == pytest.approx(now + 60, abs=0.01)


# --- what is not sent -------------------------------------------------------------------------------------------------


def test_what_is_for_the_record_is_not_sent(fake: Answering) -> None:
    answer = Alertmanager(fake.url).send(record(), Notes(), NOON, again=False)
    assert answer.startswith("not sent: it opens and ends no incident")
    assert fake.asked == []


def test_the_end_of_what_never_began_here_is_not_sent(fake: Answering) -> None:
    answer = Alertmanager(fake.url).send(told(effect=Effect.RESOLVE), Notes(), NOON, again=False)
    assert answer == "nothing to end: no alert of this incident was sent here"
    assert fake.asked == []


def test_nothing_is_repeated_while_nothing_is_open_or_before_it_was_sent(fake: Answering) -> None:
    channel, memo = Alertmanager(fake.url), Notes()
    channel.refresh(view(), memo, NOON)
    channel.refresh(view(told()), memo, NOON)
    channel.send(told(), memo, NOON, again=False)
    channel.send(told(effect=Effect.RESOLVE), memo, NOON, again=False)
    channel.refresh(view(), memo, NOON)
    channel.refresh(view(told()), memo, NOON)
    assert len(fake.asked) == 2


def test_open_incidents_are_repeated_in_one_request(fake: Answering) -> None:
    channel, memo = Alertmanager(fake.url), Notes()
    drift = told(kind="drift", incident="slo-watchdog:checkout-2.14.0:drift")
    channel.send(told(), memo, NOON, again=False)
    channel.send(drift, memo, NOON, again=False)
    channel.refresh(view(told(), drift), memo, NOON + 60)
    [_, _, repeated] = fake.asked
    assert names(repeated.json) == ["SloWatchdogBreach", "SloWatchdogDrift"]
    assert {alert["endsAt"] for alert in repeated.json} == {"2027-01-15T08:16:00.250Z"}
    assert {alert["startsAt"] for alert in repeated.json} == {"2027-01-15T08:00:00.250Z"}


def test_it_is_a_channel_that_stands() -> None:
    channel = Alertmanager("http://127.0.0.1:9")
    assert isinstance(channel, Standing)
    assert channel.every == 60
    assert channel.ready_in(told(), NOON) == 0


# --- requests and faults ----------------------------------------------------------------------------------------------


def test_it_is_opened_from_the_settings_and_shows_its_token(fake: Answering) -> None:
    settings = AlertmanagerSettings.model_validate({"url": f"{fake.url}/am/", "bearer_token": SECRET, "timeout": "3s"})
    open_alertmanager(settings).send(told(), Notes(), NOON, again=False)
    [asked] = fake.asked
    assert (asked.method, asked.target) == ("POST", "/am/api/v2/alerts")
    assert asked.headers["authorization"] == f"Bearer {SECRET}"
    assert asked.headers["content-type"] == "application/json"
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("answer", "expected", "part"),
    [
        (reply(400, json={"message": "bad labels"}), (True, False, None), "bad labels"),
        (reply(401, b"token " + SECRET.encode()), (True, True, None), "token ***"),
        (reply(404), (True, True, None), "check the address"),
        (reply(429, headers={"Retry-After": "7"}), (False, True, 7.0), "for 7 s"),
        (reply(500, b"<html>oops</html>"), (False, False, None), "<html>oops</html>"),
        (reply(503, headers={"Retry-After": "3"}), (False, True, 3.0), "status 503"),
        (reply(204), (True, True, None), "not expected"),
        (reply(302, headers={"Location": "https://user:pw@sso.example/?t=s3cret"}), (True, True, None), "sso.example/"),
    ],
)
def test_an_answer_that_is_no_200_is_an_error_of_its_kind(
    fake: Answering, answer: Reply, expected: tuple[bool, bool, float | None], part: str
) -> None:
    error = refusal(Alertmanager(fake.next(answer).url, SECRET))
    assert traits(error) == expected
    assert part in str(error)


def test_what_was_not_taken_is_sent_again_with_the_same_start_and_name(fake: Answering) -> None:
    channel, memo = Alertmanager(fake.next(reply(503)).url), Notes()
    refusal(channel, memo=memo)
    channel.send(told(), memo, NOON + 300, again=True)
    first, second = (request.json[0] for request in fake.asked)
    assert (first["labels"], first["startsAt"]) == (second["labels"], second["startsAt"])


def test_what_was_refused_for_good_is_not_repeated_either(fake: Answering) -> None:
    channel, memo = Alertmanager(fake.next(reply(422)).url), Notes()
    refusal(channel, memo=memo)
    channel.refresh(view(told()), memo, NOON + 60)
    assert len(fake.asked) == 1


def test_what_a_wrong_token_kept_away_is_repeated_until_it_fits(fake: Answering) -> None:
    channel, memo = Alertmanager(fake.next(reply(401)).url), Notes()
    refusal(channel, memo=memo)
    channel.refresh(view(told()), memo, NOON + 60)
    assert names(fake.asked[1].json) == ["SloWatchdogBreach"]


def test_an_end_that_was_not_taken_is_sent_again(fake: Answering) -> None:
    channel, memo = Alertmanager(fake.url), Notes()
    channel.send(told(), memo, NOON, again=False)
    refusal(Alertmanager(fake.next(reply(503)).url), told(effect=Effect.RESOLVE), memo)
    answer = channel.send(told(effect=Effect.RESOLVE), memo, NOON + 9, again=True)
    assert answer == "took it: SloWatchdogBreach has ended"
    assert fake.asked[-1].json[0]["endsAt"] == "2027-01-15T08:00:09.250Z"


def test_an_end_never_lies_before_its_beginning_whatever_the_clock_does(fake: Answering) -> None:
    channel, memo = Alertmanager(fake.url), Notes()
    channel.send(told(), memo, NOON, again=False)
    channel.send(told(effect=Effect.RESOLVE), memo, NOON - 3600, again=False)
    [alert] = fake.asked[-1].json
    assert alert["endsAt"] == alert["startsAt"]


def test_a_refresh_that_fails_is_an_error_too(fake: Answering) -> None:
    channel, memo = Alertmanager(fake.url), Notes()
    channel.send(told(), memo, NOON, again=False)
    fake.next(reply(503))
    with pytest.raises(NotifierError, match="status 503"):
        channel.refresh(view(told()), memo, NOON + 60)


def test_the_names_of_alerts_come_from_the_cause(fake: Answering) -> None:
    channel = Alertmanager(fake.url)
    causes = ["rollback", "hold", "blind", "flag_service", "external_change", "deed:shop:flag", "channel:slack"]
    for cause in causes:
        channel.send(told(incident=f"slo-watchdog:checkout-2.14.0:{cause}"), Notes(), NOON, again=False)
    assert names([request.json[0] for request in fake.asked]) == [
        "SloWatchdogRollback",
        "SloWatchdogHold",
        "SloWatchdogBlind",
        "SloWatchdogFlagService",
        "SloWatchdogExternalChange",
        "SloWatchdogDeed",
        "SloWatchdogChannel",
    ]
    assert [request.json[0]["labels"]["cause"] for request in fake.asked] == causes
    assert INCIDENT.endswith(":breach:error_rate")
