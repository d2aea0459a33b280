"""Puts it together: read the past, draw futures from it, try regressions on it, and say what comes of it."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from watchdog.feasibility import refusals
from watchdog.feasibility.chain import Chain
from watchdog.feasibility.counting import chance_interval, count_interval, dispersion, quantile
from watchdog.feasibility.futures import Watched, patience, spoilt, watches, window_chance
from watchdog.feasibility.past import DAY, Past, PastSlice
from watchdog.feasibility.reading import read
from watchdog.feasibility.regressions import confirmed, detectable
from watchdog.feasibility.result import (
    Data,
    FalseRollbacks,
    Feasibility,
    Outlook,
    Refusal,
    SignOff,
    WindowChance,
    percent,
    spoken,
)
from watchdog.feasibility.tallies import Slices
from watchdog.model import Objective, OnBreach, Rollout, Sequential, SliceVerdict, WindowRule
from watchdog.observe import Source
from watchdog.quantities import format_duration, rfc3339

SEED = 20_261_123
ATTEMPTS = 4000
"""Windows that are drawn for their chance."""
ALONE = 1000
"""Windows that are drawn for each objective alone, where the whole is hopeless."""
WATCHES = 1000
WAIVER = "feasibility"


def feasibility(
    rollout: Rollout,
    source: Source,
    now: float,
    *,
    days: float = 7.0,
    seed: int = SEED,
    within: float = 120.0,
    on_progress: Callable[[float], None] = lambda _share: None,
) -> Feasibility:
    """Whether `rollout` can be signed off, from the `days` before `now` (epoch seconds).

    All questions together get `within` seconds. `seed` is that of the drawing: the same history gives the same answer.
    `on_progress` hears the share that is done. Raises SourceError when Prometheus cannot be reached or asked.
    """
    past = read(rollout, source, now, days, within, lambda share: on_progress(0.7 * share))
    found = judged(rollout, past, seed, lambda share: on_progress(0.7 + 0.3 * share))
    on_progress(1.0)
    return found


def judged(
    rollout: Rollout, past: Past, seed: int, on_progress: Callable[[float], None] = lambda _share: None
) -> Feasibility:
    """The answer from a past that was read. Pure: the same past and seed give the same answer."""
    data, notes = _data(past), tuple(_notes(past))
    missing = _too_little(rollout, past)
    if missing is not None:
        return _answer(rollout, past, Outlook.CANNOT_TELL, (missing,), data, notes=notes)
    random = Random(seed)  # noqa: S311 - chances to be repeated, not secrets
    slices = Slices(past.rollout, [item.slice for item in past.slices])
    chain = Chain(slices.ends, past.rollout.window.slice, random)
    chance = window_chance(slices, chain.branch(), ATTEMPTS)
    spells = spoilt(slices)
    low, high = interval(past.rollout.window, len(slices), chance, spells)
    window = WindowChance(chance, low, high, len(spells), ATTEMPTS, chain.stretch, chain.by_hour)
    on_progress(0.2)
    sign_off = _sign_off(past, list(watches(past.rollout, past.slices, slices, chain, WATCHES)))
    on_progress(0.5)
    against = _against(past, window, sign_off, random)
    outlook = Outlook.HOPELESS if against else Outlook.FEASIBLE
    return _answer(
        rollout,
        past,
        outlook,
        against,
        data,
        window=window,
        sign_off=sign_off,
        false_rollbacks=tuple(_false_rollbacks(past, o) for o in past.rollout.objectives),
        detectable=tuple(detectable(rollout, past, random)),
        confirmed=tuple(confirmed(past)),
        notes=notes,
    )


def _answer(
    rollout: Rollout, past: Past, outlook: Outlook, against: tuple[Refusal, ...], data: Data, **more: object
) -> Feasibility:
    reason = rollout.waive.get(WAIVER)
    waived = reason if outlook is not Outlook.FEASIBLE else None
    answer = Feasibility(rollout.name, outlook, "", "", waived, against, data, assumed=past.left_out, **more)  # type: ignore[arg-type]
    if outlook is Outlook.FEASIBLE:
        return replace(answer, found=_promising(past, answer))
    head = "cannot tell whether a sign-off is possible" if outlook is Outlook.CANNOT_TELL else "a sign-off is hopeless"
    why, todo = ("; ".join(dict.fromkeys(texts)) for texts in zip(*((r.why, r.todo) for r in against), strict=True))
    todo = todo if waived is not None else f"{todo}; or waive: {{feasibility: reason}}"
    return replace(answer, found=f"{head}: {why}", todo=todo)


def _promising(past: Past, answer: Feasibility) -> str:
    """What is told of a rollout that can be signed off."""
    window, sign_off = answer.window, answer.sign_off
    if window is None or sign_off is None:
        raise ValueError("nothing is promised without figures")
    chance = f"{percent(window.chance)} (90% interval {percent(window.low)} to {percent(window.high)})"
    when = f"sign-off in {percent(sign_off.share)} of the cases"
    if sign_off.p80 is not None:
        when = f"sign-off within {spoken(sign_off.p80)} in 80% of the cases"
    length = format_duration(past.rollout.window.slice)
    return (
        f"{past.rollout.window.slices} good slices in a row have a chance of {chance}, {when}; from "
        f"{answer.data.slices} slices of {length}, {answer.data.passed} of them good"
    )


def _too_little(rollout: Rollout, past: Past) -> Refusal | None:
    """Why nothing can be said: no data, or less than a day and less than the whole watch takes."""
    if past.unseen:
        return Refusal(
            past.unseen[0],
            f"{', '.join(past.unseen)} had no data in the last {format_duration(past.last - past.first)}",
            "see `slo-watchdog check --online`; where the series is new, wait for a day of it",
        )
    needed = min(DAY, rollout.ramp.seconds + rollout.window.seconds)
    if past.seconds >= needed:
        return None
    return Refusal(
        None,
        f"there are {format_duration(past.seconds)} of history, and at least {format_duration(needed)} are needed",
        "wait until there is more",
    )


def _data(past: Past) -> Data:
    length = past.rollout.window.slice
    verdicts = [item.slice.verdict for item in past.slices]
    hours: Counter[int] = Counter()
    good: Counter[int] = Counter()
    for item in past.slices:
        hour = (item.slice.end - length) % DAY // 3600
        hours[hour] += 1
        good[hour] += item.slice.verdict is SliceVerdict.PASS
    return Data(
        start=past.start,
        end=past.last,
        slices=len(verdicts),
        passed=verdicts.count(SliceVerdict.PASS),
        failed=verdicts.count(SliceVerdict.FAIL),
        idle=verdicts.count(SliceVerdict.IDLE),
        unknown=verdicts.count(SliceVerdict.UNKNOWN),
        by_hour=tuple((hour, hours[hour], good[hour]) for hour in sorted(hours)),
        asked=past.wanted,
    )


def _notes(past: Past) -> list[str]:
    notes = []
    if past.last - past.first < past.wanted - past.rollout.window.slice:
        looked = format_duration(past.last - past.first)
        notes.append(f"slots this close are looked at for {looked}, not for the {format_duration(past.wanted)} asked")
    if past.slices and past.start > past.first:
        notes.append(f"there was no data of every objective before {rfc3339(past.start)}")
    holds = [b for b in past.breaches if past.rollout.objective(b.objective).on_breach is OnBreach.HOLD]
    if holds:
        notes.append(f"{len(holds)} breaches would have held the ramp until somebody resumed it, which is not counted")
    return notes


def interval(rule: WindowRule, count: int, chance: float, spells: Sequence[int]) -> tuple[float, float]:
    """The 90 % interval of a window's chance, from `count` slices of which those at `spells` broke one."""
    a_day = max(1, DAY // rule.slice)
    by_day = [0] * max(1, count // a_day)
    for index in spells:
        by_day[min(index // a_day, len(by_day) - 1)] += 1
    return chance_interval(chance, len(spells), rule.slices / count, 1.0 / ATTEMPTS, dispersion(by_day))


def share_interval(rule: Rollout, past: Sequence[PastSlice], share: float) -> tuple[float, float]:
    """The 90 % interval of the share of watches that are signed off, from how often a breach would have ended one."""
    breaches = sum(item.taken_back is not None for item in past)
    watch = (rule.ramp.seconds + rule.window.seconds) / (len(past) * rule.window.slice)
    low, high = chance_interval(share, breaches, watch, 1.0 / WATCHES)
    return share * low if breaches == 0 else low, share if breaches == 0 else high


def _sign_off(past: Past, drawn: Sequence[Watched]) -> SignOff:
    rule = past.rollout
    done = sorted(watch.signed_off for watch in drawn if watch.signed_off is not None)
    ramped = sorted(watch.ramped for watch in drawn if watch.ramped is not None)
    slots = len(past.slices) * (rule.window.slice // rule.interval)

    def by(times: Sequence[float], share: float) -> float | None:
        """When so many of all watches are there."""
        never = [float("inf")] * (len(drawn) - len(times))
        at = quantile([*times, *never], share)
        return at if at != float("inf") else None

    share = len(done) / len(drawn)
    low, high = share_interval(rule, past.slices, share)
    return SignOff(
        watches=len(drawn),
        share=share,
        low=low,
        high=high,
        taken_back=sum(watch.taken_back is not None for watch in drawn) / len(drawn),
        patience=patience(rule),
        planned=rule.ramp.seconds + rule.window.seconds,
        expected=statistics.fmean(done) if done else None,
        median=by(done, 0.5),
        p80=by(done, 0.8),
        p90=by(done, 0.9),
        ramp_planned=rule.ramp.seconds,
        ramp_expected=statistics.fmean(ramped) if ramped else None,
        ramp_p90=quantile(ramped, 0.9) if ramped else None,
        passable=1.0 - sum(len(item.blocked) for item in past.slices) / slots,
    )


def _against(past: Past, window: WindowChance, sign_off: SignOff, random: Random) -> tuple[Refusal, ...]:
    """Why it is hopeless; nothing where it is not."""
    if window.chance >= refusals.HOPELESS:
        if sign_off.share >= refusals.HOPELESS:
            return ()
        return (refusals.seldom(past, window.chance, sign_off),)
    found: list[Refusal] = []
    for objective in past.rollout.objectives:
        slices = Slices(past.rollout, [item.slice for item in past.slices], objective.name)
        chain = Chain(slices.ends, past.rollout.window.slice, random)
        if window_chance(slices, chain, ALONE) < refusals.HOPELESS:
            index = past.rollout.objectives.index(objective)
            parts = [item.slice.objectives[index] for item in past.slices]
            found += refusals.of_objective(past, objective, parts)
    return tuple(found or [refusals.in_common(past, window.chance)])


def _false_rollbacks(past: Past, objective: Objective) -> FalseRollbacks:
    rule = past.rollout
    breaches = tuple(breach.at for breach in past.breaches if breach.objective == objective.name)
    share = (rule.ramp.seconds + rule.window.seconds) / past.seconds
    controlled = isinstance(objective.detector, Sequential) and objective.uses_range
    return FalseRollbacks(
        objective.name,
        objective.on_breach.value,
        breaches,
        per_watch=len(breaches) * share,
        high=count_interval(len(breaches))[1] * share,
        guaranteed=rule.alpha if controlled else None,
    )
