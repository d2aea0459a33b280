"""A process that gets no more memory: it may fail to do much, but a rollback it still carries out."""

from __future__ import annotations

import re
import resource
from pathlib import Path

from tests.processes import Installation, Traffic, wait_for
from tests.servers import ScriptedPrometheus

NAME = "checkout-1"


def test_without_memory_for_more_a_rollback_is_still_carried_out(
    tmp_path: Path, scripted_prometheus: ScriptedPrometheus
) -> None:
    """Its address space may not grow: no new thread, no new buffer of any size."""
    traffic = Traffic()
    scripted_prometheus.always(traffic)
    site = Installation(tmp_path, scripted_prometheus.url)
    site.rollout(NAME, auto_start="true", ramp="{steps: [{percent: 40, for: 1h}, {percent: 100}]}")
    with site.daemon() as daemon:
        site.until(NAME, lambda status: status.get("exposure", {}).get("actual") == 40)
        found = re.search(r"VmSize:\s+(\d+) kB", Path(f"/proc/{daemon.process.pid}/status").read_text())
        assert found is not None
        limit = int(found.group(1)) * 1024
        resource.prlimit(daemon.process.pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        traffic.bad = 900
        wait_for(lambda: site.serves == 0 or None, 30, lambda: daemon.text[-3000:])
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_AS, unlimited)
        site.until(NAME, lambda status: status["phase"] == "rolled_back", within=30)
        assert daemon.end() == 0
    ledger = site.ledger()
    with ledger.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    ledger.close()
