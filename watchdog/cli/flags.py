"""`flags get | set | kill | list | status | history | revert | verify`: the flag services by hand, and their audit."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

import typer

from watchdog.audit import parse_head
from watchdog.cli.flagaccess import FAILED, Access, flags_of
from watchdog.cli.shared import AsJson, By, Config, Why, print_json, print_table, say_error, settings_of, who
from watchdog.errors import ConfigError, FlagServiceError, Problem, Refused
from watchdog.flagsystem.views import flag_view, flags_list, history_of, verification_view
from watchdog.model import FlagReading

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
    config: Config = None,
) -> None:
    """What a flag serves now.

    Example: `slo-watchdog flags get new-checkout --json`.
    """
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
def set_(
    ctx: typer.Context,
    flag: Flag,
    percent: Annotated[float, typer.Argument(metavar="PERCENT", min=0.0, max=100.0)],
    reason: Why,
    by: By = None,
    service: Service = None,
    config: Config = None,
) -> None:
    """Serve a flag to a percentage of all. Refused while an active rollout owns it, unless it lowers.

    Example: `slo-watchdog flags set new-checkout 5 --reason "a first look"`.
    """
    with flags_of(settings_of(ctx, config), "flags set") as access:
        _say(flag, access.by_hand.set(flag, percent, who(by), _reason(reason), service=service), access)


@app.command()
def kill(
    ctx: typer.Context, flag: Flag, reason: Why, by: By = None, service: Service = None, config: Config = None
) -> None:
    """Take a flag from everybody, unconditionally. The ledger is not needed for it.

    Example: `slo-watchdog flags kill new-checkout --reason "an incident"`.
    """
    with flags_of(settings_of(ctx, config), "flags kill") as access:
        _say(flag, access.by_hand.kill(flag, who(by), reason, service=service), access)


@app.command("list")
def list_(ctx: typer.Context, as_json: AsJson = False, config: Config = None) -> None:  # noqa: FBT002
    """Every flag that is known, with what it serves, who changed it last and which rollout owns it.

    Example: `slo-watchdog flags list`.
    """
    with flags_of(settings_of(ctx, config), "flags list") as access:
        found = flags_list(access.system, access.ledger, ask=True)
    if as_json:
        print_json(found)
        return
    rows = [[one["flag"], one["service"], _serves(one), _changed(one), one["owner"] or ""] for one in found]
    print_table(["flag", "service", "serves", "last change", "rollout"], rows)


@app.command()
def status(
    ctx: typer.Context,
    flag: Flag,
    as_json: AsJson = False,  # noqa: FBT002
    service: Service = None,
    config: Config = None,
) -> None:
    """One flag: what it serves, its rollout's strategy, step and next step, what that waits for, its newest changes.

    Example: `slo-watchdog flags status new-checkout`.
    """
    with flags_of(settings_of(ctx, config), "flags status") as access:
        found = flag_view(access.system, access.ledger, flag, service)
    if as_json:
        print_json(found)
        return
    typer.echo(f"{flag} of {found['service']}: {_serves(found)}")
    if found["rollout"] is not None:
        _print_rollout(found["rollout"])
    _print_history(found["history"])


@app.command()
def history(
    ctx: typer.Context,
    flag: Flag,
    as_json: AsJson = False,  # noqa: FBT002
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="how many of the newest changes")] = 100,
    service: Service = None,
    config: Config = None,
) -> None:
    """Who changed a flag, when, from what to what and why; the newest change first.

    The flag is read first, so that a change which was not made through slo-watchdog is there, as `external`. A version
    is what `flags revert` takes.

    Example: `slo-watchdog flags history new-checkout --json --limit 20`.
    """
    with flags_of(settings_of(ctx, config), "flags history") as access:
        place = access.by_hand.service(flag, service)
        with suppress(FlagServiceError):
            place.read_surely(flag)
        found = history_of(access.ledger, place, flag, limit)
    if as_json:
        print_json(found)
    else:
        _print_history(found)


@app.command()
def revert(
    ctx: typer.Context,
    flag: Flag,
    version: Annotated[int, typer.Argument(metavar="VERSION", min=1, help="a version of `flags history`")],
    reason: Why,
    by: By = None,
    service: Service = None,
    config: Config = None,
) -> None:
    """Give a flag what an earlier version had (percentage, cohort, audiences), as a new version.

    Refused if that raises a flag which an active rollout owns, or which a rollback has latched.

    Example: `slo-watchdog flags revert new-checkout 3 --reason "version 4 was a typing error"`.
    """
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
        _print_verification(said)
    raise typer.Exit(0 if found.sound else FAILED)


def _reason(written: str) -> str:
    if not written.strip():
        raise Refused("--reason is empty: say why, it is recorded")
    return written


def _say(flag: str, reading: FlagReading, access: Access) -> None:
    typer.echo(f"{flag}: {reading.exposure}, version {reading.version}")
    access.say_where()


def _serves(found: dict[str, Any]) -> str:
    if found["percent"] is None:
        return str(found["error"])
    said = [f"{found['percent']:g}%", *(["the cohort"] if found["cohort"] else []), *found["audiences"]]
    latch = f", latched by the rollback of {found['latch']}" if found["latch"] else ""
    error = f" (recorded; now: {found['error']})" if found["error"] else ""
    return f"{' and '.join(said)}{latch}{error}"


def _changed(found: dict[str, Any]) -> str:
    last = found["last_change"]
    return "" if last is None else f"{last['at']} {last['action']} {last['result']} by {last['by']}"


def _print_rollout(found: dict[str, Any]) -> None:
    typer.echo(
        f"rollout {found['rollout']}: {found['phase']}, {found['strategy']}, step {found['step']} of {found['steps']}, "
        f"asked for {found['desired']:g}%{'' if found['confirmed'] else ', not confirmed yet'}"
    )
    if found["next"] is not None:
        when = f", not before {found['next']['not_before']}" if found["next"]["not_before"] else ""
        typer.echo(f"next step: {_percent(found['next'])}{when}")
    for reason in found["waiting"]:
        typer.echo(f"waiting: {reason}")
    if found["hold"] is not None:
        hold = found["hold"]
        typer.echo(f"HELD since {hold['since']} by {hold['by']} ({hold['cause']}): {hold['why']}")


def _print_history(found: list[dict[str, Any]]) -> None:
    """The changes as a table. An intention is left out where its outcome is there; --json has every row."""
    done = {one["idem"] for one in found if one["result"] != "intended"}
    rows = [
        (
            "" if one["version"] is None else str(one["version"]),
            f"{one['at'][:10]} {one['at'][11:19]}",
            f"{one['action']} {one['result']}",
            " -> ".join(_percent(one[side]) for side in ("before", "after") if side == "after" or one["before"]),
            one["by"] if not one["rollout"] else f"{one['by']}, {one['rollout']}",
            f"{one['why']} ({one['error']})" if one["error"] else one["why"],
        )
        for one in found
        if one["result"] != "intended" or one["idem"] not in done
    ]
    print_table(("version", "at (UTC)", "what", "serves", "by", "why"), rows)


def _percent(content: dict[str, Any] | None) -> str:
    if content is None or content.get("percent") is None:
        return "?"
    besides = ["+cohort"] if content.get("cohort") else []
    besides += [f"+{name}" for name in content.get("audiences") or ()]
    return " ".join([f"{content['percent']:g}%", *besides])


def _print_verification(said: dict[str, Any]) -> None:
    for one in said["findings"]:
        whose = f" ({one['service']}, flag {one['flag']})" if one["flag"] else ""
        say_error(f"flags verify: change {one['id']}{whose} {one['what']}")
    waiting = f"; {said['waiting']} more wait for the ledger" if said["waiting"] else ""
    wrong = len(said["findings"])
    verdict = f"{wrong} {'finding' if wrong == 1 else 'findings'}" if wrong else "the chain is whole"
    typer.echo(f"{said['rows']} changes: {verdict}; head {said['head'] or 'none'}{waiting}")
