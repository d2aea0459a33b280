"""The whole answer from a history: what was judged, what is promised, why it is refused, and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tests.rollouts import COHORTS, HOUR, NOON, Answer, Past, event, internal, rollout, split, traffic, value
from watchdog.errors import SourceError
from watchdog.feasibility import Feasibility, Outlook, feasibility
from watchdog.feasibility.reading import EVERYBODY, read
from watchdog.model import Reason, Rollout, Series
from watchdog.observe import Progress
from watchdog.prometheus import Range
from watchdog.replay import Replay
from watchdog.rolloutfile import DaemonFacts

DAY = 24 * HOUR
END = NOON // DAY * DAY
NOW = END + 31.0
SLOW = DaemonFacts(scrape_interval=60.0)
COARSE = {"interval": "5m", "ramp": "{strategy: progressive, over: 7d, every: 12h}"}
"""Slots and detector steps of five minutes: a week is a few thousand of them. A ramp of few steps."""
EVERY = "sequential: {every: 5m}"


def rule(*objectives: str, **top: str) -> Rollout:
    return rollout(*(objectives or (event("error_rate", EVERY),)), daemon=SLOW, **{**COARSE, **top})


def answer(rollout: Rollout, source: Past, days: float = 7.0, seed: int = 1, now: float = NOW) -> Feasibility:
    return feasibility(rollout, source, now, days=days, seed=seed)


def noisy(rps: float, share: Callable[[int], float], seed: int = 1, name: str = "error_rate") -> dict[str, Answer]:
    """Traffic whose hours have a bad share of their own; counts are whole hours' shares of it."""

    def bad(at: int, seconds: float) -> float:
        return rps * seconds * share((at - 1) // HOUR * HOUR)

    return {f"{name}_bad": bad, f"{name}_total": lambda at, seconds: rps * seconds}


def hours_of(day: range) -> Callable[[int], bool]:
    return lambda hour: hour % DAY // HOUR in day


# --- the reading ------------------------------------------------------------------------------------------------------


def test_the_history_is_judged_as_a_replay_judges_it() -> None:
    random = Random(4)
    worse = {END - k * HOUR: random.choice((0.0001, 0.0005, 0.0013)) for k in range(1, 100)}
    source = Past(
        **noisy(5.0, lambda hour: worse.get(hour, 0.0)), latency_p95=lambda at, _: 0.1 + 0.15 * (at % 7000 < 300)
    )
    checkout = rule(event("error_rate", EVERY), value("latency_p95", "confirm: {every: 5m}"))
    past = read(checkout, source, NOW, 3.0, 60.0)
    replay = Replay(checkout, END - 3 * DAY, END, keep_going=True)
    replay.run(source)
    ours = [(item.slice.end, item.slice.verdict, item.slice.objectives) for item in past.slices]
    assert ours == [(item.end, item.verdict, item.objectives) for item in replay.slices]
    assert [(b.objective, b.at) for b in past.breaches] == [(b.objective, b.at) for b in replay.breaches]
    assert len(ours) == 72


def test_steps_would_have_waited_at_exactly_the_slots_that_did_not_pass() -> None:
    source = Past(**noisy(5.0, lambda hour: 0.5 if hour == END - 3 * HOUR else 0.0))
    past = read(rule(), source, NOW, 1.0, 60.0)
    (broken,) = [item for item in past.slices if item.blocked and item.slice.end == END - 2 * HOUR]
    assert broken.blocked == tuple(range(12))
    assert past.waits("error_rate")["fail"] == sum(len(item.blocked) for item in past.slices)
    assert broken.taken_back is not None
    assert past.waits("nobody") == {}


def test_alpha_is_shared_as_in_the_whole_rule_and_internal_objectives_are_taken_to_pass() -> None:
    whole = rule(event("error_rate", EVERY), event("orders", EVERY), internal("on_breach: rollback"))
    source = Past(**traffic(), **traffic("orders"))
    past = read(whole, source, NOW, 1.0, 60.0)
    assert past.rollout.alpha == pytest.approx(0.01 / 3)
    assert whole.alpha == pytest.approx(0.01 / 3)
    assert past.left_out == ("flag_ramp",)
    assert answer(whole, source, 1.0).assumed == ("flag_ramp",)


def test_a_cohort_that_is_still_empty_is_judged_by_everybody() -> None:
    objective = split("exposed", EVERY)
    checkout = rule(objective, cohorts=COHORTS, ramp="{strategy: progressive, to: 50, over: 1d, every: 1h}")
    answers = traffic("exposed", share=0.0002)
    asked = Past(**{f"{name}_job": found for name, found in answers.items()})
    past = read(checkout, asked, NOW, 1.0, 60.0)
    assert {one.expression.partition("[")[0] for one in asked.asked} == {
        f"exposed_bad{{{EVERYBODY}}}",
        f"exposed_total{{{EVERYBODY}}}",
    }
    part = past.slices[0].slice.objectives[0]
    assert part.total == pytest.approx(50.0 * HOUR * 0.5), "in the share that will be exposed"
    assert past.steps["exposed"][5].total == pytest.approx(50.0 * 300), "a regression is looked for at every exposure"
    assert answer(checkout, asked, 1.0).ok


def test_what_was_before_the_first_data_is_left_out() -> None:
    first = END - 2 * DAY - 1000
    source = Past(
        error_rate_bad=lambda at, _: 0.0 if at > first else None,
        error_rate_total=lambda at, seconds: 50.0 * seconds if at > first else None,
    )
    found = answer(rule(), source)
    assert found.ok
    assert found.data.slices == 48
    assert any("no data of every objective before" in note for note in found.notes)


def test_a_question_without_an_answer_is_no_history() -> None:
    away = Past(**traffic() | {"error_rate_bad": lambda at, _: Reason.UNREACHABLE if at > END - DAY else 0.0})
    with pytest.raises(SourceError, match="history of error_rate could not be read") as unreachable:
        answer(rule(), away)
    assert not unreachable.value.permanent
    refused = Past(**traffic() | {"error_rate_total": lambda _at, _: Reason.QUERY_ERROR})
    with pytest.raises(SourceError) as wrong:
        answer(rule(), refused)
    assert wrong.value.permanent


def test_all_questions_together_get_the_time_that_was_given() -> None:
    class Patient(Past):
        deadlines: list[float | None] = []  # noqa: RUF012

        def ranges(
            self, requests: Sequence[Range], deadline: float | None = None, on_progress: Progress | None = None
        ) -> list[Series]:
            self.deadlines.append(deadline)
            return super().ranges(requests, deadline, on_progress)

    times = iter(range(0, 1000, 10))
    source = Patient(**traffic())
    read(rollout(), source, NOW, 7.0, 60.0, clock=lambda: float(next(times)))
    assert source.deadlines == [50.0, 40.0, 30.0, 20.0]
    longest = max(len(one.instants) for one in source.asked)
    assert longest <= 5040, "Prometheus refuses more than 11,000 points"


def test_slots_a_second_apart_are_looked_at_for_fewer_days() -> None:
    quick = rollout(
        event("error_rate", "sequential: {every: 2s}"),
        daemon=DaemonFacts(scrape_interval=1.0),
        interval="1s",
        window="{slices: 4, slice: 10m}",
        ramp="{strategy: all_at_once}",
    )
    found = answer(quick, Past(**traffic()), 1.0)
    assert found.data.slices == 60_480 // 600
    assert any("looked at for" in note for note in found.notes)


# --- what is promised -------------------------------------------------------------------------------------------------


def test_a_healthy_week_promises_the_plan() -> None:
    checkout = rule(ramp="{strategy: progressive, over: 2d, every: 1h}")
    found = answer(checkout, Past(**traffic(share=0.0002)))
    assert found.outlook is Outlook.FEASIBLE
    assert (found.ok, found.todo, found.waived, found.refusals) == (True, "", None, ())
    assert found.window is not None
    assert found.sign_off is not None
    assert (found.window.chance, found.window.high) == (1.0, 1.0)
    assert found.window.low == pytest.approx(0.05 ** (48 / 168))
    assert found.sign_off.share == 1.0
    assert found.sign_off.ramp_expected == 2 * DAY
    assert 4 * DAY <= (found.sign_off.p90 or 0) < 4 * DAY + HOUR
    assert found.found.startswith("48 good slices in a row have a chance of 100% (90% interval 42% to 100%), sign-off ")
    assert "sign-off within 4.0 days in 80% of the cases; from 168 slices of 1h, 168 of them good" in found.found
    assert found.data.by_hour == tuple((hour, 7, 7) for hour in range(24))


def test_the_same_history_and_seed_give_the_same_answer_as_plain_data() -> None:
    source = Past(**noisy(50.0, lambda hour: 0.0012 if END - hour in (9 * HOUR, 80 * HOUR) else 0.0))
    one, two = answer(rule(), source).as_data(), answer(rule(), source).as_data()
    assert one == two
    assert json.loads(json.dumps(one)) == json.loads(json.dumps(two))
    assert 0.05 < one["window"]["chance"] < 1.0
    assert len(json.dumps(one)) < 20_000


def test_no_breach_in_a_week_is_at_most_three_of_them_and_alpha_by_design() -> None:
    found = answer(rule(), Past(**traffic()))
    (only,) = found.false_rollbacks
    assert (len(only.breaches), only.per_watch) == (0, 0.0)
    assert only.guaranteed == pytest.approx(0.01)
    assert only.high == pytest.approx(3.0 * 9 / 7, rel=0.01)


def test_breaches_of_the_history_are_counted_and_make_sign_offs_rarer() -> None:
    shots = {END - DAY - 5 * HOUR, END - 4 * DAY - 11 * HOUR}
    found = answer(rule(), Past(**noisy(50.0, lambda hour: 0.3 if hour in shots else 0.0)))
    (only,) = found.false_rollbacks
    assert len(only.breaches) == 2
    assert only.per_watch == pytest.approx(2 * 9 / 7)
    assert found.sign_off is not None
    assert found.sign_off.taken_back > 0.5
    assert found.window is not None
    assert found.window.spoilt == 2
    assert found.window.low < found.window.chance < found.window.high


def test_regressions_are_looked_for_pooled_and_split_where_there_are_cohorts() -> None:
    hourly = "{strategy: progressive, over: 7d, every: 1h}"
    checkout = rule(event("error_rate", EVERY), split("exposed", EVERY), cohorts=COHORTS, ramp=hourly)
    answers = traffic("exposed", share=0.0002)
    source = Past(**traffic(share=0.0002), **{f"{name}_job": found for name, found in answers.items()})
    found = answer(checkout, source, 1.0)
    hour = {(one.objective, one.exposure): one for one in found.detectable if one.within == HOUR}
    low = hour["exposed", 1.19]
    assert low.splits
    assert low.split is not None
    assert low.pooled is None or low.split < low.pooled / 5
    whole = hour["error_rate", 100.0]
    assert whole.pooled == whole.split
    assert not whole.splits
    alone = answer(rule(), Past(**traffic()), 1.0)
    assert {one.split for one in alone.detectable} == {None}


def test_a_value_objective_says_how_many_of_its_steps_must_fail() -> None:
    checkout = rule(event("error_rate", EVERY), value("latency_p95", "confirm: {every: 5m, fails: 3, of: 5}"))
    found = answer(checkout, Past(**traffic(), latency_p95=lambda at, _: 0.3 if at % HOUR == 0 else 0.1), 1.0)
    ten_minutes, hour = found.confirmed
    assert (ten_minutes.rule, ten_minutes.failing) == ("3 of 5", None), "three steps of five minutes take longer"
    assert hour.failing is not None
    assert 0.3 < hour.failing < 0.9
    assert hour.usual == pytest.approx(1 / 12, rel=0.05)
    assert found.false_rollbacks[1].guaranteed is None


# --- what is refused --------------------------------------------------------------------------------------------------


def refused(found: Feasibility) -> tuple[str, str]:
    assert found.outlook is Outlook.HOPELESS
    assert not found.ok
    assert found.found.startswith("a sign-off is hopeless: ")
    return found.found, found.todo


def test_a_service_outside_its_target_is_refused_with_its_share_and_a_target_that_it_keeps() -> None:
    found, todo = refused(answer(rule(), Past(**traffic(share=0.0013))))
    assert "error_rate is outside its target already: 0.13% bad" in found
    assert "168 of 168 slices failed" in found
    assert "write a target that it keeps today (0.15% bad would do)" in todo
    assert todo.endswith("or waive: {feasibility: reason}")


def test_a_bad_hour_every_night_is_refused_although_the_week_is_within_its_target() -> None:
    night = hours_of(range(3, 4))
    found, _ = refused(answer(rule(), Past(**noisy(50.0, lambda hour: 0.0012 if night(hour) else 0.0))))
    assert "error_rate fails too often for a window: 0.005% bad" in found
    assert "7 of 168 slices failed" in found


def test_too_little_traffic_is_refused_with_slices_that_would_do() -> None:
    """0.25 requests a second: 900 an hour, and 3,000 are needed."""
    found, todo = refused(answer(rule(), Past(**traffic(rps=0.25))))
    assert "error_rate has too little traffic: 168 of 168 slices were idle (median 900 events in 1h" in found
    assert "min_slice_events 3000" in found
    assert "window: {slice: 4h, slices: 12}" in todo
    assert "pool: window (43200 events in a window)" in todo
    assert "a target that 900 events can show (0.34% bad)" in todo
    longer = rule(window="{slice: 4h, slices: 12}")
    assert answer(longer, Past(**traffic(rps=0.25))).ok, "the advice holds"


def test_nights_longer_than_max_idle_allows_are_refused() -> None:
    night = hours_of(range(12))

    def total(at: int, seconds: float) -> float:
        return seconds * (0.01 if night((at - 1) // HOUR * HOUR) else 50.0)

    source = Past(error_rate_bad=lambda at, _: 0.0, error_rate_total=total)
    found, _ = refused(answer(rule(), source))
    assert "84 of 168 slices were idle" in found
    assert "a window may hold 24 idle slices for its 48" in found
    assert answer(rule(window="{slices: 48, slice: 1h, max_idle: 60}"), source).ok


def test_data_with_holes_is_refused_with_the_reason() -> None:
    source = Past(
        error_rate_bad=lambda at, _: 0.0,
        error_rate_total=lambda at, seconds: None if at % (4 * HOUR) < 1500 else 50.0 * seconds,
    )
    found, todo = refused(answer(rule(), source))
    assert "error_rate is often not measured" in found
    assert "slots: no_data" in found
    assert "check --online" in todo


def test_a_ramp_that_would_never_take_a_step_is_refused() -> None:
    checkout = rule(event("error_rate", EVERY, "min_events: 100000"))
    found, todo = refused(answer(checkout, Past(**traffic())))
    assert "the ramp would stand: only 0% of the slots let a step pass" in found
    assert "low_traffic" in found
    assert "min_events" in todo


def test_probes_that_spend_the_budget_of_a_window_are_refused_with_the_budget() -> None:
    probes = event("probes", EVERY, "pool: window", target="at_least: 99.9%")
    found, _ = refused(answer(rule(probes), Past(**traffic("probes", rps=1 / 15, share=0.002))))
    assert "probes is outside its target already: 0.2% bad (81 of 40320) in 7d, wanted at least 99.9% good" in found
    assert "a window's budget is 11.5 bad events" in found


def test_a_number_that_misses_its_limit_is_refused() -> None:
    checkout = rule(event("error_rate", EVERY), value("latency_p95", "confirm: {every: 5m}", "on_breach: page"))
    found, todo = refused(answer(checkout, Past(**traffic(), latency_p95=lambda at, _: 0.25)))
    assert "latency_p95 does not keep its target: 168 of 168 slices failed, wanted below 0.2" in found
    assert "a limit that it keeps today" in todo


def test_breaches_that_nearly_always_come_before_the_end_are_refused() -> None:
    """A breach every two days, each in an hour that is good as a whole week: a watch of nine days meets some."""
    shots = {END - k * 30 * HOUR for k in range(1, 6)}
    quick = rule(window="{slices: 6, slice: 1h}")
    found, todo = refused(answer(quick, Past(**noisy(50.0, lambda hour: 0.3 if hour in shots else 0.0))))
    assert "were rolled back: there were 5 breaches in the last 7d" in found
    assert "slo-watchdog replay" in todo


def test_a_plan_that_is_longer_than_our_patience_is_not_refused_for_it() -> None:
    slow = rule(ramp="{strategy: progressive, over: 80d, every: 5d}")
    found = answer(slow, Past(**traffic()))
    assert found.ok
    assert found.sign_off is not None
    assert found.sign_off.patience == pytest.approx(3 * 82 * DAY)


def test_failures_of_many_kinds_that_none_alone_explains_are_refused_together() -> None:
    names = [f"error_{k}" for k in range(6)]
    answers: dict[str, Any] = {}
    for k, name in enumerate(names):
        worse = (END - (13 + 11 * k) * HOUR, END - (100 + 11 * k) * HOUR)
        answers |= noisy(50.0, lambda hour, worse=worse: 0.0012 if hour in worse else 0.0, name=name)  # type: ignore[misc]
    checkout = rule(*(event(name, EVERY) for name in names))
    found, _ = refused(answer(checkout, Past(**answers)))
    assert "48 good slices in a row have a chance of" in found


def test_a_waiver_is_repeated_where_it_is_needed_and_only_there() -> None:
    waive = "{dead_service: t, pooled_exposure: t, rollback_bound: t, feasibility: a pilot with few users}"
    checkout = rule(waive=waive)
    hopeless = answer(checkout, Past(**traffic(share=0.002)))
    assert (hopeless.ok, hopeless.waived) == (False, "a pilot with few users")
    assert answer(checkout, Past(**traffic())).waived is None


# --- what cannot be told ----------------------------------------------------------------------------------------------


def test_less_than_a_day_cannot_tell() -> None:
    found = answer(rule(), Past(**traffic()), 0.5)
    assert found.outlook is Outlook.CANNOT_TELL
    assert not found.ok
    assert "there are 12h of history, and at least 1d are needed" in found.found
    assert found.window is None
    json.dumps(found.as_data())


def test_a_watch_of_an_hour_needs_no_more_than_an_hour_of_history() -> None:
    short = rule(
        ramp="{strategy: all_at_once}",
        window="{slices: 4, slice: 15m}",
    )
    assert answer(short, Past(**traffic()), 0.1).ok


def test_an_objective_without_any_data_cannot_tell() -> None:
    source = Past(error_rate_bad=lambda at, _: None, error_rate_total=lambda at, _: None)
    found = answer(rule(), source)
    assert found.outlook is Outlook.CANNOT_TELL
    assert "error_rate had no data in the last 7d" in found.found


def test_silence_that_counts_as_failure_is_no_data_either() -> None:
    checkout = rule(event("error_rate", EVERY, "no_data: fail", "present: up_total"))
    source = Past(error_rate_bad=lambda at, _: None, error_rate_total=lambda at, _: None, up_total=lambda at, _: 1.0)
    assert answer(checkout, source).outlook is Outlook.CANNOT_TELL


def test_progress_rises_to_one() -> None:
    heard: list[float] = []
    feasibility(replace(rule()), Past(**traffic()), NOW, days=3.0, on_progress=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
