"""`start`, `hold`, `resume`, `rollback` and `stop`: rows in the ledger that the daemon carries out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from watchdog import __version__
from watchdog.cli.shared import By, Config, Name, Why, known, ledger_of, settings_of, who
from watchdog.config.settings import Settings
from watchdog.errors import FlagServiceError, Refused
from watchdog.flags import open_service
from watchdog.ledger import Ledger
from watchdog.model import Mode, Phase, Rollout
from watchdog.rolloutfile import load_rollout


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (start, hold, resume, rollback, stop):
        app.command()(command)


def start(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="the rollout's YAML")],
    adopt: Annotated[bool, typer.Option("--adopt", help="ramp on from what the flag reads")] = False,  # noqa: FBT002
    reason: Annotated[str, typer.Option("--reason", help="why; required with --adopt")] = "",
    by: By = None,
    config: Config = None,
) -> None:
    """Start a rollout: the daemon takes it up at its next tick. Exit: 0, or 2 when it is refused.

    Examples: `slo-watchdog start rollouts/checkout.yaml`,
    `slo-watchdog start rollouts/checkout.yaml --adopt --reason "ramped by hand to 5 %"`.
    """
    settings = settings_of(ctx, config)
    rollout = load_rollout(file, settings.facts())
    if adopt and not reason.strip():
        raise Refused(f"start {rollout.name}: --adopt needs --reason: say why the flag is already raised")
    with ledger_of(settings) as ledger:
        _refuse(ledger, settings, rollout)
        if ledger.rollout(rollout.name) is None:
            ledger.add_rollout(rollout, file=str(file), engine=__version__, now=time.time())
        ledger.add_command(rollout.name, "adopt" if adopt else "start", who(by), reason, time.time())
    typer.echo(f"{rollout.name}: start recorded; the daemon takes it up at its next look")


def _refuse(ledger: Ledger, settings: Settings, rollout: Rollout) -> None:
    """Everything that would make the start impossible and can be known now. Raises Refused."""
    stored = ledger.rollout(rollout.name)
    if stored is not None and stored.phase is not Phase.PENDING:
        raise Refused(
            f"start {rollout.name}: it is {stored.phase.value} already; a name starts once, so give the file a new one"
        )
    if stored is not None and stored.sha256 != rollout.sha256:
        raise Refused(
            f"start {rollout.name}: the file has changed since the daemon first saw it and that rule is frozen; "
            "give the changed file a new name"
        )
    if rollout.mode is Mode.OBSERVE:
        return
    owner = ledger.active_on(rollout.flag)
    if owner is not None:
        raise Refused(
            f"start {rollout.name}: flag {rollout.flag} is taken by {owner.name}, which is {owner.phase.value}; "
            "wait for its end, or stop it"
        )
    try:
        reading = open_service(settings.flags).read(rollout.flag)
    except FlagServiceError:
        return  # the daemon waits until it can be read, and says so
    if reading.latch == rollout.name:
        raise Refused(
            f"start {rollout.name}: flag {rollout.flag} carries the latch of this rollout's own rollback; "
            "a rolled back name does not start again, use a new one"
        )


def _command(verb: str, ctx: typer.Context, rollout: str, reason: str, by: str | None, config: Path | None) -> None:
    if not reason.strip():
        raise Refused(f"{verb} {rollout}: --reason is empty; say why, it is recorded")
    with ledger_of(settings_of(ctx, config)) as ledger:
        known(ledger, rollout)
        ledger.add_command(rollout, verb, who(by), reason, time.time())
    typer.echo(f"{rollout}: {verb} recorded; the daemon carries it out at its next look")


def hold(ctx: typer.Context, rollout: Name, reason: Why, by: By = None, config: Config = None) -> None:
    """Stop the ramp where it is until `resume`.

    Example: `slo-watchdog hold checkout-2.14.0 --reason "a sale is on"`.
    """
    _command("hold", ctx, rollout, reason, by, config)


def resume(ctx: typer.Context, rollout: Name, reason: Why, by: By = None, config: Config = None) -> None:
    """End a hold; the detectors start anew.

    Example: `slo-watchdog resume checkout-2.14.0 --reason "the sale is over"`.
    """
    _command("resume", ctx, rollout, reason, by, config)


def rollback(ctx: typer.Context, rollout: Name, reason: Why, by: By = None, config: Config = None) -> None:
    """Take the feature back now, in any phase.

    Example: `slo-watchdog rollback checkout-2.14.0 --reason "customers complain"`.
    """
    _command("rollback", ctx, rollout, reason, by, config)


def stop(ctx: typer.Context, rollout: Name, reason: Why, by: By = None, config: Config = None) -> None:
    """End the watch and leave the flag as it is.

    Example: `slo-watchdog stop checkout-2.14.0 --reason "superseded by 2.15.0"`.
    """
    _command("stop", ctx, rollout, reason, by, config)
