"""The fold over slots: where detectors start, when they are blind, what an episode is, and what a slice owns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from tests.rollouts import HOUR, NOON, event, failed, fold, internal, lost, passed, rollout, step, unknown, value
from watchdog.model import Evaluation, Exposure, Measurement, Reason, Rollout, SliceVerdict, Verdict
from watchdog.watch import Found, Slot, Watch

MINUTE = 60
BAD, GOOD = 1500.0, 0.0
"""Bad events of a step of 3000."""


def watch_of(watched: Rollout | None = None, start: int = NOON) -> Watch:
    return Watch(watched or rollout(event()), start)


Judge = Callable[[int], Evaluation]
Measure = Callable[[int], Measurement | None]


def slots(
    until: int,
    *,
    after: int = NOON,
    evaluation: Judge = passed,
    measured: Measure = step,
    pooled: Measure = lambda at: step(at, 0.0, 180_000.0),
    name: str = "error_rate",
) -> Iterable[Slot]:
    """The slots in (after, until], a detector step each minute, a pooled slice each hour."""
    for at in range(after // 30 * 30 + 30, until + 1, 30):
        found = measured(at) if at % MINUTE == 0 else None
        whole = pooled(at) if at % HOUR == 0 else None
        yield Slot(
            at,
            {name: evaluation(at)},
            {} if found is None else {name: found},
            {} if whole is None else {name: whole},
        )


def burning(at: int) -> Measurement:
    return step(at, BAD)


def opened(found: list[Found]) -> list[int]:
    return [breach.at for one in found for breach in one.opened]


def closed(found: list[Found]) -> list[int]:
    return [one.at for one in found for _ in one.closed]


# --- where a detector starts ----------------------------------------------------------------------------------------


def test_a_step_counts_when_its_whole_range_lies_after_the_start() -> None:
    """A step's range is 75 s: the first that counts is two minutes after the start."""
    watch = watch_of()
    fold(watch, slots(NOON + MINUTE, measured=burning))
    assert watch.tracks["error_rate"].detector.used == 0
    fold(watch, slots(NOON + 2 * MINUTE, after=NOON + MINUTE, measured=burning))
    assert watch.tracks["error_rate"].detector.used == 1


@pytest.mark.parametrize(("off", "first"), [(0, 120), (15, 120), (44, 120), (45, 120), (46, 180), (59, 180)])
def test_a_start_off_the_grid_waits_for_the_next_whole_range(off: int, first: int) -> None:
    watch = watch_of(start=NOON + off)
    for slot in slots(NOON + 240, measured=burning):
        fold(watch, [slot])
        assert (watch.tracks["error_rate"].detector.used > 0) == (slot.at >= NOON + first)


def test_a_total_failure_from_the_start_breaches_at_the_third_whole_step() -> None:
    found = fold(watch_of(), slots(NOON + 10 * MINUTE, measured=burning, evaluation=failed))
    assert opened(found) == [NOON + 4 * MINUTE]


def test_unknown_steps_are_skipped_and_nothing_is_forgotten() -> None:
    def measured(at: int) -> Measurement:
        return burning(at) if at % 120 == 0 else lost(at)

    found = fold(watch_of(), slots(NOON + 20 * MINUTE, measured=measured))
    assert opened(found) == [NOON + 6 * MINUTE]  # steps at 2, 4 and 6 minutes


def test_the_detector_is_emptied_after_a_breach_closes_and_the_weights_spent_are_kept() -> None:
    watch = watch_of()
    fold(watch, slots(NOON + 4 * MINUTE, measured=burning, evaluation=failed))
    fold(watch, slots(NOON + 8 * MINUTE + 30, after=NOON + 4 * MINUTE))
    assert watch.open_objectives() == {"error_rate"}
    fold(watch, slots(NOON + 9 * MINUTE, after=NOON + 8 * MINUTE + 30))
    track = watch.tracks["error_rate"]
    assert watch.open_objectives() == frozenset()
    assert (track.since, track.detector.statistic, track.detector.used) == (NOON + 9 * MINUTE, 0.0, 3)


def test_steps_that_reach_back_before_the_close_do_not_count_afterwards() -> None:
    watch = watch_of()
    found = fold(watch, slots(NOON + 4 * MINUTE, measured=burning, evaluation=failed))
    found += fold(watch, slots(NOON + 9 * MINUTE, after=NOON + 4 * MINUTE))
    found += fold(watch, slots(NOON + 15 * MINUTE, after=NOON + 9 * MINUTE, measured=burning))
    assert closed(found) == [NOON + 9 * MINUTE]
    # 9 min + 75 s: the steps at 11, 12 and 13 minutes are the first three whole ones.
    assert opened(found) == [NOON + 4 * MINUTE, NOON + 13 * MINUTE]


def test_a_persons_resume_empties_every_detector_and_ends_open_episodes() -> None:
    watched = rollout(event(), value())
    watch = Watch(watched, NOON)
    fold(watch, slots(NOON + 3 * MINUTE, measured=burning))
    spent = watch.tracks["error_rate"].detector.used
    assert watch.resume(NOON + 3 * MINUTE) == ()
    track = watch.tracks["error_rate"]
    assert (track.since, track.detector.used, track.detector.statistic) == (NOON + 3 * MINUTE, spent, 0.0)
    found = fold(watch, slots(NOON + 7 * MINUTE, after=NOON + 3 * MINUTE, measured=burning))
    assert opened(found) == [NOON + 7 * MINUTE]  # whole steps at 5, 6 and 7 minutes
    (breach,) = watch.resume(NOON + 7 * MINUTE)
    assert breach.closed_at == NOON + 7 * MINUTE
    assert watch.open_objectives() == frozenset()


def test_a_window_reset_does_not_restart_a_detector() -> None:
    watch = watch_of()
    fold(watch, slots(NOON + HOUR, pooled=lambda at: step(at, 1000.0, 180_000.0), measured=lambda at: step(at, 4.0)))
    assert watch.slices[0].verdict is SliceVerdict.FAIL
    assert watch.tracks["error_rate"].detector.used == 59
    assert watch.tracks["error_rate"].detector.statistic > 0


# --- blindness ------------------------------------------------------------------------------------------------------


def verdicts(found: list[Found]) -> dict[int, Evaluation]:
    return {one.at: one.evaluations["error_rate"] for one in found}


def test_from_its_fifth_step_on_a_detector_that_knows_fewer_than_three_of_five_is_blind() -> None:
    found = verdicts(fold(watch_of(), slots(NOON + 10 * MINUTE, measured=lost)))
    # Steps count from the second minute on: the fifth ends at six minutes.
    assert [found[at].verdict for at in (NOON + 330, NOON + 360, NOON + 390)] == ["pass", "unknown", "unknown"]
    blind = found[NOON + 360]
    assert blind.reason is Reason.NO_DATA
    assert not blind.measured
    assert "blind" in blind.detail


@pytest.mark.parametrize(("known", "verdict"), [(3, Verdict.PASS), (2, Verdict.UNKNOWN)])
def test_three_known_of_the_last_five_are_enough(known: int, verdict: Verdict) -> None:
    def measured(at: int) -> Measurement:
        index = (at - NOON) // MINUTE - 2  # 0..4
        return step(at) if index < known else lost(at, Reason.PARTIAL)

    found = verdicts(fold(watch_of(), slots(NOON + 6 * MINUTE, measured=measured)))
    assert found[NOON + 6 * MINUTE].verdict is verdict
    assert found[NOON + 6 * MINUTE].reason is (Reason.PARTIAL if verdict is Verdict.UNKNOWN else None)


def test_the_newest_unknown_steps_reason_is_given() -> None:
    def measured(at: int) -> Measurement:
        return lost(at, Reason.UNREACHABLE if at < NOON + 5 * MINUTE else Reason.QUERY_ERROR)

    found = verdicts(fold(watch_of(), slots(NOON + 6 * MINUTE, measured=measured)))
    assert found[NOON + 6 * MINUTE].reason is Reason.QUERY_ERROR


def test_low_traffic_is_known() -> None:
    for quiet in (lambda at: lost(at, Reason.LOW_TRAFFIC), lambda at: step(at, 0.0, 0.0)):
        found = verdicts(fold(watch_of(), slots(NOON + 20 * MINUTE, measured=quiet)))
        assert {one.verdict for one in found.values()} == {Verdict.PASS}


def test_a_blind_detector_sees_again_when_three_of_five_are_known() -> None:
    def measured(at: int) -> Measurement:
        return lost(at) if at <= NOON + 10 * MINUTE else step(at)

    found = verdicts(fold(watch_of(), slots(NOON + 15 * MINUTE, measured=measured)))
    assert [found[NOON + minute * MINUTE].verdict for minute in (10, 11, 12, 13)] == [
        "unknown",
        "unknown",
        "unknown",
        "pass",
    ]


def test_blindness_is_counted_anew_after_an_empty_start() -> None:
    watch = watch_of()
    fold(watch, slots(NOON + 10 * MINUTE, measured=lost))
    watch.resume(NOON + 10 * MINUTE)
    found = verdicts(fold(watch, slots(NOON + 20 * MINUTE, after=NOON + 10 * MINUTE, measured=lost)))
    assert found[NOON + 10 * MINUTE + 30].verdict is Verdict.PASS
    assert found[NOON + 15 * MINUTE + 30].verdict is Verdict.PASS
    assert found[NOON + 16 * MINUTE].verdict is Verdict.UNKNOWN


def test_slots_of_a_blind_detector_count_in_the_gap() -> None:
    watch = watch_of()
    fold(watch, slots(NOON + HOUR, measured=lost))
    (closed_slice,) = watch.slices
    assert closed_slice.unmeasured == ((NOON + 6 * MINUTE, NOON + HOUR),)
    assert closed_slice.verdict is SliceVerdict.UNKNOWN


def test_a_blind_detector_hides_a_failing_slot_too_and_leaves_an_unknown_one_its_own_reason() -> None:
    found = verdicts(fold(watch_of(), slots(NOON + 6 * MINUTE, measured=lost, evaluation=failed)))
    assert found[NOON + 6 * MINUTE].verdict is Verdict.UNKNOWN
    own = fold(watch_of(), slots(NOON + 6 * MINUTE, measured=lost, evaluation=lambda at: unknown(at, Reason.STALE)))
    assert verdicts(own)[NOON + 6 * MINUTE].reason is Reason.STALE


# --- episodes -------------------------------------------------------------------------------------------------------


def test_an_episode_opens_once_however_long_it_burns() -> None:
    found = fold(watch_of(), slots(NOON + 3 * HOUR, measured=burning, evaluation=failed))
    assert opened(found) == [NOON + 4 * MINUTE]
    assert closed(found) == []


@pytest.mark.parametrize(
    ("disturbed", "close"),
    [
        (passed, 4 * MINUTE + 300),  # five minutes after its step
        (failed, 6 * MINUTE + 300),
        (lambda at: unknown(at, Reason.PARTIAL), 6 * MINUTE + 300),
        (lambda at: unknown(at, Reason.LOW_TRAFFIC), 4 * MINUTE + 300),
    ],
)
def test_it_closes_when_for_resume_after_no_slot_failed_or_was_unknown_but_low_traffic(
    disturbed: Judge, close: int
) -> None:
    watch = watch_of()
    fold(watch, slots(NOON + 4 * MINUTE, measured=burning))

    def evaluation(at: int) -> Evaluation:
        return disturbed(at) if at == NOON + 6 * MINUTE else passed(at)

    found = fold(watch, slots(NOON + 20 * MINUTE, after=NOON + 4 * MINUTE, evaluation=evaluation))
    assert closed(found) == [NOON + close]


def test_a_slot_still_failing_when_the_breach_opens_keeps_it_open() -> None:
    watch = watch_of(rollout(event(), resume_after="60s"))
    found = fold(watch, slots(NOON + 6 * MINUTE, measured=burning, evaluation=failed))
    found += fold(watch, slots(NOON + 10 * MINUTE, after=NOON + 6 * MINUTE))
    assert closed(found) == [NOON + 7 * MINUTE]


def test_a_breach_states_detector_statistic_threshold_and_counts() -> None:
    found = fold(watch_of(), slots(NOON + 5 * MINUTE, measured=burning))
    (breach,) = (breach for one in found for breach in one.opened)
    assert (breach.objective, breach.detector, breach.bad, breach.total) == ("error_rate", "sequential", BAD, 3000.0)
    assert breach.statistic >= breach.threshold == pytest.approx(100.0)
    for words in ("50%", "1500 bad of 3000", "sequential", "100"):
        assert words in breach.why


def test_a_silent_breach_says_that_silence_is_failure() -> None:
    watched = rollout(event("error_rate", "no_data: fail"))
    silent = "no data although Prometheus was ingesting"
    found = fold(
        watch_of(watched), slots(NOON + 6 * MINUTE, measured=lambda at: Measurement(at, silent=True, detail=silent))
    )
    (breach,) = (breach for one in found for breach in one.opened)
    assert breach.at == NOON + 4 * MINUTE
    assert silent in breach.why


def test_confirm_breaches_at_the_third_failing_step_of_five_and_says_so() -> None:
    def slow(at: int) -> Measurement:
        return Measurement(at, value=0.5 if at % 120 == 0 else 0.1)

    found = fold(watch_of(rollout(value())), slots(NOON + 10 * MINUTE, measured=slow, name="latency_p95"))
    (breach, *_) = (breach for one in found for breach in one.opened)
    assert breach.at == NOON + 6 * MINUTE
    assert (breach.detector, breach.statistic, breach.threshold, breach.value) == ("confirm", 3.0, 3.0, 0.5)


def test_a_step_in_which_nobody_came_is_neither_good_nor_bad_for_confirm() -> None:
    watched = rollout(event("error_rate", "confirm: 3 of 3"))

    def measured(at: int) -> Measurement:
        return step(at, 0.0, 0.0) if (at - NOON) // MINUTE % 2 else burning(at)

    found = fold(watch_of(watched), slots(NOON + 10 * MINUTE, measured=measured))
    assert opened(found)[:1] == [NOON + 6 * MINUTE]  # failing steps at 2, 4 and 6 minutes, nobody in between


def test_each_objective_has_an_episode_of_its_own() -> None:
    watch = Watch(rollout(event("a"), event("b")), NOON)
    for one, two in zip(
        slots(NOON + 8 * MINUTE, measured=burning, name="a"),
        slots(NOON + 8 * MINUTE, measured=lambda at: step(at, BAD if at > NOON + 3 * MINUTE else GOOD), name="b"),
        strict=True,
    ):
        both = Slot(one.at, {**one.evaluations, **two.evaluations}, {**one.steps, **two.steps})
        fold(watch, [both])
    assert watch.open_objectives() == {"a", "b"}


def test_bad_is_remembered_once_it_was_seen() -> None:
    watch = watch_of()
    fold(watch, slots(NOON + 5 * MINUTE))
    assert not watch.tracks["error_rate"].bad_seen
    fold(watch, slots(NOON + 6 * MINUTE, after=NOON + 5 * MINUTE, measured=lambda at: step(at, 1.0)))
    assert watch.tracks["error_rate"].bad_seen


# --- how long something has been unknown ----------------------------------------------------------------------------


def test_unknown_since_is_its_first_unknown_slot_and_low_traffic_is_none() -> None:
    watch = watch_of()
    fold(watch, slots(NOON + 60))
    assert watch.unknown_since() == {}
    fold(watch, slots(NOON + 300, after=NOON + 60, evaluation=unknown))
    assert watch.unknown_since() == {"error_rate": NOON + 90}
    fold(watch, slots(NOON + 330, after=NOON + 300, evaluation=lambda at: unknown(at, Reason.LOW_TRAFFIC)))
    assert watch.unknown_since() == {}


def test_an_objective_about_ourselves_is_unknown_only_after_it_was_known() -> None:
    def judged(*verdicts: Evaluation) -> list[Slot]:
        return [Slot(one.at, {"error_rate": passed(one.at), "flag_ramp": one}, {}, {}) for one in verdicts]

    watch = Watch(rollout(event(), internal()), NOON)
    fold(watch, judged(*(unknown(NOON + 30 * k) for k in range(1, 9))))
    assert watch.unknown_since() == {}
    fold(watch, judged(passed(NOON + 270), unknown(NOON + 300), unknown(NOON + 330)))
    assert watch.unknown_since() == {"flag_ramp": NOON + 300}


# --- slices ---------------------------------------------------------------------------------------------------------


def test_a_slice_owns_the_slots_after_its_start_up_to_its_end() -> None:
    watch = watch_of()
    missing = {NOON + HOUR, NOON + HOUR + 30}

    def evaluation(at: int) -> Evaluation:
        return unknown(at) if at in missing else passed(at)

    fold(watch, slots(NOON + 2 * HOUR, evaluation=evaluation))
    first, second = watch.slices
    assert (first.end, first.unmeasured) == (NOON + HOUR, ((NOON + HOUR, NOON + HOUR),))
    assert (second.end, second.unmeasured) == (NOON + 2 * HOUR, ((NOON + HOUR + 30, NOON + HOUR + 30),))
    assert [item.objectives[0].measured for item in watch.slices] == [119, 119]


@pytest.mark.parametrize(("start", "first"), [(0, HOUR), (1, 2 * HOUR), (1800, 2 * HOUR), (3599, 2 * HOUR)])
def test_the_first_slice_that_counts_starts_at_or_after_the_start(start: int, first: int) -> None:
    watch = watch_of(start=NOON + start)
    fold(watch, slots(NOON + 3 * HOUR, after=NOON + start))
    assert watch.slices[0].end == NOON + first


def test_a_breach_lies_in_the_slice_that_owns_its_step() -> None:
    watch = watch_of()
    onset = NOON + HOUR - 3 * MINUTE

    def measured(at: int) -> Measurement:
        return burning(at) if onset < at <= NOON + HOUR else step(at)

    fold(watch, slots(NOON + 2 * HOUR, measured=measured))
    first, second = watch.slices
    assert [breach.at for breach in first.breaches] == [NOON + HOUR]
    assert (first.verdict, second.verdict) == (SliceVerdict.FAIL, SliceVerdict.PASS)


def test_a_breach_in_a_slice_fails_it_though_the_hour_was_good_as_a_whole() -> None:
    watch = watch_of()
    fold(watch, slots(NOON + HOUR, measured=lambda at: burning(at) if at == NOON + 300 else step(at)))
    assert watch.slices[0].verdict is SliceVerdict.PASS  # one minute is no fire
    watch = watch_of()
    fold(watch, slots(NOON + HOUR, measured=lambda at: burning(at) if at <= NOON + 600 else step(at)))
    assert watch.slices[0].verdict is SliceVerdict.FAIL


def test_the_gap_is_the_union_over_objectives() -> None:
    watch = Watch(rollout(event("a"), event("b")), NOON)
    a = slots(NOON + HOUR, name="a", evaluation=lambda at: unknown(at) if at <= NOON + 300 else passed(at))
    b = slots(NOON + HOUR, name="b", evaluation=lambda at: unknown(at) if NOON + 150 < at <= NOON + 600 else passed(at))
    for one, two in zip(a, b, strict=True):
        fold(watch, [Slot(one.at, {**one.evaluations, **two.evaluations}, {**one.steps, **two.steps})])
    assert watch.slices[0].unmeasured == ((NOON + 30, NOON + 600),)
    assert watch.windows.interim.window.gap == 20


def test_what_only_our_own_downtime_left_unmeasured_is_excused_from_the_gap() -> None:
    watch = Watch(rollout(event(), internal()), NOON)
    for slot in slots(NOON + HOUR):
        evaluations = {**slot.evaluations, "flag_ramp": unknown(slot.at)}
        fold(watch, [replace(slot, evaluations=evaluations, excused=frozenset({"flag_ramp"}))])
    (found,) = watch.slices
    assert found.unmeasured == ()
    assert found.verdict is SliceVerdict.UNKNOWN
    assert watch.windows.interim.window.gap == 0


def test_a_slice_carries_the_exposure_that_held_throughout() -> None:
    watch = watch_of()
    asked: list[tuple[int, int]] = []

    def over(start: int, end: int) -> Exposure | None:
        asked.append((start, end))
        return Exposure(25.0)

    for slot in slots(NOON + HOUR):
        watch.fold(slot, over)
    assert watch.slices[0].exposure == Exposure(25.0)
    assert asked == [(NOON, NOON + HOUR)]


# --- folding again --------------------------------------------------------------------------------------------------


def eventful(at: int) -> Measurement:
    minute = (at - NOON) // MINUTE
    if 70 < minute < 80:
        return lost(at)
    return burning(at) if minute in (20, 21, 22, 23, 24, 130, 131, 132, 133) else step(at, 2.0)


def eventful_slot(at: int) -> Evaluation:
    minute = (at - NOON) // MINUTE
    return failed(at) if minute in range(20, 30) else unknown(at) if 70 < minute < 90 else passed(at)


def test_folding_again_from_any_checkpoint_gives_the_same_to_the_bit() -> None:
    whole = watch_of()
    expected = fold(whole, slots(NOON + 4 * HOUR, measured=eventful, evaluation=eventful_slot))
    again = watch_of()
    checkpoints = [None]
    for hour in range(4):
        span = slots(NOON + (hour + 1) * HOUR, after=NOON + hour * HOUR, measured=eventful, evaluation=eventful_slot)
        fold(again, span)
        checkpoints.append(again.checkpoint())  # type: ignore[arg-type]
    breaches = [(breach, False) for found in expected for breach in found.opened]
    assert [breach.at for breach, _ in breaches] == [NOON + 22 * MINUTE, NOON + 132 * MINUTE]
    for hour, checkpoint in enumerate(checkpoints):
        at = NOON + hour * HOUR
        again.rewind(checkpoint, [item for item in breaches if item[0].at <= at])
        rest = fold(again, slots(NOON + 4 * HOUR, after=at, measured=eventful, evaluation=eventful_slot))
        assert rest == expected[hour * 120 :]
        assert again.tracks == whole.tracks
        assert again.slices == whole.slices
        assert again.windows.interim.window == whole.windows.interim.window
