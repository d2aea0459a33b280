"""The receiver for alerts: who may send, what is taken, what is refused with a sentence, and what is on record then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.alarms import HOUR, MINUTE
from tests.ledgers import NOON
from tests.webserver import ALERTS_TOKEN, TOKEN, Site
from watchdog.ledger import Ledger
from watchdog.noise.episodes import Episode, Label
from watchdog.quantities import rfc3339
from watchdog.web.alerts import LARGEST_MESSAGE

STARTED = NOON - 60


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        yield site


def an_alert(name: str = "HighLatency", *, ended: float | None = None, **more: Any) -> dict[str, Any]:
    labels = {"alertname": name, "service": "checkout", "severity": "critical"}
    end = "0001-01-01T00:00:00Z" if ended is None else rfc3339(ended)
    return {
        "status": "firing" if ended is None else "resolved",
        "labels": labels | more.pop("labels", {}),
        "annotations": {"summary": "slow"},
        "startsAt": rfc3339(STARTED),
        "endsAt": end,
        "generatorURL": "http://prometheus.example/graph",
        "fingerprint": f"{name}-1",
        **more,
    }


def a_message(*alerts: Any, **more: Any) -> dict[str, Any]:
    return {"version": "4", "groupKey": '{}:{alertname="HighLatency"}', "truncatedAlerts": 0, "alerts": alerts, **more}


def send(
    site: Site, *alerts: Any, token: str | None = ALERTS_TOKEN, body: Any = None, **more: Any
) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    data = body if body is not None else json.dumps(a_message(*alerts, **more))
    return site.ask("POST", "/api/v1/alerts", data=data, headers={"Content-Type": "application/json", **headers})


def episodes(site: Site) -> list[Episode]:
    return site.ledger.alert_episodes(0.0)


# --- who may ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN, ALERTS_TOKEN + "x"])
def test_without_the_right_token_nothing_is_taken(site: Site, token: str | None) -> None:
    refused = send(site, an_alert(), token=token)
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (401, "unauthorized")
    assert "alerts.token_file" in refused.json()["detail"]
    assert ALERTS_TOKEN not in refused.text
    assert (episodes(site), site.ledger.alerts_heard(0)) == ([], [])


def test_without_a_token_configured_the_receiver_is_closed(tmp_path: Path) -> None:
    with Site(tmp_path, alerts_token=None) as site:
        for token in (None, "", "None", ALERTS_TOKEN):
            refused = send(site, an_alert(), token=token)
            assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (403, "alerts-closed")
        assert "WATCHDOG_ALERTS__TOKEN_FILE" in refused.json()["detail"]


def test_the_token_of_alerts_changes_nothing_else(site: Site) -> None:
    site.add()
    assert site.order("hold", token=ALERTS_TOKEN, json={"reason": "x"}).status_code == 401


# --- what is taken ------------------------------------------------------------------------------------------------


def test_a_firing_alert_is_an_episode(site: Site) -> None:
    answer = send(site, an_alert())
    assert (answer.status_code, answer.json()) == (200, {"alerts": 1, "new": 1, "ended": 0})
    (one,) = episodes(site)
    assert (one.source, one.alertname, one.service, one.severity) == (
        "alertmanager",
        "HighLatency",
        "checkout",
        "critical",
    )
    assert (one.started_at, one.seen_at, one.ended_at, one.notified) == (STARTED, site.now, None, 1)
    assert (one.group_key, one.url) == ('{}:{alertname="HighLatency"}', "http://prometheus.example/graph")
    assert (one.labels["alertname"], one.annotations) == ("HighLatency", {"summary": "slow"})


def test_a_repeat_and_a_replica_are_the_same_episode(site: Site) -> None:
    for _ in range(3):
        send(site, an_alert(), an_alert())
    (one,) = episodes(site)
    assert (one.notified, one.seen_at) == (3, site.now)


def test_its_end_is_told_once_and_stays(site: Site) -> None:
    send(site, an_alert())
    site.now += 120
    assert send(site, an_alert(ended=NOON + 100)).json() == {"alerts": 1, "new": 0, "ended": 1}
    site.now += 60
    send(site, an_alert(ended=NOON + 130))
    send(site, an_alert())
    (one,) = episodes(site)
    assert (one.ended_at, one.end_seen_at, one.notified) == (NOON + 100, NOON + 120.5, 2)


def test_one_that_is_told_to_fire_a_good_while_after_its_end_fires_still(site: Site) -> None:
    send(site, an_alert(ended=NOON))
    site.now += 300
    send(site, an_alert())
    (one,) = episodes(site)
    assert (one.ended_at, one.end_seen_at) == (None, None)


def test_the_same_alert_that_fires_again_is_another_episode(site: Site) -> None:
    send(site, an_alert(ended=NOON))
    send(site, an_alert(startsAt=rfc3339(NOON + 10)))
    assert [one.started_at for one in episodes(site)] == [STARTED, NOON + 10]


@pytest.mark.parametrize("written", ["2023-11-15T12:59:00.123456789+01:00", "2023-11-15T11:59:00.123456Z"])
def test_times_are_read_as_alertmanager_writes_them(site: Site, written: str) -> None:
    assert send(site, an_alert(startsAt=written)).status_code == 200
    assert episodes(site)[0].started_at == pytest.approx(STARTED + 0.123456)


@pytest.mark.parametrize(
    "alert",
    [
        an_alert("Watchdog"),
        an_alert("InfoInhibitor"),
        an_alert(labels={"severity": "none"}),
        an_alert("SloWatchdogBreach", labels={"source": "slo-watchdog"}),
    ],
    ids=["Watchdog", "InfoInhibitor", "none", "our own, back from Alertmanager"],
)
def test_what_always_fires_shows_that_alertmanager_is_heard_and_is_no_episode(
    site: Site, alert: dict[str, Any]
) -> None:
    assert send(site, alert).json() == {"alerts": 1, "new": 0, "ended": 0}
    send(site)
    assert (episodes(site), site.ledger.alerts_heard(0)) == ([], [NOON + 60])


def test_the_minute_is_marked_once_at_its_end(site: Site) -> None:
    for now in (NOON + 0.5, NOON + 59, NOON + 60, NOON + 61):
        site.now = now
        send(site)
    assert site.ledger.alerts_heard(0) == [NOON + 60, NOON + 120]
    assert site.ledger.alerts_heard(NOON + 60) == [NOON + 120]


def test_a_burst_is_one_message_and_one_page(site: Site) -> None:
    pods = [an_alert(fingerprint=f"{number:016x}", labels={"pod": f"checkout-{number}"}) for number in range(300)]
    assert send(site, *pods).json() == {"alerts": 300, "new": 300, "ended": 0}
    assert send(site, *pods).json() == {"alerts": 300, "new": 0, "ended": 0}
    (one,) = site.get("/api/v1/alerts/episodes").json()["episodes"]
    assert (one["alerts"], one["notified"]) == (300, 600)


def test_what_newer_versions_add_is_not_looked_at(site: Site) -> None:
    answer = send(site, an_alert(mood="sad", labels={"x": "y"}), notification_reason="new", receiver=7)
    assert answer.status_code == 200


def test_what_is_missing_has_a_default(site: Site) -> None:
    bare = {"status": "firing", "startsAt": rfc3339(STARTED), "labels": None}
    assert send(site, bare, bare).json()["new"] == 1
    (one,) = episodes(site)
    assert (one.alertname, one.service, len(one.fingerprint)) == ("", "", 16)


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "not JSON"),
        (b"\xff\xfe", 400, "not JSON"),
        (b"[" * 100_000, 400, "not JSON"),
        (b'{"a":' * 100_000, 400, "not JSON"),
        (b"9" * 10_000, 400, "not JSON"),
        (b"null", 422, "the body is"),
        (b"[]", 422, "the body is"),
        (b"{}", 422, "version is"),
        (b'{"version": 4, "alerts": []}', 422, 'expected the text "4"'),
        (b'{"version": "5", "alerts": []}', 422, 'expected the text "4"'),
        (b'{"version": "4"}', 422, "alerts is"),
        (b'{"version": "4", "alerts": {}}', 422, "expected a list"),
        (b'{"version": "4", "alerts": [7]}', 422, "alerts[0] is '7'"),
        (b'{"version": "4", "alerts": [], "groupKey": []}', 422, "groupKey is"),
    ],
)
def test_what_is_no_message_is_refused_with_a_sentence(site: Site, body: bytes, status: int, says: str) -> None:
    refused = send(site, body=body)
    assert refused.status_code == status, refused.text
    assert says in refused.json()["detail"]
    assert site.ledger.alerts_heard(0) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"status": "pending"}, "alerts[1].status"),
        ({"status": ["firing"]}, "alerts[1].status"),
        ({"startsAt": None}, "alerts[1].startsAt"),
        ({"startsAt": "yesterday"}, "alerts[1].startsAt"),
        ({"startsAt": "2023-13-45T00:00:00Z"}, "alerts[1].startsAt"),
        ({"startsAt": "1" * 100_000}, "alerts[1].startsAt"),
        ({"status": "resolved", "endsAt": ""}, "alerts[1].endsAt"),
        ({"labels": []}, "alerts[1].labels"),
        ({"labels": {"alertname": 7}}, "alerts[1].labels.alertname"),
        ({"annotations": {"summary": {}}}, "alerts[1].annotations.summary"),
        ({"fingerprint": 1}, "alerts[1].fingerprint"),
        ({"generatorURL": {}}, "alerts[1].generatorURL"),
    ],
)
def test_a_wrong_alert_is_refused_with_its_place_and_nothing_of_the_message_is_kept(
    site: Site, change: dict[str, Any], says: str
) -> None:
    refused = send(site, an_alert(), {**an_alert("Other"), **change})
    assert (refused.status_code, refused.json()["detail"].partition(":")[0].partition(" ")[0]) == (422, says)
    assert episodes(site) == []


def test_a_message_that_is_too_large_is_refused_and_one_just_below_is_taken(site: Site) -> None:
    frame = len(json.dumps(a_message(an_alert(labels={"x": ""}))))
    refused = send(site, an_alert(labels={"x": "y" * (LARGEST_MESSAGE - frame + 1)}))
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (413, "too-large")
    assert "max_alerts" in refused.json()["detail"]
    assert send(site, an_alert(labels={"x": "y" * (LARGEST_MESSAGE - frame)})).status_code == 200


# --- hostile texts ------------------------------------------------------------------------------------------------

HOSTILE = (
    "'; DROP TABLE alert_episodes; -- <script>alert(1)</script> [/red] \x1b[31m \ud83d \0 \u202e " + "x" * 1_000_000
)


def test_texts_are_kept_as_texts_within_bounds(site: Site) -> None:
    names = {f"label{number:04}": HOSTILE for number in range(3)}
    hostile = an_alert(labels={"alertname": HOSTILE, "service": HOSTILE} | names, annotations={HOSTILE: HOSTILE})
    assert send(site, hostile, groupKey=HOSTILE).status_code == 200
    (one,) = episodes(site)
    assert one.alertname.startswith("'; DROP TABLE alert_episodes; -- <script>")
    assert max(map(len, [one.alertname, one.service, one.group_key, *one.labels.values(), *one.annotations])) <= 1000
    assert "\0" not in one.alertname
    assert site.get("/api/v1/alerts/episodes").json()["episodes"][0]["alertname"] == one.alertname


def test_of_thousands_of_labels_the_first_are_kept_and_those_that_matter(site: Site) -> None:
    send(site, an_alert(labels={f"a{number:05}": "x" for number in range(5000)}))
    (one,) = episodes(site)
    assert (len(one.labels), one.alertname, one.severity) == (64, "HighLatency", "critical")


def test_groups_whose_long_keys_differ_at_the_end_are_two(site: Site) -> None:
    send(site, an_alert(), groupKey="k" * 5000 + "a")
    send(site, an_alert(fingerprint="other"), groupKey="k" * 5000 + "b")
    assert len({one.group_key for one in episodes(site)}) == 2


# --- the ledger ---------------------------------------------------------------------------------------------------


def test_a_locked_ledger_is_a_503_and_nothing_of_the_message_is_kept(site: Site) -> None:
    other = Ledger(f"sqlite:///{site.ledger.place}")
    with other.writing():
        failed = send(site, an_alert())
    other.close()
    assert (failed.status_code, failed.headers["Retry-After"]) == (503, "5")
    assert "send it again" in failed.json()["detail"]
    assert episodes(site) == []


# --- noise and labels ---------------------------------------------------------------------------------------------


def label(site: Site, episode: str, token: str | None = TOKEN, **said: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    return site.ask("POST", f"/api/v1/alerts/episodes/{episode}/label", headers=headers, json=said)


def test_a_person_says_what_it_was_and_the_count_follows(site: Site) -> None:
    send(site, an_alert())
    (one,) = site.get("/api/v1/alerts/episodes").json()["episodes"]
    assert (one["id"], one["class"], one["why"]) == ("a1", "unclassified", "still firing")

    site.now += 60
    answer = label(site, "a1", label="false_positive", reason="a test machine", by="ada")
    assert answer.status_code == 201
    assert answer.json() == {
        "episode": "a1",
        "label": "false_positive",
        "by": "ada",
        "why": "a test machine",
        "at": rfc3339(site.now),
        "happened_at": rfc3339(site.now),
    }
    (one,) = site.get("/api/v1/alerts/episodes?class=false_positive").json()["episodes"]
    assert (one["by"], one["why"], one["labels"]) == ("ada", "false positive: a test machine", [answer.json()])
    noise = site.get("/api/v1/noise?service=checkout").json()
    assert [noise[name] for name in ("lower", "upper", "pages", "precision", "recall")] == [1, 1, 1, 0.0, None]
    assert site.get("/api/v1/noise?service=cart").json()["pages"] == 0


def test_what_was_done_earlier_says_when(site: Site) -> None:
    send(site, an_alert())
    answer = label(site, "a1", label="silenced", reason="known", at=rfc3339(STARTED + 30))
    assert answer.json()["happened_at"] == rfc3339(STARTED + 30)
    (said,) = site.ledger.alert_labels()
    assert (said.label, said.by.startswith("api ("), said.happened_at) == (Label.SILENCED, True, STARTED + 30)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"label": "false_positive"}, 422),
        ({"reason": "x"}, 422),
        ({"label": "fp", "reason": "x"}, 422),
        ({"label": ["silenced"], "reason": "x"}, 422),
        ({"label": "silenced", "reason": "x", "at": "noon"}, 422),
        ({"label": "silenced", "reason": "x", "at": rfc3339(NOON + HOUR)}, 422),
        ({"label": "silenced", "reason": "x", "mood": "sad"}, 422),
        ({"label": "silenced", "reason": "x"}, 401),
    ],
)
def test_a_label_that_is_none_is_refused(site: Site, said: dict[str, Any], status: int) -> None:
    send(site, an_alert())
    assert label(site, "a1", "wrong" if status == 401 else TOKEN, **said).status_code == status
    assert site.ledger.alert_labels() == []


@pytest.mark.parametrize("episode", ["a2", "b1", "a", "w1", "a-1", "a1%20", "a99999999999999999999999", "%F0%9F%92%A9"])
def test_an_episode_that_is_not_there_is_404(site: Site, episode: str) -> None:
    send(site, an_alert())
    refused = label(site, episode, label="true_positive", reason="x")
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (404, "unknown-episode")


@pytest.mark.parametrize("query", ["from=noon", "to=1", "class=fp", "from=2000-01-01T00:00:00Z"])
def test_a_wrong_question_is_400(site: Site, query: str) -> None:
    assert site.get(f"/api/v1/alerts/episodes?{query}").status_code == 400


def test_how_well_it_was_heard_is_said(site: Site) -> None:
    assert "never heard" in site.get("/api/v1/noise").json()["heard_why"]
    for _ in range(15):
        send(site)
        site.now += 5 * MINUTE
    found = site.get("/api/v1/noise").json()
    assert (found["heard"], found["last_heard_at"]) == (True, rfc3339(NOON + 71 * MINUTE))
