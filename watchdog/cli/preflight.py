"""`preflight`: everything that must hold before a rollout starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchdog.cli.drill import ending_gently
from watchdog.cli.shared import AsJson, By, Config, print_json, print_table, say_error, settings_of, who
from watchdog.errors import ConfigError
from watchdog.flags.base import Check

if TYPE_CHECKING:
    from watchdog.preflight import Found, Preflight

FEW = 3
"""As many checks of an area that hold are shown one by one; `--json` and `--junit` have them all."""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(preflight)


def preflight(
    ctx: typer.Context,
    as_json: AsJson = False,  # noqa: FBT002
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="write JUnit XML there, too")] = None,
    no_drill: Annotated[  # noqa: FBT002
        bool, typer.Option("--no-drill", help="hold no drill; without one in the last 7 days that is a failed check")
    ] = False,
    by: By = None,
    config: Config = None,
) -> None:
    """Everything that must hold before a rollout starts. Exit: 0 all passed, 1 otherwise.

    Configuration, ledger, every query, every flag that would be killed (with a no-op write by the production
    credentials), the emergency flags, the worst case, and a rollback drill, which is held now if none has passed in the
    last 7 days. A check that cannot run is a failure.

    Examples: `slo-watchdog preflight`, `slo-watchdog preflight --junit preflight.xml`.
    """
    from watchdog.preflight import Found, Preflight  # noqa: PLC0415 - the daemon starts without it
    from watchdog.preflight import preflight as look  # noqa: PLC0415
    from watchdog.preflight.ground import Ground  # noqa: PLC0415

    try:
        settings = settings_of(ctx, config)
    except ConfigError as error:
        wrong = [Check(problem.place, ok=False, found=problem.message, todo="correct it") for problem in error.problems]
        verdict = Preflight([Found("configuration", check) for check in wrong])
    else:
        with (
            ending_gently() as stop,
            Ground(settings, by=who(by), drills=not no_drill, stop=stop) as ground,
            _progress(as_json=as_json) as on_area,
        ):
            verdict = look(ground, on_area)
    if junit is not None:
        _write(junit, verdict.as_junit())
    if as_json:
        print_json(verdict.as_data())
    else:
        _print(verdict)
    raise typer.Exit(0 if verdict.passed else 1)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        say_error(f"preflight: {path} cannot be written: {error.strerror or error}; name another file")
        raise typer.Exit(1) from error


@contextmanager
def _progress(*, as_json: bool) -> Iterator[Callable[[str], None]]:
    """The area that is being looked at, on a terminal."""
    from rich.console import Console  # noqa: PLC0415 - the daemon starts without it

    console = Console(stderr=True)
    if as_json or not console.is_terminal:
        yield lambda _area: None
        return
    with console.status("preflight") as status:
        yield lambda area: status.update(f"preflight: {area}")


def _print(verdict: Preflight) -> None:
    """Every check that fails; of those that hold, a few in full and many as a number."""
    rows = []
    for area in dict.fromkeys(one.area for one in verdict.found):
        checks = [one for one in verdict.found if one.area == area]
        held = [one for one in checks if one.check.ok]
        rows += [[area, *_row(one)] for one in checks if not one.check.ok]
        if len(held) <= FEW:
            rows += [[area, *_row(one)] for one in held]
        else:
            rows.append([area, "ok", f"{len(held)} {'other ' if len(held) < len(checks) else ''}checks", ""])
    print_table(["area", "", "check", "found"], rows)
    failed = sum(not one.holds for one in verdict.found)
    if verdict.passed:
        typer.echo(f"passed: {len(verdict.found)} checks")
    else:
        typer.echo(f"FAILED: {failed} of {len(verdict.found)} checks; correct them before a rollout starts")


def _row(one: Found) -> list[str]:
    found, todo = one.check.found, one.check.todo
    if one.check.ok:
        return ["ok", one.name, found]
    if one.waived is not None:
        return ["waived", one.name, f"{found} (waived: {one.waived})"]
    return ["FAILED", one.name, f"{found}; {todo}" if todo else found]
