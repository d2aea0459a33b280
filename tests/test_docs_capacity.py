"""docs/capacity.md: its formulas give what was measured, and its limits are those that are shipped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "capacity.md").read_text(encoding="utf-8")
MEASURED = {
    int(found[0]): tuple(float(cell.split()[0]) for cell in found[1:])
    for found in re.findall(
        r"^\| (\d+) \| ([\d.]+ MB) \| ([\d.]+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE, re.MULTILINE
    )
}


def calculated(resource: str) -> dict[int, float]:
    """A row of the formulas' table, by the number of rollouts."""
    (row,) = re.findall(rf"^\| {re.escape(resource)} \|.*$", PAGE, re.MULTILINE)
    cells = [cell.strip() for cell in row.strip("| ").split(" | ")[2:]]
    return dict(zip((1, 20, 60, 120, 200), (float(cell.split()[0]) for cell in cells), strict=True))


@pytest.mark.parametrize("rollouts", sorted(MEASURED))
def test_a_formula_gives_what_was_measured(rollouts: int) -> None:
    memory, cores, threads, queries, _ = MEASURED[rollouts]
    assert calculated("memory of the daemon")[rollouts] == pytest.approx(memory, rel=0.12)
    assert calculated("its cores")[rollouts] == pytest.approx(cores, abs=0.03 + cores / 5)
    assert calculated("its threads")[rollouts] == pytest.approx(threads, abs=5 + threads / 10)
    assert calculated("queries a second")[rollouts] == pytest.approx(queries, rel=0.05)


def test_the_coefficients_are_those_of_the_table() -> None:
    """Memory and processor time of one more rollout, as the formulas have them."""
    first, last = min(MEASURED), max(MEASURED)
    assert len(MEASURED) >= 3
    more = [(MEASURED[last][column] - MEASURED[first][column]) / (last - first) for column in (0, 1)]
    memory, cores = re.findall(r"`86 MB \+ ([\d.]+) MB x n`.*?`0\.008 \+ ([\d.]+) x n", PAGE, re.DOTALL)[0]
    assert float(memory) == pytest.approx(more[0], rel=0.2)
    assert float(cores) == pytest.approx(more[1], rel=0.2)


def test_what_is_said_of_the_ledger_is_what_the_figures_say() -> None:
    figures = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    (grown,) = re.findall(r"^\| ledger growth \| <= [^|]+ \| ([\d.]+ MB) a day \|$", figures, re.MULTILINE)
    assert f"| ledger growth | {grown} a day and rollout |" in PAGE


def test_the_limits_are_those_that_are_shipped() -> None:
    unit = (ROOT / "deploy" / "systemd" / "slo-watchdog.service").read_text(encoding="utf-8")
    shipped = dict(re.findall(r"^(TasksMax|MemoryHigh|MemoryMax)=(\w+)$", unit, re.MULTILINE))
    assert f"| systemd: `TasksMax` | {shipped['TasksMax']} |" in PAGE
    assert f"| {shipped['MemoryHigh']}, {shipped['MemoryMax']} |" in PAGE
    compose = (ROOT / "deploy" / "compose" / "compose.yaml").read_text(encoding="utf-8")
    (processes,) = set(re.findall(r"^ *pids_limit: (\d+)$", compose, re.MULTILINE))
    assert f"| compose: `pids_limit` | {processes} |" in PAGE
    container = ROOT / "deploy" / "kubernetes" / "components" / "container" / "container.yaml"
    (pod,) = yaml.safe_load(container.read_text(encoding="utf-8"))["spec"]["template"]["spec"]["containers"]
    asked, most = (pod["resources"][kind]["memory"].replace("Mi", " Mi") for kind in ("requests", "limits"))
    assert f"| {asked} requested, {most} at most |" in PAGE
