"""The `ramp:` of a rollout's file -> Ramp: every strategy becomes one list of planned steps.

Percentages are rounded down to what the flag service can serve, and a step that then adds nobody is left out: its
waiting time goes to the next one, so the plan is never ahead of what was written.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from watchdog.model import Exposure, PlanStep, Ramp
from watchdog.quantities import format_duration, format_number, parse_percent, shown
from watchdog.rolloutfile.fields import Section, listing, positive_duration, text, unknown

STRATEGIES = ("all_at_once", "percentage", "progressive", "canary", "steps")
MOST_STEPS = 10_000
FINEST = 0.001
"""Percent: no flag service divides its users finer."""
KEYS = {
    "all_at_once": ("from", "to"),
    "percentage": ("from", "to"),
    "progressive": ("from", "to", "over", "every"),
    "canary": ("from", "to", "over", "every", "cohort", "cohort_for"),
    "steps": ("from", "steps"),
}
ALL_KEYS = {"strategy", *(key for keys in KEYS.values() for key in keys)}


@dataclass(frozen=True, slots=True)
class Servable:
    """What the flag service can serve: a smallest step in percent, a cohort or not, audiences or not, and which."""

    smallest_step: float = FINEST
    cohort: bool = True
    audiences: bool = True
    names: frozenset[str] = frozenset()


def read_ramp(section: Section, interval: int, servable: Servable) -> Ramp | None:
    """The plan; None when something is wrong with it (the section's findings say what)."""
    before = len(section.findings.problems)
    strategy = _strategy(section)
    if strategy is None:
        return None
    for key in sorted(set(section.data) & ALL_KEYS - {"strategy", *KEYS[strategy]}):
        owners = " or ".join(name for name, keys in KEYS.items() if key in keys)
        section.has(key)
        section.problem(key, f"belongs to strategy {owners}, but the strategy is {strategy}; remove one of the two")
    start = section.take("from", parse_percent, 0.0)
    if strategy == "canary" and not servable.cohort:
        message = "canary gives single people the feature first, which the flag service cannot; write progressive"
        section.problem("strategy", message)
    explicit = strategy == "steps"
    ramp = _explicit(section, start, servable) if explicit else _planned(section, strategy, start, interval)
    section.close(ALL_KEYS)
    if ramp is None or len(section.findings.problems) != before:
        return None
    return _reachable(section, ramp, servable.smallest_step)


def _reachable(section: Section, ramp: Ramp, step: float) -> Ramp | None:
    """The plan in whole steps of the service; None when it cannot begin or end where it should."""
    for key, percent in (("from", ramp.start), ("to", ramp.to)):
        if not math.isclose(percent, _down(percent, step), abs_tol=1e-9):
            message = f"is {percent:g} %, but the flag service serves steps of {step:g} %; write a multiple of that"
            section.problem("steps" if ramp.strategy == "steps" and key == "to" else key, message)
            return None
    steps: list[PlanStep] = []
    waiting, exposure = 0.0, Exposure(ramp.start)
    for planned in ramp.steps:
        rounded = dataclasses.replace(planned.exposure, percent=_down(planned.exposure.percent, step))
        waiting += planned.after
        if rounded != exposure:
            steps.append(PlanStep(rounded, waiting))
            waiting, exposure = 0.0, rounded
    return dataclasses.replace(ramp, steps=tuple(steps))


def _down(percent: float, step: float) -> float:
    return round(math.floor(percent / step + 1e-6) * step, 9)  # 12.345 / 0.001 is 12344.999999999998


def _strategy(section: Section) -> str | None:
    strategy: str | None = section.take("strategy", text, "")
    if not section.sound("strategy"):
        return None
    if not strategy:
        if section.has("steps"):
            return "steps"
        section.problem("strategy", f"is missing; write one of {', '.join(STRATEGIES[:-1])}, or explicit steps:")
        return None
    if strategy not in STRATEGIES:
        section.problem("strategy", unknown("strategy", strategy, STRATEGIES))
        return None
    return strategy


def _planned(section: Section, strategy: str, start: float, interval: int) -> Ramp | None:
    if strategy == "percentage":
        to = section.need("to", parse_percent, 100.0, "the percentage to stop at, for example to: 25")
    else:
        to = section.take("to", parse_percent, 100.0)
    if section.sound("from", "to") and start >= to:
        section.problem("to", f"is {to:g} and from is {start:g}; a ramp goes up, so to must be above from")
    if strategy in {"all_at_once", "percentage"}:
        return Ramp(strategy, start, to, (PlanStep(Exposure(to), 0.0),), 0.0)
    over = section.need("over", positive_duration, 0.0, "how long the ramp takes, for example over: 7d")
    every = section.need("every", positive_duration, 0.0, "the time between two steps, for example every: 1h")
    if section.sound("over", "every"):
        _pace(section, over, every, interval)
    cohort, cohort_for = _cohort(section) if strategy == "canary" else ((), 0.0)
    if not section.sound("from", "to", "over", "every", "cohort", "cohort_for"):
        return None
    steps = _progressive(start, to, over, every, cohort=strategy == "canary", wait=cohort_for)
    return Ramp(strategy, start, to, steps, cohort_for + over, cohort)


def _pace(section: Section, over: float, every: float, interval: int) -> None:
    if every < interval:
        section.problem(
            "every",
            f"is {format_duration(every)}, shorter than the interval of {format_duration(interval)}; "
            "a step is taken at a slot, so write at least one interval",
        )
    elif every > over:
        section.problem(
            "every",
            f"is {format_duration(every)}, longer than over, {format_duration(over)}; write a shorter every, "
            "or strategy all_at_once",
        )
    elif over / every > MOST_STEPS:
        section.problem("every", f"makes {over / every:,.0f} steps, more than {MOST_STEPS:,}; write a longer every")


def _progressive(
    start: float, to: float, over: float, every: float, *, cohort: bool, wait: float
) -> tuple[PlanStep, ...]:
    """`percent` after k steps = from + (to - from) * min(1, k * every / over); a canary's cohort comes first."""
    count = math.ceil(over / every - 1e-9)  # 1.1 / 0.1 is 11.000000000000002
    steps = [PlanStep(Exposure(start, cohort=True), 0.0)] if cohort else []
    for k in range(1, count + 1):
        exact = start + (to - start) * min(1.0, k * every / over)
        nearest = round(exact, 3)
        # The last of many small steps must not be reached by the one before it.
        percent = to if k == count else nearest if nearest < to else _down(exact, FINEST)
        after = every + wait if k == 1 else every
        steps.append(PlanStep(Exposure(percent, cohort), after))
    return tuple(steps)


def _cohort(section: Section) -> tuple[tuple[str, ...], float]:
    members: tuple[str, ...] = section.need("cohort", _members, (), "who goes first, for example cohort: [qa-1, qa-2]")
    cohort_for = section.need("cohort_for", positive_duration, 0.0, "how long only they have it, for example 24h")
    return members, cohort_for


def _members(found: Any) -> tuple[str, ...]:
    members = tuple(text(item) for item in listing(found))
    if not members:
        raise ValueError("found an empty list, expected at least one member of the cohort")
    twice = sorted({member for member in members if members.count(member) > 1})
    if twice:
        raise ValueError(f"names {shown(twice[0])} twice; name each member once")
    if any(not member.isprintable() for member in members):
        raise ValueError("found a member with a character that cannot be printed; remove it")
    return members


def _explicit(section: Section, start: float, servable: Servable) -> Ramp | None:
    entries = section.sections("steps")
    if not section.has("steps") or (not entries and section.sound("steps")):
        section.problem("steps", "has no step; write at least one, for example steps: [{percent: 1, for: 1h}, ...]")
    steps: list[PlanStep] = []
    reached, after, seconds = Exposure(start), 0.0, 0.0
    for index, entry in enumerate(entries):
        final = index == len(entries) - 1
        reached = _next(entry, reached, servable, first=index == 0, final=final)
        if final:
            stay = entry.take("for", positive_duration, 0.0)
        else:
            stay = entry.need("for", positive_duration, 0.0, "how long it stays before the next step, for example 1h")
        entry.close()
        steps.append(PlanStep(reached, after))
        after = stay
        seconds += stay
    if not steps:
        return None
    return Ramp("steps", start, reached.percent, tuple(steps), seconds)


def _next(entry: Section, reached: Exposure, servable: Servable, *, first: bool, final: bool) -> Exposure:
    """What is exposed after a step: everybody who was, and somebody more."""
    audiences = _audiences(entry, reached, servable)
    if entry.has("audience") and not final and not entry.has("percent"):
        return dataclasses.replace(reached, audiences=audiences)
    example = "what is exposed, for example percent: 10"
    if final and entry.has("audience"):
        example = "where the ramp ends, for example percent: 100 in a last step of its own"
    percent = entry.need("percent", parse_percent, reached.percent, example)
    more = len(audiences) > len(reached.audiences) and not final
    if entry.sound("percent") and (percent < reached.percent or (percent == reached.percent and not more)):
        if entry.has("percent"):
            before = "from" if first else "the step before"
            found = f"is {format_number(percent)}, {'below' if more else 'not above'} {before} ({reached.percent:g})"
            entry.problem("percent", f"{found}; a ramp goes up")
        percent = reached.percent
    return dataclasses.replace(reached, percent=percent, audiences=audiences)


def _audiences(entry: Section, reached: Exposure, servable: Servable) -> tuple[str, ...]:
    """The audiences that have the feature after a step; whoever has it keeps it."""
    named: tuple[str, ...] = entry.take("audience", _names, ())
    if named and not servable.audiences:
        message = "names an audience, and the flag service cannot target any; write percentages"
        entry.problem("audience", message)
        return reached.audiences
    for name in named:
        if name not in servable.names:
            known = ", ".join(sorted(servable.names)) or "none yet"
            entry.problem(
                "audience",
                f"names {shown(name)}, which is not defined; audiences are defined in watchdog.yaml under "
                f"flags.audiences ({known})",
            )
        elif name in reached.audiences:
            entry.problem("audience", f"names {shown(name)}, who has the feature already; a step adds somebody")
    if named and reached.percent == 100:
        entry.problem("audience", "adds nobody: the step before exposes 100 %")
    return tuple(sorted({*reached.audiences, *named}))


def _names(found: Any) -> tuple[str, ...]:
    names = tuple(text(item) for item in (found if isinstance(found, list) else [found]))
    if not names:
        raise ValueError("found an empty list, expected at least one audience")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"names {shown(twice[0])} twice; name each audience once")
    return names
