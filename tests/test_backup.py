"""A ledger backed up while the daemon runs and put back after its disk was lost: the daemon misses nothing."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.ledgers import ledger_at
from tests.postgresserver import Postgres
from tests.processes import Installation, Traffic
from tests.servers import ScriptedPrometheus
from watchdog import migrations
from watchdog.account import Account
from watchdog.migrations import STEPS, Step
from watchdog.model import Verdict

NAME = "checkout-1"


@pytest.fixture
def site(tmp_path: Path, scripted_prometheus: ScriptedPrometheus) -> Installation:
    scripted_prometheus.always(Traffic())
    return Installation(tmp_path, scripted_prometheus.url)


def judged(path: Path) -> dict[int, Verdict]:
    """Every slot of the objective with its verdict, as a ledger file has it."""
    ledger = ledger_at(path)
    try:
        stored = ledger.rollout(NAME)
        assert stored is not None
        return {e.at: e.verdict for e in Account(ledger, stored).evaluations()["error_rate"]}
    finally:
        ledger.close()


def test_a_daemon_goes_on_from_a_backup_and_asks_for_what_is_missing_in_it(site: Installation, tmp_path: Path) -> None:
    """Backed up at 40 %, ramped on, killed, restored: the flag goes back to what the ledger says, then to the end."""
    ramp = "{steps: [{percent: 40, for: 6s}, {percent: 80, for: 3s}, {percent: 100}]}"
    site.rollout(NAME, auto_start="true", ramp=ramp, window="{slices: 2, slice: 2s, max_gap: 30s}")
    backup = tmp_path / "backups" / "first.db"
    backup.parent.mkdir()
    with site.daemon() as daemon:
        site.until(NAME, lambda status: status.get("exposure", {}).get("actual") == 40)
        done = site.run("ledger", "backup", str(backup), "--json")
        assert done.status == 0, done.err
        assert done.data["sha256"] == hashlib.sha256(backup.read_bytes()).hexdigest()
        assert [held["rollout"] for held in done.data["rollouts"]] == [NAME]
        assert backup.stat().st_mode & 0o777 == 0o600
        assert [path.name for path in backup.parent.iterdir()] == ["first.db"], "one file holds all of it"
        site.until(NAME, lambda status: status.get("exposure", {}).get("actual") >= 80)
        refused = site.run("ledger", "restore", str(backup))
        assert refused.status == 2
        assert "is in use: stop slo-watchdog" in refused.err
        assert site.status(NAME)["exposure"]["actual"] >= 80, "nothing was changed"
        daemon.kill()
    lost = judged(site.ledger_file)
    done = site.run("ledger", "restore", str(backup), "--by", "ada", "--json")
    assert done.status == 0, done.err
    assert site.status(NAME)["exposure"]["desired"] == 40
    kept = Path(done.data["kept"])
    assert judged(kept) == lost, "what was replaced is still whole"
    with site.daemon() as daemon:
        site.until(NAME, lambda status: status["phase"] == "signed_off", within=40)
        assert daemon.end() == 0
    (said,) = site.history(NAME, "restored")
    assert "first.db" in said
    assert "more than the desired 40%: it is set back" in site.history(NAME, "drift")[0]
    found = judged(site.ledger_file)
    assert lost.items() <= found.items(), "what the backup did not have was asked for again, with the same verdicts"
    assert list(found) == list(range(min(found), max(found) + 1)), "no slot is lost"
    assert site.serves == 100


def test_a_backup_is_never_written_over_and_of_nothing_there_is_none(site: Installation, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    done = site.run("ledger", "backup", str(target))
    assert (done.status, target.exists()) == (2, False)
    assert "there is none yet" in done.err
    assert site.run("status").status == 0
    assert site.run("ledger", "backup", str(target)).status == 0
    before = target.read_bytes()
    done = site.run("ledger", "backup", str(target))
    assert done.status == 2
    assert "is never written over; name a new file" in done.err
    assert target.read_bytes() == before
    done = site.run("ledger", "backup", str(tmp_path / "nowhere" / "copy.db"))
    assert done.status == 2
    assert "No such file or directory: see to the file, its directory" in done.err


def a_letter(path: Path) -> None:
    path.write_text("Dear aunt, " * 500)


def another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE customers (id)")


def torn(path: Path) -> None:
    ledger_at(path).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\x5a" * (len(whole) - 8192))


def newer(path: Path) -> None:
    ledger = ledger_at(path)
    steps = (*STEPS, Step("9999_tomorrow", lambda connection: None))
    migrations.migrate(ledger.reading, ledger.writing, steps, 0.0)
    ledger.close()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (None, "there is no such file"),
        (a_letter, "that is no ledger; name a file that `ledger backup` wrote"),
        (another_program, "is no ledger of slo-watchdog"),
        (torn, "damaged"),
        (newer, "schema steps that this program does not know (9999_tomorrow)"),
    ],
)
def test_what_is_no_sound_backup_replaces_nothing(site: Installation, tmp_path: Path, make: object, says: str) -> None:
    ledger_at(site.ledger_file).close()
    before = site.ledger_file.read_bytes()
    source = tmp_path / "source.db"
    if callable(make):
        make(source)
    done = site.run("ledger", "restore", str(source))
    assert done.status == 2
    (line,) = done.err.splitlines()
    assert str(source) in line
    assert says in line
    assert site.ledger_file.read_bytes() == before
    assert not list(tmp_path.glob("*.replaced-*"))
    assert not list(tmp_path.glob(".*.part"))


def test_a_damaged_ledger_is_replaced_and_kept(site: Installation, tmp_path: Path) -> None:
    """What a backup is for; a write-ahead log of the damaged one must not be read into the new one."""
    site.rollout(NAME)
    assert site.run("start", f"rollouts/{NAME}.yaml").status == 0
    backup = tmp_path / "good.db"
    assert site.run("ledger", "backup", str(backup)).status == 0
    site.ledger_file.write_bytes(b"\0" * 5000)
    beside = site.ledger_file.with_name("watchdog.db-wal")
    beside.write_bytes(b"whatever")
    assert site.run("status").status == 2
    done = site.run("ledger", "restore", str(backup), "--json")
    assert done.status == 0, done.err
    assert Path(done.data["kept"]).read_bytes() == b"\0" * 5000
    assert json.loads(site.run("status", "--json").out)[0]["rollout"] == NAME


def test_a_ledger_on_postgresql_is_left_to_its_own_tools_which_bring_it_back(tmp_path: Path) -> None:
    """As docs/backup.md says."""
    with Postgres() as server:
        name = server.database()
        address = f"postgresql://watchdog@127.0.0.1:{server.port}/{name}"
        site = Installation(tmp_path, "http://127.0.0.1:1", ledger=server.url(name))
        assert site.run("start", str(site.rollout(NAME)), "--by", "ada").status == 0
        done = site.run("ledger", "backup", str(tmp_path / "copy.db"))
        assert done.status == 2
        assert "pg_dump --format=custom" in done.err
        dump = str(tmp_path / "ledger.dump")
        for command in (
            ["pg_dump", "--format=custom", f"--file={dump}", address],
            ["psql", "--quiet", "--command=TRUNCATE rollouts CASCADE", address],
            ["pg_restore", "--clean", "--if-exists", "--single-transaction", f"--dbname={address}", dump],
        ):
            tool = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert tool.returncode == 0, tool.stderr
        assert [one["rollout"] for one in site.run("status", "--json").data] == [NAME]
