"""`start`, `hold`, `resume`, `rollback` and `stop`: rows in the ledger that the daemon carries out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from watchdog import __version__
from watchdog.cli.remote import TokenFile, Url, order, steered_at
from watchdog.cli.shared import By, Config, Name, Why, ahead, known, ledger_of, settings_of, who
from watchdog.config.settings import Settings
from watchdog.errors import FlagServiceError, Refused
from watchdog.flags import open_service
from watchdog.ledger import Ledger
from watchdog.model import Mode, Phase, Rollout, Waiver
from watchdog.proof import PREFLIGHT, Gate, leave_of
from watchdog.rolloutfile import load_rollout


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (start, hold, resume, rollback, stop):
        app.command()(command)


def start(  # noqa: PLR0913, PLR0917 - the form typer wants
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="the rollout's YAML; with --url its name")],
    adopt: Annotated[bool, typer.Option("--adopt", help="ramp on from what the flag reads")] = False,  # noqa: FBT002
    reason: Annotated[str, typer.Option("--reason", help="why; required with --adopt")] = "",
    waive: Annotated[str, typer.Option("--waive", metavar="REASON", help="start without a preflight that held")] = "",
    waive_until: Annotated[
        str, typer.Option("--waive-until", metavar="TIME", help="end of the waiver: a time, or 48h from now")
    ] = "",
    deployment: Annotated[
        Path | None, typer.Option("--deployment", metavar="FILE", help="deployment.json of its build; recorded")
    ] = None,
    by: By = None,
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
) -> None:
    """Start a rollout: the daemon takes it up at its next tick. Exit: 0, 2 refused, 4 no daemon at --url.

    Examples: `slo-watchdog start rollouts/checkout.yaml`,
    `slo-watchdog start rollouts/checkout.yaml --adopt --reason "ramped by hand to 5 %"`,
    `slo-watchdog start rollouts/checkout.yaml --waive "no drill reader in this cluster yet" --waive-until 48h`,
    `slo-watchdog start rollouts/checkout.yaml --deployment deployment.json`,
    `slo-watchdog start checkout-2.14.0 --url https://watchdog.example --token-file token`.
    """
    now = time.time()
    if url is not None:
        if deployment is not None:
            raise Refused(f"start {file}: --deployment goes into the ledger itself; give it where the daemon runs")
        waiver = _waiver(str(file), who(by), waive, waive_until, now)
        _start_there(str(file), reason, waiver, who(by), url, token_file, adopt=adopt)
        return
    settings = settings_of(ctx, config)
    rollout = load_rollout(file, settings.facts())
    if adopt and not reason.strip():
        raise Refused(f"start {rollout.name}: --adopt needs --reason: say why the flag is already raised")
    waiver = _waiver(rollout.name, who(by), waive, waive_until, now)
    build = _build_of(rollout, deployment) if deployment is not None else None
    with ledger_of(settings) as ledger:
        _refuse(ledger, settings, rollout)
        if waiver is None:
            _refuse_unproven(ledger, settings, rollout, now)
        if ledger.rollout(rollout.name) is None:
            ledger.add_rollout(rollout, file=str(file), engine=__version__, now=now)
        if waiver is not None:
            ledger.add_waiver(rollout.name, waiver)
        if build is not None:
            ledger.add_deployment(rollout.name, build, who(by), now)
        ledger.add_command(rollout.name, "adopt" if adopt else "start", who(by), reason, time.time())
    typer.echo(f"{rollout.name}: start recorded; the daemon takes it up at its next look")


def _start_there(
    name: str, reason: str, waiver: Waiver | None, by: str, url: str, token_file: Path | None, *, adopt: bool
) -> None:
    """Start a rollout that the daemon there has seen in its files, by its name. Raises Refused, ClientError."""
    if adopt and not reason.strip():
        raise Refused(f"start {name}: --adopt needs --reason: say why the flag is already raised")
    if waiver is not None:
        with steered_at(f"start {name}", url, token_file) as client:
            client.waive(name, waiver.why, waiver.until, by=by)
    order("adopt" if adopt else "start", name, reason.strip() or "from the command line", by, url, token_file)


def _build_of(rollout: Rollout, file: Path) -> str:
    """The text of a deployment.json that tells of this very rule. Raises ConfigError, Refused."""
    from watchdog.deployments import read_deployment  # noqa: PLC0415 - only here

    read = read_deployment(file)
    told = read.facts.rollout
    if (told.name, told.sha256) != (rollout.name, rollout.sha256):
        raise Refused(
            f"start {rollout.name}: {file} was written for {told.name} with the rule {told.sha256[:12]}..., "
            f"this file holds the rule {rollout.sha256[:12]}...: deploy again, or start what was deployed"
        )
    return read.text


def _waiver(name: str, by: str, why: str, until: str, now: float) -> Waiver | None:
    """Somebody's word for a start without a preflight: who, why and until when. Raises Refused, ConfigError."""
    if not why.strip() and not until.strip():
        return None
    if not why.strip():
        raise Refused(f"start {name}: --waive-until needs --waive: say why it may start without a preflight that held")
    if not until.strip():
        raise Refused(f"start {name}: --waive needs --waive-until: a waiver has an end, for example 48h")
    return Waiver(PREFLIGHT, by, why.strip(), now, ahead(until.strip(), "--waive-until", now))


def _refuse_unproven(ledger: Ledger, settings: Settings, rollout: Rollout, now: float) -> None:
    """Where a preflight is required: that there is one, or a waiver that still stands. Raises Refused."""
    if not settings.preflight.required or rollout.mode is Mode.OBSERVE:
        return
    stored = ledger.rollout(rollout.name)
    gate = Gate(required=True, max_age=settings.preflight.max_age)
    leave = leave_of(ledger, gate, rollout.name, rollout.sha256, stored.id if stored is not None else None, now)
    if leave.unproven:
        raise Refused(f"start {rollout.name}: {leave.unproven}")


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


def _ordering(verb: str, told: str) -> Callable[..., None]:
    """The command of a verb that needs a rollout and a reason; `told` is its help."""

    def command(
        ctx: typer.Context,
        rollout: Name,
        reason: Why,
        by: By = None,
        url: Url = None,
        token_file: TokenFile = None,
        config: Config = None,
    ) -> None:
        if not reason.strip():
            raise Refused(f"{verb} {rollout}: --reason is empty; say why, it is recorded")
        if url is not None:
            order(verb, rollout, reason, who(by), url, token_file)
            return
        with ledger_of(settings_of(ctx, config)) as ledger:
            known(ledger, rollout)
            ledger.add_command(rollout, verb, who(by), reason, time.time())
        typer.echo(f"{rollout}: {verb} recorded; the daemon carries it out at its next look")

    command.__name__, command.__doc__ = verb, told
    return command


hold = _ordering(
    "hold",
    """Stop the ramp where it is until `resume`. Exit: 0, 2 refused, 4 no daemon at --url.

    Examples: `slo-watchdog hold checkout-2.14.0 --reason "a sale is on"`,
    `slo-watchdog hold checkout-2.14.0 --reason "a sale is on" --url https://watchdog.example --token-file http.token`.
    """,
)
resume = _ordering(
    "resume",
    """End a hold; the detectors start anew. Exit: 0, 2 refused, 4 no daemon at --url.

    Example: `slo-watchdog resume checkout-2.14.0 --reason "the sale is over"`.
    """,
)
rollback = _ordering(
    "rollback",
    """Take the feature back now, in any phase. Exit: 0, 2 refused, 4 no daemon at --url.

    Example: `slo-watchdog rollback checkout-2.14.0 --reason "customers complain"`.
    """,
)
stop = _ordering(
    "stop",
    """End the watch and leave the flag as it is. Exit: 0, 2 refused, 4 no daemon at --url.

    Example: `slo-watchdog stop checkout-2.14.0 --reason "superseded by 2.15.0"`.
    """,
)
