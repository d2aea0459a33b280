"""Figures of the report's dict in the words that HTML and Markdown share."""

from __future__ import annotations

from typing import Any

from watchdog.report.words import NONE, counted, figure, lasted, number, percent, share, when

Json = dict[str, Any]

BASES = {
    "final": "final window",
    "interim": "interim window",
    "current": "run of good slices so far",
    "watch": "whole watch",
}


def facts(report: Json) -> list[tuple[str, str, bool]]:
    """Name, value and whether the value is code, in reading order."""
    ramp, rule, watch = report["ramp"], report["window_rule"], report["watch"]
    found = [
        ("Service", report["service"], False),
        ("Version", report["version"], False),
        ("Flag", report["flag"], True),
        ("Rollout", report["rollout"], True),
        ("Mode", "observe (flag simulated)" if report["mode"] == "observe" else "act", False),
        ("Ramp", _ramp(ramp), False),
        ("Watch", _between(watch["from"], watch["to"]), False),
        ("Window", _window(rule), False),
        ("Engine", report["engine"], False),
        ("Figures from", basis_of(report), False),
        ("Prometheus", _server(report["prometheus"]), False),
        ("Preflight", _preflight(report.get("preflight")), False),
        *_deployment(report.get("deployment")),
        ("Rule sha256", report["rule"]["sha256"] or NONE, True),
    ]
    return [(name, str(value), code) for name, value, code in found]


def _between(start: str | None, end: str | None) -> str:
    return "not started" if not start else f"{when(start)} to {when(end)}"


def basis_of(report: Json) -> str:
    """What the figures are drawn from, with its two ends where it has any."""
    name = report["verdict"]["basis"]
    span = report["windows"].get(name)
    return BASES[name] + (f", {_between(span['from'], span['to'])}" if span else "")


def _ramp(ramp: Json) -> str:
    cohort = f", {counted(len(ramp['cohort']), 'member')} in the cohort" if ramp["cohort"] else ""
    over = f" over {lasted(ramp['seconds'])}" if ramp["seconds"] else ""
    way = f"{percent(ramp['from'])} to {percent(ramp['to'])} in {counted(ramp['steps'], 'step')}"
    audiences = f", audiences {', '.join(ramp['audiences'])} besides" if ramp["audiences"] else ""
    return f"{ramp['strategy'].replace('_', ' ')}: {way}{over}{cohort}{audiences}"


def _window(rule: Json) -> str:
    return (
        f"{rule['slices']} good slices of {lasted(rule['slice_s'])} in a row, "
        f"gap \N{LESS-THAN OR EQUAL TO} {lasted(rule['max_gap_s'])}, {rule['max_idle']} idle"
    )


def _server(prometheus: Json) -> str:
    build = prometheus.get("buildinfo") or {}
    version = prometheus.get("version") or (build.get("version") if isinstance(build, dict) else build)
    parts = [str(part) for part in (version, prometheus.get("url")) if part]
    return " at ".join(parts) or NONE


def _preflight(found: Json | None) -> str:
    if found is None:
        return "none on record"
    lacks = [f"{found[name]} {name}" for name in ("failed", "waived") if found[name]]
    held = f"blockers {', '.join(lacks)}" if lacks else "every blocker held"
    builds = "; ".join(f"{one['what']} {one['value']}" for one in found["builds"])
    return f"{when(found['at'])}, {held}, score {found['score']} %" + (f" ({builds})" if builds else "")


def _deployment(found: Json | None) -> list[tuple[str, str, bool]]:
    """The rows of the build that is watched; none where no pipeline handed one in."""
    if found is None:
        return []
    before = found["previous"]
    way = f", before it {before['digest']}" if before else ", the first one there"
    where = f"{found['environment']}, {found['colour']}, by {found['by']}, {when(found['at'])}{way}"
    bypass = found.get("bypass")
    if bypass:
        where += f"; without the evidence of staging, on the word of {bypass['by']}: {bypass['reason']}"
    return [
        ("Build", f"{found['image']}@{found['digest']}", True),
        ("Commit", found["commit"], True),
        ("Deployed", where, False),
        ("Deployment sha256", found["sha256"], True),
    ]


def figures_of(objective: Json) -> Json:
    """An objective's figures as text: over the basis, worst slice, slots, detector and what to know."""
    return {
        "figure": _figure(objective),
        "interval": _interval(objective),
        "budget": _budget(objective["figure"]),
        "events": _events(objective["figure"]),
        "worst": _worst(objective, objective["worst_slice"]),
        "worst_at": when((objective["worst_slice"] or {}).get("from")),
        "worst_of_watch": _worst(objective, objective["worst_slice_of_watch"]),
        "worst_of_watch_at": when((objective["worst_slice_of_watch"] or {}).get("from")),
        "slots": _slots(objective["slots"]),
        "control": _control(objective),
    }


def _figure(objective: Json) -> str:
    found, limit = objective["figure"], objective["target"]["limit"]
    if found.get("value") is not None:
        return figure(found["value"], objective["unit"], limit)
    if found.get("mean") is not None:
        return f"{number(found['least'], limit)} to {number(found['greatest'], limit)}"
    if found["measured_slots"]:
        return f"{share(1.0 - found['failed_slots'] / found['measured_slots'])} of slots kept"
    return "not judged"


def _interval(objective: Json) -> str:
    found = objective["figure"]
    if found.get("interval_95") is None:
        return ""
    low, high = found["interval_95"]
    return f"{share(low)} to {share(high)}"


def _events(found: Json) -> str:
    if found.get("total") is None:
        return ""
    return f"{round(found['bad']):,} bad of {round(found['total']):,}"


def _budget(found: Json) -> str:
    used = found.get("budget_used")
    return NONE if used is None else f"{share(float(f'{used:.3g}'))}"


def _worst(objective: Json, worst: Json | None) -> str:
    if worst is None:
        return NONE
    if worst["value"] is not None:
        return figure(worst["value"], objective["unit"], objective["target"]["limit"])
    return f"{worst['failed_slots']} of {worst['measured_slots']} slots failed"


def _slots(slots: Json) -> str:
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in slots["reasons"].items())
    lost = f", {slots['unrecorded']:,} not recorded" if slots["unrecorded"] else ""
    why = f" ({reasons})" if reasons else ""
    return f"{slots['pass']:,} pass, {slots['fail']:,} fail, {slots['unknown']:,} unknown{why}{lost}"


def _control(objective: Json) -> str:
    control = objective["control"]
    if control is None:
        return ""
    mean = f"{share(control['mean_share'])} over all slots; " if control["mean_share"] is not None else ""
    return f"{mean}{_slots(control)}"
