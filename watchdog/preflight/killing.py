"""Whether what must be taken back can be: each flag's service, the emergency flags, and the worst case in time."""

from __future__ import annotations

from watchdog.bound import judge
from watchdog.errors import FlagServiceError
from watchdog.flags.base import Check
from watchdog.model import EMERGENCY_FLAGS, Mode, Phase, Rollout
from watchdog.preflight.ground import Ground, Looked
from watchdog.quantities import format_duration


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
