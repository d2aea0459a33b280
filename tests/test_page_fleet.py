"""The fleet page: what it tells of every rollout without a script, its groups, its filter, and that it is right."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path

import pytest

from tests.ledgers import NOON
from tests.webserver import NAME, RULE, Site, healthy
from watchdog.account import Account
from watchdog.ledger import Ledger, Record
from watchdog.model import Phase
from watchdog.quantities import rfc3339
from watchdog.web.fleet import Fleet
from watchdog.web.fleetpage import SHOWN

RAMP = RULE.replace("all_at_once", "progressive, from: 0, to: 100, over: 1h, every: 10m").replace(
    "slices: 2", "slices: 6"
)
BY_HAND = RULE.replace("auto_start: true", "auto_start: false")


def broken(expression: str, at: int) -> float | None:
    return 9000.0 if "bad_total" in expression else healthy(expression, at)


def blind(expression: str, at: int) -> float | None:
    return None if "queue_age" in expression else healthy(expression, at)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One rollout under way, one held, one taken back, one signed off, one still to come."""
    with Site(tmp_path_factory.mktemp("shop")) as site:
        site.flags.init(("f1", "f2", "f3", "f4"), "a test")
        site.add("signed", "f1")
        site.tick(40, "signed")
        site.add("taken-back", "f2")
        site.tick(10, "taken-back")
        site.source.answer = broken
        site.tick(30, "taken-back")
        site.source.answer = healthy
        site.add("held", "f3", RAMP)
        site.tick(3, "held")
        site.ledger.add_command("held", "hold", "ada <ada@example>", "<script>alert(1)</script> & co", site.now)
        site.tick(1, "held")
        site.add("rising", "f4", RAMP)
        site.tick(30, "rising")
        site.add("later", "old-checkout", BY_HAND)
        site.tick(1, "later")
        yield site


def row(page: str, name: str) -> str:
    """The line of a rollout, as text."""
    found = [one for one in re.findall(r"<li id=\"row-.*?</li>", page, re.DOTALL) if f">{name}</a>" in one]
    assert len(found) == 1, f"{name} is {len(found)} times on the page"
    return " ".join(unescape(re.sub(r"<title>.*?</title>|<[^>]+>", " ", found[0])).split())


def shown(page: str) -> list[str]:
    return re.findall(r"<h3><a[^>]*>([^<]+)</a>", page)


# --- what a line tells ------------------------------------------------------------------------------------------------


def test_a_line_tells_phase_exposure_window_verdict_and_what_to_do(shop: Site) -> None:
    page = shop.get("/").text
    said = row(page, "rising")
    started = rfc3339(shop.ledger.rollout("rising").started_at or 0)  # type: ignore[union-attr]
    assert f"ramping since {started[:10]} {started[11:19]} UTC" in said
    assert "checkout 2.14.0, flag f4" in said
    assert re.search(r"Exposure [\d.]+ % planned [\d.]+ %", said)
    assert "Good slices 2 of 6" in said
    assert "✓ pass all 3 objectives" in said
    assert said.endswith("To do nothing")
    assert 'href="/rollouts/rising"' in page


def test_a_strip_shows_the_window_and_says_it_in_words(shop: Site) -> None:
    page = shop.get("/").text
    assert 'aria-label="2 of 6 good slices in a row; the newest 2: 2 pass"' in page
    assert '<path class="pass" d="M0 6h2"/>' in page
    assert 'aria-label="0 of 2 good slices in a row; no slice has ended yet"' in page


def test_a_held_one_tells_who_and_why_and_what_people_wrote_is_no_markup(shop: Site) -> None:
    page = shop.get("/").text
    said = row(page, "held")
    assert "ramping on hold" in said
    assert "by ada <ada@example>: <script>alert(1)</script> & co" in said
    assert "To do Look at the reason" in said
    assert "alert(1)</script>" not in page


def test_one_that_was_taken_back_tells_what_failed(shop: Site) -> None:
    said = row(shop.get("/").text, "taken-back")
    assert "rolled back" in said
    assert "Exposure 0 %" in said
    assert "✗ fail error_rate" in said
    assert "Find the cause" in said


def test_one_that_nobody_started_tells_how(shop: Site) -> None:
    said = row(shop.get("/").text, "later")
    assert "pending" in said
    assert "slo-watchdog start rollouts/later.yaml" in said


def test_one_that_waits_tells_for_what_and_who_must_look(site: Site) -> None:
    site.add(rule=RAMP)
    site.tick(3)
    site.source.answer = blind
    site.tick(30)
    said = row(site.get("/").text, NAME)
    assert "? unknown queue_age (no data)" in said
    assert "Waiting queue_age no_data" in said
    assert "To do See why queue_age cannot be judged." in said


def test_a_flag_that_reads_something_else_and_one_that_cannot_be_read_are_told(site: Site) -> None:
    site.add(rule=RAMP)
    site.tick(25)
    stored = site.ledger.rollout(NAME)
    assert stored is not None
    desired = stored.control["desired"]
    assert isinstance(desired, dict)
    assert desired["percent"] > 0
    site.flags.removed_by_person("new-checkout")
    site.tick(1)
    said = row(site.get("/").text, NAME)
    assert "Exposure not known" in said
    assert "See that the flag service runs" in said


def test_one_that_records_nothing_any_more_is_told_without_a_tick(site: Site) -> None:
    site.add(rule=RAMP)
    site.tick(3)
    assert "To do nothing" in row(site.get("/").text, NAME)
    site.now += 600
    page = site.get("/").text
    assert "nothing was recorded lately" in row(page, NAME)
    assert "<title>1 of 1 rollout needs a person" in page


# --- the page ---------------------------------------------------------------------------------------------------------


def test_what_needs_a_person_comes_first_then_what_is_under_way_then_the_rest_newest_first(shop: Site) -> None:
    page = shop.get("/").text
    assert shown(page) == ["held", "rising", "later", "taken-back", "signed"]
    assert re.findall(r"<h2 id=\"([\w-]+)\">", page) == ["needed", "under-way", "waiting", "over"]
    assert "<title>1 of 5 rollouts needs a person" in page


def test_the_page_can_be_read_without_a_script(shop: Site) -> None:
    page = shop.get("/").text
    assert '<noscript><meta http-equiv="refresh" content="30"></noscript>' in page
    assert page.index('class="skip" href="#main"') < page.index("<header")
    assert '<main id="main"' in page
    assert f'<time datetime="{rfc3339(int(shop.now))}"' in page
    times = re.findall(r'<time datetime="([^"]+)" title="([^"]+)">([^<]+)</time>', page)
    assert times
    assert all(title == text == f"{at[:10]} {at[11:19]} UTC" for at, title, text in times)


def test_the_way_round_names_only_pages_that_there_are(shop: Site) -> None:
    page = shop.get("/").text
    nav = page[page.index("<nav") : page.index("</nav>")]
    assert '<a href="/" aria-current="page">Fleet</a>' in nav
    for address in re.findall(r'<a href="([^"]+)"', nav):
        assert shop.get(address).status_code == 200, address


def test_a_browser_gets_the_page_packed(shop: Site) -> None:
    answer = shop.get("/")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    plain = shop.get("/", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.text == answer.text


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("phase=active", ["held", "rising"]),
        ("phase=held", ["held"]),
        ("phase=over", ["taken-back", "signed"]),
        ("phase=signed_off", ["signed"]),
        ("q=RIS", ["rising"]),
        ("q=checkout+f2", ["taken-back"]),
        ("q=2.14.0&phase=pending", ["later"]),
        ("q=nowhere", []),
        ("phase=typo", ["held", "rising", "later", "taken-back", "signed"]),
        ("all=1", ["held", "rising", "later", "taken-back", "signed"]),
    ],
)
def test_a_query_shows_some(shop: Site, query: str, names: list[str]) -> None:
    page = shop.get(f"/?{query}").text
    assert shown(page) == names
    assert ("No rollout fits" in page) == (not names)


def test_what_was_asked_for_stays_in_the_form_and_is_no_markup(shop: Site) -> None:
    page = shop.get("/", params={"q": '"><script>alert(2)</script>', "phase": "held"}).text
    assert "<script>alert(2)" not in page
    assert 'value="&#34;&gt;&lt;script&gt;alert(2)&lt;/script&gt;"' in page
    assert '<option value="held" selected>' in page


def test_the_page_of_an_empty_ledger_says_what_to_do(site: Site) -> None:
    assert "No rollout yet" in site.get("/").text


def test_old_ones_that_are_over_are_left_out_until_they_are_asked_for(site: Site) -> None:
    for number in range(SHOWN + 3):
        stored = site.add(f"old-{number}")
        site.ledger.record(Record(stored.id, stored.revision, phase=Phase.STOPPED, control={"phase": "stopped"}))
    page = site.get("/").text
    assert len(shown(page)) == SHOWN
    assert '<a href="/?phase=over">Show 3 older ones, too</a>' in unescape(page)
    assert len(shown(site.get("/?phase=over").text)) == SHOWN + 3


def test_a_damaged_rollout_is_left_out_and_the_others_are_shown(site: Site) -> None:
    site.add("sound")
    damaged = site.add("damaged", "old-checkout")
    with site.ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE rollouts SET resolved = '{' WHERE id = ?", (damaged.id,))
    for _ in range(2):
        assert shown(site.get("/").text) == ["sound"]


# --- what is remembered -----------------------------------------------------------------------------------------------


def story(at: int, worst: Callable[[str, int], float | None]) -> Callable[[str, int], float | None]:
    """Healthy but for ten minutes from `at` on."""
    return lambda expression, when: (worst if at <= when < at + 600 else healthy)(expression, when)


PAGES_ONLY = RAMP.replace("    no_data: fail\n", "    no_data: fail\n    on_breach: page\n")


@pytest.mark.parametrize("worst", [broken, blind, healthy])
def test_what_is_folded_as_it_comes_is_what_the_account_says(
    site: Site, worst: Callable[[str, int], float | None]
) -> None:
    site.add(rule=PAGES_ONLY)
    site.source.answer = story(NOON + 1500, worst)
    fleet = Fleet(site.ledger)
    seen = set()
    for _ in range(16):
        site.tick(9)
        stored = site.ledger.rollout(NAME)
        assert stored is not None
        account = Account(site.ledger, stored)
        status = account.status()
        for known in (fleet, Fleet(site.ledger)):
            (line,) = known.lines(site.now)
            window = status["window"]
            towards_final = status["phase"] in ("soaking", "signed_off")
            assert line.row.strip.passed == (window["final"]["current"] if towards_final else window["current"])
            runs = [name for name, _, count in line.row.strip.runs for _ in range(count)]
            assert runs == [one.verdict.value for one in account.watch.slices][-6:]
            assert line.row.phase == status["phase"]
        seen.add(line.row.strip.passed)
    assert len(seen) > 3, "the window moved"


def test_only_what_changed_is_drawn_again(site: Site) -> None:
    site.add("still", "old-checkout", RAMP)
    site.add("moving", rule=RAMP)
    fleet = Fleet(site.ledger)
    before = {line.row.name: line for line in fleet.lines(site.now)}
    site.tick(3, "moving")
    after = {line.row.name: line for line in fleet.lines(site.now)}
    assert after["still"] is before["still"]
    assert after["moving"].html != before["moving"].html


def test_standings_tell_what_the_ledger_tells_of_each(shop: Site) -> None:
    ledger: Ledger = shop.ledger
    stored = ledger.rollouts()
    standings = ledger.standings([one.id for one in stored] + [4711])
    assert list(standings) == [one.id for one in stored]
    for one in stored:
        standing = standings[one.id]
        assert (standing.revision, standing.phase, standing.last_slot) == (one.revision, one.phase, one.last_slot)
        assert standing.control == one.control
        assert standing.reading == ledger.latest_reading(one.id)
        assert standing.slices == len(ledger.slices(one.id))
        assert standing.breaches == (len(ledger.breaches(one.id)), 0)
        moved = [told.at for told in ledger.transitions(one.id) if told.source is not told.target]
        assert standing.since == (max(moved) if moved else None)
        newest = ledger.last_evaluations(one.id)
        assert standing.verdicts == tuple((name, e.verdict, e.reason) for name, e in newest.items())
    assert ledger.revisions() == {one.id: one.revision for one in stored}
