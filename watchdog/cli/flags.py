"""`flags get | set | kill | list | status | history | revert | verify`: the flag services by hand, and their audit."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchdog.audit import parse_head
from watchdog.cli.flagaccess import FAILED, Access, flags_of, flags_there
from watchdog.cli.flagtables import changed, print_history, print_rollout, print_verification, serves
from watchdog.cli.remote import TokenFile, Url, daemon_at
from watchdog.cli.shared import AsJson, By, Config, Why, print_json, print_table, say_error, settings_of, who
from watchdog.errors import ConfigError, FlagServiceError, Problem, Refused
from watchdog.flagsystem.views import flag_view, flags_list, history_of, verification_view
from watchdog.model import FlagReading

if TYPE_CHECKING:
    from watchdog.client.shapes.flags import FlagChanged

app = typer.Typer(help="The flag service by hand; every change is recorded with its reason.", no_args_is_help=True)
Flag = Annotated[str, typer.Argument(metavar="FLAG")]
Service = Annotated[
    str | None, typer.Option("--service", help="a name in services: (default: where such a flag belongs)")
]


@app.command()
def get(
    ctx: typer.Context,
    flag: Flag,
    as_json: AsJson = False,  # noqa: FBT002
    service: Service = None,
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
) -> None:
    """What a flag serves now. Exit: 0, 1 it cannot be read, 4 no daemon at --url.

    Example: `slo-watchdog flags get new-checkout --json`.
    """
    if url is not None:
        _get_there(flag, service, url, token_file, as_json=as_json)
        return
    with flags_of(settings_of(ctx, config), "flags get") as access:
        reading = access.by_hand.service(flag, service).read_surely(flag)
    if as_json:
        exposure = reading.exposure
        besides = {"cohort": exposure.cohort, "audiences": list(exposure.audiences), "members": list(reading.members)}
        marks = {"version": reading.version, "latch": reading.latch, "idem": reading.idem}
        print_json({"flag": flag, "percent": exposure.percent, **besides, **marks})
        return
    latch = f", latched by the rollback of {reading.latch}" if reading.latch else ""
    typer.echo(f"{flag}: {reading.exposure}, version {reading.version}{latch}")


@app.command("set")
def set_(  # noqa: PLR0913, PLR0917 - the form typer wants
    ctx: typer.Context,
    flag: Flag,
    percent: Annotated[float, typer.Argument(metavar="PERCENT", min=0.0, max=100.0)],
    reason: Why,
    by: By = None,
    service: Service = None,
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
) -> None:
    """Serve a flag to a percentage of all. Refused while an active rollout owns it, unless it lowers.

    Exit: 0, 1 the service did not do it, 2 refused, 4 no daemon at --url.

    Example: `slo-watchdog flags set new-checkout 5 --reason "a first look"`.
    """
    if url is not None:
        with flags_there(f"flags set {flag}", url, token_file) as client:
            _say_there(client.set_flag(flag, percent, _reason(reason), by=who(by), service=service))
        return
    with flags_of(settings_of(ctx, config), "flags set") as access:
        _say(flag, access.by_hand.set(flag, percent, who(by), _reason(reason), service=service), access)


@app.command()
def kill(
    ctx: typer.Context,
    flag: Flag,
    reason: Why,
    by: By = None,
    service: Service = None,
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
) -> None:
    """Take a flag from everybody, unconditionally. The ledger is not needed for it.

    Exit: 0, 1 the service did not do it, 2 refused, 4 no daemon at --url.

    Example: `slo-watchdog flags kill new-checkout --reason "an incident"`.
    """
    if url is not None:
        with flags_there(f"flags kill {flag}", url, token_file) as client:
            _say_there(client.kill_flag(flag, reason, by=who(by), service=service))
        return
    with flags_of(settings_of(ctx, config), "flags kill") as access:
        _say(flag, access.by_hand.kill(flag, who(by), reason, service=service), access)


@app.command("list")
def list_(
    ctx: typer.Context,
    as_json: AsJson = False,  # noqa: FBT002
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
) -> None:
    """Every flag that is known, with what it serves, who changed it last and which rollout owns it.

    Example: `slo-watchdog flags list`.
    """
    found: list[Any]
    if url is not None:
        with daemon_at(url, token_file) as client:
            found = list(client.flags())
    else:
        with flags_of(settings_of(ctx, config), "flags list") as access:
            found = flags_list(access.system, access.ledger, ask=True)
    if as_json:
        print_json(found)
        return
    rows = [[one["flag"], one["service"], serves(one), changed(one), one["owner"] or ""] for one in found]
    print_table(["flag", "service", "serves", "last change", "rollout"], rows)


@app.command()
def status(
    ctx: typer.Context,
    flag: Flag,
    as_json: AsJson = False,  # noqa: FBT002
    service: Service = None,
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
) -> None:
    """One flag: what it serves, its rollout's strategy, step and next step, what that waits for, its newest changes.

    Example: `slo-watchdog flags status new-checkout`.
    """
    found: Any
    if url is not None:
        with daemon_at(url, token_file) as client:
            found = client.flag(flag, service=service)
    else:
        with flags_of(settings_of(ctx, config), "flags status") as access:
            found = flag_view(access.system, access.ledger, flag, service)
    if as_json:
        print_json(found)
        return
    typer.echo(f"{flag} of {found['service']}: {serves(found)}")
    if found["rollout"] is not None:
        print_rollout(found["rollout"])
    print_history(found["history"])


@app.command()
def history(
    ctx: typer.Context,
    flag: Flag,
    as_json: AsJson = False,  # noqa: FBT002
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="how many of the newest changes")] = 100,
    service: Service = None,
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
) -> None:
    """Who changed a flag, when, from what to what and why; the newest change first.

    The flag is read first, so that a change which was not made through slo-watchdog is there, as `external`. A version
    is what `flags revert` takes.

    Example: `slo-watchdog flags history new-checkout --json --limit 20`.
    """
    found: list[Any]
    if url is not None:
        with daemon_at(url, token_file) as client:
            found = list(client.flag_history(flag, service=service, limit=min(limit, 1000)))
    else:
        with flags_of(settings_of(ctx, config), "flags history") as access:
            place = access.by_hand.service(flag, service)
            with suppress(FlagServiceError):
                place.read_surely(flag)
            found = history_of(access.ledger, place, flag, limit)
    if as_json:
        print_json(found)
    else:
        print_history(found)


@app.command()
def revert(  # noqa: PLR0913, PLR0917 - the form typer wants
    ctx: typer.Context,
    flag: Flag,
    version: Annotated[int, typer.Argument(metavar="VERSION", min=1, help="a version of `flags history`")],
    reason: Why,
    by: By = None,
    service: Service = None,
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
) -> None:
    """Give a flag what an earlier version had (percentage, cohort, audiences), as a new version.

    Refused if that raises a flag which an active rollout owns, or which a rollback has latched.

    Example: `slo-watchdog flags revert new-checkout 3 --reason "version 4 was a typing error"`.
    """
    if url is not None:
        with flags_there(f"flags revert {flag}", url, token_file) as client:
            _say_there(client.revert_flag(flag, version, _reason(reason), by=who(by), service=service))
        return
    with flags_of(settings_of(ctx, config), "flags revert") as access:
        _say(flag, access.by_hand.revert(flag, version, who(by), _reason(reason), service=service), access)


@app.command()
def verify(
    ctx: typer.Context,
    as_json: AsJson = False,  # noqa: FBT002
    anchor: Annotated[
        list[str] | None, typer.Option("--anchor", metavar="ID:HASH", help="a head that you kept; may be repeated")
    ] = None,
    config: Config = None,
) -> None:
    """Recompute the chain of flag changes: any row that was edited, deleted, inserted or moved is named.

    Exit: 0 the chain is whole, 1 it is not.

    Example: `slo-watchdog flags verify --anchor 41:9f2c...`.
    """
    try:
        kept = [parse_head(written) for written in anchor or ()]
    except ValueError as error:
        raise ConfigError([Problem("--anchor", str(error))]) from error
    with flags_of(settings_of(ctx, config), "flags verify") as access:
        found = access.changes.verify(*kept)
    said = verification_view(found)
    if as_json:
        print_json(said)
    else:
        print_verification(said)
    raise typer.Exit(0 if found.sound else FAILED)


def _reason(written: str) -> str:
    if not written.strip():
        raise Refused("--reason is empty: say why, it is recorded")
    return written


def _say(flag: str, reading: FlagReading, access: Access) -> None:
    typer.echo(f"{flag}: {reading.exposure}, version {reading.version}")
    access.say_where()


def _say_there(found: FlagChanged) -> None:
    typer.echo(f"{found['flag']}: {serves({**found, 'error': None})}, version {found['service_version']}")
    if found["recorded"] != "ledger":
        say_error("recorded in the daemon's journal until its ledger takes it")


def _get_there(flag: str, service: str | None, url: str, token_file: Path | None, *, as_json: bool) -> None:
    with daemon_at(url, token_file) as client:
        found = client.flag(flag, service=service)
    if found["percent"] is None or found["error"]:
        say_error(f"flags get: {found['error']}")
        raise typer.Exit(FAILED)
    version = found["service_version"]
    if as_json:
        kept = ("flag", "percent", "cohort", "audiences", "members", "latch")
        print_json({**{name: found[name] for name in kept}, "version": version})  # type: ignore[literal-required]
    else:
        typer.echo(f"{flag}: {serves(dict(found))}, version {version}")
