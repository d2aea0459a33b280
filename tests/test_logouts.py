"""A logout is known wherever its cookie would be believed: to other replicas within seconds, and after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.entering import ADA, ADAS, Browser, http
from tests.ledgers import added, ledger_at
from tests.listening import WITHIN, Page
from tests.postgresserver import Postgres
from tests.processes import wait_for
from tests.webserver import Site
from watchdog import migrations
from watchdog.access.gate import COOKIE
from watchdog.access.logouts import Logouts
from watchdog.access.sessions import AHEAD, LONGEST, Session, Sessions
from watchdog.ledger import Ledger, open_ledger
from watchdog.ledger.database import Database
from watchdog.ledger.verify import verify
from watchdog.migrations import STEPS
from watchdog.migrations.step_0010 import logouts

NOON = 1_700_049_600.0
KEY = "k" * 32


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = ledger_at(tmp_path / "watchdog.db")
    yield opened
    opened.close()


def begun(sessions: Sessions, now: float = NOON) -> tuple[str, Session]:
    """A new session's cookie, and what it says."""
    cookie = sessions.issue(ADAS.id, now)
    session = sessions.read(cookie, now)
    assert session is not None
    return cookie, session


def rows(ledger: Ledger) -> int:
    with ledger.reading() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM logouts").scalar_one())


# --- two processes, without servers -----------------------------------------------------------------------------------


def test_another_process_knows_of_a_logout_when_it_has_looked_and_one_that_starts_later_as_well(ledger: Ledger) -> None:
    here, there = Sessions(KEY, ledger), Sessions(KEY, ledger)
    cookie, session = begun(here)
    stays, _ = begun(here)
    here.end(session, NOON)
    assert here.read(cookie, NOON) is None
    assert there.read(cookie, NOON) is not None
    there.logouts.look(NOON)
    assert there.read(cookie, NOON) is None
    assert there.read(stays, NOON) is not None
    restarted = Sessions(KEY, ledger)
    restarted.logouts.look(NOON)
    assert restarted.read(cookie, NOON) is None


def test_without_a_key_in_common_nobody_else_is_told_for_nobody_else_believes_the_cookie(ledger: Ledger) -> None:
    sessions = Sessions(None, ledger)
    cookie, session = begun(sessions)
    sessions.end(session, NOON)
    assert sessions.read(cookie, NOON) is None
    assert rows(ledger) == 0
    assert not sessions.logouts.shared


def test_to_read_a_cookie_takes_no_look_at_the_ledger(ledger: Ledger) -> None:
    sessions = Sessions(KEY, ledger)
    cookie, _ = begun(sessions)
    sessions.logouts.look(NOON)
    with ledger.writing() as connection:
        connection.exec_driver_sql("DROP TABLE logouts")
    assert sessions.read(cookie, NOON) is not None


def test_a_logout_is_forgotten_everywhere_when_its_session_would_be_over(ledger: Ledger) -> None:
    here, there = Sessions(KEY, ledger), Sessions(KEY, ledger)
    cookie, session = begun(here)
    here.end(session, NOON + 60)
    over = NOON + LONGEST + AHEAD
    there.logouts.look(over - 1)
    assert (len(there.logouts), rows(ledger)) == (1, 1)
    there.logouts.look(over)
    assert len(there.logouts) == 0
    assert there.read(cookie, over) is None, "it is too old by itself"
    _, later = begun(there, over)
    there.end(later, over)
    assert rows(ledger) == 1, "whoever logs out next takes those away that are over"


def test_a_logout_that_two_processes_hear_of_is_one(ledger: Ledger) -> None:
    here, there = Sessions(KEY, ledger), Sessions(KEY, ledger)
    _, session = begun(here)
    here.end(session, NOON)
    there.end(session, NOON)
    assert rows(ledger) == 1


def test_the_memory_of_logouts_is_bounded_and_forgets_whose_session_is_over_first(ledger: Ledger) -> None:
    here, there = Logouts(ledger, most=3), Logouts(ledger, most=3)
    for number in (2, 4, 1, 3, 5):
        here.add(f"login-{number}", NOON + number, NOON)
    there.look(NOON)
    for known in (here, there):
        assert [number for number in range(1, 6) if f"login-{number}" in known] == [3, 4, 5]


def test_while_the_ledger_fails_a_logout_counts_here_and_is_told_to_others_when_it_is_back(
    ledger: Ledger, capfd: pytest.CaptureFixture[str]
) -> None:
    here, there = Sessions(KEY, ledger), Sessions(KEY, ledger)
    cookie, session = begun(here)
    with ledger.writing() as connection:
        connection.exec_driver_sql("DROP TABLE logouts")
    here.end(session, NOON)
    for _ in range(3):
        here.logouts.look(NOON)
        there.logouts.look(NOON)
    assert here.read(cookie, NOON) is None
    assert there.read(cookie, NOON) is not None
    said = capfd.readouterr()
    assert (said.out + said.err).count("no such table: logouts") == 2, "each process says it once"
    with ledger.writing() as connection:
        logouts(connection)
    here.logouts.look(NOON)
    there.logouts.look(NOON)
    assert there.read(cookie, NOON) is None


# --- the ledger -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as started:
        yield started


def test_on_a_server_two_processes_tell_each_other_also_at_once(server: Postgres) -> None:
    url = server.url(server.database())
    here, there = open_ledger(url), open_ledger(url)
    with ThreadPoolExecutor(2) as pool:
        told = [Sessions(KEY, here), Sessions(KEY, there)]
        _, both = begun(told[0])
        own = [begun(one)[1] for one in told]
        list(pool.map(lambda one: one.end(both, NOON), told))
        list(pool.map(lambda one, session: one.end(session, NOON), told, own))
        list(pool.map(lambda one: one.logouts.look(NOON), told))
        list(pool.map(lambda one: one.logouts.look(NOON), told))
    assert rows(here) == 3
    for one in told:
        assert not [session for session in (both, *own) if one.lasts(session, NOON)]
    here.close()
    there.close()


def test_a_ledger_of_before_gets_the_table_and_nothing_that_is_there_changes(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'watchdog.db'}")
    position = next(place for place, step in enumerate(STEPS) if step.name == "0010_logouts")
    migrations.migrate(database.reading, database.writing, STEPS[:position], NOON)
    with database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO requests (who, key, digest, at) VALUES ('ada', 'k', 'x', 1.0)")
    database.close()
    ledger = ledger_at(tmp_path / "watchdog.db")
    ledger.add_logouts({"login": NOON + 1}, NOON)
    with ledger.reading() as connection:
        assert connection.exec_driver_sql("SELECT who, key FROM requests").all() == [("ada", "k")]
    assert ledger.logouts(NOON, 10) == {"login": NOON + 1}
    ledger.close()


def test_a_logout_is_no_fact_so_that_a_ledger_is_whole_with_it_and_without_it(ledger: Ledger) -> None:
    added(ledger)
    ledger.add_logouts({"login": NOON + 1}, NOON)
    assert verify(ledger, {}).wrong == []
    ledger.add_logouts({"another": NOON + 2}, NOON + 1)
    assert ledger.logouts(NOON, 10) == {"another": NOON + 2}
    assert verify(ledger, {}).wrong == []


# --- two replicas, and a restart, with servers ------------------------------------------------------------------------


@contextmanager
def replica(directory: Path, **how: str) -> Iterator[Site]:
    """One more daemon's HTTP side on the ledger of this directory, with the same key."""
    with Site(directory, http=http(directory, session_key=KEY, **how)) as site:
        yield site


def known(site: Site, browser: Browser) -> bool:
    """Whether this cookie is somebody there."""
    cookie = {COOKIE: browser.session.cookies[COOKIE]}
    return "You are ada" in requests.get(f"{site.url}/login", cookies=cookie, timeout=10).text


def copied(site: Site) -> tuple[Browser, Browser]:
    """A browser that is logged in, and one that has a copy of its cookie."""
    browser, thief = Browser(site.url), Browser(site.url)
    assert browser.login(ADA).status_code == 303
    thief.session.cookies.set(COOKIE, browser.session.cookies[COOKIE])
    return browser, thief


def test_a_logout_at_one_replica_ends_the_session_at_the_other_within_seconds(tmp_path: Path) -> None:
    with replica(tmp_path) as one, replica(tmp_path) as two:
        browser, thief = copied(one)
        other, _ = copied(one)
        assert known(two, thief)
        assert browser.post("/logout", {"csrf": browser.csrf}).status_code == 303
        assert not known(one, thief)
        wait_for(lambda: not known(two, thief) or None, WITHIN, lambda: "the other replica believes the cookie")
        assert known(two, other)


def test_a_live_page_at_one_replica_ends_with_a_logout_at_another(tmp_path: Path) -> None:
    with replica(tmp_path, reads="token") as one, replica(tmp_path, reads="token") as two:
        one.add()
        browser, thief = copied(one)
        cookie = {"Cookie": f"{COOKIE}={thief.session.cookies[COOKIE]}"}
        with Page(two.url, "?rollout=1", cookie) as page:
            assert browser.post("/logout", {"csrf": browser.csrf}).status_code == 303
            assert page.ended()


def test_after_a_restart_the_first_request_finds_a_logout_known(tmp_path: Path) -> None:
    with replica(tmp_path) as site:
        browser, thief = copied(site)
        stays, _ = copied(site)
        assert browser.post("/logout", {"csrf": browser.csrf}).status_code == 303
    with replica(tmp_path) as site:
        assert not known(site, thief)
        assert known(site, stays)
