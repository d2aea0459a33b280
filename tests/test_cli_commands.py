"""The commands that change something: recorded with who and why, carried out or refused in a sentence."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import FLAG, Daemon, Installation, Traffic
from tests.servers import ScriptedPrometheus, scripted

SLOW = {"ramp": "{strategy: progressive, over: 10h, every: 1h}"}


@pytest.fixture(scope="module")
def prometheus() -> Iterator[ScriptedPrometheus]:
    with ScriptedPrometheus(Traffic()) as server:
        yield server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, prometheus: ScriptedPrometheus) -> Iterator[Installation]:
    """A daemon that ramps `checkout-1`, slowly."""
    site = Installation(tmp_path_factory.mktemp("running"), prometheus.url)
    site.rollout("checkout-1", auto_start="true", ramp="{steps: [{percent: 10, for: 1h}, {percent: 100}]}")
    with site.daemon() as daemon:
        site.until("checkout-1", lambda status: status["phase"] == "ramping" and status["next_slot"], within=30)
        yield site
        assert daemon.end() == 0


def commands(site: Installation, name: str) -> list[tuple[str, str]]:
    """(kind, who) of the transitions."""
    ledger = site.ledger()
    try:
        stored = ledger.rollout(name)
        assert stored is not None
        return [(told.kind, told.by) for told in ledger.transitions(stored.id)]
    finally:
        ledger.close()


def test_hold_and_resume_are_carried_out_and_recorded_with_who_and_why(running: Installation) -> None:
    done = running.run("hold", "checkout-1", "--reason", "a sale is on", "--by", "ada")
    assert (done.status, done.err) == (0, "")
    assert done.out == "checkout-1: hold recorded; the daemon carries it out at its next look\n"
    hold = running.until("checkout-1", lambda status: status["hold"])["hold"]
    assert (hold["cause"], hold["by"], hold["why"]) == ("operator", "ada", "a sale is on")
    assert running.run("resume", "checkout-1", "--reason", "it is over").status == 0
    running.until("checkout-1", lambda status: status["hold"] is None)
    assert ("resume", getpass.getuser()) in commands(running, "checkout-1")


def test_a_reason_is_needed_and_the_rollout_must_exist(running: Installation) -> None:
    missing = running.run("stop", "checkout-1")
    assert missing.status == 2
    assert "--reason" in missing.err
    empty = running.run("rollback", "checkout-1", "--reason", " ")
    assert empty.status == 2
    assert "say why, it is recorded" in empty.err
    unknown = running.run("hold", "chekout", "--reason", "x")
    assert unknown.status == 2
    assert "it has: checkout-1" in unknown.err


def test_start_is_refused_for_a_name_that_started_a_flag_that_is_taken_and_a_file_that_is_wrong(
    running: Installation,
) -> None:
    folder = running.directory / "rollouts"
    again = running.run("start", str(folder / "checkout-1.yaml"))
    assert again.status == 2
    assert "a name starts once" in again.err
    other = running.rollout("checkout-2")
    taken = running.run("start", str(other))
    other.unlink()
    assert taken.status == 2
    assert f"flag {FLAG} is taken by checkout-1, which is ramping" in taken.err
    nowhere = running.run("start", str(folder / "checkout-9.yaml"))
    assert nowhere.status == 2
    assert "cannot be read" in nowhere.err


def test_a_flag_that_a_rollout_owns_can_be_lowered_by_hand_and_not_raised(running: Installation) -> None:
    done = running.run("flags", "set", FLAG, "50", "--reason", "why not")
    assert done.status == 1
    assert f"{FLAG} belongs to checkout-1, which is ramping" in done.err
    assert running.serves <= 10


@pytest.fixture
def alone(tmp_path: Path, prometheus: ScriptedPrometheus) -> Installation:
    return Installation(tmp_path, prometheus.url)


@pytest.fixture
def daemon(alone: Installation) -> Iterator[Daemon]:
    with alone.daemon() as daemon:
        yield daemon


def test_a_raised_flag_waits_for_adopt_and_then_ramps_on_from_there_until_rollback(
    alone: Installation, daemon: Daemon
) -> None:
    alone.flag(40)
    file = str(alone.rollout("checkout-1", **SLOW))
    assert alone.run("start", file, "--by", "ada").status == 0
    waiting = alone.until("checkout-1", lambda status: status.get("waiting"))["waiting"]
    assert "reads 40%, the plan starts at 0%" in waiting[0]
    refused = alone.run("start", file, "--adopt")
    assert refused.status == 2
    assert "--adopt needs --reason" in refused.err
    assert alone.run("start", file, "--adopt", "--reason", "ramped by hand", "--by", "eve").status == 0
    status = alone.until("checkout-1", lambda status: status["phase"] == "ramping")
    assert status["exposure"]["desired"] == 40
    assert ("start", "eve") in commands(alone, "checkout-1")
    assert alone.run("rollback", "checkout-1", "--reason", "enough", "--by", "ada").status == 0
    status = alone.until("checkout-1", lambda status: status["phase"] == "rolled_back")
    assert alone.serves == 0
    assert status["rollback"]["cause"] == "rolled back by ada: enough"
    same_name = alone.run("start", file)
    assert same_name.status == 2
    assert daemon.end() == 0


def test_stop_leaves_the_flag_as_it_is_and_a_later_rollback_is_still_carried_out(
    alone: Installation, daemon: Daemon
) -> None:
    file = str(alone.rollout("checkout-1", ramp="{strategy: percentage, to: 25}"))
    assert alone.run("start", file).status == 0
    alone.until("checkout-1", lambda status: status["phase"] == "soaking")
    assert alone.run("stop", "checkout-1", "--reason", "superseded").status == 0
    alone.until("checkout-1", lambda status: status["phase"] == "stopped")
    assert alone.serves == 25
    assert alone.run("gate", "checkout-1").status == 1
    assert alone.run("rollback", "checkout-1", "--reason", "after all").status == 0
    alone.until("checkout-1", lambda status: status["phase"] == "rolled_back")
    assert alone.serves == 0
    assert daemon.end() == 0


def test_flags_by_hand(alone: Installation) -> None:
    alone.rollout("checkout-1")
    alone.flag_file.unlink()
    missing = alone.run("flags", "get", FLAG)
    assert missing.status == 1
    assert "slo-watchdog flags init" in missing.err
    assert not alone.flag_file.exists(), "reading creates nothing"
    assert FLAG in alone.run("flags", "init").out
    assert alone.serves == 0
    assert "nothing to create" in alone.run("flags", "init").out
    assert alone.run("flags", "set", FLAG, "12.5", "--reason", "a first look", "--by", "ada").out.startswith(
        f"{FLAG}: 12.5%, version "
    )
    assert alone.serves == 12.5
    entry = json.dumps(json.loads(alone.flag_file.read_text())["flags"][FLAG]["metadata"])
    assert "ada" in entry
    assert "a first look" in entry
    assert alone.run("flags", "get", FLAG, "--json").data.keys() >= {"flag", "percent", "cohort", "version", "latch"}
    assert alone.run("flags", "set", FLAG, "120", "--reason", "more").status == 2
    assert alone.run("flags", "kill", FLAG, "--reason", "an incident").status == 0
    assert alone.serves == 0
    unknown = alone.run("flags", "get", "new-chekout")
    assert unknown.status == 1
    assert "new-chekout" in unknown.err


def test_a_rollback_does_not_wait_for_a_prometheus_that_hangs(
    alone: Installation, prometheus: ScriptedPrometheus
) -> None:
    traffic = Traffic()
    with ScriptedPrometheus(traffic) as slow:
        site = Installation(alone.directory, slow.url)
        site.rollout("checkout-1", auto_start="true", ramp="{strategy: percentage, to: 25}")
        with site.daemon() as daemon:
            site.until("checkout-1", lambda status: status["phase"] == "soaking")
            traffic.fault = scripted.hang()
            assert site.run("rollback", "checkout-1", "--reason", "now").status == 0
            site.until("checkout-1", lambda status: status["phase"] == "rolled_back", within=15)
            assert site.serves == 0
            assert daemon.end() == 0
