"""`replay`: the same engine over stored data."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchdog.alarms import Alarms
from watchdog.cli.shared import AsJson, Config, instant, print_json, print_table, say_error, settings_of
from watchdog.config.settings import Settings
from watchdog.connect import open_prometheus
from watchdog.errors import ConfigError, LedgerError, Problem
from watchdog.ledger import Drilled, Ledger
from watchdog.model import Rollout
from watchdog.noise.classify import Known
from watchdog.rolloutfile import load_rollout

if TYPE_CHECKING:
    from watchdog.replay import Replay

FROM_LEDGER = ("rollback_capability", "alert_noise")
"""What Prometheus cannot tell."""
QUERY_TIMEOUT = 60.0
"""A replay asks for days at once; it may wait longer for an answer than a tick."""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(replay)


def replay(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="the rollout's YAML")],
    start: Annotated[str, typer.Option("--from", help="where it starts: 2026-11-15T00:00:00Z, or -7d")],
    end: Annotated[str, typer.Option("--to", help="where it ends; a future end is cut to now")] = "now",
    keep_going: Annotated[bool, typer.Option("--keep-going", help="past the end of the rollout")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
    config: Config = None,
) -> None:
    """Would this rule have rolled back? Exit: 0 no breach, 1 breach, 2 invalid, 4 Prometheus unreachable.

    Example: `slo-watchdog replay rollouts/checkout.yaml --from -7d --to now`.
    """
    from watchdog.replay import Replay  # noqa: PLC0415 - the daemon starts without it

    settings = settings_of(ctx, config)
    rollout = load_rollout(file, settings.facts())
    first = math.floor(instant(start, "--from"))
    last = math.floor(min(instant(end, "--to"), time.time() - rollout.delay))
    if last <= first:
        raise ConfigError([Problem("--to", "is not after --from (a future end is cut to now - delay)")])
    with _recorded(settings, rollout) as ledger:
        drilled, alerts = _drilled(ledger, last), _alerts(ledger, first, last)
        run = Replay(rollout, first, last, keep_going, drilled=drilled, alerts=alerts)
        with open_prometheus(settings.prometheus, judge_skew=False, timeout=QUERY_TIMEOUT) as source:
            source.build_info()
            _with_progress(run, source)
    found = run.figures()
    if as_json:
        print_json(found)
    else:
        _print(found)
    raise typer.Exit(1 if run.breaches else 0)


@contextmanager
def _recorded(settings: Settings, rollout: Rollout) -> Iterator[Ledger | None]:
    """The ledger, where the rule needs it and there is one: a replay makes no ledger and mends none."""
    scheme, sqlite, file = settings.ledger.partition("sqlite:///")
    missing = sqlite and not scheme and not Path(file).is_file()
    if missing or all(objective.internal not in FROM_LEDGER for objective in rollout.objectives):
        yield None
        return
    try:
        ledger = Ledger(settings.ledger)
    except LedgerError:
        yield None
        return
    try:
        yield ledger
    finally:
        ledger.close()


def _drilled(ledger: Ledger | None, until: int) -> list[Drilled]:
    """The drills that the ledger knows of; none where it cannot be read."""
    try:
        return ledger.drilled(0.0, until) if ledger is not None else []
    except LedgerError:
        return []


def _alerts(ledger: Ledger | None, first: int, last: int) -> Known | None:
    """What the ledger knows of alerts; None where it cannot be read."""
    try:
        return Alarms().known(ledger, first, last) if ledger is not None else None
    except LedgerError:
        return None


def _with_progress(run: Replay, source: Any) -> None:
    from rich.console import Console  # noqa: PLC0415 - the daemon starts without it
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    console = Console(stderr=True)
    if not console.is_terminal:
        run.run(source)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"replaying {run.rollout.name}", total=float(run.end - run.start))
        run.run(source, lambda done, _total: bar.update(task, completed=float(done)))


def _print(found: dict[str, Any]) -> None:
    window = found["window"]
    typer.echo(f"{found['rollout']} from {found['from']} to {found['to']}: {found['phase']}, {found['slots']} slots")
    typer.echo(
        f"window: {window['current']} of {window['required']} slices now, longest {window['longest']}, "
        f"{len(window['resets'])} resets; interim {window['completed_at'] or 'not complete'}, "
        f"final {window['final']['completed_at'] or 'not complete'}"
    )
    rows = []
    for name, counts in found["evaluations"].items():
        reasons = ", ".join(f"{reason} {count}" for reason, count in counts["reasons"].items())
        rows.append([name, str(counts["pass"]), str(counts["fail"]), str(counts["unknown"]), reasons or "-"])
    print_table(["objective", "pass", "fail", "unknown", "reasons"], rows)
    for item in found["left_out"]:
        typer.echo(f"not judged: {item['objective']}: {item['why']}")
    for breach in found["breaches"]:
        typer.echo(f"breach {breach['at']} {breach['objective']}: {breach['why']}")
    for gap in found["gaps"][:20]:
        typer.echo(f"gap {gap['from']} .. {gap['to']}: {gap['reason']}")
    if len(found["gaps"]) > 20:
        say_error(f"{len(found['gaps']) - 20} more gaps; --json lists all")
