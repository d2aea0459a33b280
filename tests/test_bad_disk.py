"""A flag file that people ruin, a ledger and a report that the disk does not take: said, and a rollback still works."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import FLAG, Daemon, Installation, Traffic, command, wait_for
from tests.servers import ScriptedPrometheus

NAME = "checkout-1"


@pytest.fixture
def traffic(scripted_prometheus: ScriptedPrometheus) -> Traffic:
    traffic = Traffic()
    scripted_prometheus.always(traffic)
    return traffic


@pytest.fixture
def site(tmp_path: Path, scripted_prometheus: ScriptedPrometheus, traffic: Traffic) -> Installation:
    return Installation(tmp_path, scripted_prometheus.url)


def intact(site: Installation) -> None:
    """SQLite finds nothing wrong with the ledger, and the program reads it."""
    ledger = site.ledger()
    with ledger.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    assert ledger.rollouts() is not None
    ledger.close()


# --- the flag file in mid-ramp ----------------------------------------------------------------------------------------


@pytest.fixture
def ramping(site: Installation) -> Iterator[Daemon]:
    """At 40 %, and it stays there for an hour."""
    site.rollout(NAME, auto_start="true", ramp="{steps: [{percent: 40, for: 1h}, {percent: 100}]}")
    with site.daemon() as daemon:
        site.until(NAME, lambda status: status.get("exposure", {}).get("actual") == 40)
        yield daemon


RUINS: dict[str, Callable[[Path], Any]] = {
    "emptied": lambda path: path.write_text(""),
    "deleted": lambda path: path.unlink(),
    "unparsable": lambda path: path.write_text('{"flags": {"new-checkout": {'),
    "flag gone": lambda path: path.write_text('{"flags": {}}'),
    "no sense": lambda path: path.write_text('{"flags": {"new-checkout": {"variants": {"on": 1}}}}'),
}


@pytest.mark.parametrize("ruin", RUINS.values(), ids=RUINS)
def test_a_flag_file_ruined_in_mid_ramp_is_said_and_a_rollback_still_works(
    site: Installation, traffic: Traffic, ramping: Daemon, ruin: Callable[[Path], Any]
) -> None:
    """The last known good is kept: a kill is written on top of it, never an empty document."""
    other = json.loads(site.flag_file.read_text())
    other["flags"]["somebody-elses"] = {
        "state": "ENABLED",
        "variants": {"on": True, "off": False},
        "defaultVariant": "on",
    }
    site.flag_file.write_text(json.dumps(other))
    ticks = len(ramping.lines)
    wait_for(
        lambda: len(ramping.lines) >= ticks + 2 or None, 10, lambda: ramping.text[-2000:]
    )  # that is known good now
    ruin(site.flag_file)
    sentence = wait_for(
        lambda: next((line["why"] for line in ramping.lines if line["event"] == "flag"), None),
        10,
        lambda: ramping.text[-2000:],
    )
    assert site.flag_file.name in sentence
    assert "last known good" in sentence
    assert site.status(NAME)["exposure"]["error"] == sentence
    assert site.status(NAME)["phase"] == "ramping"
    traffic.bad = 900
    site.until(NAME, lambda status: status["phase"] == "rolled_back", within=20)
    flags = json.loads(site.flag_file.read_text())["flags"]
    assert flags.keys() == {FLAG, "somebody-elses"}
    assert site.serves == 0
    assert ramping.end() == 0
    intact(site)


def test_a_person_who_lowers_the_flag_is_not_undone(site: Installation, traffic: Traffic, ramping: Daemon) -> None:
    """In an incident somebody sets 0 %; the metrics recover; the flag stays 0 until `resume`."""
    site.flag(0)
    hold = site.until(NAME, lambda status: status["hold"])["hold"]
    assert hold["cause"] == "drift"
    assert "lowered to 0%" in hold["why"]
    site.until(NAME, lambda status: status["objectives"][0]["verdict"] == "pass")
    assert site.serves == 0
    assert site.status(NAME)["exposure"]["desired"] == 0
    assert ramping.end() == 0


def test_a_flag_raised_by_hand_is_set_back(site: Installation, ramping: Daemon) -> None:
    site.flag(90)
    wait_for(lambda: site.serves == 40 or None, 10, lambda: f"it serves {site.serves:g} %")
    assert "more than the desired 40%: it is set back" in site.history(NAME, "drift")[0]
    assert ramping.end() == 0


# --- disks ------------------------------------------------------------------------------------------------------------


def test_a_ledger_that_is_no_database_or_has_no_directory_is_a_sentence_and_status_2(site: Installation) -> None:
    site.ledger_file.write_text("This is a letter to my aunt, not a database. " * 50)
    letter = site.ledger_file.read_text()
    done = site.run("run")
    assert done.status == 2
    (line,) = done.err.splitlines()
    assert str(site.ledger_file) in line
    assert site.ledger_file.read_text() == letter, "nothing was written over it"
    site.config.write_text(f"{site.config.read_text()}ledger: sqlite:///no/such/directory/watchdog.db\n")
    done = site.run("status")
    assert done.status == 2
    (line,) = done.err.splitlines()
    assert "no/such/directory" in line


def test_a_report_that_cannot_be_written_is_said_and_written_once_it_can(site: Installation) -> None:
    """A file stands where the directory should be; the sign-off itself does not wait for it."""
    reports = site.directory / "reports"
    reports.write_text("in the way")
    site.rollout(
        NAME,
        auto_start="true",
        ramp="{strategy: percentage, to: 25}",
        window="{slices: 2, slice: 2s, max_gap: 10s}",
    )
    with site.daemon() as daemon:
        site.until(NAME, lambda status: status["phase"] == "signed_off", within=25)
        said = daemon.said("report not written, tried again")
        assert str(reports) in said["why"]
        reports.unlink()
        wait_for(lambda: (reports / f"{NAME}.final.html").exists() or None, 10, lambda: daemon.text[-2000:])
        daemon.end()
    intact(site)


def test_a_full_disk_stops_no_rollback(site: Installation, traffic: Traffic) -> None:
    """Files may not grow beyond what they are: the ledger takes nothing more, and the flag still goes off."""
    site.rollout(NAME, auto_start="true", ramp="{steps: [{percent: 40, for: 1h}, {percent: 100}]}")
    with site.daemon() as daemon:
        site.until(NAME, lambda status: status.get("exposure", {}).get("actual") == 40)
        full = 4096 * 6
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
        wait_for(
            lambda: next((line for line in daemon.lines if "ledger" in str(line.get("why"))), None),
            15,
            lambda: daemon.text[-3000:],
        )
        traffic.bad = 900
        wait_for(lambda: site.serves == 0 or None, 20, lambda: daemon.text[-3000:])
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        status = site.until(NAME, lambda status: status["phase"] == "rolled_back", within=20)
        assert status["rollback"]["acted_at"] is not None
        assert daemon.end() == 0
    intact(site)


@pytest.mark.parametrize("what", ["status", "run"])
def test_a_ledger_that_may_only_be_read_is_a_sentence_and_status_2(site: Installation, what: str) -> None:
    assert site.run("status").status == 0
    for path in (*site.directory.glob("watchdog.db*"), site.directory):
        path.chmod(0o555 if path.is_dir() else 0o444)
    # Root may write everywhere, unless it gives that up.
    meek = ("setpriv", "--bounding-set=-dac_override") if os.geteuid() == 0 else ()
    done = subprocess.run(
        [*meek, *command("--config", str(site.config), what)], capture_output=True, text=True, timeout=30, check=False
    )
    site.directory.chmod(0o755)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert line.startswith("slo-watchdog: ")
    assert "watchdog.db" in line
    assert "Traceback" not in done.stderr
