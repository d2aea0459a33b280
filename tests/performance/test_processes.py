"""What a process takes: processor time until its first tick, memory and ledger over five hundred ticks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.proc import cpu_seconds
from tests.performance.limits import Limit
from tests.processes import Installation, Traffic
from tests.servers import ScriptedPrometheus

Limits = dict[str, Limit]
LIBRARIES = "apscheduler.schedulers.background, prometheus_api_client, pydantic_settings, sqlalchemy, structlog, typer"
"""What the daemon cannot start without."""
CPU = f"import {LIBRARIES}, time; print(time.process_time())"


@pytest.mark.timing
def test_a_start_takes_little_more_than_loading_its_libraries(
    limits: Limits, tmp_path: Path, scripted_prometheus: ScriptedPrometheus
) -> None:
    scripted_prometheus.always(Traffic())
    site = Installation(tmp_path, scripted_prometheus.url)
    site.rollout(auto_start="true")
    ours, bare = [], []
    for _ in range(3):
        with site.daemon() as daemon:
            daemon.said("tick")
            ours.append(cpu_seconds(daemon.process.pid))
            assert daemon.end() == 0
        loaded = subprocess.run([sys.executable, "-c", CPU], capture_output=True, text=True, timeout=30, check=True)
        bare.append(float(loaded.stdout))
    limits["start"].judge(min(ours) / min(bare), f"{min(ours):.2f} s against {min(bare):.2f} s of processor time")


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """What five hundred ticks leave behind, after as many that fill the caches."""
    command = [sys.executable, "-m", "tests.performance.ticking", "500", "500", str(tmp_path_factory.mktemp("ticking"))]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=50, check=True, cwd=Path(__file__).parents[2]
    )
    return dict(json.loads(done.stdout))


def test_memory_does_not_grow_with_ticks(limits: Limits, left: dict[str, int]) -> None:
    grown = 100 * (left["memory"] / left["warm"] - 1)
    limits["memory_growth"].judge(grown, f"{left['warm'] / 1e6:.1f} MB, then {left['memory'] / 1e6:.1f}")


def test_the_ledger_grows_by_so_much_a_tick(limits: Limits, left: dict[str, int]) -> None:
    limits["ledger_growth"].judge(left["ledger"] / 500)
