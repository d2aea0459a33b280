"""`init`, `check` and `run`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from watchdog.bound import Judgement, judge
from watchdog.cli.shared import AsJson, Config, print_json, print_table, say_error, settings_of
from watchdog.config import load_all
from watchdog.config.settings import Settings
from watchdog.connect import open_prometheus
from watchdog.errors import ConfigError, Problem
from watchdog.logs import secrets_in, set_up
from watchdog.model import Rollout
from watchdog.prometheus import Prometheus
from watchdog.quantities import format_duration


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(init)
    app.command()(check)
    app.command()(run)


def init(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]")] = Path(),
    prometheus: Annotated[str | None, typer.Option(help="propose objectives from what this server has")] = None,
    job: Annotated[str | None, typer.Option(help="the job label of the service's metrics")] = None,
) -> None:
    """Write a commented starter configuration that passes `check`. Exit: 0, 2 invalid, 4 unreachable.

    Examples: `slo-watchdog init demo`, `slo-watchdog init demo --prometheus http://127.0.0.1:9090 --job checkout`.
    """
    if (prometheus is None) != (job is None):
        say_error("init: --prometheus and --job go together; give both, or neither")
        raise typer.Exit(2)
    from watchdog.starter import propose, write_proposal, write_starter  # noqa: PLC0415 - the daemon starts without it

    if prometheus is None or job is None:
        files = write_starter(directory)
    else:
        source = Prometheus(prometheus)
        try:
            proposal = propose(source, job, time.time())
        finally:
            source.close()
        files = write_proposal(directory, proposal, prometheus)
    for file in files:
        typer.echo(f"wrote {file}")
    typer.echo(f"next: slo-watchdog check --config {directory / 'watchdog.yaml'}")


def check(
    ctx: typer.Context,
    config: Config = None,
    online: Annotated[bool, typer.Option("--online", help="ask each query once")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Validate the settings and every rollout; all problems at once. Exit: 0, 2 invalid, 4 unreachable.

    Examples: `slo-watchdog check`, `slo-watchdog check --online --json`.
    """
    settings = settings_of(ctx, config)
    loaded = load_all(settings)
    problems = [problem for _, item in loaded if isinstance(item, ConfigError) for problem in item.problems]
    problems += _refused_channels(settings) + _refused_doors(settings)
    rollouts = [(path, item) for path, item in loaded if isinstance(item, Rollout)]
    unexplained, notes = _unexplained(rollouts)
    problems += unexplained
    judged = [(path, rollout, judge(rollout)) for path, rollout in rollouts]
    findings = []
    if online and rollouts:
        from watchdog.online import check_online  # noqa: PLC0415 - the daemon starts without it

        with open_prometheus(settings.prometheus) as source:
            findings = check_online(settings, [rollout for _, rollout in rollouts], source, time.time())
    wrong = bool(problems) or any(finding.level == "error" for finding in findings)
    if as_json:
        print_json(
            {
                "valid": not wrong,
                "problems": [{"place": p.place, "message": p.message} for p in problems],
                "rollouts": [_as_data(path, rollout, judgement) for path, rollout, judgement in judged],
                "online": [
                    {"rollout": f.rollout, "objective": f.objective, "level": f.level, "message": f.message}
                    for f in findings
                ],
                "notes": [*settings.warnings, *notes],
            }
        )
    else:
        for problem in problems:
            say_error(str(problem))
        _print_judged(settings, judged)
        for note in notes:
            typer.echo(f"note: {note}")
        for finding in findings:
            mark = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}[finding.level]
            typer.echo(f"{mark} {finding.place}: {finding.message}")
        if not loaded:
            typer.echo("note: no rollout file matches `rollouts:`; write one, or `slo-watchdog init` for an example")
        if not wrong:
            typer.echo(f"ok: {len(rollouts)} rollout{'s' if len(rollouts) != 1 else ''}, nothing to correct")
    if wrong:
        raise typer.Exit(2)


def _refused_channels(settings: Settings) -> list[Problem]:
    """What the daemon would refuse to open of `notify:`, such as a key that cannot be one. Reaches nothing."""
    from watchdog.notifiers import open_channels  # noqa: PLC0415 - `run` has them imported by the daemon

    try:
        for channel in open_channels(settings.notify):
            channel.close()
    except ConfigError as error:
        return list(error.problems)
    return []


def _refused_doors(settings: Settings) -> list[Problem]:
    """What is wrong with the files that say who is let in, and with the certificate. Listens nowhere."""
    from watchdog.access.tokenfile import read_tokens  # noqa: PLC0415 - only here
    from watchdog.web.tls import check_tls  # noqa: PLC0415

    found = []
    tokens = settings.http.tokens_file
    try:
        if tokens is not None:
            read_tokens(tokens)
    except ConfigError as error:
        found += error.problems
    try:
        check_tls(settings.http.tls)
    except ConfigError as error:
        found += error.problems
    return found


def _unexplained(rollouts: list[tuple[Path, Rollout]]) -> tuple[list[Problem], list[str]]:
    """What `explain_by:` cannot do: refused for counts, a note for numbers."""
    if not any(objective.explain_by for _, rollout in rollouts for objective in rollout.objectives):
        return [], []
    from watchdog.rulelint import explaining  # noqa: PLC0415 - the daemon starts without it

    problems = [problem for path, rollout in rollouts for problem in explaining.refusals(rollout, str(path))]
    return problems, [note for _, rollout in rollouts for note in explaining.notes(rollout)]


def _as_data(path: Path, rollout: Rollout, judgement: Judgement) -> dict[str, object]:
    return {
        "file": str(path),
        "rollout": rollout.name,
        "sha256": rollout.sha256,
        "warnings": [str(problem) for problem in judgement.warnings],
        "notes": list(judgement.notes),
        "waived": dict(judgement.waived),
        "not_controlled": list(judgement.not_controlled),
        "missing": list(judgement.missing),
        "worst_case_s": {bound.objective: bound.total for bound in judgement.bounds},
    }


def _print_judged(settings: Settings, judged: list[tuple[Path, Rollout, Judgement]]) -> None:
    for note in settings.warnings:
        typer.echo(f"note: {note}")
    for path, rollout, judgement in judged:
        rows = []
        bounds = {bound.objective: bound for bound in judgement.bounds}
        for objective in rollout.objectives:
            bound = bounds.get(objective.name)
            worst = format_duration(bound.total) if bound is not None else "-"
            control = "no" if objective.name in judgement.not_controlled else "yes"
            rows.append([objective.name, objective.on_breach.value, objective.detector.name, worst, control])
        title = f"{path}: {rollout.name}, {format_duration(rollout.ramp.seconds)} ramp, {rollout.window.slices} slices"
        print_table(["objective", "on breach", "detector", "worst case to flag off", "rate controlled"], rows, title)
        for problem in judgement.warnings:
            typer.echo(f"warning: {problem}")
        for name, reason in judgement.waived.items():
            typer.echo(f"waived: {name}: {reason}")
        for note in judgement.notes:
            typer.echo(f"note: {note}")


def run(ctx: typer.Context, config: Config = None) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    Example: `slo-watchdog run --config /etc/slo-watchdog/watchdog.yaml`.
    """
    from watchdog.daemon import run as run_daemon  # noqa: PLC0415 - only this command needs the scheduler and server

    settings = settings_of(ctx, config)
    set_up(settings.log.format, settings.log.level, secrets_in(settings.model_dump()))
    run_daemon(settings)
