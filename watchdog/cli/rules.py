"""`rules generate`, `rules import`, `rules lint`: rules out of objectives, objectives out of OpenSLO, their faults."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchdog.cli import lint
from watchdog.cli.shared import say_error
from watchdog.errors import ConfigError, Problem

if TYPE_CHECKING:
    from watchdog.rulebook import Imported

RULES = Path("rules")
DIFFERS = 1

app = typer.Typer(help="Prometheus rules out of objectives.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def generate(
    sources: Annotated[
        Path | None, typer.Option("--from", help="sources over the shipped ones (default: ./rules, if it is there)")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="where the rules go")] = RULES / "prometheus",
    check: Annotated[bool, typer.Option("--check", help="write nothing, say what differs")] = False,  # noqa: FBT002
    runbooks: Annotated[str, typer.Option("--runbooks", help="base of runbook_url; /NAME follows")] = "/runbooks",
    dashboards: Annotated[str, typer.Option("--dashboards", help="base of dashboard_url; /UID follows")] = "/d",
) -> None:
    """Write recording rules and alerts from objectives, windows, thresholds and alerts. Exit: 0, 1 differs, 2 invalid.

    Examples: `slo-watchdog rules generate`, `slo-watchdog rules generate --check`,
    `slo-watchdog rules generate --out /etc/prometheus/rules --runbooks https://runbooks.example.com`.
    """
    from watchdog import rulebook  # noqa: PLC0415 - the daemon starts without it

    if sources is None and RULES.is_dir():
        sources = RULES
    elif sources is not None and not sources.is_dir():
        raise ConfigError(
            [Problem("--from", f"there is no directory {sources}; it holds objectives/, windows.yaml ...")]
        )
    read = rulebook.read_sources(sources)
    files = rulebook.generate(read, rulebook.Links(runbooks, dashboards))
    if check:
        found = rulebook.differences(files, out)
        for sentence in found:
            say_error(sentence)
        if found:
            raise typer.Exit(DIFFERS)
        typer.echo(f"{out}: {len(files)} files are what their sources say")
        return
    changed = rulebook.write(files, out)
    for path in changed:
        typer.echo(f"{'wrote' if path.is_file() else 'removed'} {path}")
    for sentence in rulebook.left_out(read):
        typer.echo(f"note: {sentence}")
    typer.echo(f"{out}: {len(files)} files, {len(changed)} changed")


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="OpenSLO v1, one or several documents")],
    out: Annotated[Path, typer.Option("--out", help="where the objectives go")] = RULES / "objectives",
    force: Annotated[bool, typer.Option("--force", help="replace objectives that are there")] = False,  # noqa: FBT002
) -> None:
    """Write an objective for each SLO of an OpenSLO v1 file; what cannot be said here is refused. Exit: 0, 2 invalid.

    Example: `slo-watchdog rules import checkout.openslo.yaml`, then `slo-watchdog rules generate`.
    """
    from watchdog import rulebook  # noqa: PLC0415 - the daemon starts without it

    found = rulebook.import_openslo(file)
    there = [objective.path(out) for objective in found if objective.path(out).exists()]
    if there and not force:
        raise ConfigError([Problem(str(path), "is there already; --force replaces it") for path in there])
    for objective in found:
        _write(objective, out)


lint.add_to(app)


def _write(objective: Imported, out: Path) -> None:
    path = objective.path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(objective.text, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError([Problem(str(path), f"cannot be written ({reason}); check the rights")]) from error
    typer.echo(f"wrote {path}")
    for note in objective.notes:
        typer.echo(f"note: {objective.name}: {note}")
