"""What a steering verb is said to do, held against what `decide` then does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.rollouts import HOUR, NOON, event, rollout
from watchdog.control import Control
from watchdog.decide import Seen, decide
from watchdog.model import Command, Exposure, FlagReading, Hold, Phase, Rollout
from watchdog.steering import VERBS, Effect, effect
from watchdog.window import Window

RULE = rollout(event(), ramp="{steps: [{percent: 10, for: 1h}, {percent: 50, for: 1h}, {percent: 100}]}")
OBSERVER = rollout(event(), ramp="{strategy: all_at_once}", mode="observe")
HELD = Hold("operator", "ada", NOON, "a sale is on")
COMMANDS = ("hold", "resume", "rollback", "stop", "start", "adopt")


def control(phase: Phase, percent: float = 10.0, **more: Any) -> Control:
    started = None if phase is Phase.PENDING else NOON
    return replace(Control(phase=phase, started_at=started, desired=Exposure(percent), last_step_at=started), **more)


def status(rule: Rollout, held: Control, *, actual: float | None, slices: int = 5, error: str = "") -> dict[str, Any]:
    """The part of `status --json` that an effect is worked out from."""
    hold = held.hold
    return {
        "phase": held.phase.value,
        "started_at": None if held.started_at is None else "2023-11-15T12:00:00Z",
        "hold": None if hold is None else {"cause": hold.cause, "by": hold.by, "since": "noon", "why": hold.why},
        "waiting": list(held.waiting),
        "exposure": {
            "desired": held.desired.percent,
            "actual": actual,
            "cohort": False,
            "audiences": [],
            "error": error or None,
        },
        "window": {"required": 48, "current": slices, "final": {"current": slices}},
        "objectives": [{"name": "error_rate", "verdict": "fail", "why": "error_rate is 2 % bad"}],
    }


def told(rule: Rollout, held: Control, verb: str, actual: float | None = 10.0, **more: Any) -> Effect:
    return effect(status(rule, held, actual=actual, **more), rule, verb)


def decided(rule: Rollout, held: Control, verb: str, actual: float) -> tuple[Control, str]:
    """The state after one tick with this command, and the command's outcome."""
    seen = Seen(NOON + HOUR, Window(48), Window(48), reading=FlagReading(Exposure(actual)))
    seen.commands = (Command(1, verb, "ada", "a test", NOON + HOUR),)
    decision = decide(rule, held, seen)
    return decision.control, dict(decision.done)[1]


@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize("hold", [None, HELD], ids=["free", "held"])
@pytest.mark.parametrize("phase", list(Phase), ids=lambda phase: phase.value)
def test_what_is_foretold_is_what_is_decided(phase: Phase, hold: Hold | None, verb: str) -> None:
    held = control(phase, hold=hold if phase.active else None)
    actual = 0.0 if phase is Phase.PENDING and verb == "start" else 10.0
    foretold = told(RULE, held, verb, actual)
    after, outcome = decided(RULE, held, verb, actual)
    assert (foretold.refused is not None) == ("refused" in outcome)
    if foretold.refused is not None:
        assert foretold.refused.split(",")[0].split(";")[0] in outcome.replace("_", " ")
        assert foretold.exposure_after == foretold.exposure_before
    elif phase is not Phase.ROLLING_BACK:
        assert foretold.exposure_after == after.desired or verb in ("stop", "hold", "resume")
        ended = after.phase.terminal or after.phase is Phase.ROLLING_BACK
        assert foretold.window_lost == (5 if ended and phase in (Phase.RAMPING, Phase.SOAKING) else 0)


def test_every_verb_says_something_in_every_phase() -> None:
    for rule in (RULE, OBSERVER):
        for phase in Phase:
            for verb in VERBS:
                for actual in (None, 0.0, 100.0):
                    said = told(rule, control(phase), verb, actual).sentences
                    assert said
                    assert all(one and one[-1] == "." for one in said), (phase, verb, said)


def test_a_rollback_says_from_where_to_where_and_what_is_lost() -> None:
    said = told(RULE, control(Phase.RAMPING), "rollback")
    assert said.sentences[0] == "Flag new-checkout goes from 10% to 0% at once, and must read so within 15m."
    assert "5 of 48 good slices count for nothing." in " ".join(said.sentences)
    assert (said.exposure_before, said.exposure_after, said.window_lost) == (Exposure(10.0), Exposure(0.0), 5)


def test_a_rollback_goes_on_while_the_flag_service_is_away() -> None:
    said = told(RULE, control(Phase.RAMPING), "rollback", None, error="connection refused")
    assert (said.refused, said.exposure_before, said.exposure_after) == (None, None, Exposure(0.0))
    assert "not known (connection refused): it is written all the same" in said.sentences[0]


def test_an_observer_writes_no_flag() -> None:
    assert "flag new-checkout is not written" in told(OBSERVER, control(Phase.RAMPING), "rollback").sentences[0]


def test_a_hold_names_the_step_that_waits_for_it() -> None:
    assert "the next step, to 50%, waits" in told(RULE, control(Phase.RAMPING), "hold").sentences[0]
    assert "nothing is signed off" in told(RULE, control(Phase.SOAKING, 100.0), "hold").sentences[0]


def test_a_resume_says_what_fails_now() -> None:
    said = told(RULE, control(Phase.RAMPING, hold=HELD), "resume").sentences
    assert said[0] == "The hold by ada ends, which is there since noon: a sale is on."
    assert said[-1] == "Look first: error_rate is 2 % bad."


def test_a_start_says_when_it_would_have_to_be_an_adoption() -> None:
    pending = control(Phase.PENDING, 0.0)
    assert "adopt it" in told(RULE, pending, "start").sentences[0]
    adopted = told(RULE, pending, "adopt")
    assert adopted.exposure_after == Exposure(10.0)
    assert adopted.sentences[1] == "The first step is to 50%, 1h later at the earliest."


def test_a_waiver_is_for_what_has_not_started_and_acts() -> None:
    assert told(RULE, control(Phase.PENDING, 0.0), "waive").refused is None
    assert "has not started" in str(told(RULE, control(Phase.RAMPING), "waive").refused)
    assert "only observes" in str(told(OBSERVER, control(Phase.PENDING, 0.0), "waive").refused)
