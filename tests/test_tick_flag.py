"""The flag is level-triggered: it is made what the ledger says, and what people do to it is respected."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rollouts import NOON
from tests.stage import FLAG, MINUTE, Stage, a_rule
from watchdog import __version__
from watchdog.errors import FlagServiceError
from watchdog.flags.memory import InMemoryFlags
from watchdog.model import Exposure, Phase

BROKEN = FlagServiceError("the flag service is down")
HALF = NOON + 12 * MINUTE
"""The flag is at 50 % since two minutes."""


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path)
    stage.run(HALF)
    assert stage.percent == 50.0
    return stage


def test_a_flag_that_somebody_raised_is_set_back_at_once_with_one_page_an_episode(stage: Stage) -> None:
    stage.turned_to(80)
    stage.tick(5.0)
    assert stage.percent == 50.0
    stage.turned_to(80)
    stage.tick(5.0)
    assert stage.percent == 50.0
    assert stage.pages("drift") == ["drift", "drift"], "the first episode ended when it was set back"
    stage.run(HALF + 3 * MINUTE)
    assert stage.control["hold"] is None
    assert stage.phase is Phase.RAMPING
    assert "is set back" in stage.why("drift")
    stage.close()


def test_a_flag_that_cannot_be_set_back_is_paged_once_until_it_is(stage: Stage) -> None:
    stage.turned_to(80)
    stage.flags.fail(BROKEN, on=("set",), times=1_000)
    ticked = stage.run(HALF + 3 * MINUTE)
    assert ticked.again_in == 2.0
    assert "the flag could not be written: the flag service is down" in ticked.sentence
    assert stage.pages("drift") == ["drift"]
    stage.flags.recover()
    stage.tick(2.0)
    assert stage.percent == 50.0
    stage.turned_to(90)
    stage.run(HALF + 5 * MINUTE)
    assert stage.pages("drift") == ["drift", "drift"], "a new episode"
    stage.close()


def test_a_person_who_turns_it_off_in_mid_incident_is_not_undone_when_metrics_recover(stage: Stage) -> None:
    stage.service.fails(HALF, HALF + 2 * MINUTE, share=0.002)  # bad, not yet proven
    stage.run(HALF + 2 * MINUTE)
    stage.turned_to(0)
    stage.run(HALF + 40 * MINUTE)
    assert stage.percent == 0.0
    assert stage.control["desired"] == {"percent": 0.0, "cohort": False, "audiences": []}
    assert stage.control["hold"]["cause"] == "drift"
    assert stage.told("drift", "hold") == ["drift", "hold"]
    stage.restart()
    stage.run(HALF + 45 * MINUTE)
    assert stage.percent == 0.0
    stage.command("resume")
    stage.run(HALF + 47 * MINUTE)
    assert stage.percent == 50.0, "the first planned percentage above the reading"
    stage.close()


def test_lowered_before_it_was_confirmed_it_is_applied_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.run(NOON + 9 * MINUTE)
    stage.flags.fail(BROKEN, on=("set",), times=1, after=True)
    stage.clock.now = NOON + 10 * MINUTE + 31
    stage.tick()
    assert stage.percent == 50.0, "written, but the answer was lost"
    stage.turned_to(0)
    stage.tick(2.0)
    assert stage.percent == 50.0
    assert stage.told("drift", "hold") == []
    stage.close()


def test_a_step_whose_answer_was_lost_is_taken_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.run(NOON + 9 * MINUTE)
    stage.flags.fail(BROKEN, on=("set",), times=1, after=True)
    stage.run(HALF)
    assert stage.percent == 50.0
    assert stage.told("step") == ["step"]
    assert len(stage.flags.writes) == 1
    stage.close()


def test_an_unreadable_flag_is_waited_for_and_nothing_is_written_blindly(stage: Stage) -> None:
    stage.flags.fail(BROKEN, on=("read",), times=1_000)
    stage.run(NOON + 23 * MINUTE)
    assert stage.percent == 50.0
    assert stage.told("waiting") == ["waiting"]
    assert "the flag does not read 50%: the flag service is down" in stage.why("waiting")
    assert [fact.error for fact in stage.ledger.readings(stage.stored.id)][-1] == "the flag service is down"
    stage.flags.recover()
    stage.run(NOON + 25 * MINUTE)
    assert stage.percent == 100.0
    stage.close()


def test_a_flag_that_cannot_be_read_is_killed_all_the_same(stage: Stage) -> None:
    stage.flags.fail(BROKEN, on=("read",), times=1_000)
    stage.service.fails(HALF)
    stage.run(HALF + 6 * MINUTE)
    assert stage.percent == 0.0
    assert stage.phase is Phase.ROLLED_BACK, "the kill said what the flag reads then"
    stage.close()


def test_a_rollback_that_is_not_confirmed_pages_at_one_minute_and_at_its_deadline(stage: Stage) -> None:
    stage.command("rollback")
    stage.flags.fail(BROKEN, on=("kill",), times=100_000)
    ticked = stage.tick()
    assert ticked.again_in == 2.0
    decided = stage.rollback["decided_at"]
    stage.run(decided + 55)
    assert stage.pages("rollback_unconfirmed", "rollback_late") == []
    stage.run(decided + 65)
    assert stage.pages("rollback_unconfirmed", "rollback_late") == ["rollback_unconfirmed"]
    stage.restart()
    for minute in range(2, 20):
        stage.clock.now = decided + minute * MINUTE
        stage.tick()
        late = ["rollback_late"] if minute >= 15 else []
        assert stage.pages("rollback_unconfirmed", "rollback_late") == ["rollback_unconfirmed", *late]
    stage.flags.recover()
    stage.tick(2.0)
    assert stage.phase is Phase.ROLLED_BACK
    assert stage.rollback["acted_at"] == stage.rollback["confirmed_at"] == stage.clock.now
    assert stage.pages("rollback") == ["rollback"]
    stage.close()


def test_a_kill_whose_answer_was_lost_is_seen_two_seconds_later(stage: Stage) -> None:
    stage.command("rollback")
    stage.flags.fail(BROKEN, on=("kill",), times=1, after=True)
    assert stage.tick().again_in == 2.0
    assert stage.tick(2.0).again_in is None
    assert stage.phase is Phase.ROLLED_BACK
    assert stage.rollback["acted_at"] == stage.clock.now
    stage.close()


def test_during_a_rollback_a_higher_reading_is_set_back_and_afterwards_left_alone(stage: Stage) -> None:
    stage.flags.fail(BROKEN, on=("kill",), times=1)
    stage.command("rollback")
    stage.tick()
    assert stage.phase is Phase.ROLLING_BACK
    stage.turned_to(70)
    stage.tick(2.0)
    assert stage.percent == 0.0
    assert stage.phase is Phase.ROLLED_BACK
    writes = len(stage.flags.writes)
    stage.turned_to(30)
    stage.run(HALF + 10 * MINUTE)
    stage.restart()
    stage.turned_to(60)
    stage.run(HALF + 12 * MINUTE)
    assert stage.percent == 60.0
    assert len(stage.flags.writes) == writes + 2, "both by people"
    assert stage.told("external_change") == ["external_change"]
    assert stage.pages("external_change") == ["external_change"]
    stage.close()


def test_a_change_after_the_rollback_by_the_next_rollout_is_not_told(stage: Stage) -> None:
    stage.command("rollback")
    stage.tick()
    assert stage.phase is Phase.ROLLED_BACK
    first, first_rule = stage.ticker, stage.rule
    other = a_rule(rollout="checkout-3")
    stage.ledger.add_rollout(other, file="other.yaml", engine=__version__, now=NOON)
    stage.ledger.add_command("checkout-3", "start", "ada", "", stage.clock.now)
    stage.rule = other
    stage.start_up()
    stage.run(HALF + 12 * MINUTE)
    assert stage.percent == 50.0
    first.tick(stage.clock.now)
    stage.rule = first_rule
    assert stage.told("external_change") == []
    stage.close()


def test_a_rollback_to_something_is_set_and_leaves_what_is_lower(tmp_path: Path) -> None:
    rule = a_rule(rollback="{to: 10}", ramp="{strategy: progressive, from: 20, to: 100, over: 20m, every: 10m}")
    stage = Stage(tmp_path, rule, flags=InMemoryFlags({FLAG: Exposure(20)}))
    stage.run(HALF)
    stage.command("rollback")
    stage.tick()
    assert stage.percent == 10.0
    assert stage.phase is Phase.ROLLED_BACK
    stage.close()


def test_a_deleted_flag_stops_the_ramp_and_rolling_back_is_tried_without_end(stage: Stage) -> None:
    stage.flags.removed_by_person(FLAG)
    stage.run(NOON + 22 * MINUTE)
    assert "not in the in-memory service" in stage.why("waiting")
    stage.command("rollback")
    assert stage.tick().again_in == 2.0
    stage.turned_to(5)
    stage.tick(2.0)
    assert stage.percent == 0.0
    assert stage.phase is Phase.ROLLED_BACK
    stage.close()


def test_the_flag_ramp_fails_while_the_flag_reads_something_else(stage: Stage) -> None:
    stage.turned_to(80)
    stage.flags.fail(BROKEN, on=("set",), times=1_000)
    stage.run(HALF + 3 * MINUTE)
    verdicts = [e.verdict.value for e in stage.evaluations("flag_ramp")]
    assert verdicts[-3:] == ["fail"] * 3
    assert set(verdicts[:-3]) == {"pass"}
    stage.close()
