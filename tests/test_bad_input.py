"""Input that is wrong, at the level of the process: files, answers, disks. Each ends in a status or a state, one line that
names place, found, expected and what to do, and a ledger that still opens."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import FLAG, Daemon, Installation, Traffic, command, wait_for
from tests.scripted import Script
from tests.servers import ScriptedPrometheus, scripted

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


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rollout: checkout-1\nramp: {strategy: progr", "is not valid YAML"),
        ("", "is empty"),
        ("- a list\n", "expected a mapping"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n", ""),
        ("rollout: !!python/object/apply:os.system ['touch hacked']\n", ""),
        ("rollout: checkout-1\nrollout: checkout-2\n", "rollout"),
        ("\x00\x01\x02", ""),
        ("rollout: " + "[" * 5000, ""),
    ],
    ids=["truncated", "empty", "list", "aliases", "python-object", "duplicate-key", "binary", "deep"],
)
def test_a_rollout_file_that_is_no_rollout_is_refused_in_one_line_each(
    site: Installation, text: str, says: str
) -> None:
    path = site.directory / "rollouts" / "broken.yaml"
    path.write_text(text)
    done = site.run("run")
    assert done.status == 2
    lines = [line for line in done.err.splitlines() if line.startswith("slo-watchdog: ")]
    assert lines
    assert all("broken.yaml" in line for line in lines), lines
    assert "Traceback" not in done.err
    assert says in done.err
    assert not (site.directory / "hacked").exists()
    intact(site)


def test_a_file_that_breaks_while_it_runs_is_said_once_and_changes_nothing(site: Installation) -> None:
    """A new file with a used name, a changed file, a broken one: what runs goes on by its frozen rule."""
    path = site.rollout(NAME, auto_start="true")
    with site.daemon() as daemon:
        site.until(NAME, lambda status: status["phase"] == "ramping")
        path.write_text(path.read_text().replace("at_most: 1%", "at_most: 50%"))
        daemon.end()
    with site.daemon() as daemon:
        said = daemon.said("ignored")
        assert "has changed since checkout-1 was first seen; the frozen rule stays in force" in said["why"]
        status = site.until(NAME, lambda status: status["phase"] == "soaking")
        assert "wanted at most 1% bad" in status["objectives"][0]["why"]
        assert daemon.end() == 0
    (site.directory / "rollouts" / "twin.yaml").write_text(path.read_text())
    done = site.run("check")
    assert done.status == 2
    assert "'checkout-1' is already the name of" in done.err


def test_settings_that_are_wrong_end_every_command_with_2(site: Installation) -> None:
    site.config.write_text("prometheus: {url: 7}\nledgers: x\nlog: {level: loud}\n")
    done = site.run("run")
    assert done.status == 2
    lines = done.err.splitlines()
    assert len(lines) == 3
    for place in ("prometheus.url", "ledgers", "log.level"):
        assert any(line.startswith(f"slo-watchdog: {site.config}: {place}: ") for line in lines), lines


# --- what Prometheus answers ------------------------------------------------------------------------------------------

ANSWERS: list[tuple[str, Callable[[str], Script], str, str]] = [
    ("refuses the query", lambda _: scripted.error(400, "bad_data", "parse error"), "query_error", "parse error"),
    ("hangs", lambda _: scripted.hang(), "unreachable", "gave no answer within"),
    ("answers slowly", lambda _: scripted.drip(scripted.value(1), 0.7), "unreachable", "within"),
    ("garbage", lambda _: scripted.garbage(), "query_error", ""),
    ("no HTTP", lambda _: scripted.not_http(), "unreachable", ""),
    ("10 MB", lambda _: scripted.big(10_000_000), "query_error", ""),
    ("status 503", lambda _: scripted.status(503), "unreachable", "503"),
    ("status 404", lambda _: scripted.status(404), "query_error", "404"),
    ("a redirect", lambda url: scripted.redirect(f"{url}/elsewhere"), "query_error", "redirect"),
    ("a sign-in page", lambda _: scripted.html(), "query_error", ""),
    ("two series", lambda _: scripted.series(({"a": "1"}, lambda t: 1), ({"a": "2"}, lambda t: 2)), "many_series", "2"),
    ("nothing", lambda _: scripted.series(), "no_data", ""),
    ("not a number", lambda _: scripted.value("NaN"), "not_a_number", "NaN"),
    ("a warning", lambda _: scripted.value(1, warnings=["a store is down"]), "partial", "a store is down"),
    ("a wrong clock", lambda _: scripted.skewed(scripted.value(1000), 60), "clock_skew", ""),
]


def test_each_bad_answer_of_prometheus_is_a_reason_with_a_sentence_and_takes_nothing_back(
    site: Installation, traffic: Traffic, scripted_prometheus: ScriptedPrometheus
) -> None:
    """One daemon, one fault after the other, a good answer between: the flag stays, and it ticks on."""
    site.rollout(NAME, auto_start="true", ramp="{strategy: percentage, to: 25}")
    with site.daemon() as daemon:
        site.until(NAME, lambda status: status["phase"] == "soaking")
        for what, fault, reason, says in ANSWERS:
            traffic.fault = fault(scripted_prometheus.url)
            status = site.until(
                NAME, lambda status, reason=reason: status["objectives"][0]["reason"] == reason, within=20
            )
            objective = status["objectives"][0]
            assert (objective["verdict"], objective["name"]) == ("unknown", "error_rate"), what
            assert objective["why"].startswith(f"error_rate {reason}") or reason in objective["why"], (what, objective)
            assert says in objective["why"], (what, objective["why"])
            assert "\n" not in objective["why"]
            assert len(objective["why"]) < 600, what
            traffic.fault = None
            site.until(NAME, lambda status: status["objectives"][0]["verdict"] == "pass", within=20)
        assert site.history(NAME, "breach") == []
        assert not [line for line in daemon.lines if line["event"] == "tick failed"]
        assert site.serves == 25
        assert daemon.end() == 0
    intact(site)


# --- the flag file in mid-ramp ----------------------------------------------------------------------------------------


@pytest.fixture
def ramping(site: Installation) -> Iterator[Daemon]:
    """At 40 %, and it stays there for an hour."""
    site.rollout(NAME, auto_start="true", ramp="{steps: [{percent: 40, for: 1h}, {percent: 100}]}")
    with site.daemon() as daemon:
        site.until(NAME, lambda status: status.get("exposure", {}).get("actual") == 40)
        yield daemon


@pytest.mark.parametrize(
    "ruin",
    [
        lambda path: path.write_text(""),
        lambda path: path.unlink(),
        lambda path: path.write_text('{"flags": {"new-checkout": {'),
        lambda path: path.write_text('{"flags": {}}'),
        lambda path: path.write_text('{"flags": {"new-checkout": {"state": "ENABLED", "variants": {"on": 1}}}}'),
    ],
    ids=["emptied", "deleted", "unparsable", "flag gone", "flag without sense"],
)
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
    time.sleep(1.5)  # a tick reads it: from now on this is the last known good
    ruin(site.flag_file)
    sentence = wait_for(
        lambda: next((line["why"] for line in ramping.lines if site.flag_file.name in str(line.get("why"))), None),
        10,
        lambda: ramping.text[-2000:],
    )
    assert "last known good" in sentence
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
    assert site.status(NAME)["exposure"] == {"desired": 0.0, "actual": 0.0, "cohort": False, "confirmed": True}
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
def test_a_ledger_that_may_only_be_read(site: Installation, what: str) -> None:
    """A directory in which nothing can be written: the daemon does not start, and says what it needs."""
    assert site.run("status").status == 0
    # A user namespace of its own: to root nothing is read-only.
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command("--config", str(site.config), what)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ},
    )
    assert done.returncode in (0, 2), done.stderr
    assert "Traceback" not in done.stderr
