"""Why a sign-off is hopeless, objective by objective, each with numbers and what to do. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from watchdog.evaluate import describe_target, share_met
from watchdog.feasibility.counting import quantile
from watchdog.feasibility.past import Past
from watchdog.feasibility.result import Refusal, SignOff
from watchdog.model import Kind, Objective, ObjectiveSlice, SliceVerdict
from watchdog.quantities import format_duration, format_number, format_share
from watchdog.window import GAP_SHARE

HOPELESS = 0.05
"""Below this chance of a window, or of a sign-off, a rollout is refused."""
LONGER = (2, 3, 4, 6, 8, 12, 24)
"""Slices so many times as long are tried as advice."""
LONGEST = 86_400


def of_objective(past: Past, objective: Objective, parts: Sequence[ObjectiveSlice]) -> list[Refusal]:
    """Why this objective alone stands in the way."""
    rule = past.rollout.window
    count = {verdict: sum(part.verdict is verdict for part in parts) for verdict in SliceVerdict}
    passed = max(1, count[SliceVerdict.PASS])
    found = []
    if rule.slices * count[SliceVerdict.IDLE] / passed > rule.max_idle:
        found.append(_idle(past, objective, parts, count[SliceVerdict.IDLE]))
    if rule.slices * count[SliceVerdict.UNKNOWN] / passed > GAP_SHARE * rule.slices and count[SliceVerdict.UNKNOWN] > 1:
        found.append(_unknown(past, objective, count[SliceVerdict.UNKNOWN]))
    if count[SliceVerdict.FAIL] or not found:
        found.append(_fails(past, objective, parts, count[SliceVerdict.FAIL]))
    return found


def _idle(past: Past, objective: Objective, parts: Sequence[ObjectiveSlice], idle: int) -> Refusal:
    rule = past.rollout.window
    totals = sorted(part.total or 0.0 for part in parts)
    typical = format_number(round(quantile(totals, 0.5)))
    needed = format_number(objective.min_slice_events)
    span = format_duration(rule.slice)
    why = (
        f"{objective.name} has too little traffic: {idle} of {len(parts)} slices were idle (median {typical} events in "
        f"{span}, min_slice_events {needed}), and a window may hold {rule.max_idle} idle slices for its {rule.slices}"
    )
    advice = [*_longer(past, objective, [part.total or 0.0 for part in parts]), *_pooling(past, objective, totals)]
    floor = quantile(totals, 0.05)
    if floor > 0.0 and 3.0 / floor < 1.0:
        advice.append(f"a target that {format_number(round(floor))} events can show ({_rounded(3.0 / floor)} bad)")
    return Refusal(objective.name, why, _either(advice or ["a source with more events, or leave the objective out"]))


def _longer(past: Past, objective: Objective, totals: Sequence[float]) -> list[str]:
    """The shortest longer slice that is idle in at most one case of twenty."""
    rule = past.rollout.window
    for times in LONGER:
        if rule.slice * times > LONGEST or len(totals) < 2 * times:
            break
        sums = sorted(math.fsum(totals[k : k + times]) for k in range(0, len(totals) - times + 1, times))
        if quantile(sums, 0.05) >= objective.min_slice_events:
            slices = max(1, round(rule.slices / times))
            return [f"longer slices, window: {{slice: {format_duration(rule.slice * times)}, slices: {slices}}}"]
    return []


def _pooling(past: Past, objective: Objective, totals: Sequence[float]) -> list[str]:
    if objective.pool_window or objective.kind is not Kind.EVENT:
        return []
    full = math.fsum(totals) / len(totals) * past.rollout.window.slices
    seldom_empty = sum(total <= 0.0 for total in totals) <= 0.1 * len(totals)
    if full < objective.min_slice_events or not seldom_empty:
        return []
    return [f"pool: window ({format_number(round(full))} events in a window)"]


def _unknown(past: Past, objective: Objective, unknown: int) -> Refusal:
    waits = past.waits(objective.name)
    reasons = ", ".join(f"{reason} {count}" for reason, count in waits.most_common(3) if reason != "fail") or "no_data"
    counts = f"{unknown} of {len(past.slices)} slices were unknown (slots: {reasons})"
    allowed = f"{format_duration(past.rollout.window.max_gap)} in a row and {GAP_SHARE:.0%} in all"
    why = f"{objective.name} is often not measured: {counts}, and a window may miss {allowed}"
    return Refusal(
        objective.name, why, "see `slo-watchdog check --online`, and repair what exports or scrapes its series"
    )


def _fails(past: Past, objective: Objective, parts: Sequence[ObjectiveSlice], failed: int) -> Refusal:
    wanted = describe_target(objective)
    bad = math.fsum(part.bad or 0.0 for part in parts if part.total)
    total = math.fsum(part.total or 0.0 for part in parts)
    kept = f"{failed} of {len(parts)} slices failed"
    if objective.kind is not Kind.EVENT or total <= 0.0:
        why = f"{objective.name} does not keep its target: {kept}, wanted {wanted}"
        return Refusal(objective.name, why, "correct the service first, or write a limit that it keeps today")
    counts = f"{format_share(_short(bad / total))} bad ({format_number(round(bad))} of {format_number(round(total))})"
    outside = not share_met(objective, bad, total)
    head = "is outside its target already" if outside else "fails too often for a window"
    if objective.pool_window:
        budget = objective.allowed * total / len(parts) * past.rollout.window.slices
        kept = f"a window's budget is {format_number(_short(budget))} bad events"
    why = f"{objective.name} {head}: {counts} in {format_duration(past.seconds)}, wanted {wanted}; {kept}"
    shares = sorted(part.bad / part.total for part in parts if part.total and part.bad is not None)
    keeps = quantile(shares, 0.99) if shares and not objective.pool_window else bad / total
    todo = f"correct the service first, or write a target that it keeps today ({_rounded(keeps * 1.1)} bad would do)"
    return Refusal(objective.name, why, todo)


def in_common(past: Past, chance: float) -> Refusal:
    """Where no objective alone stands in the way."""
    rule = past.rollout.window
    counts: dict[str, int] = {}
    for item in past.slices:
        for part in item.slice.objectives:
            if part.verdict is not SliceVerdict.PASS:
                counts[part.objective] = counts.get(part.objective, 0) + 1
    worst = ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda one: -one[1])[:4])
    good = sum(item.slice.verdict is SliceVerdict.PASS for item in past.slices)
    why = (
        f"{rule.slices} good slices in a row have a chance of {100 * chance:.2g}%: {good} of {len(past.slices)} slices "
        f"were good (not good: {worst or 'none'})"
    )
    return Refusal(
        None, why, "correct what fails first, or write longer slices, fewer of them, or targets that are kept"
    )


def seldom(past: Past, chance: float, sign_off: SignOff) -> Refusal:
    """Where windows would be completed, but watches do not get there."""
    if sign_off.passable < 0.5:
        return _stands(past, sign_off.passable)
    if sign_off.taken_back < 0.5:
        return in_common(past, chance)
    why = (
        f"{100 * sign_off.share:.2g}% of the simulated watches were signed off, {100 * sign_off.taken_back:.3g}% were "
        f"rolled back: there were {len(past.breaches)} breaches in the last {format_duration(past.seconds)}"
    )
    return Refusal(
        None, why, "look at those breaches with `slo-watchdog replay`, and correct the service or the targets"
    )


def _stands(past: Past, passable: float) -> Refusal:
    """The ramp waits, mostly for the same objective."""
    slots: dict[str, int] = {o.name: sum(past.waits(o.name).values()) for o in past.rollout.objectives}
    worst = max(slots, key=lambda name: slots[name])
    reasons = ", ".join(f"{reason} {count}" for reason, count in past.waits(worst).most_common(2))
    why = (
        f"the ramp would stand: only {100 * passable:.2g}% of the slots let a step pass, and {worst} stood most in the "
        f"way (slots: {reasons})"
    )
    return Refusal(worst, why, "write a longer range or a smaller min_events for it, or a target that it keeps today")


def _either(advice: Sequence[str]) -> str:
    return f"write {' or '.join(advice)}"


def _short(number: float) -> float:
    return float(f"{number:.3g}")


def _rounded(share: float) -> str:
    """A share rounded up to two digits, as it would be written."""
    if share <= 0.0:
        return "0.001%"
    digits = 10.0 ** (math.floor(math.log10(share)) - 1)
    return format_share(_short(min(1.0, math.ceil(share / digits - 1e-9) * digits)))
