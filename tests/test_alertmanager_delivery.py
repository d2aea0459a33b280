"""A real Alertmanager with the shipped configuration, and what its channels are sent: who, what, and in which words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.alertmanagerconfig import (
    ALWAYS,
    MAIL_PASSWORD,
    MAIL_USER,
    NEVER,
    PAGER_KEY,
    SWITCH_TOKEN,
    WATCHDOG_TOKEN,
    Channels,
    labels,
    local,
    post,
)
from tests.alertmanagerserver import AlertmanagerServer
from tests.answering import Answering, Request
from tests.mailserver import MailServer, made_certificate
from tests.pagerdutyserver import PagerDutyServer
from tests.processes import wait_for
from watchdog.web.payload import Labels, payload_of

LINKS = {
    "runbook_url": "https://wiki.example.com/runbooks/ErrorRateBudgetBurn",
    "dashboard_url": "https://grafana.example.com/d/slo-fleet?var-service=shop",
}
BURNS = {
    "summary": "The error budget of error_rate burns too fast.",
    "description": "shop: 4% of what error_rate counts is bad & <more> than allowed. First: split the errors by code.",
    **LINKS,
}


@dataclass
class Site:
    """Alertmanager and everybody it tells."""

    server: AlertmanagerServer
    switch: Answering
    watchdog: Answering
    slack: Answering
    pager: PagerDutyServer
    mail: MailServer

    def posted(self, channel: str, about: str) -> list[dict[str, Any]]:
        """The messages in one channel of Slack about something."""
        said = [request.json for request in self.slack.asked]
        return [message for message in said if message["channel"] == channel and about in json.dumps(message)]

    def heard(self, by: Answering, alertname: str) -> list[Request]:
        """The webhooks that had an alert of that name."""
        return [request for request in by.asked if f'"alertname":"{alertname}"' in request.body.decode()]

    def mails(self, about: str) -> list[Any]:
        return [mail for mail in self.mail.mails if about in str(mail["Subject"])]


def until(found: Callable[[], list[Any]], what: str) -> Any:
    """The first of what comes."""
    return wait_for(lambda: found() or None, 15, lambda: f"no {what}")[0]


def site(directory: Path, hours: dict[str, Any]) -> Iterator[Site]:
    certificate = made_certificate(directory)
    # Alertmanager wants "Username:" in an exchange of LOGIN, which aiosmtpd words otherwise; PLAIN has one wording.
    with (
        Answering() as switch,
        Answering() as watchdog,
        Answering() as slack,
        PagerDutyServer(PAGER_KEY) as pager,
        MailServer(certificate, logins={MAIL_USER: MAIL_PASSWORD}, auth_exclude_mechanism=["LOGIN"]) as mail,
    ):
        channels = Channels(switch.url, watchdog.url, pager.url, slack.url, mail.settings(), directory / "cert.pem")
        with AlertmanagerServer(directory, local(directory, channels, hours=hours)) as server:
            yield Site(server, switch, watchdog, slack, pager, mail)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """In working hours."""
    yield from site(tmp_path_factory.mktemp("day"), ALWAYS)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Outside of them."""
    yield from site(tmp_path_factory.mktemp("night"), NEVER)


def test_a_critical_alert_pages_and_says_what_to_do(day: Site) -> None:
    post(day.server.url, labels("ErrorRateBudgetBurn", severity="critical", budget="30d"), said=BURNS)
    until(lambda: [i for i in day.pager.incidents if "ErrorRateBudgetBurn" in i.summaries[0]], "page")
    incident = next(i for i in day.pager.incidents if "ErrorRateBudgetBurn" in i.summaries[0])
    event = incident.events[0]
    assert event["payload"]["summary"] == f"[CRITICAL] production shop ErrorRateBudgetBurn: {BURNS['summary']}"
    assert event["payload"]["severity"] == "critical"
    assert (event["payload"]["component"], event["payload"]["group"]) == ("shop", "service")
    assert BURNS["description"] in event["payload"]["custom_details"]["alerts"]
    assert [link["href"] for link in event["links"]] == list(LINKS.values())
    assert [asked.status for asked in day.pager.asked] == [202] * len(day.pager.asked)


def test_it_is_said_in_slack_with_its_links(day: Site) -> None:
    post(day.server.url, labels("LatencyBudgetBurn", severity="critical", budget="30d"), said=BURNS)
    message = until(lambda: day.posted("#on-call", "LatencyBudgetBurn"), "message in #on-call")
    (attachment,) = message["attachments"]
    assert attachment["title"] == f"[CRITICAL] production shop LatencyBudgetBurn: {BURNS['summary']}"
    assert "bad &amp; &lt;more&gt; than allowed. First: split the errors by code." in attachment["text"]
    assert attachment["color"] == "danger"
    assert [action["url"] for action in attachment["actions"]] == list(LINKS.values())


def test_its_end_resolves_the_incident(day: Site) -> None:
    alert = labels("AvailabilityDataAbsent")
    post(day.server.url, alert, said=BURNS)
    until(lambda: day.posted("#on-call", "AvailabilityDataAbsent"), "message")
    post(day.server.url, alert, lasts=0.0, said=BURNS)
    until(lambda: day.posted("#on-call", "[RESOLVED] production shop AvailabilityDataAbsent"), "message of its end")

    def over() -> list[Any]:
        found = [i for i in day.pager.incidents if "AvailabilityDataAbsent" in i.summaries[0]]
        return [incident for incident in found if not incident.open]

    until(over, "resolved incident")


def test_a_warning_goes_to_slack_and_in_working_hours_by_mail(day: Site) -> None:
    post(day.server.url, labels("TestsNotRunning"), said=BURNS)
    message = until(lambda: day.posted("#slo", "TestsNotRunning"), "message in #slo")
    assert message["attachments"][0]["color"] == "warning"
    mail = until(lambda: day.mails("TestsNotRunning"), "mail")
    assert mail["Subject"] == f"[WARNING] production shop TestsNotRunning: {BURNS['summary']}"
    text, html = (mail.get_body((kind,)).get_content() for kind in ("plain", "html"))
    assert "First: split the errors by code." in text
    assert f"Runbook:      {LINKS['runbook_url']}" in text
    assert f'<a href="{LINKS["runbook_url"]}">Runbook</a>' in html
    assert "bad &amp; &lt;more&gt; than allowed" in html
    taken = next(each for each in day.mail.taken if "TestsNotRunning" in str(each.mail["Subject"]))
    assert (taken.user, taken.encrypted) == (MAIL_USER, True)
    assert not [incident for incident in day.pager.incidents if "TestsNotRunning" in incident.summaries[0]]


def test_at_night_a_warning_sends_no_mail(night: Site) -> None:
    post(night.server.url, labels("TestsNotRunning"), said=BURNS)
    until(lambda: night.posted("#slo", "TestsNotRunning"), "message in #slo")
    post(night.server.url, labels("SloWatchdogPagesUnsent"), said=BURNS)
    until(lambda: night.mails("SloWatchdogPagesUnsent"), "mail about a broken channel, which comes at any hour")
    assert night.mails("TestsNotRunning") == []


def test_what_the_watchdog_did_is_context_and_no_page(day: Site) -> None:
    post(day.server.url, labels("RolloutBreach", rollout="shop-2", objective="error_rate"), said=BURNS)
    message = until(lambda: day.posted("#deploys", "RolloutBreach"), "message in #deploys")
    assert message["attachments"][0]["title"].startswith("[INFO] production shop-2 RolloutBreach")
    assert not [incident for incident in day.pager.incidents if "RolloutBreach" in incident.summaries[0]]


def test_the_heartbeat_reaches_the_switch_and_the_daemon(day: Site) -> None:
    post(day.server.url, labels("Watchdog"), said={"summary": "This alert always fires."})
    switch = until(lambda: day.heard(day.switch, "Watchdog"), "ping of the switch")
    assert switch.headers["authorization"] == f"Bearer {SWITCH_TOKEN}"
    until(lambda: day.heard(day.watchdog, "Watchdog"), "heartbeat for the daemon")
    assert not day.posted("#slo", "always fires")


def test_the_daemon_understands_what_it_is_sent(day: Site) -> None:
    alert = labels("ServiceDown", job="shop")
    post(day.server.url, alert, said=BURNS)
    request = until(lambda: day.heard(day.watchdog, "ServiceDown"), "webhook for the daemon")
    assert request.headers["authorization"] == f"Bearer {WATCHDOG_TOKEN}"
    (firing,) = payload_of(request.body, Labels()).alerts
    assert (firing.labels, firing.service, firing.severity) == (alert, "shop", "critical")


def test_what_is_inhibited_is_sent_to_nobody(day: Site) -> None:
    loud = labels("TestPassRateBudgetBurn", severity="critical", budget="30d", service="cart")
    quiet = labels("TestPassRateDataAbsent", service="cart")
    post(day.server.url, loud, said=BURNS)
    until(lambda: day.posted("#on-call", "TestPassRateBudgetBurn"), "the louder one")
    post(day.server.url, quiet, labels("ServiceTrafficGone", service="cart"), said=BURNS)
    until(lambda: day.posted("#slo", "ServiceTrafficGone"), "what came with the quiet one")
    assert not day.posted("#slo", "TestPassRateDataAbsent")
    assert not day.heard(day.watchdog, "TestPassRateDataAbsent")


def test_an_alert_without_links_has_alertmanagers(day: Site) -> None:
    stranger = {"alertname": "TheirAlert", "severity": "critical", "area": "theirs"}
    post(day.server.url, stranger, said={"summary": "Theirs.", "runbook_url": "/runbooks/TheirAlert"})
    message = until(lambda: day.posted("#on-call", "TheirAlert"), "message")
    for action in message["attachments"][0]["actions"]:
        assert action["url"].startswith("http://"), action
    until(lambda: [i for i in day.pager.incidents if "TheirAlert" in i.summaries[0]], "page")


def test_many_alerts_are_one_message_with_ten_of_them(day: Site) -> None:
    many = [labels("ServiceRestarting", service="many", instance=f"shop-{number}") for number in range(12)]
    post(day.server.url, *many, said=BURNS)
    message = until(lambda: day.posted("#slo", "ServiceRestarting (12)"), "message about twelve")
    text = message["attachments"][0]["text"]
    assert text.count("First:") == 10
    assert text.endswith("... 12 alerts in all")
