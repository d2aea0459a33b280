"""SIGTERM, and SIGKILL as the kernel sends it when memory is short, in each stage of one rollout's life.

However often the process ends, the next one goes on: nothing is lost, nothing is done twice, and SIGTERM ends with 0.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import Daemon, Installation, Traffic, wait_for
from tests.scripted import Asked, Reply, scripted
from tests.servers import ScriptedPrometheus

NAME = "checkout-1"


class Life:
    """One installation, its traffic, and the signal that ends every process of it."""

    def __init__(self, directory: Path, server: ScriptedPrometheus, number: int) -> None:
        self.server = server
        self.traffic = Traffic()
        self.site = Installation(directory, server.url)
        self.number = number
        server.always(self.traffic)

    def ends(self, daemon: Daemon) -> None:
        """Signal it: SIGTERM ends with 0 and a last line, SIGKILL does not ask."""
        status = daemon.end(self.number)
        assert status == (0 if self.number == signal.SIGTERM else -signal.SIGKILL), daemon.text[-2000:]
        if self.number == signal.SIGTERM:
            assert daemon.lines[-1]["event"] == "stopped"
        assert "Traceback" not in daemon.text

    def until(self, found: Callable[[], object], daemon: Daemon) -> None:
        wait_for(lambda: found() or None, 20, lambda: daemon.text[-3000:])


def opens(daemon: Daemon, file: Path) -> bool:
    """Whether the process has this file open."""
    files = Path(f"/proc/{daemon.process.pid}/fd")
    try:
        return str(file) in {os.path.realpath(handle) for handle in files.iterdir()}
    except FileNotFoundError:
        return False


def while_starting(life: Life) -> None:
    daemon = life.site.daemon()
    life.until(lambda: opens(daemon, life.site.ledger_file), daemon)
    life.ends(daemon)


def while_ticking(life: Life) -> None:
    with life.site.daemon() as daemon:
        life.site.until(NAME, lambda status: status.get("exposure", {}).get("actual") == 40)
        life.traffic.fault = scripted.hang()
        before = len(life.server.asked)
        life.until(lambda: len(life.server.asked) > before, daemon)
        life.ends(daemon)
    life.traffic.fault = None


def while_catching_up(life: Life) -> None:
    """What was missed is asked for as ranges; they do not come."""

    healthy = Traffic()

    def slow(asked: Asked) -> Reply:
        return scripted.hang()(asked) if asked.is_range else healthy(asked)

    life.traffic.fault = slow
    before = len(life.server.asked)
    with life.site.daemon() as daemon:
        life.until(lambda: any(asked.is_range for asked in life.server.asked[before:]), daemon)
        life.ends(daemon)
    life.traffic.fault = None


def while_writing_the_report(life: Life) -> None:
    """As soon as the first form is there; the other two follow, now or after the restart."""
    reports = life.site.directory / "reports"
    with life.site.daemon() as daemon:
        life.until((reports / f"{NAME}.interim.json").exists, daemon)
        life.ends(daemon)


def while_taking_back(life: Life) -> None:
    """The flag cannot be written, so the rollback is still going on."""
    folder = life.site.flag_file.parent
    away = folder.with_name("away")
    with life.site.daemon() as daemon:
        wait_for(
            lambda: (life.site.directory / "reports" / f"{NAME}.interim.html").exists() or None,
            15,
            lambda: daemon.text[-2000:],
        )
        folder.rename(away)
        folder.write_text("a file where the directory was")
        life.traffic.bad = 1000
        life.site.until(NAME, lambda status: status["phase"] == "rolling_back")
        life.ends(daemon)
    folder.unlink()
    away.rename(folder)
    assert life.site.serves == 40


def while_stopping(life: Life) -> None:
    """It has been told to stop and waits for its tick, and the signal comes on top."""
    with life.site.daemon() as daemon:
        life.site.until(NAME, lambda status: status["phase"] == "rolled_back", within=20)
        daemon.process.terminate()
        life.ends(daemon)


STAGES = (
    while_starting,
    while_ticking,
    while_catching_up,
    while_writing_the_report,
    while_taking_back,
    while_stopping,
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_signal_in_each_stage_of_a_rollout_loses_nothing(
    tmp_path: Path, scripted_prometheus: ScriptedPrometheus, number: int
) -> None:
    life = Life(tmp_path, scripted_prometheus, number)
    life.site.rollout(
        NAME,
        auto_start="true",
        ramp="{steps: [{percent: 40, for: 1h}, {percent: 100}]}",
        window="{slices: 1, slice: 2s, max_gap: 60s}",
    )
    for stage in STAGES:
        stage(life)
    ledger = life.site.ledger()
    stored = ledger.rollout(NAME)
    assert stored is not None
    with ledger.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    slots = [e.at for _, e in ledger.evaluations(stored.id, "error_rate", 0, 2**40)]
    assert slots == list(range(slots[0], (stored.last_slot or 0) + 1)), "no slot is lost"
    kinds = [one.kind for one in ledger.transitions(stored.id)]
    for once in ("start", "step", "interim", "rollback", "rolled_back"):
        assert kinds.count(once) == 1, kinds
    frozen = {report.format: report for report in ledger.reports(stored.id) if report.kind == "interim"}
    ledger.close()
    assert set(frozen) == {"json", "md", "html"}
    for form, report in frozen.items():
        assert hashlib.sha256(Path(report.path).read_bytes()).hexdigest() == report.sha256, form
    assert life.site.serves == 0
