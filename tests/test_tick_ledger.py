"""When the ledger is down: the flag is lowered all the same, never raised, and all is recorded once when it is back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event

from tests.rollouts import NOON
from tests.stage import FLAG, MINUTE, LedgerDown, Stage, a_rule
from watchdog import __version__
from watchdog.errors import FlagServiceError, LedgerConflict, LedgerError
from watchdog.model import Command, Exposure, Phase
from watchdog.tick import RolloutTick

HALF = NOON + 12 * MINUTE
BOTH = pytest.mark.parametrize("down", ["writes", "all"])


class Broken(Stage):
    """A stage at 50 %, with a ledger that can be made to fail."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.front = LedgerDown(self.ledger)
        self.start_up(ledger=self.front)
        self.run(HALF)
        assert self.percent == 50.0

    def restart(self) -> None:
        super().restart()
        self.front = LedgerDown(self.ledger)
        self.start_up(ledger=self.front)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Broken]:
    stage = Broken(tmp_path)
    yield stage
    stage.close()


@BOTH
def test_a_rollback_is_carried_out_without_the_ledger_and_recorded_once_when_it_is_back(
    stage: Broken, down: str
) -> None:
    stage.front.down = down
    stage.service.fails(HALF)
    stage.run(HALF + 8 * MINUTE)
    assert stage.percent == 0.0
    assert stage.flags.read(FLAG).latch == stage.rule.name
    assert stage.phase is Phase.RAMPING, "the ledger knows nothing yet"
    (entry,) = stage.journal.entries()
    assert entry["rollout"] == stage.rule.name
    writes = len(stage.flags.writes)
    stage.front.down = None
    stage.run(HALF + 15 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    assert stage.told("breach", "rollback", "rolled_back") == ["breach", "rollback", "rolled_back"]
    assert stage.pages("rollback", "rolled_back") == ["rollback", "rolled_back"]
    assert stage.pages("rollback_unconfirmed", "rollback_late") == []
    assert len(stage.flags.writes) == writes
    assert len(stage.ledger.breaches(stage.stored.id)) == 1
    assert stage.rollback["confirmed_at"] < HALF + 8 * MINUTE, "stamped when it happened"
    assert stage.rollback["acted_at"] is not None
    assert stage.journal.entries() == []
    stage.assert_dense()
    stage.check_row_keys()


@BOTH
def test_nothing_is_raised_while_the_ledger_is_down_and_no_slot_is_lost(stage: Broken, down: str) -> None:
    stage.front.down = down
    ticked = stage.run(HALF + 25 * MINUTE)
    assert stage.percent == 50.0
    assert "nothing is raised while the ledger fails: the ledger is down" in ticked.sentence
    assert stage.stored.last_slot is not None
    assert stage.stored.last_slot < HALF
    stage.front.down = None
    stage.run(HALF + 27 * MINUTE)
    assert stage.percent == 100.0
    assert stage.told("step").count("step") == 3, "one for each planned step, and the one into soaking"
    stage.assert_dense()


def test_a_step_that_was_recorded_but_not_written_is_not_made_up_for_without_a_ledger(stage: Broken) -> None:
    stage.run(NOON + 20 * MINUTE)
    stage.flags.fail(FlagServiceError("down"), on=("set",), times=1)
    stage.clock.now = NOON + 20 * MINUTE + 31
    stage.tick()
    assert stage.control["desired"]["percent"] == 100.0
    stage.front.down = "writes"
    stage.run(NOON + 25 * MINUTE)
    assert stage.percent == 50.0
    stage.front.down = None
    stage.run(NOON + 27 * MINUTE)
    assert stage.percent == 100.0


def test_a_flag_that_somebody_raised_is_set_back_without_the_ledger_and_paged_later(stage: Broken) -> None:
    stage.front.down = "all"
    stage.turned_to(90)
    stage.tick(1.0)
    assert stage.percent == 50.0
    stage.run(HALF + 4 * MINUTE)
    stage.front.down = None
    stage.run(HALF + 6 * MINUTE)
    assert stage.told("drift") == ["drift"]
    assert stage.pages("drift") == ["drift"]
    exposures = [fact.exposure for fact in stage.ledger.readings(stage.stored.id)]
    assert exposures[-2:] == [Exposure(90), Exposure(50)]


def test_a_person_who_lowers_the_flag_meanwhile_is_respected(stage: Broken) -> None:
    stage.front.down = "all"
    stage.run(HALF + 2 * MINUTE)
    stage.turned_to(0)
    stage.run(HALF + 20 * MINUTE)
    assert stage.percent == 0.0
    stage.front.down = None
    stage.run(HALF + 25 * MINUTE)
    assert stage.percent == 0.0
    assert stage.control["hold"]["cause"] == "drift"
    assert stage.told("drift") == ["drift"]


@pytest.mark.parametrize("kills_fail", [0, 3], ids=["the flag was killed before", "it could not be killed before"])
def test_a_restart_while_the_ledger_is_down_finds_the_rollback_in_the_journal(stage: Broken, kills_fail: int) -> None:
    stage.front.down = "writes"
    stage.service.fails(HALF)
    stage.flags.fail(FlagServiceError("down"), on=("kill",), times=kills_fail)
    while not stage.journal.entries():
        stage.tick(10.0)
    stage.restart()
    stage.front.down = "all"
    with pytest.raises(LedgerError, match="the ledger is down"):
        stage.tick(10.0)
    stage.front.down = "writes"
    stage.tick(10.0)
    stage.tick(10.0)
    stage.tick(10.0)
    assert stage.percent == 0.0
    assert stage.phase is Phase.RAMPING
    assert len(stage.journal.entries()) == 1
    stage.restart()
    stage.run(stage.clock.now + 10 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    told = stage.told("breach", "rollback", "rolled_back", "drift", "hold")
    assert sorted(told) == ["breach", "rollback", "rolled_back"], "measured again, decided once"
    assert told.index("rollback") < told.index("rolled_back")
    assert stage.pages("rollback", "rolled_back") == ["rollback", "rolled_back"]
    assert "from the emergency journal" in stage.why("rollback")
    pages = [found.notification for found in stage.ledger.notifications_of(stage.stored.id)]
    found = next(page.details.get("objective") for page in pages if page.kind == "rollback")
    assert found == "error_rate", "the same incident as without a crash"
    assert len(stage.ledger.breaches(stage.stored.id)) == 1
    assert stage.journal.entries() == []
    assert [f.kind for f in stage.ledger.exposures(stage.stored.id)][-2:] == ["desired", "confirmed"]
    stage.assert_dense()


def test_an_operators_rollback_works_while_nothing_can_be_written_and_once(stage: Broken) -> None:
    stage.command("rollback")
    stage.front.down = "writes"
    stage.run(HALF + 5 * MINUTE)
    assert stage.percent == 0.0
    assert len(stage.flags.writes) == 2
    stage.front.down = None
    stage.run(HALF + 7 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    assert stage.told("rollback", "rolled_back") == ["rollback", "rolled_back"]
    assert [outcome for _, outcome in stage.ledger.commands(stage.stored.id)] == ["start accepted", "rolling back"]


def test_an_unwritable_journal_does_not_keep_the_flag_from_being_lowered(stage: Broken) -> None:
    stage.front.down = "writes"
    stage.journal.path.mkdir()
    stage.command("rollback")
    ticked = stage.tick(1.0)
    assert stage.percent == 0.0
    assert "emergency journal" in ticked.sentence
    stage.front.down = None
    stage.journal.path.rmdir()
    stage.tick(2.0)
    assert stage.phase is Phase.ROLLED_BACK


def test_an_unreadable_journal_stops_no_tick_that_can_be_recorded(stage: Broken) -> None:
    stage.journal.path.mkdir()
    stage.run(NOON + 22 * MINUTE)
    assert stage.percent == 100.0
    assert stage.told("step").count("step") == 3
    stage.assert_dense()
    stage.journal.path.rmdir()


def test_the_journal_is_not_settled_before_every_rollout_in_it_is_recorded(stage: Broken) -> None:
    other = a_rule(rollout="search-1", flag="search")
    stage.ledger.add_rollout(other, file="search.yaml", engine=__version__, now=NOON)
    entry = {
        "rollout": "search-1",
        "phase": "pending",
        "at": HALF,
        "from": HALF,
        "control": {},
        "why": "",
        "page": None,
    }
    stage.journal.append(entry)
    stage.run(HALF + 3 * MINUTE)
    assert [found["rollout"] for found in stage.journal.entries()] == ["search-1"]


def test_a_settled_entry_is_not_replayed_when_a_crash_left_it(stage: Broken) -> None:
    stage.front.down = "writes"
    stage.command("rollback")
    stage.tick(1.0)
    (entry,) = stage.journal.entries()
    stage.front.down = None
    stage.tick(2.0)
    assert stage.phase is Phase.ROLLED_BACK
    stage.journal.append(json.loads(json.dumps(entry)))
    stage.restart()
    stage.run(HALF + 3 * MINUTE)
    assert stage.told("rollback") == ["rollback"]
    assert stage.journal.entries() == []


@contextmanager
def full_disk(stage: Stage) -> Iterator[None]:
    """SQLite may not grow any more, and says so as it does on a full disk."""
    engine, full = stage.ledger._engine, [True]

    def limit(connection: object) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one() if full[0] else 1_000_000  # type: ignore[attr-defined]
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")  # type: ignore[attr-defined]

    event.listen(engine, "begin", limit)
    yield
    full[0] = False


def test_a_full_disk_keeps_nobody_exposed(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.run(HALF)
    stage.service.fails(HALF)
    with full_disk(stage):
        # What fits into the pages that are there is still taken: fill them with sentences first.
        sentences = []
        for minute in range(8):
            stage.clock.now = HALF + minute * MINUTE + 31
            for _ in range(30):
                try:
                    stage.command("hold", "x" * 500)
                except LedgerError as error:
                    sentences.append(str(error))
                    break
            stage.tick()
        assert any("the disk is full" in sentence for sentence in sentences)
        assert stage.percent == 0.0
        assert stage.phase is Phase.RAMPING
        assert len(stage.journal.entries()) == 1
    stage.run(HALF + 12 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    assert stage.told("rollback", "rolled_back") == ["rollback", "rolled_back"]
    stage.assert_dense()
    stage.close()


def test_of_two_watchdogs_on_one_ledger_one_acts_and_the_other_starts_again_from_what_it_recorded(
    stage: Broken,
) -> None:
    other = RolloutTick(stage.rule.name, stage.ledger, stage.service, stage.flags, stage.clock)
    other.tick(stage.clock.now)
    with pytest.raises(LedgerConflict, match="another watchdog recorded first"):
        stage.tick()
    stage.tick()
    stage.clock.now = NOON + 20 * MINUTE + 31
    other_is_stale = pytest.raises(LedgerConflict)
    stage.tick()
    with other_is_stale:
        other.tick(stage.clock.now)
    other.tick(stage.clock.now)
    assert stage.percent == 100.0
    assert len(stage.flags.writes) == 2
    assert stage.told("step").count("step") == 3


def test_what_waited_for_the_ledger_never_overwrites_what_another_watchdog_decided(stage: Broken) -> None:
    stage.front.down = "all"
    stage.run(HALF + 3 * MINUTE)
    other = RolloutTick(stage.rule.name, stage.ledger, stage.service, stage.flags, stage.clock)
    stage.command("rollback")
    other.tick(stage.clock.now)
    assert stage.phase is Phase.ROLLED_BACK
    stage.front.down = None
    with pytest.raises(LedgerConflict):
        stage.tick(1.0)
    assert stage.phase is Phase.ROLLED_BACK
    stage.run(HALF + 5 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    assert stage.percent == 0.0
    assert stage.told("rollback", "drift", "hold") == ["rollback"]


def test_late_answers_wait_until_the_ledger_can_tell_the_past_again(stage: Broken) -> None:
    stage.service.late(HALF, HALF + 2 * MINUTE, HALF + 5 * MINUTE)
    stage.run(HALF + 3 * MINUTE)
    stage.front.down = "all"
    stage.run(HALF + 9 * MINUTE)
    stage.front.down = None
    stage.run(HALF + 12 * MINUTE)
    assert {e.verdict.value for e in stage.evaluations()} == {"pass"}
    stage.assert_dense()


def test_a_ledger_that_fails_while_the_past_is_read_again_leaves_the_present_as_it_is(stage: Broken) -> None:
    stage.service.late(HALF, HALF + 2 * MINUTE, HALF + 5 * MINUTE)
    stage.run(HALF + 5 * MINUTE)
    stage.front.down = "all"
    stage.service.fails(HALF + 4 * MINUTE)
    stage.run(HALF + 10 * MINUTE)
    assert stage.percent == 0.0
    stage.front.down = None
    stage.run(HALF + 14 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    assert stage.told("breach", "rollback") == ["breach", "rollback"]
    stage.assert_dense()


def test_commands_wait_for_the_ledger(stage: Broken) -> None:
    stage.front.down = "all"
    stage.run(HALF + 2 * MINUTE)
    stage.front.down = None
    stage.command("hold", "lunch")
    stage.tick(1.0)
    assert stage.control["hold"]["cause"] == "operator"
    pending: list[Command] = stage.ledger.pending_commands(stage.stored.id)
    assert pending == []
