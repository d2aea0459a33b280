"""Whole rollouts over stored data: timetables to the second, nights, outages, breaches, and the borders of chunks."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from tests.rollouts import HOUR, NOON, Answer, Past, event, internal, rollout, traffic, value
from watchdog.model import Exposure, Phase, Reason, Rollout, SliceVerdict
from watchdog.observe import asks, observe, slots
from watchdog.quantities import parse_time, rfc3339
from watchdog.replay import CHUNK, Replay

DAY = 24 * HOUR
CHECKOUT = rollout(event(), internal())
AT_ONCE = "{strategy: all_at_once}"
FAST = "{strategy: progressive, from: 0, to: 100, over: 4h, every: 1h}"


def run(rule: Rollout, past: Past, start: int = NOON, hours: float = 48.0, **how: Any) -> Replay:
    replay = Replay(rule, start, start + int(hours * HOUR), **how)
    replay.run(past)
    return replay


def incidents(*spans: tuple[int, int], share: float = 0.2, name: str = "error_rate") -> dict[str, Answer]:
    """Traffic at 50 requests/s that fails for `share` within the spans (first second, last second]."""

    def bad(at: int, seconds: float) -> float:
        return sum(max(0.0, min(at, last) - max(at - seconds, first)) for first, last in spans) * 50.0 * share

    return {f"{name}_bad": bad, f"{name}_total": lambda at, seconds: 50.0 * seconds}


def quiet(*spans: tuple[int, int]) -> dict[str, Answer]:
    """Good traffic at 50 requests/s, none within the spans."""

    def total(at: int, seconds: float) -> float:
        silent = sum(max(0.0, min(at, last) - max(at - seconds, first)) for first, last in spans)
        return 50.0 * (seconds - silent)

    return {"error_rate_bad": lambda at, seconds: 0.0, "error_rate_total": total}


def told(replay: Replay, kind: str) -> list[int]:
    return [int(t.at) for t in replay.transitions if t.kind == kind]


def raised(replay: Replay) -> list[tuple[int, float]]:
    return [(at, exposure.percent) for at, exposure in replay.timeline.confirmed()]


def window(replay: Replay) -> dict[str, Any]:
    found = replay.figures()["window"]
    assert isinstance(found, dict)
    return found


# --- timetables -----------------------------------------------------------------------------------------------------


def test_seven_days_of_ramp_and_forty_eight_hours_of_window_to_the_second() -> None:
    replay = run(CHECKOUT, Past(**traffic()), hours=10 * 24)
    expected = [(NOON, 0.0)] + [(NOON + k * HOUR, round(100 * k / 168, 3)) for k in range(1, 169)]
    assert raised(replay) == expected
    assert told(replay, "start") == [NOON]
    assert told(replay, "interim") == [NOON + 48 * HOUR]
    assert told(replay, "signed_off") == [NOON + 9 * DAY]
    assert replay.control.phase is Phase.SIGNED_OFF
    figures = replay.figures()
    assert (figures["from"], figures["to"]) == (rfc3339(NOON), rfc3339(NOON + 9 * DAY))
    assert figures["slots"] == 9 * 2880
    changes = figures["transitions"]
    assert isinstance(changes, list)
    assert [(change["at"], change["from"], change["to"]) for change in changes] == [
        (rfc3339(NOON), "pending", "ramping"),
        (rfc3339(NOON + 7 * DAY), "ramping", "soaking"),
        (rfc3339(NOON + 9 * DAY), "soaking", "signed_off"),
    ]
    found = window(replay)
    assert found["completed_at"] == rfc3339(NOON + 48 * HOUR)
    assert found["final"] == {"current": 48, "completed_at": rfc3339(NOON + 9 * DAY)}
    assert found["current"] == found["longest"] == 216


def test_a_start_off_the_grid_steps_at_the_first_slots_after_and_counts_the_next_whole_slices() -> None:
    start = NOON + 17
    two_days = rollout(event(), internal(), ramp="{strategy: progressive, over: 2d, every: 1h}")
    replay = run(two_days, Past(**traffic()), start=start, hours=5 * 24)
    steps = raised(replay)
    assert steps[0] == (start, 0.0)
    # An hour after the start is 12:00:17 + 1 h; its first slot is at 13:00:30, and each next step an hour later.
    assert [at for at, _ in steps[1:]] == [NOON + 30 + k * HOUR for k in range(1, 49)]
    assert replay.slices[0].end == NOON + 2 * HOUR
    assert told(replay, "interim") == [NOON + 49 * HOUR]
    # 100 % is confirmed 30 s into a slice: the 48 that count begin with the next.
    assert told(replay, "signed_off") == [NOON + (48 + 1 + 48) * HOUR]


@pytest.mark.parametrize("strategy", [AT_ONCE, "{strategy: percentage, to: 25}"])
def test_everybody_at_once_soaks_from_the_first_slot(strategy: str) -> None:
    rule = rollout(event(), ramp=strategy)
    replay = run(rule, Past(**traffic()), hours=60)
    assert raised(replay)[1:] == [(NOON + 30, rule.ramp.to)]
    assert told(replay, "interim") == [NOON + 48 * HOUR]
    assert told(replay, "signed_off") == [NOON + 49 * HOUR]


def test_a_night_without_traffic_completes_the_window_later() -> None:
    night = (NOON + 10 * HOUR, NOON + 18 * HOUR)
    replay = run(rollout(event(), ramp=AT_ONCE), Past(**quiet(night)), hours=72)
    assert told(replay, "signed_off") == [NOON + (49 + 8) * HOUR]
    assert sum(item.verdict is SliceVerdict.IDLE for item in replay.slices) == 8
    assert window(replay)["resets"] == []


def test_a_ramp_waits_through_a_night_and_never_catches_up() -> None:
    # The 5-minute range of a slot sees traffic until five minutes into the night, and again right after it.
    night = (NOON + 2 * HOUR + 60, NOON + 8 * HOUR + 600)
    replay = run(rollout(event(), ramp=FAST), Past(**quiet(night)), hours=14)
    ups = [at for at, _ in raised(replay)[1:]]
    assert ups == [NOON + HOUR, NOON + 2 * HOUR, NOON + 8 * HOUR + 630, NOON + 9 * HOUR + 630]
    assert told(replay, "waiting") == [NOON + 3 * HOUR]
    assert "low_traffic" in next(t.why for t in replay.transitions if t.kind == "waiting")


def test_replay_starts_at_its_start_whatever_start_at_says() -> None:
    for start_at in (NOON - 30 * DAY, NOON + 30 * DAY):
        rule = replace(rollout(event(), ramp=FAST), start_at=float(start_at), auto_start=False)
        assert raised(run(rule, Past(**traffic()), hours=2))[:2] == [(NOON, 0.0), (NOON + HOUR, 25.0)]


# --- breaches -------------------------------------------------------------------------------------------------------


def test_a_breach_takes_the_flag_back_and_ends_the_run() -> None:
    onset = NOON + 5 * HOUR
    replay = run(rollout(event(), ramp=FAST), Past(**incidents((onset, onset + HOUR))), hours=48)
    (breach,) = replay.breaches
    assert breach.objective == "error_rate"
    assert onset < breach.at <= onset + 6 * 60
    assert replay.control.phase is Phase.ROLLED_BACK
    assert raised(replay)[-1] == (breach.at, 0.0)
    figures = replay.figures()
    assert figures["to"] == rfc3339(breach.at)
    assert figures["slots"] == (breach.at - NOON) // 30
    (reset,) = window(replay)["resets"]
    assert (reset["at"], reset["objective"]) == (rfc3339(breach.at), "error_rate")
    assert window(replay)["longest"] == 5
    changes = figures["transitions"]
    assert isinstance(changes, list)
    assert [change["to"] for change in changes] == ["ramping", "soaking", "rolling_back", "rolled_back"]
    assert all(parse_time(change["at"]) <= breach.at for change in changes)


def test_a_rollbacks_breach_is_among_the_resets_even_at_zero_progress() -> None:
    onset = NOON + HOUR + 600
    watched = rollout(event(), ramp=FAST, window="{slices: 48, slice: 6h}")
    replay = run(watched, Past(**incidents((onset, onset + HOUR))))
    assert [reset["at"] for reset in window(replay)["resets"]] == [rfc3339(replay.breaches[0].at)]


def test_a_breach_before_anybody_is_exposed_holds_in_a_replay_too() -> None:
    replay = run(rollout(event(), ramp=FAST), Past(**incidents((NOON + 600, NOON + 1200))), hours=12)
    assert replay.control.phase is Phase.RAMPING
    assert replay.control.hold is not None
    assert "nobody is exposed" in replay.control.hold.why
    assert raised(replay) == [(NOON, 0.0)]  # only a person ends it
    assert len(replay.breaches) == 1


def test_a_breach_with_on_breach_hold_stops_the_ramp_where_it_is() -> None:
    onset = NOON + 2 * HOUR + 600
    rule = rollout(event("error_rate", "on_breach: hold"), ramp=FAST)
    replay = run(rule, Past(**incidents((onset, onset + 600))), hours=12)
    assert raised(replay)[-1] == (NOON + 2 * HOUR, 50.0)
    assert told(replay, "hold") == [replay.breaches[0].at]


def test_a_breach_that_only_pages_resets_the_window_and_the_ramp_waits_for_good_slots() -> None:
    onset = NOON + 3 * HOUR - 600
    rule = rollout(event("error_rate", "on_breach: page"), ramp=FAST)
    replay = run(rule, Past(**incidents((onset, onset + 1200))), hours=60)
    # Its slots fail for one range (5 min) longer than the incident; later steps keep their distance.
    late = onset + 1200 + 300
    ups = [at for at, _ in raised(replay)[1:]]
    assert ups == [NOON + HOUR, NOON + 2 * HOUR, late, late + HOUR]
    assert len(replay.breaches) == 1
    assert [reset["at"] for reset in window(replay)["resets"]] == [rfc3339(replay.breaches[0].at)]
    assert window(replay)["completed_at"] == rfc3339(NOON + (4 + 48) * HOUR)


def test_keep_going_runs_to_the_end_after_a_rollback() -> None:
    onset = NOON + 5 * HOUR
    past = incidents((onset, onset + 1200), (onset + 6 * HOUR, onset + 6 * HOUR + 1200))
    rule = rollout(event(), ramp=FAST)
    replay = run(rule, Past(**past), hours=24, keep_going=True)
    assert replay.control.phase is Phase.ROLLED_BACK
    assert len(replay.breaches) == 2
    assert raised(replay)[-1] == (replay.breaches[0].at, 0.0)
    figures = replay.figures()
    assert (figures["slots"], figures["to"]) == (24 * 120, rfc3339(NOON + DAY))
    assert told(replay, "recovered")
    stopped = run(rule, Past(**past), hours=24)
    assert stopped.breaches == replay.breaches[:1]
    ended = int(stopped.transitions[-1].at)
    assert stopped.transitions == [t for t in replay.transitions if t.at <= ended]


def test_keep_going_after_the_sign_off_keeps_it_and_tells_later_breaches() -> None:
    rule = rollout(event(), ramp=AT_ONCE, window="{slices: 4, slice: 1h}")
    onset = NOON + 10 * HOUR
    replay = run(rule, Past(**incidents((onset, onset + 1200))), hours=24, keep_going=True)
    assert told(replay, "signed_off") == [NOON + 5 * HOUR]
    assert told(replay, "amended") == [replay.breaches[0].at]
    assert replay.control.phase is Phase.SIGNED_OFF
    assert raised(replay)[-1] == (NOON + 30, 100.0)
    assert window(replay)["final"]["completed_at"] == rfc3339(NOON + 5 * HOUR)


def test_an_observation_replays_like_the_rollout_that_acts() -> None:
    onset = NOON + 5 * HOUR
    past = incidents((onset, onset + 1200))
    acts, observes = (run(rollout(event(), ramp=FAST, mode=mode), Past(**past)) for mode in ("act", "observe"))
    told_of, shown = acts.figures(), observes.figures()
    assert [event["why"] for event in told_of.pop("events")] == [event["why"] for event in shown.pop("events")]  # type: ignore[attr-defined]
    assert told_of == shown


# --- outages --------------------------------------------------------------------------------------------------------


def with_outage(answers: dict[str, Answer], first: int, last: int) -> dict[str, Answer]:
    """Prometheus refuses every question for an instant in (first, last]."""

    def cut(answer: Answer) -> Answer:
        return lambda at, seconds: Reason.UNREACHABLE if first < at <= last else answer(at, seconds)

    return {name: cut(answer) for name, answer in answers.items()}


def test_an_outage_of_the_source_is_a_gap_and_neither_credit_nor_rollback() -> None:
    first, last = NOON + 10 * HOUR, NOON + 10 * HOUR + 1500
    replay = run(rollout(event(), ramp=AT_ONCE), Past(**with_outage(traffic(), first, last)), hours=60)
    gaps = replay.figures()["gaps"]
    # 25 min without an answer; the detector is blind from its third unknown step of five to its third known one after.
    assert gaps == [{"from": rfc3339(first + 30), "to": rfc3339(last + 150), "reason": "unreachable"}]
    assert (replay.breaches, window(replay)["resets"]) == ([], [])
    assert told(replay, "blind") == [first + 630]
    assert told(replay, "signed_off") == [NOON + (49 + 1) * HOUR]


def test_an_outage_longer_than_max_gap_resets_once_at_the_end_of_its_slice() -> None:
    first, last = NOON + 10 * HOUR + 600, NOON + 13 * HOUR
    replay = run(rollout(event(), ramp=AT_ONCE), Past(**with_outage(traffic(), first, last)), hours=70)
    assert [reset["at"] for reset in window(replay)["resets"]] == [rfc3339(NOON + 11 * HOUR)]
    assert told(replay, "signed_off") == [NOON + (13 + 48) * HOUR]


# --- the same, however it is asked ----------------------------------------------------------------------------------


EVENTFUL = rollout(event("error_rate", "on_breach: page"), value("latency_p95", "on_breach: page"), ramp=FAST)
BORDERS = (NOON + CHUNK * 30, NOON + 2 * CHUNK * 30)


def eventful() -> dict[str, Answer]:
    """Something happens around both borders, and an outage besides."""
    around = [(border - 150, border + 200) for border in BORDERS]
    answers = incidents(*around, (NOON + 9 * HOUR, NOON + 9 * HOUR + 1200))
    answers["latency_p95"] = lambda at, seconds: 0.5 if any(abs(at - border) < 400 for border in BORDERS) else 0.1
    return with_outage(answers, NOON + 20 * HOUR, NOON + 21 * HOUR)


def test_two_borders_of_chunks_make_no_difference() -> None:
    hours = (2 * CHUNK + 1200) / 120
    chunked = run(EVENTFUL, Past(**eventful()), hours=hours, keep_evaluations=True)
    whole = Replay(EVENTFUL, chunked.start, chunked.end, keep_evaluations=True)
    facts = observe(EVENTFUL, Past(**eventful()), asks(EVENTFUL, whole.start, whole.end))
    for slot in slots(EVENTFUL, facts, whole.start, whole.end, lambda at: {}):
        whole.fold(slot)
    assert chunked.figures() == whole.figures()
    assert chunked.evaluations == whole.evaluations
    assert chunked.slices == whole.slices
    breached = {breach.at // 600 * 600 for breach in chunked.breaches}
    assert all(any(abs(at - border) <= 600 for at in breached) for border in BORDERS)


def test_slots_skipped_because_nothing_could_be_decided_make_no_difference() -> None:
    for rule, start, hours in ((EVENTFUL, NOON, 46), (rollout(event(), value(), ramp=FAST), NOON + 17, 24)):
        runs = [
            run(rule, Past(**eventful()), start=start, hours=hours, keep_going=True, skips_quiet_slots=skips)
            for skips in (True, False)
        ]
        assert runs[0].figures() == runs[1].figures()
        assert runs[0].control == runs[1].control


def test_the_next_chunk_is_asked_for_while_one_is_folded_and_the_thread_ends_with_the_run() -> None:
    before = threading.active_count()
    seen: list[tuple[int, int]] = []
    replay = Replay(EVENTFUL, NOON, NOON + 50 * HOUR)
    replay.run(Past(**eventful()), lambda done, of: seen.append((done, of)))
    assert seen == [(CHUNK * 30, 50 * HOUR), (50 * HOUR, 50 * HOUR)]
    assert threading.active_count() == before


def test_an_empty_stretch_is_an_empty_run() -> None:
    replay = run(CHECKOUT, Past(**traffic()), hours=0)
    assert replay.figures()["slots"] == 0
    assert replay.control.phase is Phase.RAMPING
    assert raised(replay) == [(NOON, 0.0)]


def spread(points: Iterable[tuple[int, Exposure]]) -> list[int]:
    instants = [at for at, _ in points]
    return [later - earlier for earlier, later in pairwise(instants)]


@pytest.mark.parametrize("start", [NOON, NOON + 1, NOON + 29])
def test_steps_are_never_closer_than_every_however_often_they_had_to_wait(start: int) -> None:
    rule = rollout(event("error_rate", "on_breach: page"), ramp="{strategy: progressive, over: 10h, every: 37m}")
    bad = [(NOON + minute * 60, NOON + minute * 60 + 100) for minute in range(20, 900, 41)]
    replay = run(rule, Past(**incidents(*bad, share=0.01)), start=start, hours=24)
    apart = spread(replay.timeline.confirmed())
    assert len(apart) == 17
    assert min(apart) >= 37 * 60
    assert max(apart[1:]) > 37 * 60  # it did have to wait
