"""`drill`: a timed rollback of a flag of its own, measured to the reader."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from watchdog.cli.remote import TokenFile, Url, steered_at
from watchdog.cli.shared import AsJson, By, Config, ledger_of, print_json, print_table, say_error, settings_of, who
from watchdog.config import load_all
from watchdog.config.settings import Settings
from watchdog.errors import FlagServiceError, Refused
from watchdog.model import Rollout

if TYPE_CHECKING:
    from watchdog.drill.report import Report

ENDING = (signal.SIGTERM, signal.SIGINT)
LOOK = 2.0
"""Seconds between two looks at a drill elsewhere."""
WORDS = {"recorded": "recorded", "written": "acknowledged", "read_back": "read back", "reader": "reader"}


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(drill)


def drill(  # noqa: PLR0913, PLR0917 - the form typer wants
    ctx: typer.Context,
    flag: Annotated[str | None, typer.Option("--flag", help="a flag that nothing uses (default: drill.flag)")] = None,
    runs: Annotated[int | None, typer.Option("-n", "--runs", min=1, max=10_000, help="default: drill.runs")] = None,
    as_json: AsJson = False,  # noqa: FBT002
    by: By = None,
    reason: Annotated[str, typer.Option("--reason", help="why; it is recorded")] = "by hand",
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
) -> None:
    """A timed rollback drill to the reader. Exit: 0 within the bound, 1 otherwise, 4 no daemon at --url.

    Switches a flag of its own on for everybody and takes it back, `-n` times at random moments, and measures from the
    decision until a real client of the flag service is told off. The flag is off afterwards, also after Ctrl-C.

    Examples: `slo-watchdog drill`, `slo-watchdog drill -n 200 --json`.
    """
    if url is not None:
        _drill_there(Wanted(flag, runs, who(by), reason), url, token_file, as_json=as_json)
        return
    settings = settings_of(ctx, config)
    with ledger_of(settings) as ledger, ending_gently() as stop, _progress(as_json=as_json) as on_run:
        from watchdog.drill.holding import hold  # noqa: PLC0415 - the daemon starts without it
        from watchdog.drill.plan import Wish  # noqa: PLC0415

        wish = Wish(who(by), reason, flag, runs)
        try:
            report = hold(settings, ledger, _configured(settings), wish, stop=stop, on_run=on_run)
        except (Refused, FlagServiceError) as error:
            say_error(str(error))
            raise typer.Exit(1) from error
    if as_json:
        print_json(report.as_data())
    else:
        print_report(report)
    raise typer.Exit(0 if report.passed else 1)


class Wanted(NamedTuple):
    """What a drill elsewhere is to be."""

    flag: str | None
    runs: int | None
    by: str
    reason: str


def _drill_there(wanted: Wanted, url: str, token_file: Path | None, *, as_json: bool) -> None:
    """Let the daemon there hold one, and tell what it found when it is over."""
    with steered_at("drill", url, token_file) as client:
        before = [one["id"] for one in client.drills(limit=1)["drills"]]
        client.start_drill(wanted.reason, by=wanted.by, flag=wanted.flag, runs=wanted.runs)
        while (told := client.drills(limit=1))["running"] is not None:
            time.sleep(LOOK)
        newest = [one["id"] for one in told["drills"]]
        if newest == before:
            say_error(f"drill: {told['trouble'] or 'it recorded no result'}")
            raise typer.Exit(1)
        found = client.drill(newest[0])
    if as_json:
        print_json(found["report"])
    else:
        typer.echo(
            f"{'passed' if found['passed'] else 'FAILED'}: {found['why'] or told['trouble'] or 'it did not end'}"
        )
    raise typer.Exit(0 if found["passed"] else 1)


def _configured(settings: Settings) -> list[Rollout]:
    """The rollouts of the files; what is wrong with the others is told by `check`."""
    return [item for _, item in load_all(settings) if isinstance(item, Rollout)]


@contextmanager
def ending_gently() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; a second one ends the program as usual."""
    stop = threading.Event()
    before: dict[int, Any] = {number: signal.getsignal(number) for number in ENDING}

    def ends(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, before[number] or signal.SIG_DFL)

    for ending in ENDING:
        signal.signal(ending, ends)
    # A daemon's child inherits that they are blocked.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


@contextmanager
def _progress(*, as_json: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.console import Console  # noqa: PLC0415 - the daemon starts without it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    console = Console(stderr=True)
    if as_json or not console.is_terminal:
        yield lambda _done, _wanted: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("drilling", total=None)
        yield lambda done, wanted: bar.update(task, completed=float(done), total=float(wanted))


def print_report(report: Report) -> None:
    """The verdict, and the stages as a table."""
    typer.echo(f"{'passed' if report.passed else 'FAILED'}: {report.why}")
    rows = [
        [WORDS[stage], str(sum(stage in run.stages for run in report.runs)), *map(_ms, (s.min, s.p50, s.p99, s.max))]
        for stage, s in report.stages.items()
    ]
    if rows:
        title = f"since the decision, in ms; reader: {report.reader}"
        print_table(["stage", "runs", "min", "p50", "p99", "max"], rows, title)
    for note in report.notes:
        typer.echo(f"note: {note}")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"
