"""`status`, `history`, `explain`, `report` and `gate`: what the ledger tells. They change nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from watchdog.account import Account, exit_of
from watchdog.cli.shared import (
    AsJson,
    Config,
    Name,
    duration,
    instant,
    known,
    ledger_of,
    print_json,
    print_table,
    say_error,
    settings_of,
)
from watchdog.explain import explain as explained
from watchdog.freeze import replace_file
from watchdog.model import Phase
from watchdog.prometheus.redact import split_credentials
from watchdog.quantities import rfc3339

POLL = 1.0


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (status, history, explain, report, gate):
        app.command()(command)


def status(
    ctx: typer.Context,
    rollout: Annotated[str | None, typer.Argument(metavar="[ROLLOUT]")] = None,
    as_json: AsJson = False,  # noqa: FBT002
    config: Config = None,
) -> None:
    """Phase, hold, exposure, window and last verdicts with their reasons.

    Examples: `slo-watchdog status`, `slo-watchdog status checkout-2.14.0 --json`.
    """
    with ledger_of(settings_of(ctx, config)) as ledger:
        wanted = [known(ledger, rollout)] if rollout else ledger.rollouts()
        found = [Account(ledger, stored).status() for stored in wanted]
    if as_json:
        print_json(found[0] if rollout else found)
        return
    if not found:
        typer.echo("no rollout yet; a file in `rollouts:` appears here once the daemon has seen it")
    elif rollout:
        _print_one(found[0])
    else:
        print_table(
            ["rollout", "service", "phase", "exposure", "window", "waits for"],
            [_row(item) for item in found],
        )


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
    for reason in item["waiting"]:
        typer.echo(f"waiting: {reason}")
    if item["rollback"]:
        stamps = item["rollback"]
        typer.echo(f"rollback: {stamps['cause']}")
        typer.echo("  " + ", ".join(f"{k.removesuffix('_at')} {v}" for k, v in stamps.items() if k != "cause" and v))
    rows = [[o["name"], o["verdict"] or "-", o["reason"] or "", o["at"] or "", o["why"]] for o in item["objectives"]]
    print_table(["objective", "verdict", "reason", "at", "in words"], rows)


def history(ctx: typer.Context, rollout: Name, as_json: AsJson = False, config: Config = None) -> None:  # noqa: FBT002
    """Everything that happened to a rollout, each with its sentence.

    Example: `slo-watchdog history checkout-2.14.0 --json`.
    """
    with ledger_of(settings_of(ctx, config)) as ledger:
        told = ledger.transitions(known(ledger, rollout).id)
    if as_json:
        print_json(
            [
                {
                    "at": rfc3339(t.at),
                    "kind": t.kind,
                    "from": t.source.value,
                    "to": t.target.value,
                    "by": t.by,
                    "objective": t.objective,
                    "why": t.why,
                }
                for t in told
            ]
        )
        return
    print_table(["at", "what", "by", "in words"], [[rfc3339(t.at), t.kind, t.by, t.why] for t in told])


def explain(
    ctx: typer.Context,
    rollout: Name,
    at: Annotated[str | None, typer.Option(help="a past instant (default: the newest slot)")] = None,
    config: Config = None,
) -> None:
    """For each objective query, value, target, trend, detector and a Prometheus link; what was done, what to do.

    Examples: `slo-watchdog explain checkout-2.14.0`, `slo-watchdog explain checkout-2.14.0 --at -2h`.
    """
    settings = settings_of(ctx, config)
    with ledger_of(settings) as ledger:
        account = Account(ledger, known(ledger, rollout))
        when = instant(at, "--at") if at is not None else None
        typer.echo(explained(account, settings.prometheus.url, when))


def report(
    ctx: typer.Context,
    rollout: Name,
    form: Annotated[str, typer.Option("--format", help="html, md or json")] = "md",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="a file (default: standard output)")] = None,
    config: Config = None,
) -> None:
    """The sign-off report, rebuilt from the ledger.

    Example: `slo-watchdog report checkout-2.14.0 --format html -o report.html`.
    """
    from watchdog.report import (  # noqa: PLC0415 - heavy, and the daemon starts without it
        build,
        render_html,
        render_json,
        render_markdown,
    )

    renderers = {"html": render_html, "md": render_markdown, "json": render_json}
    if form not in renderers:
        say_error(f"report: --format is {form!r}; expected one of {', '.join(renderers)}")
        raise typer.Exit(2)
    settings = settings_of(ctx, config)
    asked = {"url": split_credentials(settings.prometheus.url)[0]}
    with ledger_of(settings) as ledger:
        account = Account(ledger, known(ledger, rollout))
        text = renderers[form](build(account.evidence(time.time(), asked)))
    if output is None:
        typer.echo(text)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    replace_file(output, text.encode())
    typer.echo(f"wrote {output}")


def gate(
    ctx: typer.Context,
    rollout: Name,
    wait: Annotated[bool, typer.Option("--wait", help="until it is decided")] = False,  # noqa: FBT002
    timeout: Annotated[str | None, typer.Option(help="give up waiting after this long, such as 6h")] = None,
    until: Annotated[str, typer.Option("--for", help="interim or final")] = "final",
    config: Config = None,
) -> None:
    """For pipelines. Exit: 0 signed off, 1 rolled back or stopped, 3 undecided.

    Example: `slo-watchdog gate checkout-2.14.0 --wait --timeout 6h --for interim`.
    """
    if until not in ("interim", "final"):
        say_error(f"gate: --for is {until!r}; expected interim or final")
        raise typer.Exit(2)
    ends = time.monotonic() + duration(timeout, "--timeout") if timeout else None
    with ledger_of(settings_of(ctx, config)) as ledger:
        while True:
            account = Account(ledger, known(ledger, rollout))
            phase, control = account.control.phase, account.control
            code = exit_of(phase)
            if until == "interim" and control.interim_at is not None and code == 3:
                code = 0
            expired = ends is not None and time.monotonic() >= ends
            if code != 3 or not wait or expired:
                break
            time.sleep(POLL)
    window = account.window()
    progress = f"{window['current']} of {window['required']} slices"
    ended = f"{phase.value.replace('_', ' ')}" + ("" if phase is Phase.SIGNED_OFF else f", {progress}")
    typer.echo(f"{rollout}: {ended}")
    raise typer.Exit(code)
