"""What must hold of a flag in Unleash before a rollout steers it, looked at with the credentials that will do so."""

from __future__ import annotations

from watchdog.errors import FlagServiceError
from watchdog.flags.base import Check
from watchdog.flags.unleash_api import UnleashApi
from watchdog.flags.unleash_state import State
from watchdog.flags.unleash_strategies import ANYBODY, STICKY, unchanged

FULL = 100


def preflight(api: UnleashApi, flag: str, propagation: float) -> tuple[Check, ...]:
    """Every check, in the order in which a person would put things right. Never raises; `propagation` in seconds."""
    try:
        state = api.state(flag)
    except FlagServiceError as error:
        todo = "correct the address, token, project and environment, then run `slo-watchdog flags init`"
        return (Check("flag can be read", ok=False, found=str(error), todo=todo),)
    served = str(state.beneath) if state.enabled else "nobody, it is switched off"
    return (
        Check("flag can be read", ok=True, found=f"{flag} in {api.project}/{api.environment} serves {served}"),
        _strategies(state),
        _sticky(state, flag),
        _approvals(api),
        _write(api, flag, state),
        _kill(api, flag, state),
        Check(
            "readers ask often enough",
            ok=True,
            found=f"a change is expected to reach every reader within {propagation:g} s; Unleash cannot tell",
            todo="keep the refresh interval of every client below flags.propagation",
        ),
    )


def _strategies(state: State) -> Check:
    name = "strategies are the watchdog's"
    todo = "remove in Unleash what is named, so that one rollout strategy is left"
    if state.problems:
        return Check(name, ok=False, found="; ".join(state.problems), todo=todo)
    if state.idle:
        found = f"it has {state.idle} strategies that are switched off, which one click would switch on"
        return Check(name, ok=False, found=found, todo=todo)
    return Check(name, ok=True, found="one rollout strategy" + (" and the cohort" if state.cohort else ""))


def _sticky(state: State, flag: str) -> Check:
    name = "users keep their side"
    percentage = state.percentage
    if percentage is None:
        return Check(name, ok=False, found="it has no rollout strategy", todo="run `slo-watchdog flags init`")
    wanted = (STICKY, ANYBODY) if percentage.percent in (0, FULL) else (STICKY,)
    found = f"dealt by {percentage.stickiness!r} within the group {percentage.group!r}"
    if percentage.stickiness in wanted and percentage.group == flag:
        return Check(name, ok=True, found=found)
    todo = f"while the flag is off, set stickiness to {STICKY} and groupId to {flag}: either decides who is who"
    return Check(name, ok=False, found=found, todo=todo)


def _approvals(api: UnleashApi) -> Check:
    name = "no approval stands in the way of a kill"
    todo = f"switch change requests off for {api.environment}, or let the token skip them"
    try:
        needed = api.change_requests()
    except FlagServiceError as error:
        return Check(name, ok=False, found=str(error), todo=todo)
    if needed:
        return Check(name, ok=False, found=f"{api.environment} asks for change requests", todo=todo)
    told = "this edition has no change requests" if needed is None else f"{api.environment} asks for none"
    return Check(name, ok=True, found=told)


def _write(api: UnleashApi, flag: str, state: State) -> Check:
    """Write what is there already, refused if it has changed meanwhile, and read it back."""
    name = "flag can be written and read back"
    percentage = state.percentage
    if percentage is None:
        return Check(name, ok=False, found="it has no rollout strategy", todo="run `slo-watchdog flags init`")
    same = {"op": "replace", "path": "/parameters/rollout", "value": str(percentage.percent)}
    if percentage.title is not None:
        same = {"op": "replace", "path": "/title", "value": percentage.title}
    try:
        api.patch(flag, percentage.id, [*unchanged(percentage), same])
        after = api.state(flag)
    except FlagServiceError as error:
        todo = f"give the token the right to change strategies in {api.environment}, then try again"
        return Check(name, ok=False, found=str(error), todo=todo)
    if after.version != state.version:
        found = f"it reads otherwise after a write that changed nothing (version {after.version}, was {state.version})"
        return Check(name, ok=False, found=found, todo="find out who else writes it, then try again")
    return Check(name, ok=True, found="a write that changes nothing was taken and read back")


def _kill(api: UnleashApi, flag: str, state: State) -> Check:
    """A flag that is off is switched off once more. One that is on is not touched: the token's rights must tell."""
    name = "flag can be switched off"
    todo = f"give the token the right to switch flags on and off in {api.environment}"
    try:
        if not state.enabled:
            api.off(flag)
            return Check(name, ok=True, found="it was switched off once more")
        allowed = api.may_switch()
    except FlagServiceError as error:
        return Check(name, ok=False, found=str(error), todo=todo)
    found = "it is switched on, so this was not tried; by its rights the token may"
    return Check(
        name, ok=allowed, found=found if allowed else "by its rights the token may not", todo="" if allowed else todo
    )
