"""The flags' pages: what each serves as far as is known, who changed it, the emergency switches and the kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.entering import ADA, EVE, Browser, http
from tests.pagecheck import Form, page_of
from tests.webserver import NAME, RULE, Site
from watchdog.errors import FlagServiceError
from watchdog.flagsystem.byhand import ByHand

RAMP = RULE.replace("all_at_once", "progressive, from: 0, to: 100, over: 10m, every: 1m")
FLAG = "/flags/flags/new-checkout"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path, http=http(tmp_path)) as running:
        running.add(rule=RAMP)
        running.tick(6)
        yield running


def as_(site: Site, token: str) -> Browser:
    browser = Browser(site.url)
    assert browser.login(token).status_code == 303
    return browser


def confirmation(browser: Browser, address: str) -> tuple[str, Form]:
    page = page_of(browser.get(address))
    return page.text, page.form(address)


def test_every_flag_is_listed_with_what_it_serves_and_who_steers_it(site: Site) -> None:
    ByHand(site.system, site.changes).switch("ops.read-only", "ada", "<b>failover</b>", on=True)
    page = page_of(site.get("/flags"))
    serves = site.flags.read("new-checkout").exposure.percent
    assert f"new-checkout flags {serves:g} % {NAME}" in page.text
    assert page.links[NAME] == f"/rollouts/{NAME}"
    assert "ops.read-only ON emergency by ada" in page.text
    assert "ops.shutdown not known" in page.text, "nobody asked the flag service for this page"
    assert page.links["Switch off… ops.read-only"] == "/flags/emergency/ops.read-only/off"
    assert "Switch on… ops.read-only" not in page.links
    assert page.links["Kill… new-checkout"] == f"{FLAG}/kill"


def test_a_flag_has_its_history_with_who_and_why(site: Site) -> None:
    page = page_of(site.get(FLAG))
    assert "slo-watchdog" in page.text
    assert f"{NAME}: exposure from 0% to" in page.text
    assert page.links[NAME] == f"/rollouts/{NAME}"


def test_nothing_known_is_not_found(site: Site) -> None:
    browser = Browser(site.url)
    for path in ("/flags/flags/nothing", "/flags/elsewhere/new-checkout", f"{FLAG}/dance", f"{FLAG}/on"):
        answer = browser.get(path)
        assert answer.status_code == 404, path
        page_of(answer)


def test_a_kill_shows_what_it_does_and_is_done_once_by_name(site: Site) -> None:
    browser = as_(site, ADA)
    said, form = confirmation(browser, f"{FLAG}/kill")
    assert "becomes 0 %" in said
    assert f"{NAME} steers it: the watchdog follows, and holds that rollout" in said
    fields = form.fields | {"reason": "customers complain"}
    for _ in range(2):
        done = browser.post(form.action, fields)
        assert (done.status_code, done.headers["Location"]) == (303, FLAG)
    assert site.flags.read("new-checkout").exposure.none
    kills = [one.change for one in site.ledger.flag_history("flags", "new-checkout", 20) if one.change.action == "kill"]
    assert [(one.by, one.why) for one in kills] == [("ada", "customers complain")]
    site.tick()
    assert "on hold" in page_of(browser.get(f"/rollouts/{NAME}")).text, "the rollout followed, as was said"


def test_a_switch_is_turned_on_and_off_from_its_page(site: Site) -> None:
    browser = as_(site, ADA)
    on = "/flags/emergency/ops.maintenance/on"
    said, form = confirmation(browser, on)
    assert "Every rollout under way is held" in said
    assert browser.post(form.action, form.fields | {"reason": "night window"}).status_code == 303
    assert site.emergency.read("ops.maintenance").exposure.percent == 100
    _, form = confirmation(browser, "/flags/emergency/ops.maintenance/off")
    assert browser.post(form.action, form.fields | {"reason": "over"}).status_code == 303
    assert site.emergency.read("ops.maintenance").exposure.none


def test_a_flag_service_that_does_not_obey_is_told_and_the_form_stays(site: Site) -> None:
    browser = as_(site, ADA)
    _, form = confirmation(browser, f"{FLAG}/kill")
    site.flags.fail(FlagServiceError("the flag service answers nobody"), times=99)
    answer = browser.post(form.action, form.fields | {"reason": "customers complain"})
    assert answer.status_code == 502
    again = page_of(answer)
    assert "Not done" in again.text
    assert "the flag service answers nobody" in again.text
    site.flags.recover()
    form = again.form(f"{FLAG}/kill")
    assert form.fields["reason"] == "customers complain"
    assert browser.post(form.action, form.fields).status_code == 303
    assert site.flags.read("new-checkout").exposure.none


def test_a_kill_works_without_a_ledger(site: Site, tmp_path: Path) -> None:
    browser = as_(site, ADA)
    _, form = confirmation(browser, f"{FLAG}/kill")
    site.ledger.close()
    (tmp_path / "watchdog.db").rename(tmp_path / "away")
    (tmp_path / "watchdog.db").mkdir()
    said, _ = confirmation(browser, f"{FLAG}/kill")
    assert "is taken from everybody at once" in said
    assert browser.post(form.action, form.fields | {"reason": "customers complain"}).status_code == 303
    assert site.flags.read("new-checkout").exposure.none
    assert "The ledger does not answer" in page_of(browser.get(FLAG)).text


def test_only_operators_kill_and_switch(site: Site) -> None:
    viewer = as_(site, EVE)
    assert "this takes the role operator" in page_of(viewer.get(f"{FLAG}/kill")).text
    for path in (f"{FLAG}/kill", "/flags/emergency/ops.shutdown/on"):
        assert viewer.post(path, {"csrf": viewer.csrf, "reason": "because"}).status_code == 403
        assert Browser(site.url).post(path, {"reason": "because"}).headers["Location"].startswith("/login?next=")
    assert not site.flags.read("new-checkout").exposure.none


def test_a_hostile_name_is_quoted_and_escaped(site: Site) -> None:
    name = '"><img src=x onerror=alert(1)> %2e'
    site.flags.init((name,), "a test")
    ByHand(site.system, site.changes).set(name, 5, "ada", "a first look")
    page = page_of(site.get("/flags"))
    assert "<img" not in page.source
    assert page.links[name] == f"/flags/flags/{quote(name, safe='')}"
    assert page_of(site.get(page.links[name])).headings[0] == (1, f"{name} of flags")
    assert "<img" not in page_of(site.get(page.links[f"Kill… {name}"])).source
