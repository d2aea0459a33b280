"""Leases on a real PostgreSQL: one holder at a time, by its clock; who has lost one records nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from tests.ledgers import NOON, added, passed
from tests.postgresserver import Postgres
from watchdog.errors import LedgerConflict
from watchdog.ledger import DAEMON, Fence, Ledger, Record, Vacant, open_ledger
from watchdog.model import Phase


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


def expire(ledger: Ledger, rollout: int) -> None:
    """Let the lease have ended a moment ago, by the database's clock."""
    with ledger.writing() as connection:
        connection.execute(text("UPDATE leases SET expires_at = since - 0.001 WHERE rollout = :id"), {"id": rollout})


def test_a_lease_is_one_process_s_until_it_has_expired(ledger: Ledger) -> None:
    stored = added(ledger)
    assert ledger.vacant() == [Vacant(DAEMON, None, ordered=False), Vacant(stored.id, None, ordered=False)]
    assert ledger.take_lease(stored.id, "a", 3600) == 1
    assert ledger.take_lease(stored.id, "b", 3600) is None
    assert ledger.take_lease(stored.id, "a", 3600) is None
    assert ledger.leader(stored.id) == "a"
    assert [one.rollout for one in ledger.vacant()] == [DAEMON]
    expire(ledger, stored.id)
    assert ledger.leader(stored.id) is None
    assert ledger.vacant()[1:] == [Vacant(stored.id, "a", ordered=False)]
    assert ledger.take_lease(stored.id, "b", 3600, patience=1800) is None
    assert ledger.take_lease(stored.id, "b", 3600) == 2
    assert ledger.leader(stored.id) == "b"


def test_a_holder_keeps_what_nobody_has_taken_even_late(ledger: Ledger) -> None:
    ids = [added(ledger).id]
    ledger.take_lease(ids[0], "a", 3600)
    expire(ledger, ids[0])
    assert ledger.keep_leases("a", ids) == {ids[0]: 1}
    assert ledger.leader(ids[0]) == "a"
    expire(ledger, ids[0])
    ledger.take_lease(ids[0], "b", 3600)
    assert ledger.keep_leases("a", ids) == {}


def test_given_back_a_lease_is_free_at_once_and_ended_nobody_need_take_it(ledger: Ledger) -> None:
    stored = added(ledger)
    ledger.take_lease(stored.id, "a", 3600)
    ledger.release_leases("b", [stored.id], ended=False)
    assert ledger.leader(stored.id) == "a"
    ledger.release_leases("a", [stored.id], ended=False)
    assert ledger.vacant()[1:] == [Vacant(stored.id, "a", ordered=False)]
    ledger.take_lease(stored.id, "b", 3600)
    ledger.release_leases("b", [stored.id], ended=True)
    assert [one.rollout for one in ledger.vacant()] == [DAEMON]
    ledger.add_command(stored.name, "rollback", "ada", "it is late", NOON)
    assert ledger.vacant()[1:] == [Vacant(stored.id, "", ordered=True)]
    assert ledger.take_lease(stored.id, "c", 3600) == 3


def test_who_has_lost_its_lease_records_nothing(ledger: Ledger, url: str) -> None:
    stored = added(ledger)
    other = open_ledger(url)
    token = ledger.take_lease(stored.id, "a", 3600)
    assert token is not None
    first = Record(stored.id, 0, phase=Phase.RAMPING, evaluations=[("error_rate", passed(NOON))])
    mine = Fence("a", token)
    assert ledger.record(Record(stored.id, 0, phase=Phase.RAMPING, fence=mine)) == 1
    expire(ledger, stored.id)
    late = Record(stored.id, 1, evaluations=first.evaluations, fence=mine)
    with pytest.raises(LedgerConflict, match=r"a has lost the lease \(token 1\) .*: it expired 0\.\d s ago"):
        ledger.record(late)
    assert other.take_lease(stored.id, "b", 3600) == 2
    with pytest.raises(LedgerConflict, match=r"it is b's, token 2; nothing of this was kept"):
        ledger.record(late)
    assert ledger.evaluations(stored.id, None, 0, NOON) == []
    assert other.record(Record(stored.id, 1, evaluations=first.evaluations, fence=Fence("b", 2))) == 2
    with pytest.raises(LedgerConflict, match="nobody holds it"):
        other.record(Record(added_another(other), 0, fence=Fence("b", 2)))
    other.close()


def added_another(ledger: Ledger) -> int:
    from tests.ledgers import a_rollout  # noqa: PLC0415

    return added(ledger, a_rollout("another")).id
