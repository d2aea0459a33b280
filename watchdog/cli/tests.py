"""`tests import`: results of tests, which other tools wrote, as metrics."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchdog.cli.shared import AsJson, print_json
from watchdog.quantities import rfc3339

if TYPE_CHECKING:
    from watchdog.testresults.model import Run, Suite

FAILED = 1

app = typer.Typer(help="Results of tests as metrics.", no_args_is_help=True, rich_markup_mode=None)


class Flaky(StrEnum):
    """What a test counts as that passed only when it was run again."""

    PASSED = "passed"
    FAILED = "failed"


@app.callback()
def group() -> None:
    """Keep `import` a command of a group while it is the only one."""


@app.command(name="import")
def import_(  # noqa: PLR0913, PLR0917 - each is one option
    reports: Annotated[list[Path], typer.Argument(metavar="REPORT.xml...", help="all reports of one run")],
    suite: Annotated[str, typer.Option("--suite", help="the name under which the run counts: label `suite`")],
    textfile: Annotated[Path | None, typer.Option("--textfile", help="node exporter's textfile directory")] = None,
    pushgateway: Annotated[str | None, typer.Option("--pushgateway", help="or the address of a Pushgateway")] = None,
    job: Annotated[str | None, typer.Option("--job", help="the tested service: label `job` (default: SUITE)")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="one more, NAME=VALUE; may be repeated")] = None,
    critical: Annotated[
        list[str] | None,
        typer.Option("--critical", help="pattern of CLASSNAME::NAME that may not be skipped; may be repeated"),
    ] = None,
    flaky: Annotated[Flaky, typer.Option("--flaky", help="what a test counts as that passes only later")] = (
        Flaky.PASSED
    ),
    retries: Annotated[bool, typer.Option("--retries", help="a test that appears again was run again")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Count a run from its JUnit reports. Exit: 0 it passed, 1 it counts as failed, 2 invalid, 4 no Pushgateway.

    Without --textfile and --pushgateway it is only said what would be counted. A report that is missing, cut off or
    empty makes the run a failed one: whoever should have written it did not get that far.

    Examples: `slo-watchdog tests import target/surefire-reports/*.xml --suite smoke --job checkout --textfile
    /var/lib/prometheus/node-exporter`, `slo-watchdog tests import junit.xml --suite e2e --pushgateway http://push:9091`.
    """
    from watchdog.testresults.gathering import Reading, run_of  # noqa: PLC0415 - the daemon starts without it
    from watchdog.testresults.model import suite_of, summary  # noqa: PLC0415
    from watchdog.testresults.sinks import sink_of  # noqa: PLC0415

    named = suite_of(suite, job, label or ())
    sink = None
    if textfile is not None or pushgateway is not None:
        directory = None if textfile is None else str(textfile)
        sink = sink_of(named, directory, pushgateway, ("--textfile", "--pushgateway"))
    run = run_of(reports, Reading(critical or (), flaky is Flaky.PASSED, retries), time.time())
    notes = [] if sink is None else sink.add(run)
    where = None if sink is None else sink.where
    if as_json:
        print_json(_data(named, run, where, notes))
    else:
        typer.echo(f"{suite}: {summary(run)}")
        for fault in run.faults:
            typer.echo(f"counts as failed: {fault}")
        for note in notes:
            typer.echo(f"note: {note}")
        typer.echo("not counted: neither --textfile nor --pushgateway is given" if where is None else f"in {where}")
    raise typer.Exit(0 if run.success else FAILED)


def _data(suite: Suite, run: Run, where: str | None, notes: list[str]) -> dict[str, Any]:
    counted = run.counted
    return {
        "suite": suite.name,
        "labels": suite.all_labels,
        "success": run.success,
        "faults": list(run.faults),
        "tests": {**_counts(run.tests), "not_run": run.not_run},
        "flaky": run.flaky,
        "counted": _counts(counted),
        "finished_at": rfc3339(run.finished_at),
        "duration_s": run.duration,
        "where": where,
        "notes": notes,
    }


def _counts(counts: Any) -> dict[str, int]:
    return {name: getattr(counts, name) for name in ("passed", "failed", "error", "skipped")}
