"""The daemon killed, doubled, and cut off from its ledger: the flag ends where the ledger says, no step twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.processes import Daemon, Installation, Traffic, wait_for
from tests.servers import ScriptedPrometheus
from watchdog.account import Account
from watchdog.model import Verdict

NAME = "checkout-1"
PLAN = [20, 40, 60, 80, 100]


@pytest.fixture
def traffic(scripted_prometheus: ScriptedPrometheus) -> Traffic:
    """A healthy service, until the test says otherwise."""
    traffic = Traffic()
    scripted_prometheus.always(traffic)
    return traffic


@pytest.fixture
def site(tmp_path: Path, scripted_prometheus: ScriptedPrometheus, traffic: Traffic) -> Installation:
    return Installation(tmp_path, scripted_prometheus.url)


@pytest.fixture
def started(site: Installation) -> Iterator[Daemon]:
    site.rollout(NAME, auto_start="true")
    with site.daemon() as daemon:
        yield daemon


def percents(site: Installation) -> list[tuple[float, str, float]]:
    """Every exposure that the ledger has, as (time, kind, percent)."""
    ledger = site.ledger()
    try:
        stored = ledger.rollout(NAME)
        assert stored is not None
        return [(fact.at, fact.kind, fact.exposure.percent) for fact in ledger.exposures(stored.id)]
    finally:
        ledger.close()


def ramped(site: Installation, percent: float) -> None:
    site.until(NAME, lambda status: status.get("exposure", {}).get("desired", 0) >= percent)


def test_killed_in_mid_ramp_it_goes_on_where_the_ledger_says(site: Installation) -> None:
    site.rollout(NAME, auto_start="true")
    for percent in (20, 60):
        with site.daemon() as daemon:
            ramped(site, percent)
            daemon.kill()
    with site.daemon() as daemon:
        site.until(NAME, lambda status: status["phase"] == "soaking" and status["exposure"]["actual"] == 100)
        assert daemon.end() == 0
    assert site.serves == 100
    steps = [(at, percent) for at, kind, percent in percents(site) if kind == "desired"]
    assert [percent for _, percent in steps] == PLAN, "no step twice, none left out"
    apart = [after - before for (before, _), (after, _) in pairwise(steps)]
    assert min(apart) >= 1, "never closer than `every`"
    ledger = site.ledger()
    stored = ledger.rollout(NAME)
    assert stored is not None
    account = Account(ledger, stored)
    column = account.evaluations()["error_rate"]
    start = account.control.started_at
    assert start is not None
    assert [e.at for e in column] == list(range(start + 1, (stored.last_slot or 0) + 1)), "outages are back-filled"
    assert {e.verdict for e in column} == {Verdict.PASS}
    ledger.close()


def test_killed_while_taking_back_it_finishes_the_rollback(site: Installation, traffic: Traffic) -> None:
    """The flag cannot be written when the breach comes; the process dies; the next one makes the flag so."""
    site.rollout(NAME, auto_start="true")
    folder = site.flag_file.parent
    with site.daemon() as daemon:
        ramped(site, 40)  # which is recorded, then written
        wait_for(lambda: site.serves >= 40 or None, 20, lambda: f"the file serves {site.serves}")
        good = site.flag_file.read_text()
        site.flag_file.unlink()
        folder.rename(folder.with_name("away"))
        folder.write_text("a file where the directory was")
        traffic.bad = 1000
        site.until(NAME, lambda status: status["phase"] == "rolling_back")
        daemon.kill()
    folder.unlink()
    folder.mkdir()
    site.flag_file.write_text(good)
    assert site.serves >= 40
    with site.daemon() as daemon:
        status = site.until(NAME, lambda status: status["phase"] == "rolled_back")
        daemon.end()
    assert site.serves == 0
    stamps = [status["rollback"][name] for name in ("detected_at", "decided_at", "acted_at", "confirmed_at")]
    assert stamps == sorted(stamps)


def test_two_daemons_on_one_ledger_take_each_step_once(site: Installation) -> None:
    site.rollout(NAME, auto_start="true")
    with site.daemon() as one, site.daemon() as other:
        site.until(NAME, lambda status: status["phase"] == "soaking", within=30)
        assert (one.end(), other.end()) == (0, 0)
    assert [percent for _, kind, percent in percents(site) if kind == "desired"] == PLAN
    assert len(site.history(NAME, "start")) == 1


def test_while_somebody_locks_the_ledger_nothing_is_raised_and_a_breach_still_takes_the_flag_back(
    site: Installation, traffic: Traffic, started: Daemon
) -> None:
    ramped(site, 20)
    lock = sqlite3.connect(site.ledger_file, timeout=10, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    high = site.serves
    traffic.bad = 1000
    wait_for(lambda: site.serves == 0 or None, 30, lambda: f"the flag serves {site.serves:g} %")
    assert high < 100
    journal = site.directory / "watchdog.db.journal"
    written = wait_for(lambda: journal.exists() or None, 10, lambda: "no emergency journal")
    assert written
    assert NAME in journal.read_text(), "what was done"
    lock.execute("ROLLBACK")
    lock.close()
    status = site.until(NAME, lambda status: status["phase"] == "rolled_back", within=20)
    assert status["exposure"]["desired"] == 0
    # What was recorded is taken off the journal only after that.
    assert wait_for(lambda: not journal.exists() or None, 10, lambda: "the journal is still there")
    assert started.end() == 0
