"""`status`, `history`, `explain` and `report`: what the ledger tells. They change nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from watchdog.account import Account
from watchdog.cli.evidence import Key, write_bundle
from watchdog.cli.remote import TokenFile, Url, daemon_at
from watchdog.cli.shared import (
    AsJson,
    Config,
    Name,
    instant,
    known,
    ledger_of,
    print_json,
    print_table,
    say_error,
    settings_of,
)
from watchdog.config.settings import Settings
from watchdog.errors import ConfigError, Refused
from watchdog.explain import explain as explained
from watchdog.freeze import replace_file
from watchdog.ledger import Ledger, StoredRollout
from watchdog.model import Transition
from watchdog.prometheus.redact import split_credentials
from watchdog.quantities import rfc3339

FORMS = ("html", "md", "json")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (status, history, explain, report):
        app.command()(command)


def status(
    ctx: typer.Context,
    rollout: Annotated[str | None, typer.Argument(metavar="[ROLLOUT]")] = None,
    as_json: AsJson = False,  # noqa: FBT002
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
) -> None:
    """Phase, hold, exposure, window and last verdicts with their reasons. Exit: 0, 2 invalid, 4 no daemon at --url.

    Examples: `slo-watchdog status`, `slo-watchdog status checkout-2.14.0 --json`,
    `slo-watchdog status --url https://watchdog.example`.
    """
    found: list[Any]
    damaged: list[ConfigError] = []
    if url is not None:
        with daemon_at(url, token_file) as client:
            found = [client.rollout(rollout)] if rollout else list(client.rollouts())
    else:
        with ledger_of(settings_of(ctx, config)) as ledger:
            wanted = [known(ledger, rollout)] if rollout else ledger.rollouts()
            found, damaged = _statuses(ledger, wanted)
    for error in damaged:
        say_error(str(error))
    if as_json:
        print_json(found[0] if rollout else found)
    elif not found and not damaged:
        typer.echo("no rollout yet; a file in `rollouts:` appears here once the daemon has seen it")
    elif rollout:
        _print_one(found[0])
    else:
        print_table(
            ["rollout", "service", "phase", "exposure", "window", "waits for"],
            [_row(item) for item in found],
        )
    if damaged:
        raise typer.Exit(2)


def _statuses(ledger: Ledger, wanted: list[StoredRollout]) -> tuple[list[dict[str, Any]], list[ConfigError]]:
    """The status of each rollout, and what is wrong with those whose row is damaged; alone asked for, it raises."""
    found, damaged = [], []
    for stored in wanted:
        try:
            found.append(Account(ledger, stored).status())
        except ConfigError as error:
            if len(wanted) == 1:
                raise
            damaged.append(error)
    return found, damaged


def _row(item: dict[str, Any]) -> list[str]:
    hold = item["hold"]
    waits = f"held: {hold['why']}" if hold else "; ".join(item["waiting"])
    window = item["window"]
    return [
        item["rollout"],
        item["service"],
        item["phase"] + (" (observe)" if item["mode"] == "observe" else ""),
        _desired(item["exposure"]),
        f"{_progress(item)} of {window['required']}",
        waits or "-",
    ]


def _desired(exposure: dict[str, Any]) -> str:
    besides = ["the cohort"] if exposure["cohort"] else []
    besides += [f"audience {name}" for name in exposure["audiences"]]
    return " and ".join([f"{exposure['desired']:g}%", *besides])


def _progress(item: dict[str, Any]) -> int:
    window = item["window"]
    final = item["phase"] in ("soaking", "signed_off")
    return int(window["final"]["current"] if final else window["current"])


def _print_one(item: dict[str, Any]) -> None:
    typer.echo(f"{item['rollout']}: {item['service']} {item['version']}, {item['phase']} ({item['mode']})")
    actual = item["exposure"]["actual"]
    reads = "not read yet" if actual is None else f"reads {actual:g}%"
    typer.echo(f"exposure: desired {_desired(item['exposure'])}, flag {item['flag']} {reads}")
    if item["exposure"]["error"]:
        typer.echo(f"flag: {item['exposure']['error']}")
    for deed in item["also"]:
        done = f"confirmed {deed['confirmed_at']}" if deed["confirmed_at"] else f"NOT CONFIRMED: {deed['error'] or '-'}"
        what = "killed with it" if deed["kind"] == "kill" else "switched on"
        typer.echo(f"{what}: {deed['flag']} of {deed['service']}, {done}")
    window = item["window"]
    line = f"window: {_progress(item)} of {window['required']} slices, longest {window['longest']}"
    typer.echo(f"{line}, {len(window['resets'])} resets, {window['idle']} idle, {window['unknown_s']} s unknown")
    if item["hold"]:
        hold = item["hold"]
        typer.echo(f"HELD since {hold['since']} by {hold['by']} ({hold['cause']}): {hold['why']}")
    if item["leader"]:
        typer.echo(f"led by {item['leader']}")
    for reason in item["waiting"]:
        typer.echo(f"waiting: {reason}")
    if item["waiver"]:
        waiver = item["waiver"]
        typer.echo(f"{waiver['name']} waived by {waiver['by']} until {waiver['until']}: {waiver['reason']}")
    if item["rollback"]:
        stamps = item["rollback"]
        typer.echo(f"rollback: {stamps['cause']}")
        typer.echo("  " + ", ".join(f"{k.removesuffix('_at')} {v}" for k, v in stamps.items() if k != "cause" and v))
    rows = [[o["name"], o["verdict"] or "-", o["reason"] or "", o["at"] or "", o["why"]] for o in item["objectives"]]
    print_table(["objective", "verdict", "reason", "at", "in words"], rows)


def history(
    ctx: typer.Context,
    rollout: Name,
    as_json: AsJson = False,  # noqa: FBT002
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
) -> None:
    """Everything that happened to a rollout, each with its sentence. Exit: 0, 2 invalid, 4 no daemon at --url.

    Example: `slo-watchdog history checkout-2.14.0 --json`.
    """
    told: list[Any]
    if url is not None:
        with daemon_at(url, token_file) as client:
            told = list(client.transitions(rollout))
    else:
        with ledger_of(settings_of(ctx, config)) as ledger:
            told = [_told(one) for one in ledger.transitions(known(ledger, rollout).id)]
    if as_json:
        print_json(told)
        return
    print_table(["at", "what", "by", "in words"], [[one["at"], one["kind"], one["by"], one["why"]] for one in told])


def _told(one: Transition) -> dict[str, Any]:
    phases = {"from": one.source.value, "to": one.target.value}
    return {
        "at": rfc3339(one.at),
        "kind": one.kind,
        **phases,
        "by": one.by,
        "objective": one.objective,
        "why": one.why,
    }


def explain(
    ctx: typer.Context,
    rollout: Name,
    at: Annotated[str | None, typer.Option(help="a past instant (default: the newest slot)")] = None,
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
) -> None:
    """For each objective query, value, target, trend, detector and a Prometheus link; what was done, what to do.

    Exit: 0, 2 invalid, 4 no daemon at --url.

    Examples: `slo-watchdog explain checkout-2.14.0`, `slo-watchdog explain checkout-2.14.0 --at -2h`.
    """
    when = instant(at, "--at") if at is not None else None
    if url is not None:
        with daemon_at(url, token_file) as client:
            typer.echo(client.explanation(rollout, when))
        return
    settings = settings_of(ctx, config)
    with ledger_of(settings) as ledger:
        account = Account(ledger, known(ledger, rollout))
        typer.echo(explained(account, settings.prometheus.url, when))


def report(  # noqa: PLR0913, PLR0917 - the form typer wants
    ctx: typer.Context,
    rollout: Name,
    form: Annotated[str, typer.Option("--format", help="html, md or json")] = "md",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="a file (default: standard output)")] = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="write report and evidence into this archive, FILE.tar.gz")
    ] = None,
    key: Key = None,
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
) -> None:
    """The sign-off report, rebuilt from the ledger; with --bundle, and all that it stands on, signed.

    A daemon at --url gives the report that was signed off, where there is one. Exit: 0, 2 invalid, 4 no daemon there.

    Examples: `slo-watchdog report checkout-2.14.0 --format html -o report.html`,
    `slo-watchdog report checkout-2.14.0 --bundle evidence.tar.gz --key evidence.key`.
    """
    if bundle is not None:
        if url is not None:
            raise Refused("report: --bundle reads the ledger itself; run it where the daemon runs, without --url")
        settings = settings_of(ctx, config)
        with ledger_of(settings) as ledger:
            write_bundle(settings, ledger, rollout, bundle, key)
        return
    if form not in FORMS:
        say_error(f"report: --format is {form!r}; expected one of {', '.join(FORMS)}")
        raise typer.Exit(2)
    if url is not None:
        with daemon_at(url, token_file) as client:
            content = client.report(rollout, form=form).content
    else:
        content = _built(settings_of(ctx, config), rollout, form)
    if output is None:
        typer.echo(content.decode())
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    replace_file(output, content)
    typer.echo(f"wrote {output}")


def _built(settings: Settings, rollout: str, form: str) -> bytes:
    """The report as the ledger has it now."""
    from watchdog.report import (  # noqa: PLC0415 - heavy, and the daemon starts without it
        build,
        render_html,
        render_json,
        render_markdown,
    )

    render = {"html": render_html, "md": render_markdown, "json": render_json}[form]
    asked = {"url": split_credentials(settings.prometheus.url)[0]}
    with ledger_of(settings) as ledger:
        account = Account(ledger, known(ledger, rollout))
        return render(build(account.evidence(time.time(), asked))).encode()
