"""The pages of preflights and drills: what was found, what to do about it, and the buttons that start another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.entering import ADA, EVE, Browser, http
from tests.ledgers import NOON
from tests.pagecheck import page_of
from tests.processes import EVENTS, Installation, wait_for
from tests.webserver import TOKEN, Site
from watchdog.flags.base import Check
from watchdog.ledger import DrillIntent, MadePreflight
from watchdog.preflight.verdict import Build, Found, Level, Preflight, Rule


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real daemon whose Prometheus answers nobody: a preflight fails there, and that is a result."""
    directory = tmp_path_factory.mktemp("site")
    (directory / "http.token").write_text(TOKEN)
    site = Installation(directory, "http://127.0.0.1:9", http="{listen: '127.0.0.1:0', token_file: http.token}")
    site.rollout("checkout-1", EVENTS)
    with site.daemon() as running:
        yield running.url


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path, http=http(tmp_path)) as running:
        yield running


def as_(url: str, token: str) -> Browser:
    browser = Browser(url)
    assert browser.login(token).status_code == 303
    return browser


def recorded(site: Site) -> None:
    checks = [
        Found("ledger", Check("can be written", ok=True, found="it took a row")),
        Found("ledger", Check("backup", ok=False, found="3 d old", todo="make one"), level=Level.WARNING),
        Found("drill", Check("in time", ok=False, found="<b>no drill</b>", todo="hold one: `slo-watchdog drill`")),
        Found("alerting", Check("loaded", ok=False, found="not loaded"), "checkout-1", "no Alertmanager yet"),
    ]
    verdict = Preflight(checks, [Build("python", "3.11.7")], [Rule("checkout-1", "ab" * 32)])
    result: dict[str, Any] = {"by": "ada", **verdict.as_data()}
    made = MadePreflight(NOON - 109, NOON - 100, "ada", verdict.passed, verdict.score, result)
    site.ledger.add_preflight(made)


def drilled(site: Site, at: float, worst: float, result: str = "passed") -> None:
    intent = DrillIntent("flagd-file", "ops.drill", "flagd-provider", "ada", "the <i>daily</i> drill", 20, 2.0)
    number = site.ledger.begin_drill(intent, at, 1.0)
    stages = {"reader": {"min": 0.1, "p50": 0.2, "p99": worst - 0.01, "max": worst}}
    told = {"result": result, "measured_to": "reader", "stages": stages, "why": f"{result}: {worst} s", "notes": []}
    site.ledger.finish_drill(number, at + 30, passed=result == "passed", worst=worst, report=told)


# --- preflight --------------------------------------------------------------------------------------------------------


def test_without_a_preflight_the_page_says_how_to_make_one(site: Site) -> None:
    page = page_of(site.get("/preflight"))
    assert "No preflight is on record." in page.text
    assert "slo-watchdog preflight" in page.text


def test_what_stands_in_the_way_comes_first_with_what_to_do(site: Site) -> None:
    recorded(site)
    page = page_of(site.get("/preflight"))
    assert "Failed: 1 of 4 checks stands in the way" in page.text
    order = [words for level, words in page.headings if level == 3]
    assert order[:3] == ["What stands in the way", "Warnings", "Waived"]
    assert "in time drill Stands in the way: <b>no drill</b> To do hold one: slo-watchdog drill" in page.text
    assert "<b>no drill" not in page.source
    assert "Because: no Alertmanager yet" in page.text
    assert "ledger: " in page.text or "can be written: it took a row" in page.text
    assert page.links["checkout-1"] == "/rollouts/checkout-1"
    assert "python 3.11.7" in page.text


def test_only_operators_start_one(site: Site) -> None:
    viewer = as_(site.url, EVE)
    for path in ("/preflight", "/drills"):
        assert viewer.post(path, {"csrf": viewer.csrf, "reason": "because"}).status_code == 403
        assert Browser(site.url).post(path, {}).headers["Location"].startswith("/login?next=")


def test_where_none_can_be_started_it_is_told(site: Site) -> None:
    operator = as_(site.url, ADA)
    for path in ("/preflight", "/drills"):
        assert "None can be started here" in page_of(operator.get(path)).text
        answer = operator.post(path, {"csrf": operator.csrf, "reason": "because"})
        assert answer.status_code == 503
        assert "Not started" in page_of(answer).text


def test_a_daemon_starts_one_from_its_page_and_shows_that_it_is_under_way(daemon: str) -> None:
    browser = as_(daemon, TOKEN)
    form = page_of(browser.get("/preflight")).form("/preflight")
    assert form.fields["drill"] == "yes"
    fields = {name: value for name, value in form.fields.items() if name != "drill"}
    for _ in range(2):
        assert browser.post("/preflight", fields).status_code == 303
    assert "Under way since" in page_of(browser.get("/preflight")).text
    another = page_of(browser.get("/preflight")).form("/preflight").fields
    refused = browser.post("/preflight", another)
    assert refused.status_code == 409
    assert "Not started" in page_of(refused).text

    def ended() -> str | None:
        said = page_of(browser.get("/preflight")).text
        return said if "Failed:" in said and "Under way" not in said else None

    assert "stand in the way" in wait_for(ended, 60, lambda: page_of(browser.get("/preflight")).text)


# --- drills -----------------------------------------------------------------------------------------------------------


def test_drills_are_told_newest_first_with_their_figures(site: Site) -> None:
    drilled(site, NOON - 90_000, 0.7)
    drilled(site, NOON - 4000, 2.6, "late")
    page = page_of(site.get("/drills"))
    assert "The newest: ✗ late" in page.text
    assert "late: 2.6 s" in page.text
    table = page.text[page.text.index("Who and why") :]
    assert table.index(" late ") < table.index(" passed ")
    assert "100 ms 200 ms 690 ms 700 ms 2s 20 ops.drill of flagd-file, flagd-provider" in table
    assert "<i>daily" not in page.source


def test_the_chart_has_a_column_for_each_figure_oldest_first(site: Site) -> None:
    drilled(site, NOON - 90_000, 0.7)
    drilled(site, NOON - 4000, 2.6, "late")
    chart = site.get("/drills/chart").json()
    assert chart["at"] == [NOON - 90_000, NOON - 4000]
    assert {line["name"]: line["values"] for line in chart["lines"]}["longest"] == [0.7, 2.6]
    assert chart["limit"] == 2.0


def test_a_drill_that_never_ended_is_told(site: Site) -> None:
    intent = DrillIntent("flagd-file", "ops.drill", "flagd-provider", "ada", "why", 20, 2.0)
    site.ledger.begin_drill(intent, NOON - 90, 1.0)
    page = page_of(site.get("/drills"))
    assert "under way or died" in page.text
    assert site.get("/drills/chart").json()["at"] == []


def test_a_drill_needs_a_reason(daemon: str) -> None:
    browser = as_(daemon, TOKEN)
    form = page_of(browser.get("/drills")).form("/drills")
    answer = browser.post("/drills", form.fields | {"reason": " "})
    assert answer.status_code == 422
    assert "The reason is missing" in page_of(answer).text
