"""`flags init | get | set | kill`: the flag service by hand."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from watchdog.cli.shared import AsJson, By, Config, Why, ledger_of, print_json, say_error, settings_of, who
from watchdog.config import load_all
from watchdog.config.settings import Settings
from watchdog.errors import FlagServiceError
from watchdog.flags import open_service
from watchdog.flags.base import Change
from watchdog.flags.flagd_file import FlagdFile
from watchdog.model import NOBODY, Exposure, FlagReading, Rollout

app = typer.Typer(help="The flag service by hand; every change is recorded with its reason.", no_args_is_help=True)
Flag = Annotated[str, typer.Argument(metavar="FLAG")]


@app.command()
def init(ctx: typer.Context, config: Config = None) -> None:
    """Create a missing flag file, and in it every rollout's flag, off. What exists is left alone.

    Example: `slo-watchdog flags init`.
    """
    settings = settings_of(ctx, config)
    service = open_service(settings.flags)
    if not isinstance(service, FlagdFile):
        say_error(f"flags init: the service {settings.flags.service} keeps no file to create")
        raise typer.Exit(1)
    flags = [loaded.flag for _, loaded in load_all(settings) if isinstance(loaded, Rollout)]
    created = _or_exit(lambda: service.init(list(dict.fromkeys(flags))))
    typer.echo(f"{settings.flags.path}: " + (f"created {', '.join(created)}, off" if created else "nothing to create"))


@app.command()
def get(ctx: typer.Context, flag: Flag, as_json: AsJson = False, config: Config = None) -> None:  # noqa: FBT002
    """What a flag serves now.

    Example: `slo-watchdog flags get new-checkout --json`.
    """
    service = open_service(settings_of(ctx, config).flags)
    reading: FlagReading = _or_exit(lambda: service.read(flag))
    if as_json:
        exposure = {"percent": reading.exposure.percent, "cohort": reading.exposure.cohort}
        print_json({"flag": flag, **exposure, "version": reading.version, "latch": reading.latch})
        return
    latch = f", latched by the rollback of {reading.latch}" if reading.latch else ""
    typer.echo(f"{flag}: {reading.exposure}, version {reading.version}{latch}")


@app.command("set")
def set_(
    ctx: typer.Context,
    flag: Flag,
    percent: Annotated[float, typer.Argument(metavar="PERCENT", min=0.0, max=100.0)],
    reason: Why,
    by: By = None,
    config: Config = None,
) -> None:
    """Serve a flag to a percentage of all. Refused while an active rollout owns it, unless it lowers.

    Example: `slo-watchdog flags set new-checkout 5 --reason "a first look"`.
    """
    settings = settings_of(ctx, config)
    service = open_service(settings.flags)
    with ledger_of(settings) as ledger:
        owner = ledger.active_on(flag)
    now: FlagReading = _or_exit(lambda: service.read(flag))
    if owner is not None and percent > now.exposure.percent:
        say_error(
            f"flags set: {flag} belongs to {owner.name}, which is {owner.phase.value}: it would be set back at once; "
            "stop the rollout first"
        )
        raise typer.Exit(1)
    _change(settings, flag, Exposure(percent), who(by), reason, kill=False)


@app.command()
def kill(ctx: typer.Context, flag: Flag, reason: Why, by: By = None, config: Config = None) -> None:
    """Take a flag from everybody, unconditionally.

    Example: `slo-watchdog flags kill new-checkout --reason "an incident"`.
    """
    _change(settings_of(ctx, config), flag, NOBODY, who(by), reason, kill=True)


def _change(settings: Settings, flag: str, exposure: Exposure, by: str, why: str, *, kill: bool) -> None:
    service = open_service(settings.flags)
    change = Change(exposure, (), by, f"by hand at {time.strftime('%FT%TZ', time.gmtime())}: {why}")
    write = service.kill if kill else service.set
    reading: FlagReading = _or_exit(lambda: write(flag, change))
    typer.echo(f"{flag}: {reading.exposure}, version {reading.version}")


def _or_exit(ask: Any) -> Any:
    try:
        return ask()
    except FlagServiceError as error:
        say_error(str(error))
        raise typer.Exit(1) from error
