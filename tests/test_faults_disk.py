"""A disk that is full or may only be read, a real one: what is said, with what status, and that nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.disks import Disk
from tests.processes import Installation, Traffic, wait_for
from tests.servers import ScriptedPrometheus

NAME = "checkout-1"
RAMP = "{steps: [{percent: 40, for: 1h}, {percent: 100}]}"


@pytest.fixture
def traffic(scripted_prometheus: ScriptedPrometheus) -> Traffic:
    traffic = Traffic()
    scripted_prometheus.always(traffic)
    return traffic


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with Disk(tmp_path / "disk", kib=2048) as disk:
        yield disk


@pytest.fixture
def site(tmp_path: Path, disk: Disk, scripted_prometheus: ScriptedPrometheus, traffic: Traffic) -> Installation:
    """The ledger, its journal and the reports are on the small disk; the flag file is on another one."""
    site = Installation(
        tmp_path, scripted_prometheus.url, ledger=f"sqlite:///{disk.path}/watchdog.db", reports="{dir: disk/reports}"
    )
    site.ledger_file = disk.path / "watchdog.db"
    return site


def sentence(said: str) -> str:
    """The one line that is not of the log."""
    (line,) = [line for line in said.splitlines() if not line.startswith("{")]
    assert line.startswith("slo-watchdog: ")
    return line


def intact(site: Installation) -> None:
    ledger = site.ledger()
    with ledger.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    ledger.close()


def test_a_disk_that_is_full_from_the_start_lets_nothing_begin(site: Installation, disk: Disk) -> None:
    disk.fill()
    done = site.run("run")
    assert done.status == 2
    assert f"ledger {site.ledger_file} cannot" in sentence(done.err)
    disk.free()
    site.rollout(NAME, auto_start="true", ramp=RAMP)
    with site.daemon() as daemon:
        site.until(NAME, lambda status: status.get("exposure", {}).get("actual") == 40)
        assert daemon.end() == 0
    intact(site)


def test_a_disk_that_fills_up_stops_no_rollback_and_no_slot_is_lost(
    site: Installation, disk: Disk, traffic: Traffic
) -> None:
    site.rollout(NAME, auto_start="true", ramp=RAMP)
    with site.daemon() as daemon:
        site.until(NAME, lambda status: status.get("exposure", {}).get("actual") == 40)
        disk.fill()
        said = daemon.said("tick", 15, "disk is full")
        assert f"ledger {site.ledger_file} cannot grow, the disk is full: free space" in said["why"]
        refused = site.run("hold", NAME, "--reason", "a test", "--by", "ada")
        assert refused.status == 2
        assert "the disk is full: free space" in sentence(refused.err)
        assert site.run("ledger", "backup", str(disk.path / "copy.db")).status == 2
        assert not (disk.path / "copy.db").exists(), "no half of a backup"
        traffic.bad = 900
        wait_for(lambda: site.serves == 0 or None, 20, lambda: daemon.text[-3000:])
        disk.free()
        site.until(NAME, lambda status: status["phase"] == "rolled_back", within=20)
        assert daemon.end() == 0
    intact(site)
    ledger = site.ledger()
    stored = ledger.rollout(NAME)
    assert stored is not None
    slots = [e.at for _, e in ledger.evaluations(stored.id, "error_rate", 0, 2**40)]
    ledger.close()
    assert slots == list(range(slots[0], slots[-1] + 1))


def test_on_a_disk_that_may_only_be_read_a_rollback_still_works(
    site: Installation, disk: Disk, traffic: Traffic
) -> None:
    """As a file system is mounted after an error. Root is stopped by it, too."""
    site.rollout(NAME, auto_start="true", ramp=RAMP)
    with site.daemon() as daemon:
        site.until(NAME, lambda status: status.get("exposure", {}).get("actual") == 40)
        daemon.kill()
    disk.writable(may=False)
    refused = site.run("hold", NAME, "--reason", "a test", "--by", "ada")
    assert refused.status == 2
    assert f"ledger {site.ledger_file} cannot be written: give this user write permission" in sentence(refused.err)
    with site.daemon() as daemon:
        said = daemon.said("tick", 15, "not recorded")
        assert f"ledger {site.ledger_file} cannot be written" in said["why"]
        assert site.serves == 40
        traffic.bad = 900
        wait_for(lambda: site.serves == 0 or None, 20, lambda: daemon.text[-3000:])
        disk.writable(may=True)
        site.until(NAME, lambda status: status["phase"] == "rolled_back", within=20)
        assert daemon.end() == 0
    intact(site)
