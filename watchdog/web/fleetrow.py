"""One line of the fleet: what a person needs to know of a rollout before opening it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from watchdog.control import Control
from watchdog.ledger import Standing
from watchdog.model import Mode, Phase, Rollout, Verdict
from watchdog.quantities import format_number, rfc3339
from watchdog.ramp import schedule
from watchdog.window import Windows

NEEDED, UNDER_WAY, WAITING, OVER = "needed", "under-way", "waiting", "over"
GROUPS = {
    NEEDED: "A person is needed",
    UNDER_WAY: "Under way",
    WAITING: "To be started",
    OVER: "Over",
}
"""In the order of the page."""
SLACK = 30.0
"""Seconds beyond three intervals after which a rollout that records nothing is said to stand still."""
_WORST = (Verdict.FAIL, Verdict.UNKNOWN, Verdict.PASS)
_TONES = {
    Phase.RAMPING: "good",
    Phase.SOAKING: "good",
    Phase.SIGNED_OFF: "good",
    Phase.ROLLING_BACK: "bad",
    Phase.ROLLED_BACK: "bad",
    Phase.STOPPED: "warn",
}


@dataclass(frozen=True, slots=True)
class About:
    """What never changes of a rollout. `created_at` is wall time; `rule` is without its texts, which nobody needs."""

    id: int
    name: str
    service: str
    version: str
    flag: str
    mode: Mode
    file: str
    created_at: float
    rule: Rollout


@dataclass(frozen=True, slots=True)
class Strip:
    """The newest slices as runs of one verdict, (verdict, first place, count), of `cells` places, and in words."""

    runs: tuple[tuple[str, int, int], ...]
    cells: int
    said: str
    passed: int
    required: int


@dataclass(frozen=True, slots=True)
class Row:
    """A line as its template shows it; times are RFC 3339. It holds until wall time `until`, if nothing happens."""

    id: int
    name: str
    service: str
    version: str
    flag: str
    mode: str
    phase: str
    since: str
    group: str
    tone: str
    actual: str
    asked: str
    planned: str
    strip: Strip
    worst: tuple[str | None, str]
    held: str
    held_since: str
    waits: tuple[str, ...]
    todo: str
    until: float


def row(about: About, standing: Standing, control: Control, strip: Strip, now: float) -> Row:
    """The line of a rollout at wall time `now`."""
    late_at = _late_at(about.rule, standing, control)
    late = now >= late_at
    phase = standing.phase
    needed = todo(about, standing, control, late=late)
    planned, next_plan = _planned(about.rule, control, now)
    worst = _worst(standing, phase)
    tone = _TONES.get(phase, "")
    if phase.active and (control.hold is not None or late or control.waiting or worst[0] == Verdict.UNKNOWN):
        tone = "warn" if tone == "good" else tone
    if phase.active and worst[0] == Verdict.FAIL:
        tone = "bad"
    reading = standing.reading.exposure if standing.reading is not None else None
    if about.mode is Mode.OBSERVE:
        reading = control.desired
    asked = control.desired
    return Row(
        id=about.id,
        name=about.name,
        service=about.service,
        version=about.version,
        flag=about.flag,
        mode=about.mode.value,
        phase=phase.value,
        since=rfc3339(int(standing.since if standing.since is not None else about.created_at)),
        group=_group(phase, needed),
        tone=tone,
        actual=percent(reading.percent) if reading is not None else "",
        asked=percent(asked.percent) if reading is not None and reading.percent != asked.percent else "",
        planned=percent(planned) if planned is not None else "",
        strip=strip,
        worst=worst,
        held=f"by {control.hold.by}: {control.hold.why}" if control.hold is not None else "",
        held_since=rfc3339(int(control.hold.since)) if control.hold is not None else "",
        waits=() if control.hold is not None else control.waiting,
        todo=needed or _afterwards(phase),
        until=min(next_plan, late_at if not late else float("inf")),
    )


def percent(value: float) -> str:
    """A share of people as it is written: `28.571 %`."""
    return f"{format_number(value)} %"


def strip_of(windows: Windows, verdicts: Sequence[str], soaks: bool) -> Strip:  # noqa: FBT001
    """The strip of the newest slices, oldest first; `soaks` counts the final window instead of the interim one."""
    interim = windows.interim.window
    passed, required = (windows.final.window.current if soaks else interim.current), interim.required
    shown = list(verdicts[-required:])
    runs, place = [], 0
    for verdict, some in groupby(shown):
        count = len(list(some))
        runs.append((verdict, place, count))
        place += count
    counts = ", ".join(f"{shown.count(one)} {one}" for one in ("pass", "fail", "unknown", "idle") if one in shown)
    said = f"{min(passed, required)} of {required} good slices in a row"
    said += f"; the newest {len(shown)}: {counts}" if shown else "; no slice has ended yet"
    return Strip(tuple(runs), required, said, passed, required)


def todo(about: About, standing: Standing, control: Control, *, late: bool) -> str:
    """What a person must do now; empty when that is nothing."""
    phase, reading = standing.phase, standing.reading
    if phase.terminal:
        return ""
    if control.hold is not None:
        return "Look at the reason, then resume it or roll it back."
    if phase is Phase.ROLLING_BACK:
        return f"If this lasts a minute, turn flag {about.flag} off by hand."
    if late:
        return "See whether the watchdog runs and reaches its ledger: nothing was recorded lately."
    if phase is Phase.PENDING:
        return _to_start(about, control)
    if reading is not None and reading.exposure is None:
        return "See that the flag service runs and can be reached from the watchdog."
    if control.breached:
        return f"Look at {', '.join(control.breached)}: breached, and the rule takes nothing back for it."
    if control.blind:
        return f"See why {', '.join(control.blind)} cannot be judged."
    return ""


def _to_start(about: About, control: Control) -> str:
    if "preflight" in control.waiting_for:
        return "Run a preflight that holds, or waive it."
    if control.waiting:
        return "See what it waits for."
    if control.start_by is None and not about.rule.auto_start and about.rule.start_at is None:
        return f"Start it when you want to: slo-watchdog start {about.file}"
    return ""


def _afterwards(phase: Phase) -> str:
    """Nothing urgent, where something is left to do all the same."""
    return "Find the cause; to try again, start a new rollout." if phase is Phase.ROLLED_BACK else ""


def _group(phase: Phase, needed: str) -> str:
    if phase.terminal:
        return OVER
    if needed and phase is not Phase.PENDING:
        return NEEDED
    return WAITING if phase is Phase.PENDING else UNDER_WAY


def _worst(standing: Standing, phase: Phase) -> tuple[str | None, str]:
    """The worst verdict of the newest slot, and in words of which objectives. What is over needs no more judging."""
    if phase is Phase.PENDING or not standing.verdicts:
        return None, ""
    for verdict in _WORST:
        found = [(name, reason) for name, one, reason in standing.verdicts if one is verdict]
        if found and verdict is Verdict.PASS:
            return verdict, f"all {len(found)} objectives"
        if found:
            return verdict, _listed(
                f"{name} ({reason.replace('_', ' ')})" if reason else name for name, reason in found
            )
    return None, ""


def _listed(names: Iterable[str], most: int = 3) -> str:
    found = list(names)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more


def _late_at(rule: Rollout, standing: Standing, control: Control) -> float:
    """From which wall time on it is late that nothing was recorded; never for what does not tick."""
    last = standing.last_slot if standing.last_slot is not None else control.started_at
    if not standing.phase.active or last is None:
        return float("inf")
    return last + rule.delay + 4 * rule.interval + rule.tick_deadline + SLACK


def _planned(rule: Rollout, control: Control, now: float) -> tuple[float | None, float]:
    """What the plan exposes at `now`, had nothing been waited for, and when that changes. None but during a ramp."""
    if control.phase is not Phase.RAMPING or control.started_at is None:
        return None, float("inf")
    share = None
    for after, exposure in schedule(rule.ramp):
        if control.started_at + after > now:
            return share, control.started_at + after
        share = exposure.percent
    return share, float("inf")
