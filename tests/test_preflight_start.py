"""What lets a rollout start where a preflight is required: a fresh one of its rule that held, or somebody's word."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.drilling import settings
from tests.ledgers import NOON, ledger_at
from tests.processes import EVENTS, Installation
from tests.stage import HOUR, MINUTE, Stage, a_rule
from watchdog.account import Account
from watchdog.cli.shared import ahead
from watchdog.config import load_settings
from watchdog.errors import ConfigError
from watchdog.ledger import Ledger, MadePreflight, RuleVerdict
from watchdog.model import Phase, Rollout, Waiver
from watchdog.proof import Gate
from watchdog.report import build, render_html, render_markdown
from watchdog.rolloutfile import load_rollout

DAY = 24 * HOUR
REQUIRED = Gate(required=True, max_age=DAY)
BUILDS = [{"what": "slo-watchdog", "value": "0.1.0"}, {"what": "release image", "value": "checkout@sha256:1e"}]


def made(ledger: Ledger, rule: Rollout, at: float, *, failed: int = 0, waived: int = 0) -> int:
    """A preflight of this rule is on record."""
    verdict = RuleVerdict(rule.name, rule.sha256, failed, waived, 100 - 8 * (failed + waived))
    passed, result = not failed, {"builds": BUILDS}
    preflight = MadePreflight(at - 30, at, "ada", passed, verdict.score, result, [verdict])
    return ledger.add_preflight(preflight).id


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Somebody has started a rollout that needs a preflight."""
    stage = Stage(tmp_path)
    stage.ticker.gate = REQUIRED
    yield stage
    stage.close()


def waits_for(stage: Stage) -> str:
    assert stage.phase is Phase.PENDING
    (reason,) = stage.control["waiting"]
    return str(reason)


def test_without_a_preflight_it_waits_and_says_what_for(stage: Stage) -> None:
    stage.tick()
    found = waits_for(stage)
    assert found.startswith("no preflight of this rule is on record: run `slo-watchdog preflight`; or start it with")
    assert "--waive REASON --waive-until TIME" in found


def test_a_preflight_that_held_lets_it_start_and_is_remembered(stage: Stage) -> None:
    stage.tick()
    number = made(stage.ledger, stage.rule, NOON + 10)
    stage.tick(30)
    assert stage.phase is Phase.RAMPING
    told = Account(stage.ledger, stage.stored).status()["preflight"]
    assert (told["id"], told["held"], told["score"]) == (number, True, 100)


def test_auto_start_waits_for_a_preflight_too(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_rule(auto_start="true"), started=False)
    stage.ticker.gate = REQUIRED
    stage.tick()
    assert "no preflight" in waits_for(stage)
    made(stage.ledger, stage.rule, NOON)
    stage.tick(30)
    assert stage.phase is Phase.RAMPING
    stage.close()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"at": NOON - DAY - 1}, "is 1d0h0m1s old, preflight.max_age is 1d"),
        ({"at": NOON - 60, "failed": 1}, "failed, 1 blocker does not hold (score 92 %)"),
        ({"at": NOON - 60, "failed": 2}, "failed, 2 blockers do not hold (score 84 %)"),
        ({"at": NOON - 60, "waived": 1}, "passed only by the file's waive.preflight"),
    ],
    ids=["too old", "failed", "failed twice", "excused by the file"],
)
def test_a_preflight_that_does_not_do_says_why(stage: Stage, how: dict[str, float], said: str) -> None:
    at = how.pop("at")
    made(stage.ledger, stage.rule, at, **how)  # type: ignore[arg-type]
    stage.tick()
    found = waits_for(stage)
    assert said in found or said.replace("1d0h0m1s", "1d1s") in found, found


def test_a_preflight_of_another_rule_under_the_same_name_does_not_do(stage: Stage) -> None:
    made(stage.ledger, replace(stage.rule, sha256="0" * 64), NOON)
    stage.tick()
    assert "no preflight of this rule is on record" in waits_for(stage)


def test_a_newer_failure_replaces_an_older_success(stage: Stage) -> None:
    made(stage.ledger, stage.rule, NOON - HOUR)
    made(stage.ledger, stage.rule, NOON - MINUTE, failed=1)
    stage.tick()
    assert "failed" in waits_for(stage)


def test_where_none_is_required_nothing_is_asked_for(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.tick()
    assert stage.phase is Phase.RAMPING
    assert Account(stage.ledger, stage.stored).status()["preflight"] is None
    stage.close()


def test_an_observation_needs_none(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_rule(mode="observe"))
    stage.ticker.gate = REQUIRED
    stage.tick()
    assert stage.phase is Phase.RAMPING
    stage.close()


# --- on somebody's word ---------------------------------------------------------------------------------------------


def waived(stage: Stage, until: float = NOON + HOUR, by: str = "eve") -> None:
    waiver = Waiver("preflight", by, "the drill reader comes next week", stage.clock.now, until)
    stage.ledger.add_waiver(stage.rule.name, waiver)


def kinds(stage: Stage) -> list[str]:
    return [one.kind for one in stage.ledger.transitions(stage.stored.id)]


def test_a_waiver_lets_it_start_and_the_start_repeats_it(stage: Stage) -> None:
    waived(stage)
    stage.tick()
    assert stage.phase is Phase.RAMPING
    (start,) = [one.why for one in stage.ledger.transitions(stage.stored.id) if one.kind == "start"]
    assert "preflight waived by eve until 2023-" in start
    assert start.endswith(": the drill reader comes next week")
    told = Account(stage.ledger, stage.stored).status()["waiver"]
    assert (told["name"], told["by"], told["reason"]) == ("preflight", "eve", "the drill reader comes next week")


def test_a_waiver_that_has_ended_lets_nothing_start(stage: Stage) -> None:
    waived(stage, until=NOON - 1)
    stage.tick()
    assert "the waiver by eve ended at 2023-" in waits_for(stage)


def test_a_waiver_that_is_not_needed_is_not_used(stage: Stage) -> None:
    made(stage.ledger, stage.rule, NOON)
    waived(stage)
    stage.tick()
    status = Account(stage.ledger, stage.stored).status()
    assert status["waiver"] is None
    assert status["preflight"]["held"]


def test_its_end_during_the_watch_is_told_once_and_changes_nothing(stage: Stage) -> None:
    waived(stage, until=NOON + 5 * MINUTE)
    stage.run(NOON + 4 * MINUTE)
    assert "waiver_ended" not in kinds(stage)
    stage.run(NOON + 8 * MINUTE)
    assert kinds(stage).count("waiver_ended") == 1
    assert stage.phase is Phase.RAMPING
    (told,) = [
        m.notification for m in stage.ledger.notifications_of(stage.stored.id) if "waiver" in m.notification.kind
    ]
    assert "the waiver of preflight by eve has ended: the drill reader comes next week" in told.summary


def test_after_a_restart_its_end_is_still_told(stage: Stage) -> None:
    waived(stage, until=NOON + 5 * MINUTE)
    stage.run(NOON + 4 * MINUTE)
    stage.restart()
    stage.run(NOON + 8 * MINUTE)
    assert kinds(stage).count("waiver_ended") == 1


def test_the_report_repeats_who_waived_what_until_when_and_what_was_built(stage: Stage) -> None:
    made(stage.ledger, stage.rule, NOON - MINUTE, failed=3)
    waived(stage)
    stage.run(NOON + 2 * MINUTE)
    report = build(Account(stage.ledger, stage.stored).evidence(stage.clock.now))

    given = next(one for one in report["waivers"] if one["by"] == "eve")
    assert (given["name"], given["reason"]) == ("preflight", "the drill reader comes next week")
    assert given["until"].startswith("2023-")
    assert report["preflight"]["failed"] == 3
    assert report["preflight"]["builds"] == BUILDS
    assert any("preflight" in note for note in report["verdict"]["notes"] if note.startswith("Waived: "))
    for page in (render_html(report), render_markdown(report)):
        assert "the drill reader comes next week" in page
        assert "eve" in page
        assert "blockers 3 failed, score 76 %" in page
        assert "release image checkout@sha256:1e" in page


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def alone(tmp_path: Path) -> Installation:
    """No daemon and no Prometheus: `start` asks neither."""
    site = Installation(tmp_path, "http://127.0.0.1:9", preflight="{required: true}")
    site.rollout("checkout-1", EVENTS)
    return site


def test_start_is_refused_without_a_preflight_and_taken_with_a_waiver(alone: Installation) -> None:
    file = str(alone.directory / "rollouts" / "checkout-1.yaml")
    refused = alone.run("start", file)
    assert refused.status == 2
    assert "start checkout-1: no preflight of this rule is on record" in refused.err
    assert alone.status()["phase"] == "unseen", "nothing was recorded"

    endless = alone.run("start", file, "--waive", "why not")
    assert (endless.status, "--waive needs --waive-until" in endless.err) == (2, True)

    taken = alone.run("start", file, "--waive", "a first try", "--waive-until", "48h", "--by", "ada")
    assert taken.status == 0, taken.err
    ledger = ledger_at(alone.ledger_file)
    stored = ledger.rollout("checkout-1")
    assert stored is not None
    (waiver,) = ledger.waivers(stored.id)
    ledger.close()
    assert (waiver.name, waiver.by, waiver.why) == ("preflight", "ada", "a first try")
    assert waiver.until - waiver.at == pytest.approx(48 * HOUR)


def test_start_is_taken_with_a_preflight_that_held(alone: Installation) -> None:
    file = alone.directory / "rollouts" / "checkout-1.yaml"
    ledger = ledger_at(alone.ledger_file)
    made(ledger, load_rollout(file, load_settings(alone.config).facts()), time.time())
    ledger.close()
    assert alone.run("start", str(file)).status == 0


def test_an_end_is_a_time_to_come() -> None:
    assert ahead("48h", "--waive-until", NOON) == NOON + 48 * HOUR
    assert ahead("2099-01-01T00:00:00Z", "--waive-until", NOON) > NOON
    for wrong in ("2020-01-01T00:00:00Z", "soon", "-1h", "0s"):
        with pytest.raises(ConfigError, match="expected a time to come"):
            ahead(wrong, "--waive-until", NOON)


def test_the_settings_say_whether_one_is_required(tmp_path: Path) -> None:
    assert not settings(tmp_path).preflight.required, "who has none must not be refused from one version to the next"
    assert settings(tmp_path, preflight__required="true", preflight__max_age="2h").preflight.max_age == 2 * HOUR
    with pytest.raises(ConfigError, match="expected true or false"):
        settings(tmp_path, preflight__required="perhaps")
    starter = Path(__file__).parent.parent / "watchdog" / "starter" / "templates" / "watchdog.yaml"
    assert "preflight:\n  required: true\n" in starter.read_text()
    assert json.dumps(str(settings(tmp_path).preflight)), "nothing in it is secret"
