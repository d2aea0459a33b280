"""`drill` as people and the daemon run it: exit statuses, signals, and drills by the clock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.drilling import FLAG, found, told, with_active
from tests.ledgers import ledger_at
from tests.processes import Installation, command, wait_for
from tests.sources import Clock
from watchdog.config import load_settings
from watchdog.drill.schedule import RETRY, UNHURRIED, DrillSchedule, due
from watchdog.flags.flagd_file import FlagdFile
from watchdog.ledger import DrillIntent, Ledger, StoredDrill

DAY = 86_400.0
PATIENCE = 30.0


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    site = Installation(tmp_path, "http://127.0.0.1:9")
    FlagdFile(site.flag_file).init([FLAG], "a test")
    return site


@pytest.fixture
def ledger(site: Installation) -> Iterator[Ledger]:
    ledger = ledger_at(site.ledger_file)
    yield ledger
    ledger.close()


def drill_flag(site: Installation) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(site.flag_file.read_text())
    flag: dict[str, Any] = document["flags"][FLAG]
    return flag


def is_on(site: Installation) -> bool:
    return bool(drill_flag(site)["defaultVariant"] == "on")


def last(ledger: Ledger) -> StoredDrill:
    stored = ledger.last_drill()
    assert stored is not None
    return stored


# --- the command --------------------------------------------------------------------------------------------------


def test_a_drill_within_the_bound_ends_with_0_and_leaves_its_flag_off(site: Installation, ledger: Ledger) -> None:
    done = site.run("drill", "-n", "2", "--json", "--by", "ada", "--reason", "a look")

    assert done.status == 0, done.err
    report = done.data
    assert (report["passed"], report["result"], report["reader"]) == (True, "passed", "flagd-file")
    assert len(report["runs"]) == 2
    assert set(report["stages"]) == {"recorded", "written", "read_back", "reader"}
    assert set(report["stages"]["reader"]) == {"min", "p50", "p99", "max"}
    assert not is_on(site)
    assert last(ledger).report == report
    assert (last(ledger).by, last(ledger).why) == ("ada", "a look")


def test_the_changes_of_a_drill_are_in_the_audit_as_such(site: Installation, ledger: Ledger) -> None:
    assert site.run("drill", "-n", "1", "--by", "ada").status == 0

    changes = [row.change for row in ledger.flag_history("flags", FLAG, 100) if row.change.by == "ada"]
    assert {change.action for change in changes} == {"drill"}
    assert {change.result for change in changes} >= {"applied"}
    assert all(change.why.startswith("drill 1: ") for change in changes)


def test_on_paper_it_is_a_sentence_and_a_table(site: Installation) -> None:
    done = site.run("drill", "-n", "1")

    assert done.out.startswith("passed: 1 of 1 runs off within ")
    for word in ("stage", "p50", "p99", "recorded", "acknowledged", "read back", "reader"):
        assert word in done.out


def test_a_drill_over_the_bound_ends_with_1_and_pages(site: Installation, ledger: Ledger) -> None:
    """The bound is that of the rollout file with the smallest one: here less than any file watcher can keep."""
    active = with_active(ledger)
    site.rollout(
        "strict", rollback="{to: 0, within: 20ms}", waive="{dead_service: t, pooled_exposure: t, rollback_bound: t}"
    )

    done = site.run("drill", "-n", "20", "--json")

    assert (done.status, done.data["result"]) == (1, "late")
    assert done.data["within_s"] == 0.02
    assert not is_on(site)
    (page,) = told(ledger, active)
    assert "the bound is 0.02 s" in page.summary


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--flag", "new-checkout"), "the flag of rollout checkout-1"),
        (("--flag", "ops.maintenance"), "an emergency flag"),
    ],
)
def test_a_flag_that_something_uses_is_refused(site: Installation, arguments: Sequence[str], said: str) -> None:
    site.rollout("checkout-1")
    done = site.run("drill", *arguments)
    assert done.status == 1
    assert said in done.err


def test_a_flag_that_nobody_created_is_a_failure_that_names_it(site: Installation) -> None:
    done = site.run("drill", "--flag", "never-heard-of")
    assert done.status == 1
    assert "FAILED: run 1 of 5: the flag could not be switched on" in done.out
    assert "never-heard-of" in done.out


# --- signals ------------------------------------------------------------------------------------------------------


def blocked() -> None:
    """As a child of the daemon inherits it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM, blocked before"])
def test_a_drill_that_is_interrupted_leaves_its_flag_off(
    site: Installation, ledger: Ledger, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        command("drill", "-n", "10000", "--config", str(site.config)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=blocked if number is signal.SIGTERM else None,  # noqa: PLW1509 - no other thread is there
    )
    try:
        wait_for(lambda: is_on(site) or None, PATIENCE, lambda: "the flag never went on")
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()

    assert process.returncode == 1, err
    assert "stopped after" in out
    assert not is_on(site)
    assert last(ledger).passed is False
    assert found(last(ledger).report)["result"] == "stopped"


# --- by the clock -------------------------------------------------------------------------------------------------


def test_a_drill_is_due_a_day_after_the_last() -> None:
    assert not due(DAY - 1, 0.0, DAY)
    assert due(DAY, 0.0, DAY)
    assert not due(1e9, 0.0, 0.0), "0 is never"


def schedule(site: Installation, ledger: Ledger, clock: Clock, every: str = "1d", runs: str = "1") -> DrillSchedule:
    with site.config.open("a") as file:
        file.write(f"drill: {{every: {every}, runs: {runs}}}\n")
    return DrillSchedule(load_settings(site.config), ledger, clock)


def drilled(ledger: Ledger, at: float) -> None:
    intent = DrillIntent("flagd-file", FLAG, "flagd-file", "ada", "earlier", 1, 900.0)
    number = ledger.begin_drill(intent, at, 0.0)
    ledger.finish_drill(number, at + 1, passed=True, worst=0.1, report={"why": "earlier"})


def until_collected(schedule: DrillSchedule) -> str:
    return wait_for(schedule.look, PATIENCE, lambda: "the drill never ended")


def test_the_first_drill_waits_a_whole_day_after_the_start(site: Installation, ledger: Ledger) -> None:
    clock = Clock(1e9)
    drills = schedule(site, ledger, clock)

    assert drills.look() is None
    clock.now += DAY - 1
    assert drills.look() is None
    assert not drills.running


def test_a_drill_that_is_due_runs_in_a_process_of_its_own(site: Installation, ledger: Ledger) -> None:
    now = time.time()
    drilled(ledger, now - DAY - 1)
    clock = Clock(now)
    drills = schedule(site, ledger, clock)

    assert drills.look() is None, "the first ticks come first"
    clock.now += UNHURRIED
    assert drills.look() == f"drill started, 1 runs on {FLAG}"
    assert drills.running
    said = until_collected(drills)

    assert said.startswith("the drill passed: 1 of 1 runs off within ")
    assert (last(ledger).by, last(ledger).passed) == ("watchdog", True)
    assert not drills.running
    assert drills.look() is None
    assert not is_on(site)


def test_a_drill_that_cannot_even_begin_is_tried_again_an_hour_later(site: Installation, ledger: Ledger) -> None:
    now = time.time()
    drilled(ledger, now - 2 * DAY)
    clock = Clock(now)
    drills = schedule(site, ledger, clock)
    clock.now += UNHURRIED
    site.config.write_text("prometheus: nonsense\n")

    assert drills.look() is not None
    assert "the drill ended with status 2" in until_collected(drills)
    clock.now += RETRY - 1
    assert drills.look() is None
    clock.now += 1
    assert drills.look() is not None
    until_collected(drills)


def test_a_drill_that_died_is_recorded_as_failed_and_told(site: Installation, ledger: Ledger) -> None:
    active = with_active(ledger)
    now = time.time()
    drilled(ledger, now - 2 * DAY)
    drills = schedule(site, ledger, Clock(now), runs="10000")
    drills.clock.now += UNHURRIED  # type: ignore[attr-defined]
    drills.look()
    wait_for(lambda: is_on(site) or None, PATIENCE, lambda: "the flag never went on")

    assert drills._child is not None
    drills._child.signal(signal.SIGKILL)
    said = until_collected(drills)

    assert "the drill ended with status -9" in said
    assert (last(ledger).passed, last(ledger).worst) == (False, None)
    (page,) = told(ledger, active)
    assert "never ended: its process died" in page.summary


def test_stopping_the_daemon_stops_its_drill_which_leaves_its_flag_off(site: Installation, ledger: Ledger) -> None:
    now = time.time()
    drilled(ledger, now - 2 * DAY)
    clock = Clock(now)
    drills = schedule(site, ledger, clock, runs="10000")
    clock.now += UNHURRIED
    drills.look()
    wait_for(lambda: is_on(site) or None, PATIENCE, lambda: "the flag never went on")
    assert drills._child is not None
    pid = drills._child.process.pid

    drills.stop(within=PATIENCE)

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not is_on(site)
    assert not drills.running
    assert found(last(ledger).report)["result"] == "stopped"


def test_with_every_at_0_nothing_ever_runs(site: Installation, ledger: Ledger) -> None:
    clock = Clock(1e9)
    drills = schedule(site, ledger, clock, every="0s")
    clock.now += 1000 * DAY
    assert drills.look() is None
