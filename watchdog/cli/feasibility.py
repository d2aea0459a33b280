"""`feasibility`: whether a sign-off can be reached at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchdog.cli.shared import AsJson, Config, cell, print_json, print_table, settings_of
from watchdog.connect import open_prometheus
from watchdog.errors import ConfigError, Problem
from watchdog.quantities import format_duration, rfc3339
from watchdog.rolloutfile import load_rollout

if TYPE_CHECKING:
    from watchdog.feasibility.result import Feasibility, SignOff, WindowChance

QUERY_TIMEOUT = 60.0
"""Days are asked for at once: an answer may take longer than in a tick."""
BARS = "▁▂▃▄▅▆▇█"
MOST_DAYS = 90


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("feasibility")(show)


def show(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="the rollout's YAML")],
    days: Annotated[float, typer.Option("--days", help="how many days of history")] = 7.0,
    as_json: AsJson = False,  # noqa: FBT002
    config: Config = None,
) -> None:
    """Can it be signed off at all? From the last days of traffic and errors; nothing is started or written.

    Exit: 0 feasible (or waived), 1 hopeless or too little history, 2 invalid, 4 Prometheus unreachable.

    Example: `slo-watchdog feasibility rollouts/checkout.yaml`.
    """
    from watchdog.feasibility import feasibility  # noqa: PLC0415 - the daemon starts without it

    settings = settings_of(ctx, config)
    rollout = load_rollout(file, settings.facts())
    if not 0.0 < days <= MOST_DAYS:
        raise ConfigError([Problem("--days", f"found {days:g}, expected a number of days up to {MOST_DAYS}")])
    with (
        open_prometheus(settings.prometheus, judge_skew=False, timeout=QUERY_TIMEOUT) as source,
        _progress(rollout.name) as tell,
    ):
        source.build_info()
        found = feasibility(rollout, source, time.time(), days=days, on_progress=tell)
    if as_json:
        print_json(found.as_data())
    else:
        _print(found)
    raise typer.Exit(0 if found.ok or found.waived is not None else 1)


@contextmanager
def _progress(name: str) -> Iterator[Callable[[float], None]]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.console import Console  # noqa: PLC0415 - the daemon starts without it
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _share: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"looking back at {name}", total=1.0)
        yield lambda share: bar.update(task, completed=share)


def _print(found: Feasibility) -> None:
    data = found.data
    typer.echo(f"{found.rollout}: {found.outlook.value}")
    typer.echo(f"  {found.found}")
    if found.todo:
        typer.echo(f"  to do: {found.todo}")
    if found.waived is not None:
        typer.echo(f"  waived: {found.waived}")
    typer.echo(
        f"history: {rfc3339(data.start)} to {rfc3339(data.end)}, {data.slices} slices: {data.passed} good, "
        f"{data.failed} failed, {data.idle} idle, {data.unknown} unknown"
    )
    if data.by_hour:
        typer.echo(f"good slices by hour (UTC): {_sparkline(data.by_hour)}")
    if found.window is not None and found.sign_off is not None:
        _print_chances(found.window, found.sign_off)
    _print_false(found)
    _print_detectable(found)
    for note in found.notes:
        typer.echo(f"note: {note}")
    if found.assumed:
        typer.echo(f"note: taken to pass, for traffic says nothing of them: {', '.join(found.assumed)}")


def _sparkline(by_hour: tuple[tuple[int, int, int], ...]) -> str:
    """One bar for each hour of the day, as high as its share of good slices; a dot where there was none."""
    known = {hour: (slices, good) for hour, slices, good in by_hour}
    bars = [BARS[round(known[h][1] / known[h][0] * (len(BARS) - 1))] if h in known else "." for h in range(24)]
    worst = min(by_hour, key=lambda one: one[2] / one[1])
    told = f", worst {worst[0]:02d}:00, {worst[2]} of {worst[1]}" if worst[2] < worst[1] else ", all"
    return f"00 {''.join(bars)} 23{told}"


def _print_chances(window: WindowChance, sign_off: SignOff) -> None:
    from watchdog.feasibility.result import percent, spoken  # noqa: PLC0415

    typer.echo(
        f"a complete window, begun at any time: {percent(window.chance)} (90% interval {percent(window.low)} to "
        f"{percent(window.high)}; {window.spoilt} spells in the history would have broken one)"
    )
    ramp = "never" if sign_off.ramp_expected is None else spoken(sign_off.ramp_expected)
    late = "" if sign_off.ramp_p90 is None else f", 90% within {spoken(sign_off.ramp_p90)}"
    typer.echo(
        f"ramp: planned {spoken(sign_off.ramp_planned)}, expected {ramp}{late}; "
        f"{percent(sign_off.passable)} of the slots let a step pass"
    )
    times = (("half", sign_off.median), ("80%", sign_off.p80), ("90%", sign_off.p90))
    reached = ", ".join(f"{share} within {spoken(at)}" for share, at in times if at is not None)
    mean = f"; {spoken(sign_off.expected)} on average" if sign_off.expected is not None else ""
    typer.echo(
        f"sign-off: planned {spoken(sign_off.planned)}; {percent(sign_off.share)} of {sign_off.watches} simulated "
        f"watches get there (90% interval {percent(sign_off.low)} to {percent(sign_off.high)})"
        f"{', ' + reached if reached else ''}{mean}; {percent(sign_off.taken_back)} are rolled back"
    )


def _print_false(found: Feasibility) -> None:
    from watchdog.feasibility.result import percent  # noqa: PLC0415

    if not found.false_rollbacks:
        return
    rows = []
    for item in found.false_rollbacks:
        kept = percent(item.guaranteed) if item.guaranteed is not None else "not controlled"
        at = ", ".join(rfc3339(one) for one in item.breaches[:3]) + (", ..." if len(item.breaches) > 3 else "")
        count = f"{len(item.breaches)}{f' ({at})' if at else ''}"
        upper = f"{item.per_watch:.2g}, below {item.high:.2g}"
        rows.append([cell(item.objective), item.on_breach, count, upper, kept])
    columns = ["objective", "on breach", "breaches", "in a watch (95%)", "by design at most"]
    print_table(columns, rows, "Breaches in the history: real ones, or false alarms")


def _print_detectable(found: Feasibility) -> None:
    from watchdog.feasibility.result import percent  # noqa: PLC0415

    for within in dict.fromkeys(one.within for one in found.detectable):
        about = [one for one in found.detectable if one.within == within]
        exposures = list(dict.fromkeys(f"at {float(f'{one.exposure:.2g}'):g}%" for one in about))
        rows: dict[str, list[str]] = {}
        for one in about:
            ways = [(one.objective, one.pooled, one.splits)]
            if found.splits:
                ways.append((f"{one.objective}, split", one.split, not one.splits))
            for way, share, other in ways:
                row = rows.setdefault(way, [f"{cell(way)}{' *' if other else ''}", percent(one.usual)])
                row.append("-" if share is None else percent(share))
        title = f"Bad share among the exposed that is found within {format_duration(within)} in 80% of the cases"
        print_table(["objective", "usual", *exposures], list(rows.values()), title)
    if found.detectable:
        typer.echo("-: not even if all their requests fail" + "; *: not looked at in this way now" * found.splits)
    for item in found.confirmed:
        when = "never" if item.failing is None else f"if {percent(item.failing)} of the steps fail"
        typer.echo(
            f"{item.objective} ({item.rule}): within {format_duration(item.within)} {when} (usual: "
            f"{percent(item.usual)}); at the soonest within {format_duration(item.soonest)}, when every step fails"
        )
