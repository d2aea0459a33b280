"""One rollout at a glance, as data for its template: phase, what was done, what to do, window, objectives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from watchdog.account import Account
from watchdog.detectors import DetectorState, detector_states
from watchdog.evaluate import describe_target
from watchdog.explain import to_do
from watchdog.ledger import BreachFact
from watchdog.messages.links import graph
from watchdog.model import Evaluation, Exposure, Kind, Objective, OnBreach, Phase, Transition
from watchdog.quantities import format_number, format_share, rfc3339
from watchdog.queries import judged
from watchdog.ramp import next_step
from watchdog.steering import effect
from watchdog.web.rolloutpage_shapes import sparkline, strip

Json = dict[str, Any]

TOLD = 6
"""Things that were done, the newest, that are told at the top."""
TREND = 3600
"""Seconds of slots that a sparkline shows."""
MOST_SLOTS = 240
"""No more slots than this in a sparkline, however short the interval."""
ORDERED = 900.0
"""Seconds for which the outcome of an order is shown at the top."""
SLACK = 30.0
"""Seconds beyond a few intervals after which a rollout that records nothing is said to stand still."""
VERBS = ("hold", "resume", "rollback", "stop", "adopt", "waive")
"""What a page can order, in the order of its buttons."""
WORDS = {
    "hold": "Hold",
    "resume": "Resume",
    "rollback": "Roll back",
    "stop": "Stop watching",
    "adopt": "Start from what the flag reads",
    "waive": "Waive the preflight",
}
_WORST = {"fail": 0, "unknown": 1, None: 2, "pass": 3}


def address(name: str, *more: str) -> str:
    """The address of a rollout's page, or of something below it, with every sign quoted that has a meaning there."""
    return "/".join(("/rollouts", *(quote(part, safe="") for part in (name, *more))))


def glance(account: Account, now: float, prometheus_url: str | None) -> Json:
    """What the live part shows at wall time `now`. Asks the ledger and nobody else; raises LedgerError."""
    stored, ledger = account.stored, account.ledger
    status = account.status()
    told = ledger.transitions(stored.id)
    open_breaches = opened(account)
    tone, headline = _headline(account, status)
    return {
        "name": stored.name,
        "number": stored.id,
        "href": address(stored.name),
        "state": status,
        "tone": tone,
        "told_above": account.control.cause is not None and bool(open_breaches),
        "headline": headline,
        "line": phase_line(account, told),
        "did": [_told(one) for one in reversed(told[-TOLD:])],
        "todo": _todo(account, open_breaches),
        "breaches": [_breach(one) for one in open_breaches],
        "causes": causes(status),
        "exposure": exposure(account, status),
        "strip": strip(account.slices, account.rollout.window, status["window"]),
        "objectives": _objectives(account, status, prometheus_url),
        "orders": orders(account, now),
        "late": now >= late_at(account),
        "verbs": offered(account, status),
    }


def late_at(account: Account) -> float:
    """From which wall time on it is late that nothing was recorded; never for what does not tick."""
    rule, stored = account.rollout, account.stored
    last = stored.last_slot if stored.last_slot is not None else account.control.started_at
    if not account.control.phase.active or last is None:
        return math.inf
    return last + rule.delay + 4 * rule.interval + rule.tick_deadline + SLACK


def opened(account: Account) -> list[BreachFact]:
    """The breaches that are not over."""
    return [one for one in account.breaches if one.breach.closed_at is None and not one.unconfirmed]


def phase_line(account: Account, told: Sequence[Transition]) -> list[Json]:
    """The phases from pending to the end, each `done`, `now` or `ahead`, with the time at which it was entered."""
    entered: dict[Phase, float] = {Phase.PENDING: account.stored.created_at}
    for one in told:
        if one.source is not one.target:
            entered[one.target] = one.at
    phase = account.control.phase
    order = [Phase.PENDING, Phase.RAMPING, Phase.SOAKING]
    if phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK):
        passed = [one for one in (*order, Phase.SIGNED_OFF) if one in entered]
        line = [*passed, Phase.ROLLING_BACK, Phase.ROLLED_BACK]
    elif phase is Phase.STOPPED:
        line = [*(one for one in order if one in entered), Phase.STOPPED]
    else:
        line = [*order, Phase.SIGNED_OFF]
    here = line.index(phase)
    return [
        {
            "phase": one.value,
            "words": one.value.replace("_", " "),
            "state": "now" if place == here else "done" if place < here else "ahead",
            "at": rfc3339(entered[one]) if one in entered and place <= here else None,
        }
        for place, one in enumerate(line)
    ]


def _headline(account: Account, status: Json) -> tuple[str, str]:
    """A tone (good, bad, warn or calm) and the sentence that somebody who was just woken reads first."""
    control, window = account.control, status["window"]
    phase, required = control.phase, window["required"]
    served = status["exposure"]["actual"]
    share = status["exposure"]["desired"] if served is None else served
    who = "everybody has the feature" if share >= 100 else f"{format_number(share)} % have the feature"
    who = who if share or status["exposure"]["cohort"] else "nobody has the feature"
    failing = [one["name"] for one in status["objectives"] if one["verdict"] == "fail"]
    tail = f"; failing now: {', '.join(failing)}" if failing else ""
    if phase is Phase.PENDING:
        return "calm", "It has not started."
    if phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK):
        done = "was taken back" if phase is Phase.ROLLED_BACK else "is being taken back"
        return "bad", f"The flag {done}: {_cause(account)}."
    if phase is Phase.SIGNED_OFF:
        return "good", f"Signed off: every objective held through {required} consecutive slices."
    if phase is Phase.STOPPED:
        return "warn", "A person stopped the watch; the flag stays as it is, and nobody watches it."
    passed = window["final"]["current"] if phase is Phase.SOAKING else window["current"]
    said = f"{who}, {passed} of {required} good slices{tail}."
    if control.hold is not None:
        return "warn", f"On hold: {said}"
    if failing:
        return "bad", f"{phase.value.capitalize()}: {said}"
    return ("warn" if control.waiting else "good"), f"{phase.value.capitalize()}: {said}"


def _cause(account: Account) -> str:
    control = account.control
    if control.cause is not None:
        return f"{control.cause[0]} was breached"
    return control.rollback.cause.rstrip(".") if control.rollback is not None else "see below"


def _told(one: Transition) -> Json:
    return {"at": rfc3339(one.at), "kind": one.kind.replace("_", " "), "why": one.why, "by": one.by}


def _todo(account: Account, open_breaches: Sequence[BreachFact]) -> str:
    if account.control.hold is not None:
        return "look at why it is held. If all is well, resume it; if not, roll it back"
    said = to_do(account)
    names = ", ".join(one.breach.objective for one in open_breaches)
    if names and said.startswith("nothing") and account.control.phase.active:
        return f"look at {names}: it is breached, and its rule takes nothing back by itself. {said}"
    return said


def _breach(fact: BreachFact) -> Json:
    breach = fact.breach
    return {"objective": breach.objective, "at": rfc3339(breach.at), "why": breach.why, "late": fact.late}


def causes(status: Mapping[str, Any]) -> list[Json]:
    """What is known of the cause of each breach, the newest first: the cohorts compared, and who contributed most."""
    from watchdog.report.causes import causes_of  # noqa: PLC0415 - with the report comes a good deal

    known = status.get("causes") or ()
    told = causes_of({"causes": known})
    return [{**words, "at": one["at"]} for one, words in zip(known, told, strict=True)]


def exposure(account: Account, status: Json) -> Json:
    """Who has the feature, who is to have it, and what comes next."""
    control, said = account.control, status["exposure"]
    actual = said["actual"]
    besides = Exposure(0.0, said["cohort"], tuple(said["audiences"]))
    return {
        "desired": f"{format_number(said['desired'])} %",
        "besides": "" if besides.none else str(besides).removeprefix("0%").strip(),
        "actual": f"{format_number(actual)} %" if actual is not None else None,
        "share": min(100.0, max(0.0, actual if actual is not None else said["desired"])),
        "error": said["error"],
        "differs": actual is not None and not math.isclose(actual, said["desired"], abs_tol=1e-6),
        "next": _next(account),
        "confirmed": control.confirmed,
    }


def _next(account: Account) -> Json | None:
    control = account.control
    coming = next_step(account.rollout.ramp, control.desired)
    if coming is None or control.phase is not Phase.RAMPING or control.hold is not None:
        return None
    began = control.last_step_at if control.last_step_at is not None else control.started_at
    return {"to": str(coming.exposure), "at": rfc3339(began + coming.after) if began is not None else None}


def orders(account: Account, now: float) -> list[Json]:
    """What people ordered that is not carried out yet, or was in the last quarter of an hour; the newest first."""
    found = account.ledger.commands(account.stored.id)
    kept = [(one, said) for one, said in found if said is None or one.at > now - ORDERED]
    return [
        {"id": one.id, "verb": one.verb, "by": one.by, "reason": one.reason, "at": rfc3339(one.at), "outcome": said}
        for one, said in reversed(kept)
    ][:5]


def offered(account: Account, status: Mapping[str, Any]) -> list[Json]:
    """The orders that would be carried out now, each with where it is confirmed."""
    name, over = account.stored.name, account.control.phase.terminal
    found = []
    for verb in VERBS:
        told = effect(status, account.rollout, verb)
        idle = over and told.exposure_before == told.exposure_after
        if told.refused is None and not idle:
            found.append({"verb": verb, "words": WORDS[verb], "href": address(name, verb)})
    return found


def _objectives(account: Account, status: Json, prometheus_url: str | None) -> list[Json]:
    """A card for each objective, what fails first."""
    rollout, stored = account.rollout, account.stored
    last = stored.last_slot if stored.last_slot is not None else account.control.started_at or 0
    first = last - min(TREND, MOST_SLOTS * rollout.interval)
    columns: dict[str, list[Evaluation]] = {o.name: [] for o in rollout.objectives}
    for name, evaluation in account.ledger.evaluations(stored.id, None, first, last):
        columns[name].append(evaluation)
    known = detector_states(account.ledger, stored.name) if stored.last_slot is not None else []
    states = {one.objective: one for one in known}
    breached = {
        one.breach.objective for one in account.breaches if one.breach.closed_at is None and not one.unconfirmed
    }
    cards: list[Json] = []
    for objective, said in zip(rollout.objectives, status["objectives"], strict=True):
        query = judged(rollout, objective)
        state = states.get(objective.name)
        cards.append(
            {
                **said,
                "id": f"objective-{len(cards) + 1}",
                "href": address(stored.name, "objectives", objective.name),
                "value_text": value_text(objective, said["value"]),
                "target_text": describe_target(objective),
                "breached": objective.name in breached,
                "on_breach": _ON_BREACH[objective.on_breach],
                "detector": None if state is None else _detector(state),
                "spark": sparkline(objective, columns[objective.name], (first, last)),
                "graph": graph(prometheus_url, query, last) if prometheus_url and query else None,
            }
        )
    return sorted(cards, key=lambda card: (not card["breached"], _WORST[card["verdict"]]))


_ON_BREACH = {
    OnBreach.ROLLBACK: "a breach takes the flag back",
    OnBreach.HOLD: "a breach holds the ramp",
    OnBreach.PAGE: "a breach only tells people",
}


def value_text(objective: Objective, value: float | None) -> str:
    """The number that is judged, in the sense of its target: a share of good or of bad events, or the number."""
    if value is None:
        return "no value"
    if objective.kind is Kind.EVENT:
        good, short = objective.target.of_good, _short(value, objective.allowed)
        return f"{format_share(1.0 - short if good else short)} {'good' if good else 'bad'}"
    return format_number(_short(value, objective.target.limit))


def _short(value: float, limit: float) -> float:
    """Four significant digits, unless those are the limit's while the number is not."""
    short = float(f"{value:.4g}")
    return value if short == limit else short


def _detector(state: DetectorState) -> Json:
    """How near it is, as a part of the way; a sequential statistic grows by factors, so its way is measured so."""
    if state.of is None:
        way = math.log(max(state.statistic, 1.0)) / math.log(state.threshold) if state.threshold > 1.0 else 0.0
    else:
        way = state.statistic / state.threshold if state.threshold else 0.0
    return {
        "name": state.detector,
        "state": state.standing,
        "words": state.words,
        "percent": round(100 * min(1.0, max(0.0, way))),
    }
