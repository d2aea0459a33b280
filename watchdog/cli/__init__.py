"""The command line: one file a group of commands. Business stays below; here are words, tables and exit statuses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import watchdog.cli.lean  # noqa: F401 - before anything else loads structlog
from watchdog import __version__
from watchdog.cli import (
    care,
    configuration,
    deployments,
    drill,
    evidence,
    feasibility,
    flags,
    flagset,
    gate,
    ledger,
    noise,
    notify,
    observation,
    operation,
    past,
    preflight,
    rules,
    serve,
    tests,
    tokens,
)
from watchdog.cli.shared import say_error
from watchdog.errors import ConfigError, SourceError, WatchdogError

INVALID = 2
UNREACHABLE = 4

app = typer.Typer(
    name="slo-watchdog",
    help="Proves that a release keeps its SLOs, ramps its flag, takes it back on a breach, signs it off.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - the form typer wants
    if wanted:
        typer.echo(f"slo-watchdog {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    config: Annotated[Path | None, typer.Option("--config", help="watchdog.yaml (default: WATCHDOG_CONFIG)")] = None,
    _: Annotated[  # noqa: FBT002 - the form typer wants
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Every command takes --config, before or after its name."""
    ctx.obj = config


configuration.add_to(app)
observation.add_to(app)
gate.add_to(app)
evidence.add_to(app)
operation.add_to(app)
deployments.add_to(app)
serve.add_to(app)
past.add_to(app)
feasibility.add_to(app)
drill.add_to(app)
preflight.add_to(app)
flagset.add_to(flags.app)
app.add_typer(flags.app, name="flags")
care.add_to(ledger.app)
app.add_typer(ledger.app, name="ledger")
app.add_typer(noise.app, name="noise")
app.add_typer(notify.app, name="notify")
app.add_typer(rules.app, name="rules")
app.add_typer(tests.app, name="tests")
app.add_typer(tokens.app, name="tokens")


def main() -> None:
    """The program: every expected error is one sentence on standard error and an exit status."""
    try:
        app()
    except ConfigError as error:
        for problem in error.problems:
            say_error(str(problem))
        sys.exit(INVALID)
    except SourceError as error:
        say_error(str(error))
        sys.exit(INVALID if error.permanent else UNREACHABLE)
    except WatchdogError as error:
        say_error(str(error))
        sys.exit(INVALID)
