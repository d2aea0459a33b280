"""How long a rollout is watched after its flag was taken back, and that it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from apscheduler.schedulers.background import BackgroundScheduler

from tests.evidences import held, rolled_back, shut_down
from tests.rollouts import HOUR, NOON
from tests.stage import Stage
from watchdog.account import Account
from watchdog.audit.service import audited
from watchdog.config import load_settings
from watchdog.control import LEFT_ALONE_AFTER, Control, left_alone
from watchdog.flags.memory import InMemoryFlags
from watchdog.flagsystem import FlagSystem
from watchdog.jobs import Jobs
from watchdog.metrics import Metrics
from watchdog.model import EMERGENCY_FLAGS, Phase, Rollback
from watchdog.report import build, render_html

DEAD = "http://127.0.0.1:9"
"""Nobody is asked there."""
TAKEN = Rollback("1% bad", NOON, NOON, NOON + 1.0, NOON + 1.0, escalated=("verified",))
BACK = Control(phase=Phase.ROLLED_BACK, started_at=NOON - HOUR, rollback=TAKEN, cause=("error_rate", NOON))
LATER = NOON + 1.0 + LEFT_ALONE_AFTER


@pytest.mark.parametrize(
    ("control", "now", "expected"),
    [
        (BACK, LATER, True),
        (BACK, LATER - 0.5, False),
        (replace(BACK, rollback=replace(TAKEN, confirmed_at=None)), LATER, False),
        (replace(BACK, rollback=replace(TAKEN, escalated=())), LATER, False),
        (replace(BACK, rollback=replace(TAKEN, escalated=(), recovered_at=NOON + 60.0)), LATER, True),
        (replace(BACK, rollback=replace(TAKEN, escalated=()), cause=None), LATER, True),
        *((replace(BACK, phase=phase), LATER, False) for phase in Phase if phase is not Phase.ROLLED_BACK),
    ],
)
def test_it_is_left_alone_thirty_days_after_the_rollback_when_all_was_told(
    control: Control, now: float, *, expected: bool
) -> None:
    assert left_alone(control, now) is expected


def jobs_of(stage: Stage) -> Jobs:
    """The jobs of a daemon that starts now on the stage's ledger; none is run."""
    file = stage.path / "watchdog.yaml"
    file.write_text(f"prometheus: {{url: {DEAD}}}\nledger: {stage.url}\nflags: {{service: memory}}\n")
    metrics = Metrics()
    flags = FlagSystem(
        primary=audited(stage.flags, "flags", None, stage.clock, observer=metrics),
        emergency=audited(InMemoryFlags(EMERGENCY_FLAGS), "emergency", None, stage.clock, observer=metrics),
        secondary={},
    )
    return Jobs(load_settings(file), stage.ledger, stage.journal, flags, metrics, BackgroundScheduler(), stage.clock)


@pytest.mark.parametrize("scene", [rolled_back, held, shut_down])
def test_a_rollout_that_was_taken_back_ticks_for_thirty_days_and_then_no_more(
    scene: Callable[[Path], Stage], tmp_path: Path
) -> None:
    stage = scene(tmp_path)
    assert stage.phase is Phase.ROLLED_BACK
    stage.run(stage.clock.now + HOUR)
    end = stage.rollback["confirmed_at"] + LEFT_ALONE_AFTER
    for now, over in ((end - 0.5, False), (end, True)):
        stage.clock.now = now
        assert stage.ticker.over is over, "for a daemon that runs"
        assert jobs_of(stage).schedule(stage.stored) is not over, "for one that starts now"
    assert jobs_of(stage).schedule(stage.stored, once=True), "an order wakes it all the same"
    stage.close()


def test_what_was_taken_back_is_never_signed_off(tmp_path: Path) -> None:
    stage = shut_down(tmp_path)
    stage.run(NOON + 3 * HOUR)
    assert stage.phase is Phase.ROLLED_BACK
    assert stage.told("interim", "signed_off") == []
    assert stage.control["interim_at"] is None
    stage.close()


def test_its_report_names_no_window_that_the_hours_after_the_rollback_completed(tmp_path: Path) -> None:
    stage = shut_down(tmp_path)
    stage.run(NOON + 3 * HOUR)
    account = Account(stage.ledger, stage.stored)
    assert account.window()["completed_at"] is not None
    report = build(account.evidence(stage.clock.now))
    assert report["verdict"]["kind"] == "rolled_back"
    assert "interim" not in report["windows"]
    assert ">interim<" not in render_html(report)
    stage.close()
