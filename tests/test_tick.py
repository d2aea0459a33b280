"""The tick's ordinary life: start, steps, sign-off, its reports, and commands."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.rollouts import COHORTS, NOON, event, split
from tests.stage import FLAG, HOUR, MINUTE, Stage, a_rule
from watchdog import __version__
from watchdog.errors import LedgerError
from watchdog.flags.memory import InMemoryFlags
from watchdog.freeze import freeze
from watchdog.model import Exposure, Phase

URL = "http://127.0.0.1:9090"
DONE = NOON + 61 * MINUTE
"""Ramped at 20 minutes, three more slices later; signed off when they have settled."""


def test_a_good_rollout_is_ramped_step_by_step_and_signed_off(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.run(DONE)
    assert stage.phase is Phase.SIGNED_OFF
    assert stage.percent == 100.0
    assert stage.told() == ["start", "step", "step", "step", "interim", "signed_off"]
    assert [write.reading.exposure.percent for write in stage.flags.writes] == [50.0, 100.0]
    assert stage.pages() == ["start", "step", "step", "interim", "signed_off"]
    stage.assert_dense()
    stage.close()


def test_nothing_starts_by_itself(tmp_path: Path) -> None:
    stage = Stage(tmp_path, started=False)
    ticked = stage.run(NOON + 10 * MINUTE)
    assert ticked.sentence == "checkout-2: pending: not started"
    assert stage.phase is Phase.PENDING
    assert stage.ledger.evaluations(stage.stored.id, None, 0, 2**40) == []
    stage.close()


def test_a_start_at_is_kept(tmp_path: Path) -> None:
    rule = a_rule(start_at="2023-11-15T12:05:00Z")
    assert rule.start_at == NOON + 5 * MINUTE
    stage = Stage(tmp_path, rule, started=False)
    stage.run(NOON + 10 * MINUTE)
    assert stage.control["started_at"] == NOON + 5 * MINUTE
    stage.close()


def test_a_flag_that_is_not_where_the_plan_starts_is_waited_for_until_it_is_adopted(tmp_path: Path) -> None:
    stage = Stage(tmp_path, flags=InMemoryFlags({FLAG: Exposure(20)}))
    ticked = stage.run(NOON + 5 * MINUTE)
    assert "flag new-checkout reads 20%, the plan starts at 0%" in ticked.sentence
    assert stage.phase is Phase.PENDING
    stage.command("adopt", "it was at 20 % already")
    stage.run(NOON + 6 * MINUTE)
    assert stage.phase is Phase.RAMPING
    assert stage.percent == 20.0
    stage.run(NOON + 17 * MINUTE)
    assert stage.percent == 50.0, "the first planned percentage above the reading"
    stage.close()


def test_a_start_that_finds_its_own_latch_is_refused(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    first = Stage(tmp_path / "first")
    first.run(NOON + 2 * MINUTE)
    first.command("rollback")
    first.run(NOON + 4 * MINUTE)
    assert first.phase is Phase.ROLLED_BACK
    (tmp_path / "second").mkdir()
    lost = Stage(tmp_path / "second", flags=first.flags, at=first.clock.now)
    ticked = lost.run(NOON + 10 * MINUTE)
    assert "carries the latch of this rollout's own rollback; use a new rollout name" in ticked.sentence
    assert lost.phase is Phase.PENDING
    first.close()
    lost.close()


@pytest.mark.parametrize(("mode", "phase"), [("act", Phase.PENDING), ("observe", Phase.RAMPING)])
def test_a_flag_belongs_to_one_acting_rollout_at_a_time(tmp_path: Path, mode: str, phase: Phase) -> None:
    stage = Stage(tmp_path)
    stage.run(NOON + 2 * MINUTE)
    other = a_rule(rollout="checkout-3", mode=mode)
    stage.ledger.add_rollout(other, file="other.yaml", engine=__version__, now=NOON)
    stage.ledger.add_command("checkout-3", "start", "ada", "", stage.clock.now)
    stage.rule = other
    stage.start_up()
    ticked = stage.run(NOON + 5 * MINUTE)
    assert stage.phase is phase
    if phase is Phase.PENDING:
        assert "flag new-checkout is taken by the active rollout checkout-2" in ticked.sentence
    stage.close()


def test_an_observation_does_not_take_the_flag_from_a_rollout_that_acts(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_rule(rollout="checkout-1", mode="observe"))
    stage.run(NOON + 2 * MINUTE)
    assert stage.phase is Phase.RAMPING
    other = a_rule()
    stage.ledger.add_rollout(other, file="other.yaml", engine=__version__, now=NOON)
    stage.ledger.add_command(other.name, "start", "ada", "", stage.clock.now)
    stage.rule = other
    stage.start_up()
    stage.run(NOON + 5 * MINUTE)
    assert stage.phase is Phase.RAMPING
    stage.close()


def test_an_observation_records_the_same_and_writes_and_pages_nothing(tmp_path: Path) -> None:
    stages = []
    for mode in ("act", "observe"):
        (tmp_path / mode).mkdir()
        stage = Stage(tmp_path / mode, a_rule(mode=mode))
        stage.service.fails(NOON + 15 * MINUTE)
        stage.run(NOON + 25 * MINUTE)
        stages.append(stage)
    acting, observing = stages
    assert observing.phase is Phase.ROLLED_BACK
    assert sorted(observing.told()) == sorted(acting.told())
    assert observing.evaluations() == acting.evaluations()
    assert [(f.at, f.exposure) for f in observing.ledger.exposures(1)] == [
        (f.at, f.exposure) for f in acting.ledger.exposures(1)
    ]
    assert observing.flags.writes == []
    assert observing.notifier.sent == []
    assert observing.ledger.notifications_of(1) == []
    acting.close()
    observing.close()


def test_an_observation_records_the_real_flag_beside_the_simulated_one(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_rule(mode="observe"))
    stage.run(NOON + 12 * MINUTE)
    stage.turned_to(7)
    stage.run(NOON + 14 * MINUTE)
    readings = [fact.exposure for fact in stage.ledger.readings(stage.stored.id)]
    assert readings == [Exposure(0), Exposure(7)]
    assert stage.control["desired"] == {"percent": 50.0, "cohort": False, "audiences": []}
    stage.close()


def test_a_canary_gives_the_cohort_the_feature_first_and_takes_it_back_from_them_too(tmp_path: Path) -> None:
    canary = "{strategy: canary, cohort: [team, beta], cohort_for: 5m, from: 0, to: 100, over: 20m, every: 10m}"
    stage = Stage(tmp_path, a_rule(ramp=canary))
    stage.run(NOON + 7 * MINUTE)
    assert stage.flags.writes[0].reading.exposure == Exposure(0, cohort=True)
    change = stage.flags.writes[0].change
    assert change is not None
    assert change.cohort == ("team", "beta")
    stage.service.fails(NOON + 7 * MINUTE)
    stage.run(NOON + 14 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK, "a canary cohort is exposure: there is something to take back"
    assert stage.flags.read(FLAG).exposure == Exposure(0)
    stage.close()


def test_at_zero_exposure_a_breach_holds(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.service.fails(NOON)
    stage.run(NOON + 12 * MINUTE)
    assert stage.phase is Phase.RAMPING
    assert stage.control["hold"]["cause"] == "breach"
    assert stage.flags.writes == []
    stage.close()


def test_an_empty_cohort_blocks_no_step_and_recovery_says_that_nobody_is_exposed(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_rule(split(), event(), cohorts=COHORTS, on_shared_cause="rollback"))
    stage.service.vanishes(NOON - HOUR, NOON + 10 * MINUTE, name="exposed_errors")
    stage.service.fails(NOON + 15 * MINUTE, name="exposed_errors")
    stage.service.vanishes(NOON + 20 * MINUTE, name="exposed_errors")
    stage.run(NOON + 40 * MINUTE)
    assert stage.told("step") != []
    assert stage.phase is Phase.ROLLED_BACK
    assert "nobody is exposed" in stage.why("recovered")
    stage.close()


def test_a_resume_in_the_last_slot_of_a_slice_is_not_forgotten_by_a_restart(tmp_path: Path) -> None:
    """The checkpoint of that slot was taken before the command was carried out."""
    found = []
    for restarts in (False, True):
        (tmp_path / str(restarts)).mkdir()
        stage = Stage(tmp_path / str(restarts))
        stage.service.fails(NOON, NOON + 30 * MINUTE)
        stage.run(NOON + 20 * MINUTE)
        assert stage.control["hold"]["cause"] == "breach"
        stage.clock.now = NOON + 20 * MINUTE + 31
        stage.command("resume")
        stage.tick()
        assert stage.stored.last_slot == NOON + 20 * MINUTE
        if restarts:
            stage.restart()
        stage.run(NOON + 30 * MINUTE)
        breaches = stage.ledger.breaches(stage.stored.id)
        assert breaches[0].breach.closed_at == NOON + 20 * MINUTE, "a resume ends the episode"
        assert len(breaches) == 2, "the detector began anew and found it once more"
        found.append([fact.breach for fact in breaches])
        stage.close()
    assert found[0] == found[1]


def reports_of(stage: Stage) -> list[tuple[str, str]]:
    return [(report.kind, report.format) for report in stage.ledger.reports(stage.stored.id)]


def test_each_sign_off_is_frozen_once_with_the_hash_of_its_bytes(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    due: list[str] = []
    while stage.clock.now < DONE:
        ticked = stage.run(stage.clock.now + MINUTE)
        for kind in ticked.reports:
            due.append(kind)
            freeze(stage.ledger, stage.rule.name, kind, tmp_path / "reports", stage.clock.now, URL)
    assert due == ["interim", "final"]
    forms = ["json", "md", "html"]
    assert reports_of(stage) == [(kind, form) for kind in due for form in forms]
    for report in stage.ledger.reports(stage.stored.id):
        assert hashlib.sha256(Path(report.path).read_bytes()).hexdigest() == report.sha256
    stage.restart()
    assert stage.tick(30.0).reports == ()
    stage.close()


@pytest.mark.parametrize("forms", [0, 1, 2])
def test_a_report_that_a_crash_left_half_frozen_is_due_again(tmp_path: Path, forms: int) -> None:
    stage = Stage(tmp_path)
    ticked = stage.run(DONE)
    assert stage.phase is Phase.SIGNED_OFF
    real = stage.ledger

    class Dies:
        """A ledger that takes so many forms of a report and no more."""

        taken = 0

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def save_report(self, *row: object) -> None:
            if self.taken == forms:
                raise LedgerError("gone")
            self.taken += 1
            real.save_report(*row)  # type: ignore[arg-type]

    with pytest.raises(LedgerError):
        freeze(Dies(), stage.rule.name, "final", tmp_path / "reports", stage.clock.now, URL)  # type: ignore[arg-type]
    stage.restart()
    ticked = stage.tick(60.0)
    assert ticked.reports == ("interim", "final")
    for kind in ticked.reports:
        freeze(stage.ledger, stage.rule.name, kind, tmp_path / "reports", stage.clock.now, URL)
    newest = {(r.kind, r.format): r for r in stage.ledger.reports(stage.stored.id)}
    assert len(newest) == 6
    for report in newest.values():
        assert hashlib.sha256(Path(report.path).read_bytes()).hexdigest() == report.sha256
    stage.restart()
    assert stage.tick(60.0).reports == ()
    stage.close()
