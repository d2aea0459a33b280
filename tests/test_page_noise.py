"""The noise page: what fired and what of it was false, against the budget, and labels that people give there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.entering import ADA, EVE, Browser, http
from tests.pagecheck import Page, page_of
from tests.webserver import NAME, RULE, Site
from watchdog.model import NoiseRule
from watchdog.noise.episodes import Alert, Label
from watchdog.rolloutfile import DaemonFacts, parse_rollout
from watchdog.tick import RolloutTick

JUDGED = RULE + "  - name: noise\n    internal: alert_noise\n    at_most: 2\n"


def alert(name: str, at: float, lasts: float | None = 60.0, **more: str) -> Alert:
    """An alert of the shop that began at `at`."""
    ended = None if lasts is None else at + lasts
    told = {"group_key": name, "url": more.get("url", ""), "annotations": {"summary": more.get("summary", "")}}
    return Alert(f"f-{name}", name, "shop", more.get("severity", "critical"), at, ended, **told)  # type: ignore[arg-type]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A day of alerts: one over by itself, one that fires, one that wakes nobody, one with a name that is markup."""
    with Site(tmp_path, http=http(tmp_path)) as running:
        started(running)
        now = running.now
        for one in (
            alert("Errors", now - 7200),
            alert("Latency", now - 3600, None, url="javascript:alert(1)", summary="p95 above 200 ms"),
            alert("Disk", now - 1800, severity="warning", url="https://prometheus.example/graph"),
            alert("<script>alert(1)</script>", now - 900),
        ):
            running.ledger.take_alerts("alertmanager", [one], now - 600)
        yield running


def started(site: Site) -> None:
    """A rollout under way that judges its alerts."""
    rule = parse_rollout(JUDGED.format(name=NAME, flag="new-checkout"), "a.yaml", DaemonFacts(noise=NoiseRule()))
    site.ledger.add_rollout(rule, file="a.yaml", engine="0.1.0", now=site.now)
    RolloutTick(NAME, site.ledger, site.source, site.system.primary, lambda: site.now).tick(site.now)


def noise(who: Site | Browser, more: str = "") -> Page:
    return page_of(who.get(f"/noise{more}"))


def as_(site: Site, token: str) -> Browser:
    browser = Browser(site.url)
    assert browser.login(token).status_code == 303
    return browser


def episode(site: Site, name: str) -> str:
    return next(one.id for one in site.ledger.alert_episodes(site.now - 86_400, 0) if one.alertname == name)


def test_it_tells_how_many_were_false_and_the_budget_of_each_rollout_that_judges_them(site: Site) -> None:
    page = noise(site)
    assert "of 3 pages were false" in page.text
    assert f"Budget of {NAME} (checkout): at most 2 false alarms in 24 h." in page.text
    assert page.links[NAME] == f"/rollouts/{NAME}"


def test_it_lists_what_fired_newest_first_and_nothing_in_it_is_markup(site: Site) -> None:
    page = noise(site)
    names = [words.split(" shop")[0] for level, words in page.headings if level == 3]
    assert names == ["<script>alert(1)</script>", "Disk", "Latency", "Errors"]
    assert "<script>alert" not in page.source
    assert "now, still firing" in page.text
    assert "wakes nobody" in page.text
    assert "javascript:" not in page.source, "an address that is no address of a page is not linked"
    assert page.links["where it came from: Disk"] == "https://prometheus.example/graph"


def test_a_longer_span_shows_older_ones(site: Site) -> None:
    site.now += 2 * 86_400
    assert "Nothing fired." in noise(site).text
    assert "Errors" in noise(site, "?days=7").text
    assert "Nothing fired." in noise(site, "?days=elephant").text


def test_an_operator_labels_an_episode_once(site: Site) -> None:
    browser, name = as_(site, ADA), episode(site, "Errors")
    form = noise(browser).form(f"/noise/{name}/label")
    fields = form.fields | {"label": "false_positive", "reason": "a test machine's disk"}
    for _ in range(2):
        done = browser.post(form.action, fields)
        assert (done.status_code, done.headers["Location"]) == (303, f"/noise?days=1#episode-{name}")
    (said,) = site.ledger.alert_labels(0)
    assert (said.episode, said.label, said.by, said.why) == (name, Label.FALSE_POSITIVE, "ada", "a test machine's disk")
    page = noise(browser)
    assert f"episode-{name}" in page.ids
    assert "false positive by ada: false positive: a test machine's disk" in page.text
    assert re.search(r"False alarms 1( to \d)? of 3 pages", page.text)


def test_a_label_without_a_reason_is_asked_for_again_where_it_was_written(site: Site) -> None:
    browser, name = as_(site, ADA), episode(site, "Errors")
    form = noise(browser).form(f"/noise/{name}/label")
    answer = browser.post(form.action, form.fields | {"label": "silenced", "reason": " "})
    assert answer.status_code == 422
    again = page_of(answer)
    assert "Not recorded The reason is missing" in again.text
    assert again.form(f"/noise/{name}/label").fields["label"] == "silenced"
    wrong = browser.post(form.action, form.fields | {"label": "elephant", "reason": "because"})
    assert wrong.status_code == 422
    assert site.ledger.alert_labels(0) == []


def test_an_episode_that_is_not_there_is_told(site: Site) -> None:
    browser = as_(site, ADA)
    answer = browser.post("/noise/nothing/label", {"csrf": browser.csrf, "label": "silenced", "reason": "because"})
    assert answer.status_code == 404
    assert "there is no episode" in page_of(answer).text


def test_only_operators_label(site: Site) -> None:
    name = episode(site, "Errors")
    assert noise(site).links["Log in"] in ("/login", "/login?next=/noise")
    viewer = as_(site, EVE)
    page = noise(viewer)
    assert "Labelling takes the role operator." in page.text
    assert [one.action for one in page.forms] == ["/logout"]
    fields = {"csrf": viewer.csrf, "label": "silenced", "reason": "because"}
    assert viewer.post(f"/noise/{name}/label", fields).status_code == 403
    assert Browser(site.url).post(f"/noise/{name}/label", {"label": "silenced"}).status_code == 303
    assert site.ledger.alert_labels(0) == []
