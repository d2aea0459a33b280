"""`serve`: answers readers of flags, and does nothing else."""

from __future__ import annotations

import typer

from watchdog.cli.shared import Config, settings_of


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(serve)


def serve(ctx: typer.Context, config: Config = None) -> None:
    """Answer readers of flags at serve.listen until SIGTERM or SIGINT; without rollouts, ledger or Prometheus.

    The daemon starts such a process itself when serve.listen is set. By itself it is for further hosts, or for readers
    that a daemon's restart must not reach. Exit: 0, or 2 when the settings name nothing to serve, or nowhere.

    Example: `slo-watchdog serve --config /etc/slo-watchdog/watchdog.yaml`.
    """
    from watchdog.serve import run  # noqa: PLC0415 - only this command needs the server

    run(settings_of(ctx, config))
