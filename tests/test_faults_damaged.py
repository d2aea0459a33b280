"""One damaged row in the ledger: its rollout is held back, and everybody else goes on."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Installation, Traffic
from tests.servers import ScriptedPrometheus

NAME, OTHER = "checkout-1", "search-1"


@pytest.fixture
def site(tmp_path: Path, scripted_prometheus: ScriptedPrometheus) -> Installation:
    """Two rollouts, both told to start."""
    scripted_prometheus.always(Traffic())
    site = Installation(tmp_path, scripted_prometheus.url)
    flags: dict[str, Any] = json.loads(site.flag_file.read_text())
    (entry,) = flags["flags"].values()
    site.flag_file.write_text(json.dumps({"flags": {f"{name}-flag": entry for name in (NAME, OTHER)}}))
    for name in (NAME, OTHER):
        path = site.rollout(name, flag=f"{name}-flag", ramp="{strategy: percentage, to: 25}")
        assert site.run("start", str(path), "--by", "ada").status == 0
    return site


def damage(site: Installation, table: str, column: str, text: str) -> None:
    with closing(sqlite3.connect(site.ledger_file)) as connection, connection:
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = 1", (text,))  # noqa: S608 - our own names


def test_a_rollout_whose_rule_is_damaged_is_held_back_alone(site: Installation) -> None:
    before = json.loads(site.flag_file.read_text())["flags"][f"{NAME}-flag"]
    damage(site, "rollouts", "resolved", '{"a')
    with site.daemon() as daemon:
        said = daemon.said("rollout held back")
        assert said["rollout"] == NAME
        assert said["why"].startswith(f"rollout {NAME}: resolved rule: is not JSON (")
        assert "put a backup of the ledger in its place" in said["why"]
        site.until(OTHER, lambda status: status["exposure"]["actual"] == 25)
        shown = site.run("status", "--json")
        assert [one["rollout"] for one in json.loads(shown.out)] == [OTHER]
        assert shown.status == 2
        assert f"rollout {NAME}: resolved rule" in shown.err
        assert daemon.get("/readyz").status_code == 200
        assert daemon.get("/").status_code == 200, "the page shows the others"
        assert daemon.end() == 0
        assert "Traceback" not in daemon.text
    assert json.loads(site.flag_file.read_text())["flags"][f"{NAME}-flag"] == before, "its flag stays as it is"


def test_a_state_that_is_no_json_is_a_sentence_that_names_its_rollout(site: Installation) -> None:
    damage(site, "heads", "control", "{")
    done = site.run("run")
    assert done.status == 2
    (line,) = [line for line in done.err.splitlines() if not line.startswith("{")]
    assert line.startswith(f"slo-watchdog: rollout {NAME}: its row in the ledger is damaged (")
    assert "put a backup of the ledger in its place" in line
