"""Each objective of each rollout, asked once: one series, fresh, in the right unit, with a bucket at its target."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from watchdog.flags.base import Check
from watchdog.model import Kind, Rollout
from watchdog.online import Asked, Finding, ages, check_online
from watchdog.preflight.ground import Ground, Looked, Sight
from watchdog.preflight.verdict import Level
from watchdog.quantities import format_duration

ELSEWHERE = frozenset({"retention"})
"""What the area prometheus looks at itself."""
TOPICS = {
    "fresh": "is fresh",
    "unit": "is in its unit",
    "bucket": "has its bucket",
}
TODO = {
    "fresh": "see whether its target is being scraped",
    "unit": "correct the query, or the limit",
    "bucket": "set the target to a bound of the histogram, or add the bound to the service",
}


def objectives(ground: Ground) -> Looked:
    """Every objective that asks Prometheus, and what its answers say."""
    rollouts, now = ground.rollouts, ground.clock()
    if not rollouts:
        return
    findings = check_online(ground.settings, rollouts, ground.source, now)
    for rollout in rollouts:
        about = [one for one in findings if one.rollout == rollout.name and one.topic not in ELSEWHERE]
        old = _ages(ground, rollout, now)
        for objective in rollout.objectives:
            if objective.kind is Kind.INTERNAL:
                continue
            said = [one for one in about if one.objective == objective.name]
            yield from _answers(rollout, objective.name, said)
            yield rollout, _fresh(objective.name, [one for one in said if one.topic == "fresh"], old)
            for topic in ("unit", "bucket"):
                yield rollout, _of(topic, objective.name, [one for one in said if one.topic == topic])
        yield from _server(rollout, [one for one in about if one.objective is None])


def _answers(rollout: Rollout, name: str, said: Sequence[Finding]) -> Looked:
    """Whether the queries give one number; what else there is to know of it stands in nobody's way."""
    plain = [one for one in said if not one.topic]
    wrong, odd = [[one for one in plain if one.level == level] for level in ("error", "warning")]
    told = "; ".join(one.message for one in wrong or [one for one in plain if one.level == "ok"] or plain)
    todo = "correct the query, or what exports its series" if wrong else ""
    yield rollout, Check(f"{name} answers with one series", not wrong, told or "it answers", todo)
    if odd and not wrong:
        found = "; ".join(one.message for one in odd)
        yield Sight(rollout, Check(f"{name}: worth a look", ok=False, found=found), Level.WARNING)


def _fresh(name: str, said: Sequence[Finding], old: dict[str, tuple[float, float]]) -> Check:
    """The age of the newest sample behind it, against its `max_age` or the scrapes of its targets."""
    check = f"{name} {TOPICS['fresh']}"
    if said:
        return Check(check, ok=False, found="; ".join(one.message for one in said), todo=TODO["fresh"])
    if name not in old:
        return Check(check, ok=True, found="its `fresh:` is not older than its max_age")
    age, limit = old[name]
    if not math.isfinite(age):
        return Check(check, ok=False, found="there is no sample of the last five minutes", todo=TODO["fresh"])
    found = f"the newest sample is {format_duration(round(max(0.0, age)))} old, at most {format_duration(limit)} may be"
    return Check(check, age <= limit, found, "" if age <= limit else TODO["fresh"])


def _of(topic: str, name: str, said: Sequence[Finding]) -> Check:
    found = "; ".join(one.message for one in said)
    good = {"unit": "nothing speaks against it", "bucket": "every bound that is named is there, or none is named"}
    return Check(f"{name} {TOPICS[topic]}", not said, found or good[topic], TODO[topic] if said else "")


def _ages(ground: Ground, rollout: Rollout, now: float) -> dict[str, tuple[float, float]]:
    at = math.floor((now - rollout.delay) / rollout.interval) * rollout.interval
    asked = [Asked(rollout, one, at) for one in rollout.objectives if one.kind is not Kind.INTERNAL]
    return ages(ground.source, asked, ground.settings.tick_deadline)


def _server(rollout: Rollout, said: Sequence[Finding]) -> Iterator[Sight]:
    """What is about the whole rollout: the scrape interval by which steps are counted."""
    wrong = [one for one in said if one.level != "ok"]
    if wrong:
        found = "; ".join(f"{one.place}: {one.message}" for one in wrong)
        level = Level.BLOCKER if any(one.level == "error" for one in wrong) else Level.WARNING
        yield Sight(rollout, Check("scrape interval is as declared", ok=False, found=found), level)
