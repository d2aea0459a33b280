"""`rules lint`: rules, dashboards and objectives by themselves, and against Prometheus."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchdog.cli.shared import DEFAULT_FILE, AsJson, Config, cell, duration, print_json, print_table, settings_of
from watchdog.config import load_all
from watchdog.config.sections import PrometheusSettings
from watchdog.config.settings import Settings
from watchdog.connect import open_prometheus
from watchdog.errors import ConfigError, Problem
from watchdog.model import Rollout
from watchdog.prometheus import Prometheus

if TYPE_CHECKING:
    from watchdog.rulelint import Finding, Inputs, Metric, Pack

FOUND = 1
FEW = 3
SCRAPE_INTERVAL: float = PrometheusSettings.model_fields["scrape_interval"].default
URL = "WATCHDOG_PROMETHEUS__URL"
Globs = list[str] | None


Rules = Annotated[
    Globs,
    typer.Option(
        "--rules", metavar="GLOB", help="rule files (default: ./rules/prometheus/*.yaml, else the shipped ones)"
    ),
]
Dashboards = Annotated[
    Globs,
    typer.Option("--dashboards", metavar="GLOB", help="Grafana JSON (default: ./deploy/grafana/dashboards/*.json)"),
]
Objectives = Annotated[
    Globs,
    typer.Option(
        "--objectives",
        metavar="GLOB",
        help="standard objectives (default: ./rules/objectives over the shipped ones)",
    ),
]
Waivers = Annotated[
    Path | None,
    typer.Option("--waivers", metavar="FILE", help="reasons for what need not be there (default: rules/lint.yaml)"),
]
Server = Annotated[
    str | None,
    typer.Option("--prometheus", metavar="URL", help="compare with this one, not with that of the configuration"),
]
Online = Annotated[bool, typer.Option("--online", help="compare with Prometheus, too")]
Within = Annotated[str, typer.Option("--within", help="a series that had a sample so long ago is there")]
Show = Annotated[bool, typer.Option("--list", help="show every metric, its labels and where it is named")]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(lint)


def lint(  # noqa: PLR0913, PLR0917 - each is one option
    ctx: typer.Context,
    rules: Rules = None,
    dashboards: Dashboards = None,
    objectives: Objectives = None,
    waivers: Waivers = None,
    online: Online = False,  # noqa: FBT002
    prometheus: Server = None,
    within: Within = "6h",
    show: Show = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
    config: Config = None,
) -> None:
    """Look for what is surely wrong in rules, dashboards and objectives. Exit: 0, 1 errors, 2 invalid, 4 unreachable.

    The rollouts of the configuration are read, too, where there is one. Options that name files may be repeated; put
    a pattern in quotes. docs/rules.md lists the checks.

    Examples: `slo-watchdog rules lint`, `slo-watchdog rules lint --online --config watchdog.yaml`,
    `slo-watchdog rules lint --rules '/etc/prometheus/*.yaml' --online --prometheus http://127.0.0.1:9090 --json`.
    """
    from watchdog.rulelint import lint as lint_files  # noqa: PLC0415 - the daemon starts without it
    from watchdog.rulelint import lint_online, make_pack, metrics, read_inputs  # noqa: PLC0415

    settings = _settings(ctx, config)
    rollouts = _rollouts(settings)
    interval = settings.prometheus.scrape_interval if settings is not None else SCRAPE_INTERVAL
    inputs = read_inputs(rules or (), dashboards or (), objectives or (), rollouts, waivers=waivers)
    pack = make_pack(inputs.expressions, interval)
    found = lint_files(pack)
    asked = online or prometheus is not None
    if asked:
        back = duration(within, "--within")
        with _server(settings, prometheus) as source, _progress(as_json=as_json) as tell:
            found += lint_online(pack, inputs, source, time.time(), within=back, tell=tell)
    named = list(metrics(pack).values())
    if as_json:
        print_json(_as_data(pack, found, named, inputs, online=asked))
    else:
        _print(pack, found, named, show=show)
    if any(one.severity == "error" for one in found):
        raise typer.Exit(FOUND)


def _settings(ctx: typer.Context, config: Path | None) -> Settings | None:
    """The configuration, where there is one: rules can be linted without. Raises ConfigError."""
    named = config or ctx.find_root().obj or os.environ.get("WATCHDOG_CONFIG") or os.environ.get(URL)
    return settings_of(ctx, config) if named or DEFAULT_FILE.is_file() else None


def _rollouts(settings: Settings | None) -> list[Rollout]:
    """The rollouts of the configuration. Raises ConfigError when one of them is not right."""
    loaded = load_all(settings) if settings is not None else []
    problems = [problem for _, item in loaded if isinstance(item, ConfigError) for problem in item.problems]
    if problems:
        raise ConfigError(problems)
    return [item for _, item in loaded if isinstance(item, Rollout)]


def _server(settings: Settings | None, address: str | None) -> Prometheus:
    """The configured server; one that is named gets none of its credentials. Raises ConfigError."""
    if address is not None:
        try:
            return Prometheus(address, timeout=settings.prometheus.timeout if settings is not None else 5.0)
        except ValueError as error:
            raise ConfigError([Problem("--prometheus", f"{address!r} is no address ({error})")]) from error
    if settings is None:
        message = "has no configuration to take the server from; give --prometheus URL or --config FILE"
        raise ConfigError([Problem("--online", message)])
    return open_prometheus(settings.prometheus)


@contextmanager
def _progress(*, as_json: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.console import Console  # noqa: PLC0415 - the daemon starts without it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    console = Console(stderr=True)
    if as_json or not console.is_terminal:
        yield lambda _what, _done, _wanted: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("asking", total=None)
        yield lambda what, done, wanted: bar.update(task, description=what, completed=float(done), total=float(wanted))


def _print(pack: Pack, found: Sequence[Finding], named: Sequence[Metric], *, show: bool) -> None:
    if show:
        rows = [
            [one.name, ", ".join(f"{label} ({one.strongest(label)})" for label in one.labels), _places(one.places)]
            for one in named
        ]
        print_table(["metric", "labels", "named in"], [[*map(cell, row)] for row in rows])
    if found:
        rows = [["ERROR" if one.severity == "error" else "warning", one.check, one.place, one.message] for one in found]
        print_table(["", "check", "place", "found"], [[*map(cell, row)] for row in rows])
    errors = sum(one.severity == "error" for one in found)
    counted = f"{len(pack.read)} expressions name {len(named)} metrics"
    warnings = _count(len(found) - errors, "warning")
    typer.echo(f"{'ok' if not errors else 'FAILED'}: {counted}; {_count(errors, 'error')}, {warnings}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def _places(places: Sequence[str]) -> str:
    more = f" and {len(places) - FEW} more" if len(places) > FEW else ""
    return "; ".join(places[:FEW]) + more


def _as_data(
    pack: Pack, found: Sequence[Finding], named: Sequence[Metric], inputs: Inputs, *, online: bool
) -> dict[str, Any]:
    return {
        "clean": not any(one.severity == "error" for one in found),
        "online": online,
        "expressions": len(pack.read),
        "findings": [one.as_data() for one in found],
        "waivers": dict(inputs.waivers),
        "metrics": [
            {
                "metric": one.name,
                "recorded": one.name in pack.recorded,
                "named_in": one.places,
                "labels": [{"label": label, "named": ways} for label, ways in one.labels.items()],
            }
            for one in named
        ],
    }
