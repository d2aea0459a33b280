"""What must hold of a flag in LaunchDarkly before a rollout steers it, looked at with the token that will do so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from watchdog.errors import FlagServiceError
from watchdog.flags.base import Check
from watchdog.flags.launchdarkly_flag import USER, Flag


class Looked(Protocol):
    """What the checks ask of the service; everything raises FlagServiceError."""

    def state(self, flag: str) -> Flag:
        """The flag in the environment."""
        ...

    def dry_kill(self, flag: str) -> Flag:
        """What a kill would leave behind."""
        ...

    def approval_settings(self) -> dict[str, Any]:
        """How changes of the environment are approved."""
        ...

    def scheduled(self, flag: str) -> list[dict[str, Any]] | None:
        """Changes that wait for their time."""
        ...


def checked(service: Looked, flag: str) -> tuple[Check, ...]:
    """Every check, in the order in which a person would put things right. Never raises."""
    try:
        state = service.state(flag)
    except FlagServiceError as error:
        todo = "correct token, project and environment, then run `slo-watchdog flags init`"
        return (Check("flag can be read", ok=False, found=str(error), todo=todo),)
    on = "on" if state.on else "off"
    return (
        Check("flag can be read", ok=True, found=f"{flag} has version {state.version}, targeting {on}"),
        _off_variation(state),
        _only_default_rule(state),
        _sticky(state),
        _look("a kill would be taken", lambda: _dry_run(service, flag, state)),
        _look("no approval stands before a kill", lambda: _approvals(service, state)),
        _look("nothing is scheduled", lambda: _schedule(service, flag)),
    )


def _look(name: str, look: Callable[[], tuple[bool, str, str]]) -> Check:
    try:
        ok, found, todo = look()
    except FlagServiceError as error:
        todo = "give the token the rights to read the project and to change this flag's targeting"
        return Check(name, ok=False, found=str(error), todo=todo)
    return Check(name, ok, found, "" if ok else todo)


def _off_variation(state: Flag) -> Check:
    name = "off means false"
    if state.off_serves is False:
        return Check(name, ok=True, found="the off variation is false")
    found = "the off variation is true" if state.off_serves else "there is no off variation: callers get code defaults"
    return Check(name, ok=False, found=found, todo="make false the off variation in LaunchDarkly")


def _only_default_rule(state: Flag) -> Check:
    name = "only the default rule gives the feature"
    if state.archived:
        return Check(name, ok=False, found="the flag is archived", todo="restore it")
    if state.stray:
        todo = "remove in LaunchDarkly what is named, or nobody can tell who has the feature"
        return Check(name, ok=False, found="; ".join(state.stray), todo=todo)
    by_name = f" and {len(state.members)} users by name" if state.members else ""
    return Check(name, ok=True, found=f"the default rule{by_name}")


def _sticky(state: Flag) -> Check:
    by = f"{state.kind} {state.bucket_by or 'key'}"
    found = f"LaunchDarkly deals by {by}; the watchdog keeps that as it is"
    if state.kind == USER:
        return Check("users keep their side", ok=True, found=found)
    return Check("users keep their side", ok=True, found=f"{found}; a cohort is targeted by user key all the same")


def _dry_run(service: Looked, flag: str, before: Flag) -> tuple[bool, str, str]:
    would = service.dry_kill(flag)
    after = service.state(flag)
    if after.version != before.version or after.on != before.on:
        found = f"the flag had version {before.version} before the dry run and has {after.version} now"
        return False, found, "let nobody change the flag meanwhile, then run preflight again"
    if not would.harmless:
        return False, f"after it the flag would serve {would.exposure or 'nobody knows whom'}", "see the off variation"
    return True, "LaunchDarkly took a dry run of it with this token, and changed nothing", ""


def _approvals(service: Looked, state: Flag) -> tuple[bool, str, str]:
    settings = service.approval_settings()
    tags = settings.get("requiredApprovalTags")
    only = [str(tag) for tag in tags] if isinstance(tags, list) else []
    if settings.get("required") is not True:
        return True, "the environment requires none", ""
    if only and not set(only) & set(state.tags):
        return True, f"only flags tagged {', '.join(only)} require one", ""
    todo = "take this flag or the watchdog's role out of the approvals, for a kill cannot wait for one"
    return False, "the environment requires one for every change of this flag", todo


def _schedule(service: Looked, flag: str) -> tuple[bool, str, str]:
    pending = service.scheduled(flag)
    if pending is None:
        return True, "LaunchDarkly offers no scheduled changes here (404)", ""
    if not pending:
        return True, "no change waits for its time", ""
    todo = "remove them in LaunchDarkly: they would turn the flag behind the watchdog's back, after a kill too"
    return False, f"{len(pending)} scheduled changes wait for their time", todo
