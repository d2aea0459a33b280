"""From a real Prometheus to people: each channel hears of a breach as the table says, and kill -9 doubles nothing."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.alertmanagerserver import AlertmanagerServer
from tests.everyone import Everyone
from tests.processes import Installation, wait_for
from tests.servers import PrometheusServer, Reply, ScriptedPrometheus, scripted
from watchdog.ledger import CLAIM, Delivery
from watchdog.messages.notices import notice_of

NAME = "checkout-1"
INCIDENT = f"slo-watchdog:{NAME}:breach:error_rate"
TOLD = ("pagerduty", "slack", "alertmanager", "email")
ERRORS = """
  - name: error_rate
    bad: sum(increase(http_requests_total{code="500"}[$range]))
    total: sum(increase(http_requests_total[$range]))
    at_most: 1%
    range: 3s
    min_slice_events: 10
    sequential: {every: 2s}
"""
RULE = {
    "delay": "2s",
    "settle": "3s",
    "ramp": "{steps: [{percent: 25, for: 1h}, {percent: 100}]}",
    "window": "{slices: 4, slice: 30s, max_gap: 20s}",
    "rollback": "{to: 0, within: 5m, verify: 2m}",
    "waive": "{dead_service: a test, pooled_exposure: a test, rollback_bound: a test}",
}


class Shop:
    """A page of metrics: 50 requests a second, every fifth of them fails while it is `ill`."""

    def __init__(self) -> None:
        self.last = time.time()
        self.served = self.failed = 0.0
        self.ill = False

    def __call__(self, asked: Any) -> Reply:
        now = time.time()
        events = 50 * (now - self.last)
        self.last = now
        self.failed += events * 0.2 * self.ill
        self.served += events * (1 - 0.2 * self.ill)
        codes = {200: self.served, 500: self.failed}
        text = "".join(f'http_requests_total{{code="{code}"}} {count:.0f}\n' for code, count in codes.items())
        return scripted.page(lambda: text)(asked)  # type: ignore[no-any-return]


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def prometheus(shop: Shop) -> Iterator[PrometheusServer]:
    with ScriptedPrometheus(shop) as page:
        jobs = f"  - {{job_name: checkout, static_configs: [{{targets: ['127.0.0.1:{page.port}']}}]}}\n"
        with PrometheusServer(scrape_configs=jobs, scrape_interval="500ms") as server:
            yield server


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[AlertmanagerServer]:
    with AlertmanagerServer(tmp_path) as server:
        yield server


@pytest.fixture
def everyone(tmp_path: Path, alertmanager: AlertmanagerServer) -> Iterator[Everyone]:
    with Everyone(tmp_path, without={"webhook", "on_transition"}) as everyone:
        everyone.alertmanager_url = alertmanager.url
        yield everyone


@pytest.fixture
def site(tmp_path: Path, prometheus: PrometheusServer, everyone: Everyone, shop: Shop) -> Installation:
    site = Installation(tmp_path, prometheus.url, notify=everyone.notify())
    site.rollout(NAME, ERRORS, auto_start="true", **RULE)
    wait_for(lambda: shop.served > 100 or None, 10, lambda: "nobody scrapes")
    return site


def story(site: Installation) -> list[tuple[str, str, dict[str, Delivery]]]:
    """(kind, key, how each channel fares with it) of all that was recorded, in order."""
    ledger = site.ledger()
    try:
        stored = ledger.rollout(NAME)
        assert stored is not None
        told = ledger.notifications_of(stored.id)
    finally:
        ledger.close()
    return [(one.notification.kind, one.notification.key, {d.channel: d for d in one.deliveries}) for one in told]


def settled(site: Installation) -> bool:
    """Whether every channel is done with everything."""
    return all(
        channel in fares and (fares[channel].sent_at or fares[channel].given_up or fares[channel].superseded_by)
        for _, _, fares in story(site)
        for channel in TOLD
    )


def a_while_passes(site: Installation) -> None:
    """The daemon is dead for so long that whatever it had begun to send is taken for broken off."""
    with closing(sqlite3.connect(site.ledger_file)) as ledger, ledger:
        ledger.execute("UPDATE deliveries SET started_at = started_at - ? WHERE sent_at IS NULL", (CLAIM,))


@pytest.fixture
def told(
    site: Installation, shop: Shop, everyone: Everyone, alertmanager: AlertmanagerServer
) -> list[tuple[str, str, dict[str, Delivery]]]:
    """A breach, a rollback, SIGKILL while people are being told of it, a restart, and the recovery."""
    with site.daemon(everyone.environ) as daemon:
        site.until(NAME, lambda status: status.get("exposure", {}).get("actual"))
        shop.ill = True
        wait_for(lambda: everyone.pagerduty.open or None, 30, lambda: f"nobody is paged:\n{daemon.text[-3000:]}")
        daemon.kill()
    a_while_passes(site)
    with site.daemon(everyone.environ) as daemon:
        site.until(NAME, lambda status: status["phase"] == "rolled_back", within=30)
        alerts = wait_for(lambda: alertmanager.alerts() or None, 20, lambda: f"no alert:\n{daemon.text[-3000:]}")
        assert [(one["labels"]["alertname"], one["labels"]["rollout"]) for one in alerts] == [
            ("SloWatchdogBreach", NAME)
        ]
        shop.ill = False
        site.until(NAME, lambda _: site.history(NAME, "recovered"), within=30)
        wait_for(lambda: settled(site) or None, 30, lambda: f"not all is told: {story(site)}")
        wait_for(lambda: not alertmanager.alerts() or None, 10, lambda: f"still: {alertmanager.alerts()}")
        assert daemon.end() == 0
    return story(site)


def test_each_channel_tells_the_story_once_and_to_its_end(
    told: list[tuple[str, str, dict[str, Delivery]]], everyone: Everyone
) -> None:
    kinds = [kind for kind, _, _ in told]
    assert kinds == ["start", "step", "rollback", "rolled_back", "recovered"]

    # PagerDuty: one incident that woke people once and is over; each change of production once.
    pagerduty = everyone.pagerduty
    (incident,) = pagerduty.incidents
    assert (incident.dedup_key, incident.open, pagerduty.wakes) == (INCIDENT, False, 1)
    assert [event["event_action"] for event in incident.events][-1] == "resolve"
    changes = [event["payload"]["custom_details"] for event in pagerduty.changes]
    assert {each["message"] for each in changes} == {_whole(key) for kind, key, _ in told if notice_of(kind).change}
    # Whoever was killed in between cannot know whether PagerDuty has it: that one may come again, and says so.
    surely = Counter(each["message"] for each in changes if "note" not in each)
    assert max(surely.values()) == 1

    # Slack: one message of the rollout, and everything else once in its thread; the channel sees what concerns it.
    parents = [shown for shown in everyone.slack.messages if not shown.thread]
    assert len(parents) == 1
    assert "the flag was taken back" in parents[0].words
    thread = {shown.metadata["event_payload"]["key"]: shown for shown in everyone.slack.messages if shown.thread}
    assert len(thread) == len(everyone.slack.messages) - 1
    assert {shown.thread for shown in thread.values()} == {parents[0].ts}
    sent = {_whole(key): kind for kind, key, fares in told if fares["slack"].sent_at}
    assert {key: shown.broadcast for key, shown in thread.items()} == {
        key: notice_of(kind).broadcast for key, kind in sent.items()
    }
    assert {"rollback", "rolled_back", "recovered"} <= set(sent.values())

    # Mail: one thread; each mail once, as mail programs count: by its id.
    mails = {mail["Message-ID"]: mail for mail in everyone.mail.mails}
    first = everyone.mail.mails[0]["Message-ID"]
    assert {mail["In-Reply-To"] for number, mail in mails.items() if number != first} == {first}
    assert len(mails) == len([kind for kind in kinds if kind != "step"])

    # Alertmanager had one alert, and has none any more: the fixture has seen both.
    assert all(fares["alertmanager"].sent_at for kind, _, fares in told if kind in ("rollback", "recovered"))


def _whole(key: str) -> str:
    """The key of a message, which begins with the rollout's name."""
    return key if key.startswith(f"{NAME}:") else f"{NAME}:{key}"
