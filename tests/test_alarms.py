"""Alerts in the ledger: how they are read, how a service fared, our own pages, `alert_noise` live and replayed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.alarms import DAY, HOUR, MINUTE, NOON, RULE, alert
from tests.ledgers import added, ledger_at, passed, unknown
from tests.rollouts import Past, event, rollout, split, traffic
from tests.stage import LedgerDown, Stage, a_rule
from watchdog.account import Account, noise
from watchdog.alarms import Alarms
from watchdog.errors import Refused
from watchdog.ledger import Ledger, Record, StoredRollout
from watchdog.model import Breach, Evaluation, Notification, OnBreach, Reason, Rollout, Severity, Verdict
from watchdog.noise.classify import Known, Looked
from watchdog.noise.episodes import ALERTMANAGER, OWN, Label
from watchdog.replay import Replay
from watchdog.report import build, render_html, render_markdown
from watchdog.rolloutfile import DaemonFacts, rollout_from_resolved

TOLD = DaemonFacts(noise=RULE)
QUIET = "  - use: alert_noise"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = ledger_at(tmp_path / "watchdog.db")
    yield opened
    opened.close()


def hears(ledger: Ledger, first: int, last: int, every: int = 5 * MINUTE) -> None:
    """Alertmanager sends its Watchdog alert, again and again."""
    for at in range(first, last + 1, every):
        ledger.take_alerts(ALERTMANAGER, (), at)


def alarm(ledger: Ledger, at: float, name: str = "HighLatency", lasts: float = 60.0) -> None:
    """An alert that fires and is over by itself."""
    ledger.take_alerts(ALERTMANAGER, (alert(at, name),), at)
    ledger.take_alerts(ALERTMANAGER, (alert(at, name, ended=at + lasts),), at + lasts)


# --- the rule -----------------------------------------------------------------------------------------------------


def test_a_rollout_may_use_it_where_alerts_are_told_of() -> None:
    rule = rollout(event(), QUIET, daemon=TOLD)
    (objective,) = (one for one in rule.objectives if one.internal is not None)
    assert (objective.target.comparison.value, objective.target.limit) == ("below", 5.0)
    assert (objective.on_breach, objective.noise, objective.gates) == (OnBreach.PAGE, RULE, False)
    assert rollout_from_resolved(rule.resolved, rule.text) == rule


def test_it_may_allow_fewer() -> None:
    rule = rollout(event(), f"{QUIET}\n    at_most: 1", daemon=TOLD)
    assert str(rule.objectives[1].target) == "at most 1"


# --- how a service fared ------------------------------------------------------------------------------------------


def records(ledger: Ledger, stored: StoredRollout, *found: tuple[str, Evaluation], until: int) -> None:
    revision = ledger.rollout(stored.name)
    assert revision is not None
    record = Record(stored.id, revision.revision, started_at=NOON, last_slot=until, evaluations=found)
    ledger.record(record)


def failed(at: int) -> Evaluation:
    return Evaluation(at, Verdict.FAIL, value=0.5)


@pytest.fixture
def watched(ledger: Ledger) -> StoredRollout:
    """An hour of a service in which everything passed, but for the slots that a test adds."""
    rule = rollout(event(), split(), QUIET, daemon=TOLD, cohorts="{exposed: 'variant=\"on\"'}")
    stored = added(ledger, rule)
    slots = range(NOON + 30, NOON + HOUR + 1, 30)
    records(ledger, stored, *(("error_rate", passed(at)) for at in slots), until=NOON + HOUR)
    return stored


def looked(ledger: Ledger, first: int = NOON + 600, last: int = NOON + 1200, service: str = "checkout") -> Looked:
    return ledger.looked(service, first, last)


def test_a_stretch_in_which_every_slot_passed_is_clear(ledger: Ledger, watched: StoredRollout) -> None:
    assert looked(ledger) is Looked.CLEAR


@pytest.mark.parametrize(("first", "last"), [(NOON - 1, NOON + 60), (NOON + HOUR - 60, NOON + HOUR + 1)])
def test_a_stretch_that_was_not_watched_to_its_ends_is_unknown(
    ledger: Ledger, watched: StoredRollout, first: int, last: int
) -> None:
    assert looked(ledger, first, last) is Looked.UNKNOWN


@pytest.mark.parametrize("service", ["cart", ""])
def test_what_nobody_watches_is_unknown(ledger: Ledger, watched: StoredRollout, service: str) -> None:
    assert looked(ledger, service=service) is Looked.UNKNOWN


@pytest.mark.parametrize(
    ("objective", "evaluation", "found"),
    [
        ("error_rate", failed(NOON + 900), Looked.FAILED),
        ("error_rate", failed(NOON + 600), Looked.FAILED),
        ("error_rate", failed(NOON + 570), Looked.CLEAR),
        ("error_rate", failed(NOON + 1230), Looked.CLEAR),
        ("error_rate", unknown(NOON + 900), Looked.UNKNOWN),
        ("error_rate", unknown(NOON + 900, Reason.LOW_TRAFFIC, ""), Looked.UNKNOWN),
        ("exposed_errors", unknown(NOON + 900, Reason.LOW_TRAFFIC, ""), Looked.CLEAR),
        ("exposed_errors", unknown(NOON + 900), Looked.UNKNOWN),
        ("alert_noise", failed(NOON + 900), Looked.CLEAR),
        ("alert_noise", unknown(NOON + 900), Looked.CLEAR),
    ],
)
def test_what_one_slot_makes_of_it(
    ledger: Ledger, watched: StoredRollout, objective: str, evaluation: Evaluation, found: Looked
) -> None:
    records(ledger, watched, (objective, evaluation), until=NOON + HOUR)
    assert looked(ledger) is found


def test_settled_data_cures_an_unknown_slot(ledger: Ledger, watched: StoredRollout) -> None:
    records(ledger, watched, ("error_rate", unknown(NOON + 900)), until=NOON + HOUR)
    records(ledger, watched, ("error_rate", passed(NOON + 900)), until=NOON + HOUR)
    assert looked(ledger) is Looked.CLEAR


# --- reading bit by bit -------------------------------------------------------------------------------------------


def facts(known: Known) -> tuple[Any, ...]:
    return (
        sorted(known.episodes, key=lambda one: one.id),
        sorted(known.said, key=lambda one: one.id),
        list(known.breaches),
        [at for at in known.heard if at > NOON],
    )


def test_reading_what_is_new_is_reading_all(ledger: Ledger) -> None:
    """A memory that read after every change knows what one knows that reads once."""
    stored = added(ledger)
    bit_by_bit = Alarms()
    for step in range(40):
        now = NOON + step * HOUR
        ledger.take_alerts(ALERTMANAGER, (alert(now, f"A{step % 3}"),), now + 20)
        if step % 2:
            ledger.take_alerts(ALERTMANAGER, (alert(now - HOUR, f"A{(step - 1) % 3}", ended=now),), now + 40)
            ledger.label_episode(f"a{step}", Label.FALSE_POSITIVE, "ada", "noise", now, now)
        tells(ledger, stored, "drift" if step % 4 else "drift_over", now)
        known = bit_by_bit.known(ledger, now, now + 60)
        anew = Alarms().known(ledger, now, now + 60)
        mine, all_ = facts(known), facts(anew)
        edge = now - 20 * HOUR
        assert [one for one in mine[0] if one.started_at > edge] == [one for one in all_[0] if one.started_at > edge]
        assert mine[1:3] == all_[1:3]
        assert known.heard[-26:] == anew.heard[-26:]


def test_what_a_reader_keeps_has_an_end(ledger: Ledger) -> None:
    reader = Alarms()
    for day in range(20):
        alarm(ledger, NOON + day * DAY)
        reader.known(ledger, NOON + day * DAY, NOON + day * DAY + 60)
    assert len(reader._episodes) <= 5
    assert len(reader._heard) <= 10


# --- our own pages ------------------------------------------------------------------------------------------------


def tells(
    ledger: Ledger, stored: StoredRollout, kind: str, at: float, severity: str = "critical", **details: object
) -> None:
    """A tick records a message."""
    head = ledger.rollout(stored.name)
    assert head is not None
    message = Notification(kind, f"{kind}-{at}", Severity(severity), f"{kind}!", at, dict(details))
    ledger.record(Record(stored.id, head.revision, notifications=(message,)))


def own(ledger: Ledger) -> list[tuple[str, float, float | None, int]]:
    known = Alarms().known(ledger, NOON, NOON + HOUR)
    return [(one.alertname, one.started_at, one.ended_at, one.notified) for one in known.episodes if one.source == OWN]


def test_our_own_pages_are_episodes_from_their_message_to_its_end(ledger: Ledger) -> None:
    stored = added(ledger)
    tells(ledger, stored, "rollback", NOON, objective="error_rate")
    tells(ledger, stored, "rollback_unconfirmed", NOON + 60, objective="error_rate")
    tells(ledger, stored, "rolled_back", NOON + 70, "info", objective="error_rate")
    tells(ledger, stored, "recovered", NOON + 400, "info", objective="error_rate")
    tells(ledger, stored, "blind", NOON + 500)
    tells(ledger, stored, "step", NOON + 510, "info")
    tells(ledger, stored, "window_reset", NOON + 520, "warning")
    assert own(ledger) == [("breach:error_rate", NOON, NOON + 400, 2), ("blind", NOON + 500, None, 1)]
    tells(ledger, stored, "stop", NOON + 600, "info")
    assert own(ledger)[1] == ("blind", NOON + 500, NOON + 600, 1)


def test_a_message_that_a_rollout_holds_to_be_less_urgent_is_no_page(ledger: Ledger) -> None:
    tells(ledger, added(ledger), "blind", NOON, "warning")
    assert own(ledger) == []


def test_our_own_page_can_be_labelled_by_the_message_that_began_it(ledger: Ledger) -> None:
    stored = added(ledger)
    tells(ledger, stored, "drift", NOON)
    tells(ledger, stored, "drift", NOON + 60)
    (page,) = [one for one in Alarms().known(ledger, NOON, NOON + HOUR).episodes if one.source == OWN]
    ledger.label_episode(page.id, Label.NOT_ACTIONABLE, "ada", "again", NOON + 90, NOON + 90)
    (said,) = Alarms().known(ledger, NOON, NOON + HOUR).said
    assert (said.episode, said.label) == (page.id, Label.NOT_ACTIONABLE)
    with pytest.raises(Refused, match="there is no episode 'w2'"):
        ledger.label_episode("w2", Label.NOT_ACTIONABLE, "ada", "again", NOON, NOON)


def test_the_breaches_of_a_service_are_known_without_those_that_settled_data_withdrew(ledger: Ledger) -> None:
    from watchdog.ledger import BreachFact  # noqa: PLC0415 - only here

    stored = added(ledger)
    breach = Breach("error_rate", NOON, "sequential", 2.0, 1.0)
    facts_ = (BreachFact(breach), BreachFact(replace(breach, at=NOON + 60), unconfirmed=True))
    ledger.record(Record(stored.id, 0, breaches=facts_))
    (found,) = ledger.service_breaches(0.0)
    assert (found.rollout, found.service, found.at) == (stored.name, "checkout", NOON)


# --- live ---------------------------------------------------------------------------------------------------------


def a_noisy_rule(**top: str) -> Rollout:
    return a_rule(event(), f"{QUIET}\n    below: 2", daemon=TOLD, **top)  # type: ignore[arg-type]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path, a_noisy_rule())
    hears(stage.ledger, NOON - 2 * DAY, NOON)
    yield stage
    stage.close()


def verdicts(stage: Stage) -> dict[int, str]:
    return {(e.at - NOON) // MINUTE: e.verdict.value for e in stage.evaluations("alert_noise")}


def runs(stage: Stage, until: float) -> None:
    """Run with Alertmanager telling of itself every five minutes."""
    while stage.clock.now < until:
        step = min(until, stage.clock.now + 5 * MINUTE)
        stage.run(step)
        stage.ledger.take_alerts(ALERTMANAGER, (), step)


def noisy(stage: Stage, at: float, name: str) -> None:
    """An alarm that starts at `at` and is over in a minute, told as it happens."""
    runs(stage, at)
    stage.ledger.take_alerts(ALERTMANAGER, (alert(at, name),), at)
    runs(stage, at + 60)
    stage.ledger.take_alerts(ALERTMANAGER, (alert(at, name, ended=at + 60),), at + 60)


def test_false_alarms_fail_it_and_page_once_and_the_ramp_goes_on(stage: Stage) -> None:
    noisy(stage, NOON + 6 * MINUTE, "DiskFull")
    noisy(stage, NOON + 10 * MINUTE, "HighLatency")
    runs(stage, NOON + 30 * MINUTE)

    found = verdicts(stage)
    assert next(minute for minute, verdict in found.items() if verdict == "fail") == 21
    assert stage.pages("breach") == ["breach"]
    assert "2 false alarms in 24 h (all confirmed): DiskFull 1, HighLatency 1" in stage.why("breach")
    assert stage.percent == 100.0


def test_a_label_takes_effect_at_the_next_slot(stage: Stage) -> None:
    noisy(stage, NOON + 6 * MINUTE, "DiskFull")
    noisy(stage, NOON + 10 * MINUTE, "HighLatency")
    runs(stage, NOON + 25 * MINUTE)
    stage.ledger.label_episode("a1", Label.TRUE_POSITIVE, "ada", "it was full", stage.clock.now, stage.clock.now)
    runs(stage, NOON + 30 * MINUTE)
    assert (verdicts(stage)[24], verdicts(stage)[29]) == ("fail", "pass")


def test_silence_of_alertmanager_is_unknown_until_it_is_heard_again(stage: Stage) -> None:
    stage.run(NOON + 40 * MINUTE)
    stage.ledger.take_alerts(ALERTMANAGER, (), stage.clock.now)
    stage.run(NOON + 45 * MINUTE)
    found = verdicts(stage)
    assert [found[minute] for minute in (15, 16, 39, 44)] == ["pass", "unknown", "unknown", "pass"]
    assert {e.reason for e in stage.evaluations("alert_noise")} == {None, Reason.STALE}


def test_what_is_caught_up_after_an_outage_is_excused(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_noisy_rule(window="{slices: 48, slice: 10m, max_gap: 5m}"))
    hears(stage.ledger, NOON - 2 * DAY, NOON)
    runs(stage, NOON + 10 * MINUTE)
    stage.clock.now = NOON + 60 * MINUTE + 31
    stage.restart()
    stage.ledger.take_alerts(ALERTMANAGER, (), stage.clock.now)
    runs(stage, NOON + 70 * MINUTE)
    missed = [e for e in stage.evaluations("alert_noise") if e.verdict is Verdict.UNKNOWN]
    assert missed
    assert {e.reason for e in missed if e.at < NOON + 58 * MINUTE} == {Reason.NO_DATA}
    assert "reset" not in stage.told()
    stage.close()


def test_a_restart_folds_the_same(stage: Stage) -> None:
    noisy(stage, NOON + 6 * MINUTE, "DiskFull")
    before = stage.evaluations("alert_noise")
    stage.restart()
    runs(stage, NOON + 20 * MINUTE)
    assert stage.evaluations("alert_noise")[: len(before)] == before


def test_while_the_ledger_cannot_be_read_it_is_unknown(stage: Stage) -> None:
    stage.run(NOON + 3 * MINUTE)
    down = LedgerDown(stage.ledger)
    stage.ticker._gather.ledger = down  # type: ignore[assignment]
    down.down = "all"
    stage.run(NOON + 4 * MINUTE)
    down.down = None
    stage.run(NOON + 6 * MINUTE)
    assert "unknown" in verdicts(stage).values()
    assert list(verdicts(stage).values())[-1] == "pass"


# --- replay -------------------------------------------------------------------------------------------------------


def replayed(known: Known | None, until: int) -> Replay:
    run = Replay(a_noisy_rule(), NOON, until, keep_going=True, keep_evaluations=True, alerts=known)
    run.run(Past(**traffic()))
    return run


def test_a_replay_from_the_ledger_says_slot_by_slot_what_the_live_run_said(stage: Stage) -> None:
    noisy(stage, NOON + 6 * MINUTE, "DiskFull")
    noisy(stage, NOON + 10 * MINUTE, "HighLatency")
    runs(stage, NOON + 25 * MINUTE)
    stage.ledger.label_episode("a1", Label.TRUE_POSITIVE, "ada", "it was full", stage.clock.now, stage.clock.now)
    runs(stage, NOON + 40 * MINUTE)
    stage.run(NOON + 70 * MINUTE)  # Alertmanager falls silent

    live = stage.evaluations("alert_noise")
    known = Alarms().known(stage.ledger, NOON, live[-1].at)
    run = replayed(known, live[-1].at)
    assert {e.verdict for e in live} == set(Verdict)
    assert run.evaluations["alert_noise"] == live


def test_a_replay_leaves_it_out_where_nothing_was_heard_and_says_so(ledger: Ledger) -> None:
    for known in (None, Alarms().known(ledger, NOON, NOON + HOUR)):
        figures: dict[str, Any] = replayed(known, NOON + HOUR).figures()
        assert list(figures["evaluations"]) == ["error_rate"]
        (left_out,) = figures["left_out"]
        assert left_out["objective"] == "alert_noise"
        assert "heard of no alerts before 2023-11-15T12:00:00Z" in left_out["why"]


# --- the report's part --------------------------------------------------------------------------------------------


def test_the_report_has_the_count_of_the_watch_and_the_pages_that_are_in_doubt(stage: Stage) -> None:
    noisy(stage, NOON + 6 * MINUTE, "DiskFull")
    noisy(stage, NOON + 10 * MINUTE, "HighLatency")
    stage.ledger.label_episode("a2", Label.FALSE_POSITIVE, "ada", "a test", stage.clock.now, stage.clock.now)
    stage.ledger.take_alerts(ALERTMANAGER, (alert(NOON + 12 * MINUTE, "Real"),), stage.clock.now)
    stage.ledger.label_episode("a3", Label.TRUE_POSITIVE, "ada", "was real", stage.clock.now, stage.clock.now)
    runs(stage, NOON + 20 * MINUTE)
    found = noise(stage.ledger, stage.rule, float(NOON), stage.clock.now, stage.clock.now)
    assert found is not None
    assert [found[name] for name in ("lower", "upper", "pages", "true_positives", "judged")] == [2, 2, 4, 2, True]
    # The fourth is our own page of the breach, which is true.
    assert [(one["id"], one["by"]) for one in found["episodes"]] == [("a1", "rule"), ("a2", "ada")]


def test_the_pages_of_the_report_show_it_and_nothing_of_an_alert_acts_there(stage: Stage) -> None:
    noisy(stage, NOON + 6 * MINUTE, "<script>alert(1)</script> | [x](http://evil.example) `y`")
    runs(stage, NOON + 25 * MINUTE)
    report = build(Account(stage.ledger, stage.stored).evidence(stage.clock.now))
    page, text = render_html(report), render_markdown(report)
    assert '<h2 id="h-noise">Alert noise</h2>' in page
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "## Alert noise" in text
    assert "<script>" not in text
    assert "\\[x\\](http://evil.example) \\`y\\`" in text
    assert report["noise"]["lower"] == 1
    assert "alert_noise" in report["coverage"]["judged"]


def test_the_report_has_no_such_part_where_nobody_told_of_alerts(ledger: Ledger) -> None:
    assert noise(ledger, rollout(event()), float(NOON), NOON + HOUR, NOON + HOUR) is None
