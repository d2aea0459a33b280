"""Seals, verification, export and pruning of a ledger on a real PostgreSQL, with many writers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ledgers import NOON, a_rollout
from tests.postgresserver import Postgres
from tests.processes import Installation
from tests.sealing import NAME, ended, found_after, lived, tick
from watchdog.errors import LedgerConflict
from watchdog.ledger import Fence, Ledger, Record, open_ledger, tables
from watchdog.ledger.export import export, verify_export
from watchdog.ledger.found import OVERLAP, seal_found
from watchdog.ledger.prune import prunable, prune
from watchdog.ledger.seals import OWN
from watchdog.ledger.space import give_back
from watchdog.ledger.verify import verify
from watchdog.model import Phase

DAY = 86_400


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as started:
        yield started


@pytest.fixture
def url(server: Postgres) -> str:
    return server.url(server.database())


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    opened = open_ledger(url)
    yield opened
    opened.close()


def wrong(ledger: Ledger) -> list[str]:
    return [f"{one.rollout}: {one.what}" for one in verify(ledger, {}).wrong]


def test_the_same_history_has_the_same_lines_on_both_databases_and_tampering_is_named(
    ledger: Ledger, tmp_path: Path
) -> None:
    lived(ledger)
    file = open_ledger(f"sqlite:///{tmp_path / 'watchdog.db'}")
    lived(file)
    assert wrong(ledger) == []

    def facts(of: Ledger) -> list[tuple[str, dict[str, object]]]:
        return [found for found in of.rows_of(1) if found[0] != "seals"]

    assert facts(ledger) == facts(file)
    tags = [[row["tags"] for table, row in of.rows_of(1) if table == "seals"] for of in (ledger, file)]
    assert tags[0] == tags[1], "byte for byte what is hashed"
    file.close()
    for statement, says in (
        ("UPDATE evaluations SET bad = bad + 1 WHERE objective = 1 AND at = 1700049630", "evaluations of error_rate"),
        ("UPDATE readings SET latch = 'x' WHERE id = 2", "readings row 2 was edited"),
        ("DELETE FROM steps WHERE objective = 1", "a row of steps is missing"),
        ("DELETE FROM breaches WHERE at = 1700051600", "a row of breaches is missing"),
        ("INSERT INTO exposures SELECT 99, 1, 1, 2, 3, 'desired', NULL, 5", "exposures row 99 was added later"),
        ("UPDATE transitions SET id = 99 WHERE id = 1", "transitions row"),
        ("UPDATE slices SET seal = seal + 1 WHERE revision = 0", "slices"),
        ("UPDATE seals SET at = at + 1 WHERE rollout = 1 AND number = 3", "seal 3"),
        ("DELETE FROM seals WHERE rollout = 1 AND number = 5", "seal 5 of this rollout cannot be found"),
        ("UPDATE commands SET outcome = 'refused' WHERE id = 1", "the seals say held"),
    ):
        found = found_after(ledger, statement)
        assert list(found) == [1], statement
        assert says in found[1][0], found


def test_writers_at_once_leave_one_chain_for_each_rollout(ledger: Ledger, url: str) -> None:
    """Two processes: one ticks, the other one's people, drills and preflights write to the same histories."""
    other, errors = open_ledger(url), list[BaseException]()
    first, second = lived(ledger), lived(ledger, a_rollout("cart-3", flag="new-cart"))

    def run(work: object, *given: object) -> None:
        assert callable(work)
        try:
            work(*given)
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    def ticks(stored: object, number: int) -> None:
        revision = first.revision if number == 0 else second.revision
        for place in range(10):
            revision = tick(ledger, first if number == 0 else second, 100 + place, revision)

    def orders(name: str) -> None:
        for place in range(10):
            other.add_command(name, "hold", "ada", f"{place}", NOON)

    crowd = [threading.Thread(target=run, args=(ticks, None, number)) for number in (0, 1)]
    crowd += [threading.Thread(target=run, args=(orders, name)) for name in (NAME, NAME, "cart-3")]
    for one in crowd:
        one.start()
    verified = [wrong(other) for _ in range(5)]
    for one in crowd:
        one.join(60)
    other.close()
    assert errors == []
    assert verified == [[]] * 5, "whoever looks meanwhile sees one state"
    assert wrong(ledger) == []


def test_what_is_refused_without_the_lease_is_not_sealed(ledger: Ledger) -> None:
    stored = lived(ledger)
    token = ledger.take_lease(stored.id, "a", 60.0)
    assert token is not None
    before = ledger.seal(stored.id)
    with pytest.raises(LedgerConflict, match="has lost the lease"):
        ledger.record(Record(stored.id, stored.revision, control={}, fence=Fence("b", token)))
    assert ledger.seal(stored.id) == before
    tick(ledger, stored, 100, stored.revision, fence=Fence("a", token))
    after = ledger.seal(stored.id)
    assert before is not None
    assert after is not None
    assert after.number == before.number + 1
    assert wrong(ledger) == []


def older(ledger: Ledger) -> None:
    """As the migration leaves an older ledger: every row has the first seal's number, and there is none."""
    with ledger.writing() as connection:
        connection.exec_driver_sql("DELETE FROM seals")
        for name in tables.FACTS.keys() - {"rollouts"}:
            connection.exec_driver_sql(f"UPDATE {name} SET seal = 1")  # noqa: S608


def test_several_that_upgrade_at_once_seal_what_they_find_once(ledger: Ledger, url: str) -> None:
    lived(ledger)
    older(ledger)
    crowd = [threading.Thread(target=lambda: open_ledger(url).close()) for _ in range(4)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join(60)
    found = verify(ledger, {})
    assert found.wrong == []
    assert [one.seals for one in found.chains] == [1, 1]


def test_what_replicas_of_the_older_version_record_until_they_are_replaced_is_sealed_as_found(
    ledger: Ledger, url: str
) -> None:
    """They know no seals: what they write names none, and what they change is told by none."""
    lived(ledger)
    older(ledger)
    open_ledger(url).close()
    at = NOON + 30 * 200
    written = (
        f"INSERT INTO evaluations VALUES (1, {at}, 0, 0, 0, NULL, 0.5, 1, 2, NULL, 0)",  # noqa: S608
        f"INSERT INTO transitions SELECT 98, 1, {at}, 'advanced', 'ramping', 'ramping', 'w', 'watchdog', NULL",
        "UPDATE breaches SET closed_at = 1700059600 WHERE closed_at IS NULL",
        "INSERT INTO rollouts VALUES (2, 'later-1', 's', '1', 'f', 'act', 't', 'ab', '{}', 'f.yaml', '0.1.0', 1.0)",
        "INSERT INTO heads VALUES (2, 0, 'pending', NULL, NULL, '{}')",
        "INSERT INTO objectives VALUES (2, 0, 'error_rate')",
    )
    with ledger.writing() as connection:
        for statement in written:
            connection.exec_driver_sql(statement)
    assert wrong(ledger) != []
    seal_found(ledger, time.time() + OVERLAP)
    assert wrong(ledger) != [], "a week later nothing is sealed as found any more"
    open_ledger(url).close()
    assert wrong(ledger) == []
    found = verify(ledger, {}).chains
    assert [(one.seals, one.found_at is not None) for one in found] == [(2, True), (2, True), (1, True)]
    before = ledger.seal(1)
    open_ledger(url).close()
    assert ledger.seal(1) == before, "once"
    tick(ledger, next(one for one in ledger.rollouts() if one.name == NAME), 300, 4)
    assert wrong(ledger) == []


def test_export_and_prune_work_there_as_well(ledger: Ledger, url: str, tmp_path: Path) -> None:
    stored = lived(ledger)
    ended(ledger, stored, Phase.STOPPED, NOON + DAY)
    export(ledger, {OWN: "", stored.id: NAME}, tmp_path / "a.jsonl.gz", now=1.0, engine="0.1.0")
    assert verify_export(tmp_path / "a.jsonl.gz", {}).wrong == []
    (one,) = prunable(ledger, NOON + 2 * DAY)
    made = prune(ledger, one, by="ada", why="retention", now=NOON + 400 * DAY)
    assert made.rows == one.rows > 0
    assert prunable(ledger, NOON + 2 * DAY) == []
    assert "autovacuum" in give_back(ledger).why_not
    site = Installation(tmp_path, "http://127.0.0.1:1", ledger=url)
    done = site.run("ledger", "verify", "--json")
    assert (done.status, done.data["findings"]) == (0, [])
    assert done.data["rollouts"][0]["pruned"] == 4
    assert site.run("ledger", "compact").status == 2
    assert replace(made, rows=0).sha256 == made.sha256
