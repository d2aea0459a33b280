"""The outcome in one line, and the sentences that must be read with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from watchdog.model import STANDARD_OBJECTIVES, Mode, Phase, Transition
from watchdog.report.evidence import BreachFact, Evidence
from watchdog.report.objectives import Basis, standard_name
from watchdog.report.words import SPACE, clock, counted, hours, instant, lasted, listed, percent, stamp, when

Json = dict[str, Any]

WORDS = {
    "signed_off": "SIGNED OFF",
    "amended": "SIGNED OFF, AMENDED",
    "interim": "INTERIM SIGN-OFF",
    "rolling_back": "ROLLING BACK",
    "rolled_back": "ROLLED BACK",
    "stopped": "STOPPED",
    "not_yet": "NOT YET",
    "not_started": "NOT STARTED",
}
OBSERVED = {"rolled_back": "WOULD HAVE ROLLED BACK", "rolling_back": "WOULD ROLL BACK"}
"""In an observation nothing is written to the flag, and the words say so."""


def coverage(evidence: Evidence, known: Mapping[str, int]) -> Json:
    """Which of the seven standard objectives were judged, which not and why. `known`: slots with a verdict, by name."""
    by_name = {standard_name(objective): objective.name for objective in evidence.rollout.objectives}
    judged = [name for name in STANDARD_OBJECTIVES if known.get(by_name.get(name, ""), 0) > 0]
    missing = [
        {"name": name, "why": "in the rule, but never measured" if name in by_name else "not in the rule"}
        for name in STANDARD_OBJECTIVES
        if name not in judged
    ]
    own = [objective.name for objective in evidence.rollout.objectives if standard_name(objective) is None]
    return {"judged": judged, "of": len(STANDARD_OBJECTIVES), "missing": missing, "beyond_the_standard": own}


def amendments(evidence: Evidence) -> list[BreachFact]:
    """Breaches that were found after the final sign-off."""
    signed = next((item.at for item in evidence.transitions if item.kind == "signed_off"), None)
    if evidence.phase is not Phase.SIGNED_OFF or signed is None:
        return []
    return [fact for fact in evidence.breaches if fact.detected_at > signed]


def verdict(evidence: Evidence, seven: Json, basis: Basis, exposure: Sequence[float]) -> Json:
    """The verdict: its kind, its line, the notes beneath. `exposure`: what the slices of `basis` were earned under."""
    kind = _kind(evidence)
    observed = evidence.rollout.mode is Mode.OBSERVE
    word = OBSERVED.get(kind, WORDS[kind]) if observed else WORDS[kind]
    rest = _said(evidence, kind, seven, exposure)
    line = f"{word}{rest}"
    return {
        "kind": kind,
        "word": word,
        "rest": rest.removeprefix(": ").strip(),
        "line": f"OBSERVATION: {line}" if observed else line,
        "stage": {"signed_off": "final", "amended": "final", "interim": "interim"}.get(kind),
        "signed_off": kind in ("signed_off", "interim"),
        "observation": observed,
        "basis": basis.name,
        "not_judged": _not_judged(seven),
        "notes": _notes(evidence, kind),
    }


def _kind(evidence: Evidence) -> str:
    phase = evidence.phase
    if phase is Phase.SIGNED_OFF:
        return "amended" if amendments(evidence) else "signed_off"
    if phase in (Phase.RAMPING, Phase.SOAKING):
        return "interim" if evidence.figures.get("window", {}).get("completed_at") else "not_yet"
    return {Phase.PENDING: "not_started", Phase.STOPPED: "stopped"}.get(phase, phase.value)


def _said(evidence: Evidence, kind: str, seven: Json, exposure: Sequence[float]) -> str:
    rule = evidence.rollout
    what = f"{rule.service} {rule.version}"
    on = f" on {len(seven['judged'])} of {seven['of']}: {what}"
    long = hours(rule.window.slices, rule.window.slice)
    if kind == "signed_off":
        return f"{on} kept its SLOs for {long} at {percent(rule.ramp.to)}"
    if kind == "amended":
        late = listed(sorted({fact.breach.objective for fact in amendments(evidence)}))
        return f"{on} was signed off, then a breach of {late} was found in data that came late"
    if kind == "interim":
        return f"{on} kept its SLOs for {long} at {_between(exposure)}, below the final sign-off"
    if kind in ("rolled_back", "rolling_back"):
        return _rolled_back(evidence, what)
    if kind == "stopped":
        last = _last(evidence, "stop")
        who = f" by {last.by}: {last.why}" if last is not None else ""
        return f"{who} ({what}; the flag was left at {percent(_actual(evidence))})"
    if kind == "not_yet":
        return _not_yet(evidence, what)
    return f": {what} is seen and waits for its start"


def _between(exposure: Sequence[float]) -> str:
    if not exposure:
        return "an exposure that was not read"
    low, high = min(exposure), max(exposure)
    return percent(high) if low == high else f"{low:.3g} to {high:.3g}{SPACE}%"


def _rolled_back(evidence: Evidence, what: str) -> str:
    stamps, last = evidence.rollback, _last(evidence, "rollback")
    cause = f": {what}"
    fact = next((item for item in evidence.breaches if item.stamps is not None), None)
    if last is not None and last.by != "watchdog":
        cause = f" by {last.by}: {what}, {last.why}"
    elif fact is not None:
        cause = f": {fact.breach.objective} of {what} broke its SLO at {when(stamp(fact.breach.at))} UTC"
    elif last is not None:
        cause = f": {what}, {last.why}"
    to = evidence.rollout.rollback.to
    off = "flag off" if to == 0 else f"flag at {percent(to)}"
    if evidence.rollout.mode is Mode.OBSERVE:
        return f"{cause}; the flag was not touched"
    if stamps is None or stamps.confirmed_at is None:
        return f"{cause}; {off} not confirmed yet"
    return f"{cause}, {off} {lasted(stamps.confirmed_at - stamps.detected_at)} after detection"


def _not_yet(evidence: Evidence, what: str) -> str:
    window = evidence.figures.get("window", {})
    current, required = window.get("current", 0), evidence.rollout.window.slices
    hold = evidence.status.get("hold")
    held = f", held by {hold.get('by')}: {hold.get('why')}" if hold else ""
    return (
        f": {what} has {current} of {required} consecutive good slices, at {percent(_actual(evidence))} "
        f"of {percent(evidence.rollout.ramp.to)} exposure{held}"
    )


def _actual(evidence: Evidence) -> float | None:
    exposure = evidence.status.get("exposure") or {}
    found = exposure.get("actual")
    value = found.get("percent") if isinstance(found, dict) else found
    return float(value) if isinstance(value, int | float) else None


def _last(evidence: Evidence, kind: str) -> Transition | None:
    return next((item for item in reversed(evidence.transitions) if item.kind == kind), None)


def _not_judged(seven: Json) -> str:
    missing = ", ".join(item["name"] for item in seven["missing"])
    return f"Not judged: {missing}" if missing else ""


def _notes(evidence: Evidence, kind: str) -> list[str]:
    found = []
    if evidence.rollout.mode is Mode.OBSERVE:
        found.append("An observation: the flag was simulated, nothing was written to it and nobody was paged.")
    if kind == "interim":
        found.append(_until_final(evidence))
    if kind in ("rolled_back", "rolling_back"):
        found += [_stamps(evidence), _recovery(evidence)]
    if evidence.bad_never_observed:
        names = listed(sorted(evidence.bad_never_observed))
        found.append(f"Bad never observed, so a pass is not evidence: {names}.")
    if evidence.not_controlled:
        found.append(f"No guaranteed rate of false rollbacks: {listed(list(evidence.not_controlled))}.")
    if waived := {*evidence.rollout.waive, *(str(one["name"]) for one in evidence.waivers)}:
        found.append(f"Waived: {listed(sorted(waived))}.")
    found += [
        f"Countersigned by {one.by}, {when(stamp(one.at))}: {one.why.partition(' (countersigned ')[0]}."
        for one in evidence.transitions
        if one.kind == "countersigned"
    ]
    return [note for note in found if note]


def _stamps(evidence: Evidence) -> str:
    stamps = evidence.rollback
    if stamps is None:
        return ""
    named = [("decided", stamps.decided_at), ("acted", stamps.acted_at), ("confirmed", stamps.confirmed_at)]
    if evidence.rollout.mode is Mode.OBSERVE:
        named = named[:1]
    rest = "".join(f", {name} {clock(stamp(at), stamp(stamps.detected_at))}" for name, at in named if at is not None)
    return f"Detected {clock(stamp(stamps.detected_at), None)}{rest} UTC."


def _until_final(evidence: Evidence) -> str:
    window = evidence.figures.get("window", {})
    done, need = (window.get("final") or {}).get("current", 0), evidence.rollout.window.slices
    completed = instant(window["completed_at"])
    since = [fact for fact in evidence.breaches if fact.breach.at > completed]
    later = f" {counted(len(since), 'breach', 'breaches')} since." if since else ""
    return f"Final sign-off: {done} of {need} slices at {percent(evidence.rollout.ramp.to)} so far.{later}"


def _recovery(evidence: Evidence) -> str:
    stamps = evidence.rollback
    if evidence.rollout.mode is Mode.OBSERVE:
        return "Whether a rollback would have helped cannot be seen in an observation."
    if stamps is not None and stamps.recovered_at is not None:
        beside = stamp(stamps.detected_at)
        after = lasted(stamps.recovered_at - (stamps.confirmed_at or stamps.decided_at))
        return f"Recovered at {clock(stamp(stamps.recovered_at), beside)} UTC, {after} after the flag was off."
    last = next((t for t in reversed(evidence.transitions) if t.kind in ("errors_continue", "blind", "sighted")), None)
    if last is not None and last.kind != "sighted":
        return f"Not recovered: {last.why}"
    return "Recovery is not confirmed yet."
