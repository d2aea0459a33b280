"""Two processes on one ledger: whoever has lost its lease records nothing and leaves the flag alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.postgresserver import Postgres
from tests.rollouts import NOON
from tests.stage import FLAG, MINUTE, LedgerDown, Stage
from watchdog.errors import LedgerConflict, LedgerError
from watchdog.flags.base import Change
from watchdog.flags.memory import InMemoryFlags
from watchdog.handover import Handover
from watchdog.lease.holding import Holding
from watchdog.lease.model import Grip
from watchdog.ledger import DAEMON, Fence, Ledger, Record, StoredRollout, open_ledger
from watchdog.model import FlagReading, Phase
from watchdog.tick import RolloutTick

LEASE = 3600.0
HALF = NOON + 12 * MINUTE
FULL = NOON + 22 * MINUTE


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as started:
        yield started


class Interrupted(InMemoryFlags):
    """Flags whose writer is stopped in the very moment in which it writes."""

    def __init__(self) -> None:
        super().__init__((FLAG,))
        self.before: Callable[[], None] | None = None

    def set(self, flag: str, change: Change) -> FlagReading:
        if (before := self.before) is not None:
            self.before = None
            before()
        return super().set(flag, change)


class Recorded(LedgerDown):
    """A ledger whose writer is stopped right after its record."""

    after: Callable[[], None] | None = None

    def record(self, record: Record) -> int:
        if self.down is not None:
            raise LedgerError("the ledger is down")
        revision = self.ledger.record(record)
        if record.exposures and (after := self.after) is not None:
            self.after = None
            after()
        return revision


class Process(Stage):
    """One process on the stage: a connection, a clock and a journal of its own. Its leases are looked after by hand."""

    def __init__(self, path: Path, url: str, flags: InMemoryFlags, **given: Any) -> None:
        path.mkdir(exist_ok=True)
        self._url = url
        self.local = 1000.0
        self.holding: Holding | None = None
        self.lost: list[str] = []
        super().__init__(path, flags=flags, **given)
        self.front = Recorded(self.ledger)
        self.enlist()

    @property
    def url(self) -> str:
        return self._url

    def enlist(self, name: str = "") -> None:
        """Stand by, as a new process does."""
        self.holding = Holding(
            self.front,  # type: ignore[arg-type]
            LEASE,
            begin=self.begin,
            end=self.lost.append,
            clock=lambda: self.local,
            holder=name or self.path.name,
        )

    def begin(self, stored: StoredRollout, fence: Fence, grip: Callable[[], Grip], ordered: bool) -> bool:  # noqa: FBT001
        self.start_up(ledger=self.front)
        self.ticker.lead(fence, grip)
        return True

    def look(self) -> None:
        assert self.holding is not None
        self.holding.look()

    def asked_for(self) -> list[float]:
        """Every exposure that was recorded as asked for."""
        facts = self.ledger.exposures(self.stored.id)
        return [fact.exposure.percent for fact in facts if fact.kind == "desired"]

    def led(self) -> bool:
        assert self.holding is not None
        return self.rule.name in self.holding.held


@pytest.fixture
def two(tmp_path: Path, server: Postgres) -> Iterator[tuple[Process, Process]]:
    """`a` leads, at 50 %; `b` stands by."""
    url, flags = server.url(server.database()), Interrupted()
    a = Process(tmp_path / "a", url, flags)
    b = Process(tmp_path / "b", url, flags, started=False)
    b.clock, b.service = a.clock, a.service
    a.look()
    b.look()
    assert (a.led(), b.led()) == (True, False)
    a.run(HALF)
    assert a.percent == 50.0
    yield a, b
    for process in (a, b):
        process.close()


def expire(ledger: Ledger) -> None:
    """Let all leases have ended long ago, by the database's clock."""
    with ledger.writing() as connection:
        connection.execute(text("UPDATE leases SET expires_at = 1"))


def overtake(a: Process, b: Process) -> None:
    """`a` is stopped past its lease, and `b` takes it."""
    expire(b.ledger)
    b.look()
    assert b.led()


def writes(process: Process) -> int:
    return len(process.flags.writes)


def test_a_stale_leader_records_nothing_writes_nothing_and_forgets(two: tuple[Process, Process]) -> None:
    a, b = two
    overtake(a, b)
    before, revision = writes(a), a.stored.revision
    a.clock.now = FULL
    with pytest.raises(LedgerConflict, match="has lost the lease"):
        a.ticker.tick(FULL)
    assert (writes(a), a.stored.revision, a.ticker.memory) == (before, revision, None)
    b.run(FULL)
    assert (b.percent, b.asked_for()) == (100.0, [50.0, 100.0])
    a.look()
    a.local += LEASE
    a.look()
    assert a.lost == [a.rule.name]
    with pytest.raises(LedgerConflict, match="the lease is over"):
        a.ticker.tick(FULL)


def test_stopped_between_record_and_flag_a_leader_leaves_the_flag_to_its_successor(
    two: tuple[Process, Process],
) -> None:
    a, b = two

    def stop() -> None:
        a.local += LEASE
        overtake(a, b)
        b.tick()
        b.turned_to(70.0)  # a person, say: whatever the flag reads now, it is not the stale leader's to change

    a.front.after = stop
    before = writes(a)
    with pytest.raises(LedgerConflict):
        a.run(FULL)
    assert [write.verb for write in a.flags.writes[before:]] == ["set", "person"], "b's write of the step, no other"
    assert b.percent == 70.0


def test_stopped_between_look_and_flag_a_leader_loses_against_the_flag_s_version(
    two: tuple[Process, Process],
) -> None:
    a, b = two

    def stop() -> None:
        overtake(a, b)
        b.tick()
        b.service.fails(b.clock.now)
        b.run(b.clock.now + 10 * MINUTE)
        assert b.percent == 0.0

    flags = a.flags
    assert isinstance(flags, Interrupted)
    flags.before = stop
    a.clock.now = FULL
    a.ticker.tick(FULL)
    assert a.percent == 0.0, "the step was recorded, and taken back by the successor before it was written"
    assert b.phase is Phase.ROLLED_BACK
    assert a.ticker.memory is None


def test_cut_off_from_the_ledger_the_last_holder_rolls_back_and_does_nothing_else(
    two: tuple[Process, Process],
) -> None:
    a, b = two
    a.front.down = "all"
    a.local += LEASE
    a.look()
    overtake(a, b)
    b.run(FULL)
    assert b.percent == 100.0
    before = writes(a)
    a.run(FULL + 3 * MINUTE)
    assert writes(a) == before, "what reads higher is the successor's step; and nothing is raised"
    a.local += 1
    a.look()
    a.service.fails(FULL + 3 * MINUTE)
    a.run(FULL + 12 * MINUTE)
    assert a.percent == 0.0
    assert [entry["rollout"] for entry in a.journal.entries() if "control" in entry] == [a.rule.name]


def test_what_the_cut_off_one_did_reaches_its_successor_once_as_a_hold(two: tuple[Process, Process]) -> None:
    a, b = two
    a.front.down = "all"
    a.service.fails(HALF)
    a.run(HALF + 10 * MINUTE)
    assert a.percent == 0.0
    a.service._failing.clear()
    overtake(a, b)
    a.front.down = None
    a.look()
    a.local += LEASE
    a.look()
    assert a.lost == [a.rule.name]
    handover = Handover(a.journal, a.ledger)
    handover.look(frozenset())
    handover.look(frozenset())
    (pending,) = b.ledger.pending_commands(b.stored.id)
    assert (pending.verb, pending.by) == ("hold", "slo-watchdog")
    assert "could not reach the ledger took the flag back: " in pending.reason
    assert a.journal.entries() == []
    b.tick(1.0)
    assert b.control["hold"] is not None


def test_an_heir_of_the_journal_carries_on_only_if_nobody_led_in_between(two: tuple[Process, Process]) -> None:
    a, b = two
    a.front.down = "all"
    a.service.fails(HALF)
    a.run(HALF + 10 * MINUTE)
    entry = next(entry for entry in a.journal.entries() if "control" in entry)
    a.front.down = None
    expire(a.ledger)
    a.enlist("a-again")
    a.look()
    a.tick(1.0)
    assert a.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK)
    assert "recorded late, from the emergency journal" in a.why("rollback")
    # The same note, found by somebody who comes two leases later.
    assert entry["token"] == 1
    b.journal.append(entry)
    unrecorded = RolloutTick(b.rule.name, b.ledger, b.service, b.flags, b.clock, b.journal)._unrecorded
    unrecorded.fence = Fence("b", 3)
    assert not unrecorded._is_ours(entry)
    unrecorded.fence = Fence("b", 2)
    assert unrecorded._is_ours(entry)


def test_after_an_outage_of_the_ledger_whoever_led_before_goes_first(two: tuple[Process, Process]) -> None:
    a, b = two
    for process in two:
        process.front.down = "all"
        process.local += 1
        process.look()
        process.front.down = None
    expire(b.ledger)
    b.look()
    assert not b.led()
    a.local += LEASE
    a.look()
    assert a.led()
    assert a.lost == []
    expire(b.ledger)
    b.local += LEASE
    b.look()
    assert b.led()


def test_a_process_whose_ticks_do_not_end_lets_go(tmp_path: Path, server: Postgres) -> None:
    url, flags = server.url(server.database()), Interrupted()
    a = Process(tmp_path / "a", url, flags)
    assert a.holding is not None
    a.look()
    assert a.led()
    a.holding._hangs = lambda name: name == a.rule.name
    a.local += LEASE
    a.look()
    assert (a.led(), a.lost) == (False, [a.rule.name])
    expire(a.ledger)
    a.look()
    assert not a.led(), "it is left to others for a while"
    a.local += 11 * LEASE
    a.look()
    assert a.led()
    a.holding.leave()
    assert not a.led()
    assert a.holding.leads()
    a.holding.stop()
    assert [(one.rollout, one.expired) for one in a.ledger.leases()] == [(DAEMON, True), (a.stored.id, True)]
    a.close()


def test_an_ended_rollout_is_nobody_s_until_somebody_orders_something(tmp_path: Path, server: Postgres) -> None:
    url = server.url(server.database())
    a = Process(tmp_path / "a", url, Interrupted())
    assert a.holding is not None
    a.look()
    a.holding.ended(a.rule.name)
    assert not a.led()
    a.ledger.pending_commands(a.stored.id)
    with a.ledger.writing() as connection:
        connection.execute(text("UPDATE commands SET outcome = 'done'"))
    a.look()
    assert not a.led()
    a.command("rollback")
    a.look()
    assert a.led()
    other = open_ledger(url)
    assert other.leader(a.stored.id) == "a"
    other.close()
    a.close()
