"""What systemd hears: ready once it serves, alive while every rollout ticks, stopping at the end; and the unit file."""

from __future__ import annotations

import os
import re
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Installation, wait_for
from tests.servers import binary
from watchdog.config import load_settings
from watchdog.daemon import Daemon
from watchdog.supervision import Supervisor

UNIT = Path(__file__).parent.parent / "deploy" / "systemd" / "slo-watchdog.service"


class Manager:
    """The receiving end of a notification socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.setblocking(False)  # noqa: FBT003 - the standard library's own
        self.environ = {"NOTIFY_SOCKET": address}
        self.heard: list[str] = []

    def hear(self) -> list[str]:
        while True:
            try:
                self.heard.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return self.heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify") if request.param == "file" else f"@slo-watchdog-test-{os.getpid()}")
    yield made
    made.close()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_life_is_told_at_half_of_what_is_waited_for(manager: Manager) -> None:
    clock = Clock()
    supervisor = Supervisor({**manager.environ, "WATCHDOG_USEC": "10000000", "WATCHDOG_PID": str(os.getpid())}, clock)
    supervisor.ready("1 rollouts: checkout-1")
    for later in (1, 4.9, 5, 9.9, 10):
        clock.now = 100.0 + later
        supervisor.alive("1 rollouts:\ncheckout-1")
    supervisor.stopping()
    alive = "WATCHDOG=1\nSTATUS=1 rollouts: checkout-1"
    assert manager.hear() == ["READY=1\nSTATUS=1 rollouts: checkout-1", alive, alive, "STOPPING=1"]


@pytest.mark.parametrize(
    "more", [{}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"}], ids=str
)
def test_no_sign_of_life_where_nobody_waits_for_this_process(manager: Manager, more: dict[str, str]) -> None:
    supervisor = Supervisor({**manager.environ, **more})
    supervisor.ready("idle")
    supervisor.alive("idle")
    assert manager.hear() == ["READY=1\nSTATUS=idle"]


def test_without_a_manager_or_with_one_that_is_gone_nothing_happens(tmp_path: Path) -> None:
    for environ in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "10"}):
        supervisor = Supervisor(environ)
        supervisor.ready("idle")
        supervisor.alive("idle")
        supervisor.stopping()


def test_a_daemon_says_that_it_is_ready_works_and_stops(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    site = Installation(tmp_path, "http://127.0.0.1:1")
    site.rollout(auto_start="true")
    with site.daemon({**manager.environ, "WATCHDOG_USEC": "1000000"}).ready() as daemon:
        alive = "WATCHDOG=1\nSTATUS=1 rollouts: checkout-1"
        wait_for(lambda: manager.hear().count(alive) >= 2 or None, 20, lambda: f"{manager.heard} {daemon.text}")
        assert daemon.end() == 0
    heard = manager.hear()
    assert heard[0] == "READY=1\nSTATUS=1 rollouts: checkout-1"
    assert heard[-1] == "STOPPING=1"
    manager.close()


def test_a_daemon_whose_rollouts_do_not_tick_gives_no_sign_of_life(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    site = Installation(tmp_path, "http://127.0.0.1:1", tick_deadline="2s")
    site.rollout()
    clock = Clock()
    clock.now = time.time()
    supervisor = Supervisor({**manager.environ, "WATCHDOG_USEC": "2"})
    daemon = Daemon(load_settings(site.config), clock=clock, supervisor=supervisor)
    daemon.scan()
    daemon._look()
    assert manager.hear() == [], "it is not ready yet"
    supervisor.ready("1 rollouts: checkout-1")
    daemon._look()
    clock.now += 4.9  # three intervals of a second and the deadline of a tick are five
    daemon._look()
    clock.now += 0.2
    daemon._look()
    assert len(manager.hear()) == 3
    daemon.stop()
    manager.close()


def test_a_daemon_without_its_ledger_gives_signs_of_life_because_it_could_still_roll_back(tmp_path: Path) -> None:
    """Not started: the ticks are run by hand, each of them fails for the ledger, and only the clock moves."""
    manager = Manager(str(tmp_path / "notify"))
    site = Installation(tmp_path, "http://127.0.0.1:1", tick_deadline="2s")
    site.rollout()
    clock = Clock()
    clock.now = time.time()
    supervisor = Supervisor({**manager.environ, "WATCHDOG_USEC": "2"})
    daemon = Daemon(load_settings(site.config), clock=clock, supervisor=supervisor)
    daemon.scan()
    supervisor.ready("1 rollouts: checkout-1")
    connection = sqlite3.connect(site.ledger_file)
    connection.execute("ALTER TABLE rollouts RENAME TO elsewhere")
    connection.close()
    for _ in range(4):
        clock.now += 60.0
        daemon.jobs._run("checkout-1")
        daemon._look()
    assert daemon.jobs.late() is not None, "no tick has gone well for minutes"
    assert len(manager.hear()) == 5
    daemon.stop()
    manager.close()


# --- the unit file ----------------------------------------------------------------------------------------------------


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """With a program in place of the installed one: it must be there, and no more."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/slo-watchdog/bin/slo-watchdog", "/bin/true"))
    done = subprocess.run(
        [binary("systemd-analyze"), "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    about = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (done.returncode, about) == (0, []), done.stderr


def test_its_sandbox_is_as_tight_as_is_told() -> None:
    done = subprocess.run(
        [binary("systemd-analyze"), "security", "--offline=yes", "--no-pager", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    page = (UNIT.parents[2] / "docs" / "systemd.md").read_text(encoding="utf-8")
    assert f"exposure level of {found[1]}" in page


def test_systemd_waits_longer_for_the_stop_than_the_daemon_takes_at_most() -> None:
    from watchdog import daemon  # noqa: PLC0415 - its constant alone

    parts = 9
    waits = re.search(r"(?m)^TimeoutStopSec=(\d+)$", UNIT.read_text())
    assert waits is not None
    assert int(waits[1]) >= parts * daemon.STOP_WITHIN / 2
