"""What comes late: answers, breaches, ourselves. And what must not come of it: a rollback for want of Prometheus."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rollouts import HOUR, NOON, event, internal, value
from tests.stage import MINUTE, Stage, a_rule
from watchdog.freeze import freeze
from watchdog.model import OnBreach, Phase, Reason

LONG = "{slices: 6, slice: 10m, max_gap: 10m}"
SILENT = event("error_rate", "no_data: fail")


def slots_asked(stage: Stage, start: float, end: float) -> list[tuple[float, int, int]]:
    """(wall time, first, last) of what was asked for the slots of the total: `$range` is 300 s there."""
    return [
        (wall - NOON, asked.start - NOON, asked.end - NOON)
        for wall, asked in stage.service.asked
        if start < wall <= end and asked.expression == "error_rate_total[300s]"
    ]


@pytest.mark.parametrize(
    "reason", [Reason.UNREACHABLE, Reason.QUERY_ERROR, Reason.PARTIAL, Reason.CLOCK_SKEW, None], ids=str
)
def test_an_unknown_slot_is_asked_again_each_minute_while_it_is_young(tmp_path: Path, reason: Reason | None) -> None:
    stage = Stage(tmp_path, a_rule(window=LONG))
    stage.service.late(NOON + 4 * MINUTE, NOON + 6 * MINUTE, NOON + 9 * MINUTE, reason)
    stage.run(NOON + 8 * MINUTE)
    wanted = (reason or Reason.NO_DATA).value
    at = {e.at: e for e in stage.evaluations()}
    assert [at[NOON + m * MINUTE].reason for m in (4, 5, 6, 7)] == [None, wanted, wanted, None]
    stage.run(NOON + 12 * MINUTE)
    again = [(first, last) for _, first, last in slots_asked(stage, NOON + 7 * MINUTE, NOON + 12 * MINUTE)]
    assert again.count((300, 360)) == 3, "at 7 and 8 minutes in vain, at 9 answered, then no more"
    assert stage.revisions("error_rate", NOON + 300) == stage.revisions("error_rate", NOON + 360)
    assert len(stage.revisions("error_rate", NOON + 300)) == 2
    assert {e.verdict.value for e in stage.evaluations()} == {"pass"}
    stage.assert_dense()
    stage.close()


@pytest.mark.parametrize("reason", [Reason.MANY_SERIES, Reason.NOT_A_NUMBER, Reason.STALE], ids=str)
def test_what_later_data_cannot_cure_is_not_asked_again(tmp_path: Path, reason: Reason) -> None:
    stage = Stage(tmp_path, a_rule(window=LONG))
    stage.service.late(NOON + 4 * MINUTE, NOON + 6 * MINUTE, NOON + 9 * MINUTE, reason)
    stage.run(NOON + 15 * MINUTE)
    assert [span for _, *span in slots_asked(stage, NOON, NOON + 15 * MINUTE) if span[0] != span[1]] == []
    assert [e.reason for e in stage.evaluations() if e.reason is not None] == [reason, reason]
    stage.close()


def test_a_known_slot_never_becomes_unknown(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_rule(window=LONG))
    stage.service.late(NOON + 4 * MINUTE, NOON + 5 * MINUTE, NOON + 12 * MINUTE)
    stage.run(NOON + 8 * MINUTE)
    known = [e for e in stage.evaluations() if e.reason is None]
    # From now on a part of what was known is not there any more: the questions that span it must not undo it.
    stage.service.late(NOON, NOON + 4 * MINUTE, NOON + 11 * MINUTE, Reason.PARTIAL)
    stage.run(NOON + 15 * MINUTE)
    now = {e.at: e for e in stage.evaluations()}
    assert [now[e.at] for e in known] == known
    assert all(e.reason is None for e in now.values())
    assert all(len(stage.revisions("error_rate", e.at)) == 1 for e in known)
    stage.close()


def test_an_old_gap_is_asked_for_once_when_the_source_recovers_and_then_hourly(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_rule(window="{slices: 24, slice: 10m}"))
    lost = (NOON + 4 * MINUTE, NOON + 5 * MINUTE)
    stage.service.late(*lost, NOON + 10 * HOUR)  # this slot stays lost
    stage.run(NOON + 30 * MINUTE)
    stage.service.unreachable(NOON + 30 * MINUTE, NOON + 33 * MINUTE)
    stage.run(NOON + 100 * MINUTE)
    asked = [
        wall / MINUTE for wall, first, last in slots_asked(stage, NOON, stage.clock.now) if first == 300 < wall - 60
    ]
    young = [minute for minute in asked if minute < 21]
    assert len(young) == 14, "each minute from 6 to 19"
    old = [round(minute) for minute in asked if minute >= 21]
    assert old == [34, 94], "once after the source recovered, then an hour later"
    stage.close()


def test_a_breach_found_late_acts_now(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_rule(window=LONG))
    stage.service.fails(NOON + 12 * MINUTE, NOON + 17 * MINUTE)
    stage.service.late(NOON + 12 * MINUTE, NOON + 20 * MINUTE, NOON + 22 * MINUTE, Reason.PARTIAL)
    stage.run(NOON + 21 * MINUTE)
    assert stage.phase is Phase.RAMPING
    stage.run(NOON + 24 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    assert stage.percent == 0.0
    (fact,) = stage.ledger.breaches(stage.stored.id)
    assert fact.late
    assert NOON + 13 * MINUTE < fact.breach.at <= NOON + 16 * MINUTE
    assert fact.detected_at is not None
    assert fact.detected_at >= NOON + 22 * MINUTE
    assert stage.rollback["detected_at"] == fact.detected_at
    assert "found late" in stage.why("breach")
    stage.close()


def test_a_late_breach_holds_where_the_rule_says_so(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_rule(window=LONG, late_breach="hold"))
    assert stage.rule.late_breach is OnBreach.HOLD
    stage.service.fails(NOON + 12 * MINUTE, NOON + 17 * MINUTE)
    stage.service.late(NOON + 12 * MINUTE, NOON + 20 * MINUTE, NOON + 22 * MINUTE, Reason.PARTIAL)
    stage.run(NOON + 24 * MINUTE)
    assert stage.phase is Phase.RAMPING
    assert stage.percent == 50.0
    assert stage.control["hold"]["cause"] == "breach"
    stage.close()


def test_a_breach_after_our_own_downtime_acts_too_and_the_flag_is_carried_over_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_rule(window=LONG))
    stage.run(NOON + 12 * MINUTE)
    stage.service.fails(NOON + 14 * MINUTE, NOON + 19 * MINUTE)
    stage.clock.now = NOON + 40 * MINUTE
    stage.restart()
    stage.tick()
    assert stage.phase is Phase.ROLLED_BACK
    (fact,) = stage.ledger.breaches(stage.stored.id)
    assert fact.late
    assert {e.verdict.value for e in stage.evaluations("flag_ramp")} == {"pass"}, "the same version before and after"
    stage.assert_dense()
    stage.close()


def test_a_flag_that_changed_while_nobody_looked_is_unknown_for_that_time_and_excused(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_rule(window=LONG))
    stage.run(NOON + 25 * MINUTE)
    assert stage.percent == 100.0
    stage.turned_to(80)
    stage.turned_to(100)
    stage.clock.now = NOON + 45 * MINUTE + 31
    stage.restart()
    stage.tick()
    stage.run(NOON + 61 * MINUTE)
    nobody = "nobody read the flag at that time"
    gone = [e for e in stage.evaluations("flag_ramp") if e.detail == nobody]
    assert [(e.at - NOON) // 60 for e in gone] == list(range(25, 45))
    assert {e.reason for e in gone} == {Reason.NO_DATA}
    assert stage.told("reset") == [], "our own downtime resets nothing"
    assert stage.phase is Phase.SOAKING
    stage.close()


def test_a_breach_that_settled_data_takes_back_is_marked_and_the_rollback_stays(tmp_path: Path) -> None:
    """Three slow minutes looked like three in a row: the fast ones between them came late."""
    stage = Stage(tmp_path, a_rule(value(), event(), internal(), window=LONG))
    slow = {NOON + minute * MINUTE for minute in (13, 16, 19)}
    stage.service.values["latency_p95"] = lambda at: 0.5 if at in slow else 0.1
    for minute in (14, 15, 17, 18):
        span = NOON + (minute - 1) * MINUTE, NOON + minute * MINUTE
        stage.service.late(*span, NOON + 25 * MINUTE, Reason.PARTIAL, name="latency_p95")
    stage.run(NOON + 24 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    assert stage.told("reset", "reset_withdrawn") == ["reset"]
    stage.run(NOON + 28 * MINUTE)
    (fact,) = stage.ledger.breaches(stage.stored.id)
    assert fact.breach.at == NOON + 19 * MINUTE
    assert fact.unconfirmed
    assert stage.told("reset", "reset_withdrawn") == ["reset", "reset_withdrawn"]
    assert stage.phase is Phase.ROLLED_BACK
    assert stage.percent == 0.0
    told = stage.told()
    stage.restart()
    stage.run(NOON + 33 * MINUTE)
    assert stage.told("reset", "reset_withdrawn", "breach") == [
        kind for kind in told if kind in ("reset", "reset_withdrawn", "breach")
    ]
    stage.close()


def test_sign_off_waits_for_slots_that_may_still_be_answered(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_rule(window="{slices: 3, slice: 20m, max_gap: 10m}"))
    # One slot of the last slice is missing: at 95 % the slice may pass all the same, but it is not final yet.
    stage.service.late(NOON + 69 * MINUTE, NOON + 70 * MINUTE, NOON + 20 * HOUR, Reason.PARTIAL)
    stage.run(NOON + 94 * MINUTE)
    assert stage.phase is Phase.SOAKING
    assert stage.told("signed_off") == []
    stage.run(NOON + 96 * MINUTE)
    assert stage.told("signed_off") == ["signed_off"]
    stage.close()


def test_a_breach_found_after_the_sign_off_pages_and_amends_the_report(tmp_path: Path) -> None:
    once = {"ramp": "{strategy: all_at_once}", "window": "{slices: 2, slice: 1h, max_gap: 10m}"}
    stage = Stage(tmp_path, a_rule(value(), event(), internal(), **once))
    slow = {NOON + minute * MINUTE for minute in (140, 141, 142)}
    stage.service.values["latency_p95"] = lambda at: 0.5 if at in slow else 0.1
    until = NOON + 200 * MINUTE
    # Steps alone are missing: a detector that sees two of five is blind for three slots, and 57 of 60 are enough.
    stage.service.late(min(slow) - 1, max(slow), until, Reason.PARTIAL, name="latency_p95", over=75.0)
    stage.run(NOON + 197 * MINUTE)
    assert stage.phase is Phase.SIGNED_OFF
    assert not stage.ticker.over, "three steps may still be answered"
    for kind in ("interim", "final"):
        freeze(stage.ledger, stage.rule.name, kind, tmp_path, stage.clock.now, "http://127.0.0.1:9090")
    stage.restart()
    assert stage.tick(MINUTE).reports == ()
    stage.run(NOON + 201 * MINUTE)
    stage.clock.now = NOON + 260 * MINUTE
    assert stage.tick().reports == ("final",)
    stage.restart()
    assert stage.tick(MINUTE).reports == ("final",), "a crash may have come before it was frozen again"
    freeze(stage.ledger, stage.rule.name, "final", tmp_path, stage.clock.now, "http://127.0.0.1:9090")
    stage.restart()
    assert stage.tick(MINUTE).reports == ()
    assert stage.phase is Phase.SIGNED_OFF
    assert stage.percent == 100.0
    assert stage.told("breach", "amended") == ["breach", "amended"]
    assert stage.pages("breach") == ["breach"]
    assert stage.ticker.over
    stage.close()


def test_an_outage_longer_than_one_batch_is_filled_batch_by_batch(tmp_path: Path) -> None:
    rule = a_rule(interval="1s", window="{slices: 2, slice: 30m}", ramp="{strategy: percentage, from: 0, to: 100}")
    stage = Stage(tmp_path, rule)
    stage.tick(0.0)
    stage.clock.now = NOON + 2000 + 2000 + 500 + 31
    ticked = stage.tick()
    assert ticked.again_in == 0.0
    assert stage.stored.last_slot == NOON + 2000
    assert stage.told("step") == [], "back-filled slots take no steps"
    stage.command("resume")
    assert stage.tick().again_in == 0.0
    assert stage.told("refused") == [], "a resume waits until the newest slot is reached"
    assert stage.tick().again_in is None
    assert stage.stored.last_slot == NOON + 4501
    assert stage.told("refused") == ["refused"]
    assert stage.percent == 100.0
    stage.assert_dense("error_rate")
    stage.close()


@pytest.mark.parametrize(("interval", "within"), [("4s", 10.0), ("30s", 60.0), ("60s", 120.0)])
def test_the_newest_slot_is_live_however_it_was_queried_and_the_older_ones_take_no_step(
    tmp_path: Path, interval: str, within: float
) -> None:
    ramp = "{strategy: progressive, from: 0, to: 100, over: 20m, every: 2m}"
    stage = Stage(tmp_path, a_rule(interval=interval, ramp=ramp))
    assert stage.rule.live_within == within
    stage.run(NOON + MINUTE)
    stage.clock.now = NOON + 9 * MINUTE + 31
    stage.tick()  # four steps would have been due meanwhile
    asked = stage.service.asked_between(stage.clock.now - 1, stage.clock.now)[0]
    assert asked.start < asked.end, "asked as a range"
    assert stage.told("step") == ["step"]
    assert stage.percent == 10.0
    stage.run(NOON + 11 * MINUTE)
    assert stage.told("step") == ["step"], "never closer than `every`"
    stage.close()


def test_an_outage_of_prometheus_alone_never_rolls_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_rule(SILENT, internal(), window=LONG))
    stage.service.prometheus_stands_still(NOON + 12 * MINUTE, NOON + 32 * MINUTE)
    stage.service.unreachable(NOON + 14 * MINUTE, NOON + 30 * MINUTE)
    stage.run(NOON + 60 * MINUTE)
    assert stage.phase in (Phase.RAMPING, Phase.SOAKING)
    assert stage.told("breach") == []
    assert {e.reason for e in stage.evaluations() if e.reason} <= {Reason.NO_DATA, Reason.UNREACHABLE}
    assert not any(e.silent for e in stage.evaluations())
    assert stage.percent > 0
    assert stage.pages("blind") == ["blind"]
    stage.close()


def test_a_prometheus_that_could_not_be_reached_is_not_silence_either_when_it_answers_late(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_rule(SILENT, internal(), window=LONG))
    stage.service.unreachable(NOON + 12 * MINUTE, NOON + 20 * MINUTE)
    stage.run(NOON + 30 * MINUTE)
    assert {e.verdict.value for e in stage.evaluations()} == {"pass"}
    assert stage.told("breach", "reset") == []
    stage.close()


def test_a_service_that_vanishes_is_rolled_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_rule(SILENT, internal(), window=LONG))
    stage.service.vanishes(NOON + 12 * MINUTE)
    stage.run(NOON + 25 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    assert stage.percent == 0.0
    assert "silence is failure here" in stage.why("breach")
    took = stage.rollback["confirmed_at"] - (NOON + 12 * MINUTE)
    assert took < stage.rule.rollback.within
    stage.close()


def test_a_service_that_vanished_while_prometheus_could_not_be_reached_is_rolled_back_late(tmp_path: Path) -> None:
    stage = Stage(tmp_path, a_rule(SILENT, internal(), window=LONG))
    stage.service.vanishes(NOON + 12 * MINUTE)
    stage.service.unreachable(NOON + 13 * MINUTE, NOON + 30 * MINUTE)
    stage.run(NOON + 33 * MINUTE)
    assert stage.phase is Phase.ROLLED_BACK
    (fact,) = stage.ledger.breaches(stage.stored.id)
    assert fact.late
    stage.close()
