"""The daemon itself, on a full disk: the rollback happens, PagerDuty has it at once, and once only."""

from __future__ import annotations

import json
import resource
import signal
from pathlib import Path

import pytest

from tests.pagerdutyserver import KEY, PagerDutyServer
from tests.processes import Installation, Traffic, wait_for
from tests.servers import ScriptedPrometheus
from watchdog.journal import Journal

NAME = "checkout-1"
FULL = 4096 * 6
"""Bytes beyond which no file may grow, and the ledger has more."""


@pytest.mark.parametrize("killed", [False, True], ids=["it lives on", "it is killed before the disk is free again"])
def test_a_rollback_on_a_full_disk_pages_at_once_and_once(
    tmp_path: Path, scripted_prometheus: ScriptedPrometheus, *, killed: bool
) -> None:
    traffic = Traffic()
    scripted_prometheus.always(traffic)
    key = tmp_path / "pagerduty.key"
    key.write_text(KEY)
    with PagerDutyServer(KEY) as server:
        told = json.dumps({"pagerduty": {"routing_key_file": str(key), "url": server.url}})
        site = Installation(tmp_path, scripted_prometheus.url, notify=told)
        site.rollout(NAME, auto_start="true", ramp="{steps: [{percent: 40, for: 1h}, {percent: 100}]}")
        with site.daemon() as daemon:
            site.until(NAME, lambda status: status.get("exposure", {}).get("actual") == 40)
            resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (FULL, resource.RLIM_INFINITY))
            daemon.said("tick", why="not recorded")
            traffic.bad = 900
            wait_for(lambda: server.open or None, 20, lambda: daemon.text[-3000:])
            wait_for(lambda: site.serves == 0 or None, 20, lambda: daemon.text[-3000:])
            assert site.status(NAME)["phase"] == "ramping", "the ledger knows nothing yet"
            if killed:
                # The note comes after the flag. Killed in between, the next daemon asks again, and this Prometheus,
                # which remembers nothing, would tell it of another breach.
                journal = Journal(site.ledger_file.with_name(f"{site.ledger_file.name}.journal"))
                wait_for(lambda: any("page" in e for e in journal.entries()) or None, 20, lambda: daemon.text[-3000:])
                daemon.end(signal.SIGKILL)
            else:
                unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
                resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, unlimited)
                site.until(NAME, lambda status: status["phase"] == "rolled_back", within=20)
                wait_for(lambda: len(server.incidents[0].events) > 1 or None, 10, lambda: daemon.text[-3000:])
                daemon.end()
        if killed:
            with site.daemon() as daemon:
                site.until(NAME, lambda status: status["phase"] == "rolled_back", within=20)
                wait_for(lambda: len(server.incidents[0].events) > 1 or None, 10, lambda: daemon.text[-3000:])
                daemon.end()
        (incident,) = server.incidents
        keys = {event["payload"]["custom_details"]["message"] for event in incident.events}
        assert any(key.startswith(f"{NAME}:rollback:") for key in keys)
        assert len([key for key in keys if ":rollback:" in key]) == 1
        assert server.wakes == 1
