"""`preflight`: everything that must hold before a rollout starts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchdog.cli.drill import ending_gently
from watchdog.cli.shared import AsJson, By, Config, cell, print_json, print_table, say_error, settings_of, who
from watchdog.config.settings import Settings
from watchdog.errors import ConfigError, WatchdogError
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
    image: Annotated[str, typer.Option("--image", help="the image that is released, with its digest; recorded")] = "",
    commit: Annotated[str, typer.Option("--commit", help="the commit that is released; recorded")] = "",
    by: By = None,
    config: Config = None,
) -> None:
    """Everything that must hold before a rollout starts. Exit: 0 all passed, 1 otherwise.

    Configuration, ledger, Prometheus and its rules, the way of an alert, every objective, whether a sign-off is likely,
    every flag that would be killed (with a no-op write by the production credentials), the emergency flags, the worst
    case, a test message through every channel, and a rollback drill, which is held now if none has passed in the last 7
    days. A check that cannot run is a failure. The result is recorded; a start may ask for it (preflight.required).

    Examples: `slo-watchdog preflight`, `slo-watchdog preflight --junit preflight.xml`,
    `slo-watchdog preflight --image registry.example/checkout@sha256:4f1c... --commit 9fceb02`.
    """
    from watchdog.preflight import as_junit  # noqa: PLC0415 - the daemon starts without it

    try:
        settings = settings_of(ctx, config)
    except ConfigError as error:
        verdict, told = _unusable(error)
    else:
        release = {"release image": image, "release commit": commit}
        with ending_gently() as stop, _progress(as_json=as_json) as on_area:
            verdict, told = _looked(settings, who(by), release, stop, on_area, drills=not no_drill)
    if junit is not None:
        _write(junit, as_junit(verdict))
    if as_json:
        print_json(told)
    else:
        _print(verdict, told)
    raise typer.Exit(0 if verdict.passed else 1)


def _unusable(error: ConfigError) -> tuple[Preflight, dict[str, Any]]:
    """Settings that are wrong are failed checks, and nothing else can be looked at."""
    from watchdog.preflight import Found, Preflight  # noqa: PLC0415 - the daemon starts without it

    wrong = [Check(problem.place, ok=False, found=problem.message, todo="correct it") for problem in error.problems]
    verdict = Preflight([Found("configuration", check) for check in wrong])
    return verdict, {**verdict.as_data(), "id": None, "sha256": None}


def _looked(
    settings: Settings,
    by: str,
    release: dict[str, str],
    stop: threading.Event,
    on_area: Callable[[str], None],
    *,
    drills: bool,
) -> tuple[Preflight, dict[str, Any]]:
    """Look at everything and record the result; what was recorded, or the result alone where nothing can be."""
    from watchdog.preflight import preflight as look  # noqa: PLC0415 - the daemon starts without it
    from watchdog.preflight import record  # noqa: PLC0415
    from watchdog.preflight.ground import Ground  # noqa: PLC0415
    from watchdog.preflight.verdict import Build  # noqa: PLC0415

    builds = tuple(Build(what, value.strip()) for what, value in release.items() if value.strip())
    with Ground(settings, by=by, drills=drills, stop=stop, release=builds) as ground:
        began_at = ground.clock()
        verdict = look(ground, on_area)
        try:
            stored = record(ground, verdict, began_at)
        except WatchdogError as error:
            say_error(f"preflight: the result is not recorded, so no start can rely on it: {error}")
            return verdict, {**verdict.as_data(), "id": None, "sha256": None}
    return verdict, {**stored.result, "id": stored.id, "sha256": stored.sha256}


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


def _print(verdict: Preflight, told: dict[str, Any]) -> None:
    """Every check that does not hold; of those that do, a few in full and many as a number. Then areas and score."""
    rows = []
    for area in verdict.areas:
        checks = verdict.of(area)
        held = [one for one in checks if one.check.ok]
        rows += [[area, *map(cell, _row(one))] for one in checks if not one.check.ok]
        if len(held) <= FEW:
            rows += [[area, *map(cell, _row(one))] for one in held]
        else:
            rows.append([area, "ok", f"{len(held)} {'other ' if len(held) < len(checks) else ''}checks", ""])
    print_table(["area", "", "check", "found"], rows)
    typer.echo("")
    areas = [
        [one["area"], f"{one['score']} %", str(one["weight"]), str(one["failed"] or ""), str(one["warning"] or "")]
        for one in told["areas"]
    ]
    print_table(["area", "score", "weight", "failed", "warnings"], areas)
    blockers = [one for one in verdict.found if one.level == "blocker"]
    held_ones = sum(one.holds for one in blockers)
    number = f"; recorded as preflight {told['id']}" if told["id"] is not None else ""
    if verdict.passed:
        said = f"passed: every blocker holds ({held_ones} of {len(blockers)})"
        typer.echo(f"{said}, score {verdict.score} %, {told['warnings']} warnings{number}")
    else:
        failed = len(blockers) - held_ones
        typer.echo(
            f"FAILED: {failed} of {len(verdict.found)} checks, score {verdict.score} %; correct them before a rollout "
            f"starts{number}"
        )


def _row(one: Found) -> list[str]:
    found, todo = one.check.found, one.check.todo
    if one.outcome == "ok":
        return ["ok", one.name, found]
    if one.outcome == "waived":
        return ["waived", one.name, f"{found} (waived: {one.waived})"]
    return [one.outcome if one.outcome == "warning" else "FAILED", one.name, f"{found}; {todo}" if todo else found]
