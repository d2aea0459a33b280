"""`flags init` and `flags emergency`: the flags that must be there, and the switches for when something is wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from watchdog.audit import AuditedFlags, open_changes
from watchdog.cli.flagaccess import flags_there
from watchdog.cli.remote import TokenFile, Url, daemon_at
from watchdog.cli.shared import By, Config, say_error, settings_of, who
from watchdog.config import load_all
from watchdog.config.settings import Settings
from watchdog.deeds import emergencies
from watchdog.errors import ConfigError, FlagServiceError, Refused
from watchdog.flagsystem import FlagSystem, open_flags
from watchdog.flagsystem.byhand import ByHand
from watchdog.ledger import open_ledger
from watchdog.model import EMERGENCY_FLAGS, Exposure, FlagReading, Rollout

FAILED, INVALID = 1, 2


class Switch(StrEnum):
    """The two states of an emergency flag."""

    ON = "on"
    OFF = "off"


def add_to(app: typer.Typer) -> None:
    """Register the commands in the group `flags`."""
    for command in (init, emergency):
        app.command()(command)


def init(ctx: typer.Context, by: By = None, config: Config = None) -> None:
    """Create every missing flag, off: the emergency flags, the drill's, and every rollout's, each in its service.

    What exists is left alone. Exit: 0, 1 when a service did not take it, 2 when a rollout file is wrong (all other
    flags are created all the same).

    Example: `slo-watchdog flags init`.
    """
    settings = settings_of(ctx, config)
    loaded = [found for _, found in load_all(settings)]
    status = 0
    with _flags_of(settings) as hand:
        for name, service, flags in _wanted(settings, hand.system, [one for one in loaded if isinstance(one, Rollout)]):
            try:
                prepared = service.init(flags, who(by))
            except FlagServiceError as error:
                say_error(f"flags init: {name}: {error}")
                status = FAILED
                continue
            made = f"created {', '.join(prepared.created)}, off" if prepared.created else "nothing to create"
            typer.echo(f"{name}: {prepared.place}: {made}")
    wrong = [one for one in loaded if isinstance(one, ConfigError)]
    for problem in (problem for one in wrong for problem in one.problems):
        say_error(str(problem))
    if wrong:
        say_error("flags init: the flags of rollout files that are wrong were not created")
        status = status or INVALID
    if status:
        raise typer.Exit(status)


def _wanted(
    settings: Settings, system: FlagSystem, rollouts: list[Rollout]
) -> Iterator[tuple[str, AuditedFlags, list[str]]]:
    """Each service with its name and the flags that it must have; the emergency flags first."""
    yield "emergency flags", system.emergency, list(EMERGENCY_FLAGS)
    own = [*(rollout.flag for rollout in rollouts), settings.drill.flag]
    yield "flags", system.primary, list(dict.fromkeys(own))
    for name, service in system.secondary.items():
        flags = [place.flag for rollout in rollouts for place in rollout.also if place.service == name]
        if flags:
            yield f"services.{name}", service, list(dict.fromkeys(flags))


@contextmanager
def _flags_of(settings: Settings) -> Iterator[ByHand]:
    """The flags with their audit; without a ledger, too: an emergency does not wait for one, the audit does."""
    changes = open_changes(settings.ledger, lambda: open_ledger(settings.ledger), time.time)
    try:
        yield ByHand(open_flags(settings, changes, time.time), changes)
    finally:
        if changes.trouble:
            say_error(f"what was done is not in the ledger yet, it waits in a journal beside it: {changes.trouble}")
        changes.close()


def emergency(
    ctx: typer.Context,
    flag: Annotated[str | None, typer.Argument(metavar="[FLAG]", help="one of the three; none: show all")] = None,
    state: Annotated[Switch | None, typer.Argument(metavar="[on|off]")] = None,
    reason: Annotated[str, typer.Option("--reason", help="why; required for a change, and recorded")] = "",
    by: By = None,
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
) -> None:
    """Switch an emergency flag on or off for everybody at once; without arguments, show which are on.

    `ops.shutdown` rolls every active rollout back; `ops.read-only` and `ops.maintenance` hold them, until a person
    resumes them after it is off. Exit: 0, 1 when the service did not take it, 4 no daemon at --url.

    Examples: `slo-watchdog flags emergency`,
    `slo-watchdog flags emergency ops.maintenance on --reason "a new disk"`.
    """
    if flag is None:
        if url is not None:
            _show_there(url, token_file)
        else:
            _show(open_flags(settings_of(ctx, config), None, time.time).emergency)
        return
    if flag not in EMERGENCY_FLAGS:
        raise Refused(f"flags emergency: there is no emergency flag {flag!r}; there are {', '.join(EMERGENCY_FLAGS)}")
    if state is None or not reason.strip():
        missing = "whether it is to be on or off" if state is None else "--reason: everybody will ask why"
        raise Refused(f"flags emergency {flag}: say {missing}")
    if url is not None:
        with flags_there(f"flags emergency {flag}", url, token_file) as client:
            found = client.switch_emergency(flag, reason, on=state is Switch.ON, by=who(by))
        typer.echo(f"{flag}: {_of_percent(found['percent'])}, version {found['service_version']}")
        return
    settings = settings_of(ctx, config)
    with _flags_of(settings) as hand:
        try:
            reading = _switched(hand, flag, who(by), reason, on=state is Switch.ON)
        except FlagServiceError as error:
            say_error(f"flags emergency: {error}")
            raise typer.Exit(FAILED) from error
    typer.echo(f"{flag}: {_word(reading)}, version {reading.version}")
    if _word(reading) != state.value:
        say_error(f"flags emergency: {flag} was written and still reads {reading.exposure}; ask again")
        raise typer.Exit(FAILED)


def _switched(hand: ByHand, flag: str, by: str, why: str, *, on: bool) -> FlagReading:
    """Write it; an emergency is no time for being told to run `flags init` first."""
    try:
        return hand.switch(flag, by, why, on=on)
    except FlagServiceError:
        if not _never_set_up(hand.system.emergency, flag):
            raise
    hand.system.emergency.init(EMERGENCY_FLAGS, by)
    return hand.switch(flag, by, why, on=on)


def _never_set_up(service: AuditedFlags, flag: str) -> bool:
    """Whether there is no set yet; the write may have failed for that before it saw it, at the lock."""
    try:
        service.read(flag)
    except FlagServiceError as unreadable:
        return unreadable.missing_set
    return False


def _show(service: AuditedFlags) -> None:
    on, unknown = emergencies(service)
    said = {one.flag: str(one).removeprefix(f"{one.flag} is ") for one in on}
    for flag in EMERGENCY_FLAGS:
        typer.echo(f"{flag}: {said.get(flag) or ('unknown' if unknown else 'off')}")
    if unknown:
        say_error(f"flags emergency: {unknown}")
        raise typer.Exit(FAILED)


def _show_there(url: str, token_file: Path | None) -> None:
    with daemon_at(url, token_file) as client:
        found = {one["flag"]: one for one in client.flags() if one["flag"] in EMERGENCY_FLAGS}
    for flag in EMERGENCY_FLAGS:
        typer.echo(f"{flag}: {_of_percent(found[flag]['percent'] if flag in found else None)}")


def _of_percent(percent: float | None) -> str:
    return "unknown" if percent is None else _word(FlagReading(Exposure(percent)))


def _word(reading: FlagReading) -> str:
    if reading.exposure.none:
        return Switch.OFF.value
    return Switch.ON.value if reading.exposure.percent >= 100 else f"on for {reading.exposure}"
