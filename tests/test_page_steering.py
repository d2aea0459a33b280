"""Steering from a page: what is shown before it is confirmed, who may confirm it, that it is done once and recorded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.entering import ADA, BOB, EVE, Browser, http
from tests.pagecheck import Form, Page, page_of
from tests.webserver import NAME, RULE, TOKEN, Site
from watchdog.errors import FlagServiceError
from watchdog.model import Phase
from watchdog.quantities import rfc3339

RAMP = RULE.replace("all_at_once", "progressive, from: 0, to: 100, over: 10m, every: 1m").replace(
    "slices: 2", "slices: 6"
)
BY_HAND = RULE.replace("auto_start: true", "auto_start: false")
PAGE = f"/rollouts/{NAME}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A rollout at some percent, of a site that knows ada (operator), bob (approver) and eve (viewer)."""
    with Site(tmp_path, http=http(tmp_path)) as running:
        running.add(rule=RAMP)
        running.tick(8)
        yield running


@pytest.fixture
def pending(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path, http=http(tmp_path)) as running:
        running.add(rule=BY_HAND)
        yield running


def as_(site: Site, token: str) -> Browser:
    """Somebody who has logged in."""
    browser = Browser(site.url)
    assert browser.login(token).status_code == 303
    return browser


def confirmation(browser: Browser, verb: str) -> tuple[Page, Form]:
    """The page that asks, and its form."""
    page = page_of(browser.get(f"{PAGE}/{verb}"))
    return page, page.form(f"{PAGE}/{verb}")


def commands(site: Site) -> list[tuple[str, str, str]]:
    stored = site.ledger.rollout(NAME)
    assert stored is not None
    return [(one.verb, one.by, one.reason) for one, _ in site.ledger.commands(stored.id)]


def phase(site: Site) -> Phase:
    stored = site.ledger.rollout(NAME)
    assert stored is not None
    return stored.phase


# --- before it is confirmed -------------------------------------------------------------------------------------------


def test_the_effect_is_shown_before_anything_happens(site: Site) -> None:
    browser = as_(site, ADA)
    page, form = confirmation(browser, "rollback")
    assert "Flag new-checkout goes from " in page.text
    assert re.search(r"Flag \d+% → ?becomes 0%", page.text)
    assert "is not signed off." in page.text
    assert form.button == "Roll it back now"
    page, form = confirmation(browser, "hold")
    assert "The ramp stands still at" in page.text
    assert "becomes" not in page.text, "a hold changes no exposure"
    assert form.button == "Hold it where it is"
    assert commands(site) == []


def test_what_cannot_be_done_says_why_and_has_no_button(site: Site) -> None:
    page = page_of(as_(site, ADA).get(f"{PAGE}/resume"))
    assert "Not possible now It is not held." in page.text
    assert all(one.action == "/logout" for one in page.forms)


def test_what_people_wrote_is_no_markup_on_the_page_that_asks(site: Site) -> None:
    site.ledger.add_command(NAME, "hold", "ada", "<script>alert(1)</script> `x` <b>", site.now)
    site.tick()
    page = page_of(as_(site, ADA).get(f"{PAGE}/resume"))
    assert "<script>alert(1)</script> x <b>." in page.text
    assert "<script>alert" not in page.source


def test_whoever_may_not_is_told_what_it_takes(site: Site) -> None:
    stranger = page_of(Browser(site.url).get(f"{PAGE}/rollback"))
    assert "This takes the role operator" in stranger.text
    assert stranger.links["log in"] == f"/login?next={PAGE}/rollback"
    viewer = page_of(as_(site, EVE).get(f"{PAGE}/rollback"))
    assert "eve has the role viewer; this takes the role operator." in viewer.text
    assert all(one.action == "/logout" for one in viewer.forms)


def test_a_login_leads_back_to_what_was_to_be_confirmed(site: Site) -> None:
    browser = Browser(site.url)
    answer = browser.login(ADA, f"{PAGE}/rollback")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{PAGE}/rollback")


def test_a_site_that_lets_nobody_in_says_so(tmp_path: Path) -> None:
    with Site(tmp_path, token=None) as closed:
        closed.add(rule=RAMP)
        closed.tick(5)
        page = page_of(closed.get(f"{PAGE}/hold"))
        assert "takes the role operator" in page.text
        assert page.forms == []


# --- confirmed --------------------------------------------------------------------------------------------------------


def test_a_rollback_is_recorded_by_name_and_stands_there_until_it_is_carried_out(site: Site) -> None:
    browser = as_(site, ADA)
    _, form = confirmation(browser, "rollback")
    done = browser.post(form.action, form.fields | {"reason": "customers <b>complain</b>"})
    assert (done.status_code, done.headers["Location"]) == (303, f"{PAGE}?command=1#given")
    assert commands(site) == [("rollback", "ada", "customers <b>complain</b>")]
    assert site.woken == [NAME]

    shown = page_of(browser.get(f"{PAGE}?command=1"))
    assert "Your order 1 rollback: recorded as ada; the next tick carries it out" in shown.text
    assert "<b>complain</b>" not in shown.source
    site.tick()
    assert phase(site) is not Phase.RAMPING
    shown = page_of(browser.get(f"{PAGE}?command=1"))
    assert "Your order 1 rollback: rolling back." in shown.text
    assert "customers <b>complain</b>" in shown.text


def test_hold_resume_and_stop_go_the_same_way(site: Site) -> None:
    browser = as_(site, ADA)
    for number, verb in enumerate(("hold", "resume", "stop"), 1):
        _, form = confirmation(browser, verb)
        done = browser.post(form.action, form.fields | {"reason": f"to {verb}"})
        assert done.headers["Location"] == f"{PAGE}?command={number}#given"
        site.tick()
    assert [verb for verb, by, _ in commands(site) if by == "ada"] == ["hold", "resume", "stop"]
    assert phase(site) is Phase.STOPPED


def test_without_a_reason_nothing_happens_and_what_was_written_stays(site: Site) -> None:
    browser = as_(site, ADA)
    _, form = confirmation(browser, "rollback")
    for reason in ("", "  \n ", "x" * 2001):
        answer = browser.post(form.action, form.fields | {"reason": reason})
        assert answer.status_code == 422
        again = page_of(answer)
        assert "Not done" in again.text
        if reason.strip():
            assert again.form(form.action).fields["reason"] == reason
    assert commands(site) == []


def test_a_form_that_is_sent_twice_is_one_order(site: Site) -> None:
    browser = as_(site, ADA)
    _, form = confirmation(browser, "hold")
    fields = form.fields | {"reason": "a sale is on"}
    first, second = browser.post(form.action, fields), browser.post(form.action, fields)
    assert first.headers["Location"] == second.headers["Location"] == f"{PAGE}?command=1#given"
    assert len(commands(site)) == 1


def test_a_form_that_is_sent_many_times_at_once_is_one_order(site: Site) -> None:
    browser = as_(site, ADA)
    _, form = confirmation(browser, "hold")
    fields = form.fields | {"reason": "a sale is on"}
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: browser.post(form.action, fields).status_code, range(5)))
    assert 303 in answers
    assert set(answers) <= {303, 409}, answers
    assert len(commands(site)) == 1


def test_a_new_form_is_a_new_order(site: Site) -> None:
    browser = as_(site, ADA)
    for _ in range(2):
        _, form = confirmation(browser, "hold")
        browser.post(form.action, form.fields | {"reason": "a sale is on"})
    assert len(commands(site)) == 2


def test_only_who_may_can_send_it_whatever_was_shown(site: Site) -> None:
    viewer = as_(site, EVE)
    fields = {"csrf": viewer.csrf, "reason": "because", "key": "1"}
    answer = viewer.post(f"{PAGE}/rollback", fields)
    assert answer.status_code == 403
    assert "needs operator" in page_of(answer).text
    stranger = Browser(site.url).post(f"{PAGE}/rollback", {"reason": "because"})
    assert (stranger.status_code, stranger.headers["Location"]) == (303, f"/login?next={PAGE}/rollback")
    assert commands(site) == []


def test_a_foreign_page_cannot_send_it(site: Site) -> None:
    browser = as_(site, ADA)
    _, form = confirmation(browser, "rollback")
    fields = form.fields | {"reason": "because"}
    assert browser.post(form.action, fields | {"csrf": "guessed"}).status_code == 403
    assert browser.post(form.action, fields, headers={"Origin": "https://evil.example"}).status_code == 403
    assert browser.post(form.action, fields, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert commands(site) == []


def test_a_token_steers_through_the_form_as_well(site: Site) -> None:
    headers = {"Authorization": f"Bearer {ADA}", "Content-Type": "application/x-www-form-urlencoded"}
    answer = site.ask("POST", f"{PAGE}/hold", data="reason=from+a+script", headers=headers)
    assert answer.status_code == 303
    assert commands(site) == [("hold", "ada", "from a script")]
    assert (
        site.ask("POST", f"{PAGE}/hold", json={"reason": "x"}, headers={"Authorization": f"Bearer {ADA}"}).status_code
        == 415
    )


def test_it_works_while_prometheus_and_the_flag_service_are_away(site: Site) -> None:
    site.source.answer = lambda _expression, _at: None
    site.flags.fail(FlagServiceError("the flag service is away"), times=999)
    site.tick(3)
    browser = as_(site, ADA)
    page, form = confirmation(browser, "rollback")
    assert "What it does" in page.text
    assert browser.post(form.action, form.fields | {"reason": "blind, so back"}).status_code == 303
    site.tick()
    assert phase(site) is Phase.ROLLING_BACK
    site.flags.recover()
    site.tick(2)
    assert phase(site) is Phase.ROLLED_BACK


def test_without_a_ledger_it_says_what_helps_instead(site: Site, tmp_path: Path) -> None:
    browser = as_(site, ADA)
    _, form = confirmation(browser, "rollback")
    site.ledger.close()
    (tmp_path / "watchdog.db").rename(tmp_path / "away")
    (tmp_path / "watchdog.db").mkdir()
    answer = browser.post(form.action, form.fields | {"reason": "customers complain"})
    assert answer.status_code == 503
    assert (
        "nothing was recorded. Without a ledger, slo-watchdog flags kill FLAG takes a flag back" in page_of(answer).text
    )


# --- before it has started --------------------------------------------------------------------------------------------


def test_a_waiver_takes_an_approver_a_reason_and_an_end(pending: Site) -> None:
    operator = page_of(as_(pending, ADA).get(f"{PAGE}/waive"))
    assert "ada has the role operator; this takes the role approver." in operator.text
    browser = as_(pending, BOB)
    _, form = confirmation(browser, "waive")
    assert form.fields["until"] == "48h"
    late = browser.post(form.action, form.fields | {"reason": "no reader", "until": "2001-01-01T00:00:00Z"})
    assert late.status_code == 422
    assert page_of(late).form(form.action).fields["until"] == "2001-01-01T00:00:00Z"
    done = browser.post(form.action, form.fields | {"reason": "no reader yet", "until": "7d"})
    assert (done.status_code, done.headers["Location"]) == (303, f"{PAGE}?waived#given")
    stored = pending.ledger.rollout(NAME)
    assert stored is not None
    (waiver,) = pending.ledger.waivers(stored.id)
    assert (waiver.by, waiver.why, rfc3339(waiver.until)) == ("bob", "no reader yet", rfc3339(pending.now + 7 * 86400))
    assert "Waiver recorded" in page_of(browser.get(f"{PAGE}?waived")).text


def test_a_start_from_what_the_flag_reads_takes_an_approver(pending: Site) -> None:
    assert as_(pending, ADA).post(f"{PAGE}/adopt", {"csrf": as_(pending, ADA).csrf}).status_code == 403
    browser = as_(pending, BOB)
    page, form = confirmation(browser, "adopt")
    assert "flag new-checkout is its own" in page.text
    assert browser.post(form.action, form.fields | {"reason": "ramped by hand"}).status_code == 303
    pending.tick()
    assert commands(pending) == [("adopt", "bob", "ramped by hand")]


def test_the_one_shared_token_steers_too(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.add(rule=RAMP)
        site.tick(5)
        browser = as_(site, TOKEN)
        _, form = confirmation(browser, "hold")
        assert browser.post(form.action, form.fields | {"reason": "a sale is on"}).status_code == 303
        assert commands(site)[0][2] == "a sale is on"
