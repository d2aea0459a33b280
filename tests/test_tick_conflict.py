"""Somebody turns the flag between the tick's look and its write: nothing of theirs is overwritten."""

from __future__ import annotations

from pathlib import Path

from tests.rollouts import NOON
from tests.stage import FLAG, MINUTE, Stage, a_rule
from watchdog.flags.base import Change
from watchdog.flags.memory import InMemoryFlags
from watchdog.model import Exposure, FlagReading, Phase


class Turned(InMemoryFlags):
    """Flags that a person turns in the very moment in which the watchdog is about to write."""

    def __init__(self) -> None:
        super().__init__((FLAG,))
        self.person: list[Exposure] = []

    def set(self, flag: str, change: Change) -> FlagReading:
        if self.person:
            self.changed_by_person(flag, self.person.pop())
        return super().set(flag, change)

    def kill(self, flag: str, change: Change) -> FlagReading:
        if self.person:
            self.changed_by_person(flag, self.person.pop())
        return super().kill(flag, change)


def ramping(tmp_path: Path, flags: Turned) -> Stage:
    """A rollout at its first step, 50 %, confirmed."""
    stage = Stage(tmp_path, a_rule(), flags=flags)
    stage.run(NOON + 12 * MINUTE)
    assert stage.percent == 50.0
    return stage


def test_a_flag_that_was_lowered_under_a_step_stays_lowered_and_holds(tmp_path: Path) -> None:
    flags = Turned()
    stage = ramping(tmp_path, flags)
    flags.person = [Exposure(0)]

    stage.run(NOON + 30 * MINUTE)

    assert stage.percent == 0.0
    assert stage.told("drift", "hold") == ["drift", "hold"]
    assert "lowered to 0% by somebody else" in stage.why("drift")
    assert stage.control["hold"] is not None
    stage.close()


def test_after_a_restart_right_after_the_conflict_the_flag_is_still_not_raised(tmp_path: Path) -> None:
    flags = Turned()
    stage = ramping(tmp_path, flags)
    flags.person = [Exposure(0)]
    while flags.person:  # tick by tick, so that nothing comes after the one in which it happens
        stage.tick(30.0)
    assert stage.told("drift") == []

    stage.restart()
    stage.run(NOON + 30 * MINUTE)

    assert stage.percent == 0.0
    assert stage.told("drift", "hold") == ["drift", "hold"]
    stage.close()


def test_a_flag_whose_exposure_stayed_the_same_gets_its_step_a_moment_later(tmp_path: Path) -> None:
    flags = Turned()
    stage = ramping(tmp_path, flags)
    flags.person = [Exposure(50)]  # somebody rewrote it, as it was

    stage.run(NOON + 30 * MINUTE)

    assert stage.percent == 100.0
    assert stage.told("drift", "hold") == []
    stage.close()


def test_a_flag_that_was_raised_under_a_step_is_set_back_to_the_plan(tmp_path: Path) -> None:
    flags = Turned()
    stage = ramping(tmp_path, flags)
    stage.command("hold")
    stage.tick(1)
    flags.changed_by_person(FLAG, Exposure(80))

    stage.run(stage.clock.now + 2 * MINUTE)

    assert stage.percent == 50.0
    stage.close()


def test_a_kill_wins_against_somebody_who_raises_in_that_moment(tmp_path: Path) -> None:
    flags = Turned()
    stage = ramping(tmp_path, flags)
    flags.person = [Exposure(100)]
    stage.command("rollback")

    stage.run(NOON + 20 * MINUTE)

    assert stage.phase is Phase.ROLLED_BACK
    assert stage.percent == 0.0
    assert flags.person == []
    stage.close()


def test_no_two_changes_of_different_states_share_an_idempotency_key(tmp_path: Path) -> None:
    flags = Turned()
    stage = ramping(tmp_path, flags)
    for _ in range(3):
        flags.changed_by_person(FLAG, Exposure(90))
        stage.run(stage.clock.now + 2 * MINUTE)

    keys = [write.change.idem for write in flags.writes if write.change is not None]

    assert len(keys) == len(set(keys)) >= 4
    stage.close()
