"""Times at the edges of the calendar: a zone, or a default of an hour before, leads out of the years 1 to 9999."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.test_web import problem
from tests.webserver import ALERTS_TOKEN, NAME, TOKEN, Site
from watchdog.quantities import rfc3339

API = f"/api/v1/rollouts/{NAME}"
ALERTS = "/api/v1/alerts"
EDGES = [
    "0001-01-01T00:00:00+14:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-14:00",
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("times")) as running:
        running.add()
        running.tick(14)
        yield running


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize(
    "asked",
    [f"{API}/explanation?at", f"{API}/evaluations?to", "/api/v1/noise?to", f"{ALERTS}/episodes?to"],
)
def test_until_such_a_time_is_answered(site: Site, asked: str, edge: str) -> None:
    address, _, name = asked.partition("?")
    assert site.get(address, params={name: edge}).status_code == 200


def test_since_such_a_time_is_everything_or_too_much(site: Site) -> None:
    found = site.get(f"{API}/evaluations", params={"from": EDGES[0]}).json()
    assert found["from"] == "0001-01-01T00:00:00Z"
    assert found["evaluations"] == site.get(f"{API}/evaluations").json()["evaluations"] != []
    for address in ("/api/v1/noise", f"{ALERTS}/episodes"):
        assert "from: is more than" in problem(site.get(address, params={"from": EDGES[0]}), 400, "bad-parameter")


@pytest.mark.parametrize("address", [f"{API}/evaluations", "/api/v1/noise", f"{ALERTS}/episodes"])
def test_what_begins_after_its_end_is_a_problem(site: Site, address: str) -> None:
    assert "later than" in problem(site.get(address, params={"from": EDGES[-1]}), 400, "bad-parameter")


def test_an_alert_and_a_label_of_such_a_time_stay_readable(site: Site) -> None:
    times = {"startsAt": rfc3339(site.now - 60), "endsAt": EDGES[-1]}
    alert = {**times, "status": "resolved", "fingerprint": "edge", "labels": {"alertname": "Edge", "severity": "page"}}
    sender = {"Authorization": f"Bearer {ALERTS_TOKEN}"}
    assert site.ask("POST", ALERTS, json={"version": "4", "alerts": [alert]}, headers=sender).status_code == 200
    (episode,) = site.get(f"{ALERTS}/episodes").json()["episodes"]
    label = {"label": "acknowledged", "reason": "seen", "at": EDGES[0]}
    operator = {"Authorization": f"Bearer {TOKEN}"}
    said = site.ask("POST", f"{ALERTS}/episodes/{episode['id']}/label", json=label, headers=operator)
    assert said.json()["happened_at"] == "0001-01-01T00:00:00Z"
    (episode,) = site.get(f"{ALERTS}/episodes").json()["episodes"]
    assert [one["happened_at"] for one in episode["labels"]] == ["0001-01-01T00:00:00Z"]


def test_a_waiver_until_such_a_time_is_refused_in_words(site: Site) -> None:
    for edge, said in ((EDGES[0], "is over"), (EDGES[-1], "more than a year away")):
        answer = site.order("waive", json={"reason": "x", "until": edge})
        assert said in problem(answer, 422, "bad-body")
