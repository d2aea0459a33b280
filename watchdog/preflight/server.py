"""Prometheus itself: whether it answers, its clock, how long it keeps what, how often it scrapes, and its rules."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from watchdog.errors import SourceError
from watchdog.flags.base import Check
from watchdog.model import Rollout
from watchdog.online import describe
from watchdog.preflight.ground import Ground, Looked, Sight
from watchdog.preflight.verdict import Build, Level
from watchdog.prometheus.transport import MAX_SKEW
from watchdog.quantities import format_duration, parse_time

LATE = 3.0
"""Intervals after which a group of rules that was not evaluated counts as standing still."""
SHOWN = 3
TIMED = 2
"""How often the server is asked for its time."""


def prometheus(ground: Ground) -> Looked:
    """The server that everything is judged by."""
    build = ground.greet()
    version = f"{build.get('version', 'unknown')} (revision {str(build.get('revision') or 'unknown')[:12]})"
    ground.builds.append(Build("prometheus", version))
    yield None, Check("answers", ok=True, found=f"{ground.source.name} is version {version}")
    yield None, _clock(ground)
    yield from _retention(ground)
    yield from _groups(ground)


def _clock(ground: Ground) -> Check:
    """Its Date against this host's clock, both of the same moment; the header has whole seconds."""
    seen = []
    for _ in range(TIMED):
        ground.source.build_info()
        if ground.source.skew is not None:
            seen.append(ground.source.skew)
    if not seen:
        found = "its answers carry no Date, so its clock cannot be compared"
        return Check("clock", ok=False, found=found, todo="let whatever stands before it pass the header on")
    skew = min(seen, key=abs)
    found = "its clock agrees with this host's to the second"
    if skew:
        found = f"its clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this host's"
    ok = abs(skew) <= MAX_SKEW
    return Check("clock", ok, found, "" if ok else f"at most {MAX_SKEW:g} s are allowed: check time synchronisation")


def _retention(ground: Ground) -> Looked:
    """Whether the data outlives the whole watch: outages are back-filled, and rollouts replayed, from it."""
    if not ground.rollouts:
        return
    kept = ground.settings.preflight.retention or describe(ground.source).retention
    if kept is None:
        found = "it does not say how long it keeps its data"
        todo = "write preflight.retention, what is configured where the data is kept"
        yield None, Check("retention", ok=False, found=found, todo=todo)
        return
    for rollout in ground.rollouts:
        yield rollout, _outlives(rollout, kept)


def _outlives(rollout: Rollout, kept: float) -> Check:
    watch = rollout.ramp.seconds + rollout.window.seconds
    found = f"it keeps {format_duration(kept)}, the whole watch takes {format_duration(watch)} (ramp and window)"
    todo = f"start it with --storage.tsdb.retention.time={math.ceil(watch / 86400)}d or longer"
    return Check("retention", kept >= watch, found, "" if kept >= watch else todo)


def _groups(ground: Ground) -> Looked:
    """Whether every rule was evaluated, lately, and within its interval."""
    groups = ground.groups
    rules = [(group, rule) for group in groups for rule in group.get("rules", ())]
    if not rules:
        found = "no rules are loaded: nobody is alerted by this Prometheus, and nothing is recorded"
        yield Sight(None, Check("rules", ok=False, found=found, todo="load some: docs/rules.md"), Level.WARNING)
        return
    count = f"{len(rules)} rules in {len(groups)} groups"
    yield None, _listed("rules are healthy", count, list(_sick(rules)), "correct them, see /rules of Prometheus")
    unseen = [str(rule.get("name")) for _, rule in rules if rule.get("health") == "unknown"]
    todo = "wait for an interval, then look again"
    yield Sight(None, _listed("every rule was evaluated", count, unseen, todo), Level.WARNING)
    late = list(_late(groups, ground.clock()))
    yield (
        None,
        _listed(
            "groups are evaluated in time",
            f"{len(groups)} groups",
            late,
            "see whether Prometheus keeps up with its rules",
        ),
    )


def _sick(rules: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Iterator[str]:
    for _, rule in rules:
        if rule.get("health") == "err":
            yield f"{rule.get('name')}: {rule.get('lastError') or 'no reason is given'}"


def _late(groups: Sequence[Mapping[str, Any]], now: float) -> Iterator[str]:
    """Groups that stand still, or take longer than their interval."""
    for group in groups:
        try:
            interval, took = float(group["interval"]), float(group.get("evaluationTime") or 0.0)
            last = parse_time(_seconds_of(str(group["lastEvaluation"])))
        except (KeyError, TypeError, ValueError) as error:
            raise SourceError(f"Prometheus tells of a group of rules what is not understood: {error}") from error
        never = str(group["lastEvaluation"]).startswith("0001-")
        if not never and now - last > LATE * interval:
            yield f"{group.get('name')} was evaluated {format_duration(round(now - last))} ago, every {interval:g} s"
        elif took > interval:
            yield f"{group.get('name')} takes {took:.1f} s, every {interval:g} s"


def _seconds_of(written: str) -> str:
    """The time without the nanoseconds that Go writes, which nobody needs here."""
    head, dot, tail = written.partition(".")
    if not dot:
        return written
    zone = next((tail[k:] for k, sign in enumerate(tail) if not sign.isdigit()), "")
    return head + zone


def _listed(name: str, good: str, wrong: Sequence[str], todo: str) -> Check:
    """A check that holds when nothing is wrong, and else shows the first few."""
    if not wrong:
        return Check(name, ok=True, found=good)
    more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    return Check(name, ok=False, found=f"{len(wrong)} of {good}: {'; '.join(wrong[:SHOWN])}{more}", todo=todo)
