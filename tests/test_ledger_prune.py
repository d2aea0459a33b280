"""Retention: old measurements go, what was signed off stays, and the chain of what is left still holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.ledgers import NOON, a_rollout, ledger_at, rows
from tests.processes import Installation
from tests.sealing import NAME, ended, found_after, lived, tick
from watchdog.errors import LedgerError, Refused
from watchdog.ledger import Ledger
from watchdog.ledger.canon import SHAPES
from watchdog.ledger.prune import Prunable, prunable, prune
from watchdog.ledger.sealcheck import pruned_digest
from watchdog.ledger.seals import Lines, of_stream
from watchdog.ledger.space import give_back
from watchdog.ledger.verify import verify
from watchdog.model import Phase

DAY = 86_400
LATER = NOON + 500 * DAY
DENSE = [name for name, shape in SHAPES.items() if shape.dense]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """One rollout for each way to end, all of the same day, and one that goes on."""
    opened = ledger_at(tmp_path / "watchdog.db")
    for phase in (Phase.ROLLED_BACK, Phase.STOPPED, Phase.SIGNED_OFF):
        stored = lived(opened, a_rollout(f"{phase}-1", flag=str(phase)))
        ended(opened, stored, phase, NOON + DAY)
    lived(opened, a_rollout("goes-on-1", flag="goes-on"))
    yield opened
    opened.close()


def old(ledger: Ledger) -> list[Prunable]:
    return prunable(ledger, LATER - 400 * DAY)


def measurements(ledger: Ledger, rollout: int) -> int:
    with ledger.reading() as connection:
        asked = [f"SELECT count(*) FROM {name} WHERE rollout = {rollout}" for name in DENSE]  # noqa: S608
        return sum(connection.exec_driver_sql(one).scalar_one() for one in asked)


def digest_of(ledger: Ledger, rollout: int) -> str:
    """The digest of a rollout's measurements, as whoever exported them before can compute it."""
    digests, lines = [], Lines()
    for table, row in ledger.rows_of(rollout):
        if table == "seals":
            digests += [lines.dense] if lines.dense else []
            lines = Lines()
        elif (found := of_stream(table, row)) is not None:
            lines.add(*found)
    return pruned_digest(digests)


def test_only_what_was_taken_back_or_stopped_long_ago_is_pruned(ledger: Ledger) -> None:
    assert [one.name for one in old(ledger)] == ["rolled_back-1", "stopped-1"]
    assert prunable(ledger, NOON + DAY / 2) == [], "they ended later than that"
    assert [one.name for one in prunable(ledger, LATER, "stopped-1")] == ["stopped-1"]
    assert prunable(ledger, LATER, "signed_off-1") == []


def test_measurements_go_facts_stay_and_the_chain_holds(ledger: Ledger) -> None:
    first, kept = old(ledger)[0], {one: measurements(ledger, one) for one in (2, 3, 4)}
    told: list[tuple[int, int]] = []
    before = digest_of(ledger, first.id)
    facts = [found for found in ledger.rows_of(first.id) if found[0] in SHAPES and not SHAPES[found[0]].dense]
    made = prune(ledger, first, by="ada", why="retention", now=LATER, progress=lambda *so_far: told.append(so_far))
    assert (made.name, made.rows, made.sha256) == ("rolled_back-1", first.rows, before)
    assert told[-1] == (first.rows, first.rows)
    assert measurements(ledger, first.id) == 0
    assert {one: measurements(ledger, one) for one in kept} == kept, "nobody else's went"
    left = [found for found in ledger.rows_of(first.id) if found[0] in SHAPES]
    assert [found for found in left if found[0] != "prunings"] == facts
    (record,) = [row for table, row in left if table == "prunings"]
    assert (record["by"], record["why"], record["rows"], record["sha256"]) == ("ada", "retention", first.rows, before)
    found = verify(ledger, {})
    assert found.wrong == []
    assert [one.pruned for one in found.chains] == [0, 4, 0, 0, 0]
    assert [one.name for one in old(ledger)] == ["stopped-1"], "once is enough"


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("DELETE FROM prunings", "is missing"),
        ("UPDATE prunings SET by = 'bob'", "prunings row 1 was edited"),
        ("UPDATE seals SET dense = zeroblob(32) WHERE rollout = 1 AND number = 5", "seal 5"),
        ("UPDATE seals SET dense = NULL WHERE rollout = 1 AND dense IS NOT NULL", "is missing: seal 5"),
        ("UPDATE transitions SET why = 'x' WHERE id = 1", "transitions row 1 was edited"),
        (
            "INSERT INTO steps (rollout, at, objective, revision, silent, seal) VALUES (1, 7, 0, 0, 0, 5)",
            "has measurements that are not all of those which were pruned",
        ),
    ],
)
def test_what_is_left_cannot_be_tampered_with_either(ledger: Ledger, statement: str, says: str) -> None:
    prune(ledger, old(ledger)[0], by="ada", why="retention", now=LATER)
    found = found_after(ledger, statement)
    assert list(found) == [1]
    assert any(says in what for what in found[1]), found


def test_measurements_that_went_without_a_record_are_missed(ledger: Ledger) -> None:
    found = found_after(ledger, "DELETE FROM evaluations WHERE rollout = 3", chains=(3,))
    assert "a row of evaluations is missing" in found[3][0]
    forged = "UPDATE seals SET dense = zeroblob(32) WHERE rollout = 3 AND number = 5"
    gone = [f"DELETE FROM {name} WHERE rollout = 3 AND seal = 5" for name in DENSE]  # noqa: S608
    assert any("without a record" in what for what in found_after(ledger, forged, *gone, chains=(3,))[3])


def test_what_is_not_whole_is_not_thrown_away(ledger: Ledger) -> None:
    one = old(ledger)[0]
    with ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE evaluations SET bad = 0 WHERE rollout = 1")
    with pytest.raises(LedgerError, match=r"is not pruned, its history is not whole: evaluations .* was edited"):
        prune(ledger, one, by="ada", why="retention", now=LATER)
    assert measurements(ledger, one.id) == one.rows


def test_a_pruning_that_was_killed_verifies_and_goes_on(ledger: Ledger) -> None:
    """Ended before its record, and killed while rows go."""
    one = old(ledger)[0]

    class Killed(Exception):
        pass

    def dies(_gone: int, _of: int) -> None:
        raise Killed

    with pytest.raises(Refused, match="nothing of it was pruned"):
        prune(ledger, Prunable(one.id, one.name, Phase.STOPPED, one.ended_at, one.rows), by="ada", why="x", now=LATER)
    assert verify(ledger, {}).wrong == [], "digests are there, rows as well, no record"
    with pytest.raises(Killed):
        prune(ledger, one, by="ada", why="retention", now=LATER, progress=dies)
    assert 0 < measurements(ledger, one.id) < one.rows
    (first, *_) = [one.what for one in verify(ledger, {}).wrong]
    assert "a pruning was broken off and `ledger prune` goes on with it" in first
    (again,) = [left for left in old(ledger) if left.id == one.id]
    prune(ledger, again, by="ada", why="retention", now=LATER + 1)
    assert measurements(ledger, one.id) == 0
    assert verify(ledger, {}).wrong == []
    assert rows(ledger, "prunings") == 1, "who went on takes nothing more away than was recorded"


def test_the_space_is_given_back(tmp_path: Path) -> None:
    ledger = ledger_at(tmp_path / "watchdog.db")
    stored = lived(ledger)
    revision = stored.revision
    for number in range(100, 700):
        revision = tick(ledger, stored, number, revision)
    ended(ledger, next(one for one in ledger.rollouts() if one.id == stored.id), Phase.STOPPED, NOON + DAY)
    for one in old(ledger):
        prune(ledger, one, by="ada", why="retention", now=LATER)
    with closing(sqlite3.connect(tmp_path / "watchdog.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    before = (tmp_path / "watchdog.db").stat().st_size
    given = give_back(ledger)
    assert before - (tmp_path / "watchdog.db").stat().st_size > 150_000, "at once, while the ledger is in use"
    ledger.close()
    assert given.size > 150_000
    with closing(sqlite3.connect(tmp_path / "watchdog.db")) as connection:
        assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_commands_prune_and_compact_a_ledger_of_an_older_version(tmp_path: Path) -> None:
    site = Installation(tmp_path, "http://127.0.0.1:1")
    with closing(sqlite3.connect(site.ledger_file)) as older:
        older.execute("CREATE TABLE scratch (id)")
        older.execute("DROP TABLE scratch")
    ledger = ledger_at(site.ledger_file)
    stored = lived(ledger)
    revision = stored.revision
    for number in range(100, 300):
        revision = tick(ledger, stored, number, revision)
    ended(ledger, next(one for one in ledger.rollouts() if one.id == stored.id), Phase.STOPPED, NOON + DAY)
    refused = site.run("ledger", "compact")
    assert (refused.status, "is in use: stop slo-watchdog" in refused.err) == (2, True)
    ledger.close()
    dry = site.run("ledger", "prune", "--older-than", "400d", "--dry-run", "--json")
    assert [one["rollout"] for one in dry.data["rollouts"]] == [NAME]
    rows_there = dry.data["rollouts"][0]["rows"]
    assert site.run("ledger", "verify", "--json").data["rollouts"][0]["pruned"] == 0, "nothing was done"
    done = site.run("ledger", "prune", "--older-than", "400d", "--by", "ada", "--reason", "policy 12", "--json")
    assert done.status == 0, done.err
    assert done.data["rollouts"][0]["rows"] == rows_there
    assert "stop the daemon and run `ledger compact`" in done.data["given_back"]["why_not"]
    size = site.ledger_file.stat().st_size
    assert site.run("ledger", "compact").status == 0
    assert site.ledger_file.stat().st_size < size
    verified = site.run("ledger", "verify")
    assert verified.status == 0
    assert "measurements of 204 seals pruned" in verified.out
    assert "nothing to prune" in site.run("ledger", "prune", "--older-than", "400d").out
    assert site.run("ledger", "prune", "--older-than", "soon").status == 2
