"""Emergency flags end to end: the real daemon, the real commands, the real shop, and files between them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demoshop import Emergencies, Running, within
from tests.processes import EVENTS, FLAG, Daemon, Installation, Status, Traffic, wait_for
from tests.servers import ScriptedPrometheus
from watchdog.flags.base import Change
from watchdog.flags.flagd_file import FlagdFile
from watchdog.model import EMERGENCY_FLAGS, Exposure

NAME = "checkout-1"
GUARDED = EVENTS + "    on_breach: page\n    emergency: ops.read-only\n"
SLOWLY = "{strategy: progressive, from: 0, to: 100, over: 200s, every: 2s}"


@pytest.fixture
def traffic(scripted_prometheus: ScriptedPrometheus) -> Traffic:
    """A healthy service, until the test says otherwise."""
    traffic = Traffic()
    scripted_prometheus.always(traffic)
    return traffic


@pytest.fixture
def site(tmp_path: Path, scripted_prometheus: ScriptedPrometheus, traffic: Traffic) -> Installation:
    made = Installation(
        tmp_path, scripted_prometheus.url, services="{search: {service: flagd-file, path: search.json, timeout: 1s}}"
    )
    made.rollout(NAME, auto_start="true", ramp=SLOWLY, also="[search]")
    Emergencies(ops(made)).prepare()
    return made


@pytest.fixture
def daemon(site: Installation) -> Iterator[Daemon]:
    with site.daemon() as running:
        yield running


def ops(site: Installation) -> Path:
    return site.flag_file.with_name("ops.flagd.json")


def switch(site: Installation, flag: str, state: str, why: str = "a test") -> None:
    done = site.run("flags", "emergency", flag, state, "--reason", why, "--by", "ada")
    assert done.status == 0, done.err


def default_of(path: Path, flag: str) -> str:
    return str(json.loads(path.read_text())["flags"][flag]["defaultVariant"])


def exposed(status: Status) -> bool:
    return bool(status.get("exposure", {}).get("desired", 0) > 0)


def test_a_shutdown_takes_a_running_rollout_back_and_keeps_trying_its_flag_of_another_service(
    site: Installation, daemon: Daemon
) -> None:
    """The other service is away at first: that delays nothing, and its kill is tried until it is back."""
    site.until(NAME, exposed)
    switch(site, "ops.shutdown", "on", "the payment provider is down")
    status = site.until(NAME, lambda found: found["phase"] == "rolled_back")
    assert site.serves == 0
    assert status["rollback"]["confirmed_at"] is not None
    (why,) = site.history(NAME, "rollback")
    assert "rolled back by ops.shutdown: ops.shutdown is on (by ada: the payment provider is down)" in why
    search = site.directory / "search.json"
    status = site.until(NAME, lambda found: found["also"][0]["error"])
    assert str(search) in status["also"][0]["error"]
    service = FlagdFile(search)
    service.init([FLAG], "ada")
    service.set(FLAG, Change(Exposure(100.0), (), "ada", "it is back"))
    assert default_of(search, FLAG) == "on"
    wait_for(lambda: site.history(NAME, "deed_done") or None, 10, lambda: f"still {daemon.text[-2000:]}")
    assert default_of(search, FLAG) == "off"
    assert len(site.history(NAME, "rollback")) == 1


def test_read_only_holds_until_it_is_off_and_a_person_resumes(site: Installation, daemon: Daemon) -> None:
    site.until(NAME, exposed)
    switch(site, "ops.read-only", "on", "a migration")
    held = site.until(NAME, lambda found: found["hold"] is not None)
    assert held["hold"]["cause"] == "emergency"
    assert held["hold"]["by"] == "ada"
    assert "ops.read-only is on" in held["hold"]["why"]
    at = held["exposure"]["desired"]
    assert site.run("resume", NAME, "--reason", "it looks fine").status == 0
    (refused,) = wait_for(lambda: site.history(NAME, "refused") or None, 10, lambda: "the resume was not answered")
    assert "ops.read-only is on" in refused
    switch(site, "ops.read-only", "off", "it is through")
    assert site.run("resume", NAME, "--reason", "it is through").status == 0
    resumed = site.until(NAME, lambda found: found["hold"] is None and found["exposure"]["desired"] > at)
    assert resumed["phase"] == "ramping"
    assert len(site.history(NAME, "resume")) == 1
    assert daemon.end() == 0


def test_nothing_starts_during_maintenance_and_it_starts_by_itself_afterwards(site: Installation) -> None:
    switch(site, "ops.maintenance", "on", "a new disk")
    with site.daemon():
        waiting = site.until(NAME, lambda found: found.get("waiting"))
        assert waiting["phase"] == "pending"
        assert waiting["waiting"] == ["ops.maintenance is on (by ada: a new disk)"]
        switch(site, "ops.maintenance", "off")
        site.until(NAME, exposed)


def test_a_set_that_cannot_be_read_stops_the_ramp_and_nothing_else(site: Installation, daemon: Daemon) -> None:
    site.until(NAME, exposed)
    sound = ops(site).read_text()
    ops(site).write_text('{"flags": ')
    waiting = site.until(NAME, lambda found: found["waiting"])
    assert (waiting["phase"], waiting["hold"]) == ("ramping", None)
    assert "the emergency flags cannot be read" in waiting["waiting"][0]
    ops(site).write_text(sound)
    at = waiting["exposure"]["desired"]
    site.until(NAME, lambda found: found["exposure"]["desired"] > at and not found["waiting"])
    assert daemon.end() == 0


def test_the_shop_obeys_the_command_and_the_breach_which_holds_the_ramp_too(
    site: Installation, traffic: Traffic
) -> None:
    site.rollout(NAME, GUARDED, auto_start="true", ramp=SLOWLY)
    shop = Running(site.flag_file, ops(site))
    try:
        with site.daemon():
            assert shop.ask("POST", "/order")[0] == 201
            switch(site, "ops.maintenance", "on", "a new disk")
            assert within(2, lambda: shop.ask("GET", "/checkout")[0] == 503)
            assert "a new disk" in shop.ask("GET", "/checkout")[2]
            switch(site, "ops.maintenance", "off")
            assert within(2, lambda: shop.ask("GET", "/checkout")[0] == 200)
            if site.status(NAME)["hold"] is not None:  # it had started before the maintenance
                site.run("resume", NAME, "--reason", "the disk is in")
            site.until(NAME, lambda found: exposed(found) and found["hold"] is None)
            traffic.bad = 200.0
            assert within(20, lambda: shop.ask("POST", "/order")[0] == 423)
            assert f"{NAME}: error_rate breached" in shop.ask("POST", "/order")[2]
            assert shop.ask("GET", "/orders")[0] == 200
            held = site.until(NAME, lambda found: found["hold"] is not None)
            assert held["hold"]["cause"] == "emergency"
            assert "ops.read-only is on (by slo-watchdog" in held["hold"]["why"]
            (done,) = wait_for(lambda: site.history(NAME, "deed_done") or None, 10, lambda: "it was not told")
            assert "emergency flag ops.read-only is on" in done
            assert [default_of(ops(site), flag) for flag in EMERGENCY_FLAGS] == ["off", "on", "off"]
    finally:
        shop.end()
