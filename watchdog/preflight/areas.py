"""The looks, area by area. Each yields its checks; whatever cannot be looked at is a failed check."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from watchdog.bound import judge
from watchdog.connect import open_prometheus
from watchdog.errors import ConfigError, FlagServiceError, WatchdogError
from watchdog.flags.base import Check
from watchdog.model import EMERGENCY_FLAGS, Mode, Phase, Rollout
from watchdog.online import Finding, check_online
from watchdog.preflight.drills import drills
from watchdog.preflight.ground import Ground
from watchdog.preflight.verdict import Found, Preflight
from watchdog.quantities import format_duration

Looked = Iterator[tuple[Rollout | None, Check]]
"""Checks, each with the rollout that it is about; None for all of them."""
WAIVER = "preflight"


def preflight(ground: Ground, on_area: Callable[[str], None] = lambda _area: None) -> Preflight:
    """Look at every area. `on_area` is told which one comes next. Never raises for what it finds."""
    found: list[Found] = []
    for area, look in AREAS:
        on_area(area)
        found += _look(area, look, ground)
    return Preflight(found)


def _look(area: str, look: Callable[[Ground], Looked], ground: Ground) -> Iterator[Found]:
    try:
        for rollout, check in look(ground):
            waived = rollout.waive.get(WAIVER) if rollout is not None and not check.ok else None
            yield Found(area, check, rollout.name if rollout is not None else None, waived)
    except WatchdogError as error:
        yield Found(area, Check("can be looked at", ok=False, found=str(error), todo="correct that, then look again"))


def configuration(ground: Ground) -> Looked:
    """Settings and rollout files. Settings that are wrong do not get this far."""
    place = str(ground.settings.path or "the environment")
    yield None, Check("settings", ok=True, found=f"{place} is valid")
    if not ground.loaded:
        patterns = ", ".join(map(str, ground.settings.rollouts))
        yield None, Check("rollout files", ok=False, found=f"none matches {patterns}", todo="write a rollout")
    for path, item in ground.loaded:
        if isinstance(item, ConfigError):
            for problem in item.problems:
                yield None, Check(f"file {path.name}", ok=False, found=str(problem), todo="correct the file")
        else:
            yield item, Check(f"file {path.name}", ok=True, found=f"it is valid (sha256 {item.sha256[:12]})")


def ledger(ground: Ground) -> Looked:
    """Whether what happens can be recorded."""
    ground.ledger.try_write()
    yield None, Check("can be written", ok=True, found=f"{ground.ledger.place} took a row, and took it back")
    directory = ground.settings.reports.dir
    there = next(one for one in (directory, *directory.absolute().parents) if one.exists())
    writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    said = f"{directory} {'can' if writable else 'cannot'} be written"
    yield None, Check("reports directory", ok=writable, found=said, todo="give this user a directory to write in")
    for rollout in ground.configured:
        stored = ground.stored(rollout)
        if stored is not None and stored.phase is Phase.PENDING and stored.sha256 != rollout.sha256:
            todo = "give the changed file a new name"
            found = "the file has changed since the daemon first saw it, and that rule is frozen"
            yield rollout, Check("rule unchanged", ok=False, found=found, todo=todo)


def prometheus(ground: Ground) -> Looked:
    """Each query of each rollout, asked once."""
    rollouts = ground.rollouts
    if not rollouts:
        return
    with open_prometheus(ground.settings.prometheus) as source:
        findings = check_online(ground.settings, rollouts, source, ground.clock())
    for rollout in rollouts:
        about = [finding for finding in findings if finding.rollout == rollout.name]
        for name in dict.fromkeys(finding.objective for finding in about):
            said = [finding for finding in about if finding.objective == name]
            yield rollout, _answers(name or "the server", said)


def _answers(name: str, findings: list[Finding]) -> Check:
    """What asking one objective's queries gave; warnings are told and stand in nobody's way."""
    wrong = [finding for finding in findings if finding.level == "error"]
    told = "; ".join(finding.message for finding in wrong or findings)
    return Check(name, ok=not wrong, found=told, todo="correct the query, or what exports its series" if wrong else "")


def flag_services(ground: Ground) -> Looked:
    """Whether each flag can be killed: the rollouts' own, those of `also:`, and the drill's."""
    flags = ground.flags
    for rollout in ground.rollouts:
        if rollout.mode is Mode.OBSERVE:
            continue
        for check in flags.primary.preflight(rollout.flag):
            yield rollout, _named(check, rollout.flag)
        yield from _start(ground, rollout)
        for place in rollout.also:
            for check in flags.named(place.service).preflight(place.flag):
                yield rollout, _named(check, f"{place.service}: {place.flag}")
    if ground.settings.drill.every > 0.0:
        for check in flags.primary.preflight(ground.settings.drill.flag):
            yield None, _named(check, ground.settings.drill.flag)


def _named(check: Check, flag: str) -> Check:
    return Check(f"{flag}: {check.name}", check.ok, check.found, check.todo)


def _start(ground: Ground, rollout: Rollout) -> Looked:
    """What would refuse the start of a rollout that has not started."""
    stored = ground.stored(rollout)
    if stored is not None and stored.phase is not Phase.PENDING:
        return
    owner = ground.ledger.active_on(rollout.flag)
    found = "no rollout has it" if owner is None else f"{owner.name} has it, which is {owner.phase.value}"
    yield rollout, Check(f"{rollout.flag}: is free", owner is None, found, "wait for its end, or stop it")
    try:
        reading = ground.flags.primary.read(rollout.flag)
    except FlagServiceError as error:
        yield rollout, Check(f"{rollout.flag}: can be read", ok=False, found=str(error), todo="correct that first")
        return
    latched = reading.latch == rollout.name
    found = f"it is latched by the rollback of {reading.latch}" if reading.latch else "no rollback has latched it"
    yield rollout, Check(f"{rollout.flag}: has no latch", not latched, found, "give the rollout a new name")
    above = reading.exposure.percent > rollout.ramp.start or (reading.exposure.cohort and not rollout.ramp.cohort)
    found = f"it reads {reading.exposure}, the ramp starts from {rollout.ramp.start:g}%"
    todo = "lower it (`slo-watchdog flags set`), or start with --adopt"
    yield rollout, Check(f"{rollout.flag}: is where the ramp starts", not above, found, todo)


def emergency_flags(ground: Ground) -> Looked:
    """Whether the switches are there, work, and are off."""
    service = ground.flags.emergency
    for flag in EMERGENCY_FLAGS:
        for check in service.preflight(flag):
            yield None, _named(check, flag)
        try:
            reading = service.read(flag)
        except FlagServiceError as error:
            todo = "run `slo-watchdog flags init`, which creates it, off"
            yield None, Check(f"{flag}: is off", ok=False, found=str(error), todo=todo)
        else:
            found = "it is off" if reading.exposure.none else f"it is on ({reading.exposure}), and no ramp goes on"
            todo = f"when the emergency is over: `slo-watchdog flags emergency {flag} off`"
            yield None, Check(f"{flag}: is off", reading.exposure.none, found, todo)


def worst_case(ground: Ground) -> Looked:
    """Whether every objective that rolls back has the flag off in time."""
    for rollout in ground.rollouts:
        judgement = judge(rollout)
        for bound in judgement.bounds:
            waived = judgement.waived.get("rollback_bound")
            found = f"{bound.spelled_out}; the bound is {format_duration(bound.within)}"
            if not bound.holds and waived is not None:
                found += f"; waived: {waived}"
            ok = bound.holds or waived is not None
            yield rollout, Check(f"{bound.objective}: off in time", ok, found, "see `slo-watchdog check`")


AREAS: tuple[tuple[str, Callable[[Ground], Looked]], ...] = (
    ("configuration", configuration),
    ("ledger", ledger),
    ("prometheus", prometheus),
    ("flag services", flag_services),
    ("emergency flags", emergency_flags),
    ("worst case", worst_case),
    ("drill", drills),
)
"""Every area by name, in the order in which it is looked at; the drill is last, for it takes longest."""
