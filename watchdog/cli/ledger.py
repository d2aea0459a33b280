"""`ledger backup` and `ledger restore`: a copy of the ledger while the daemon runs, and the way back to it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from watchdog.cli.shared import AsJson, By, Config, ledger_of, print_json, print_table, settings_of, who
from watchdog.errors import LedgerError
from watchdog.journal import Journal, journal_path
from watchdog.ledger import Record
from watchdog.ledger.backup import Copy, back_up
from watchdog.ledger.backup import restore as put_back
from watchdog.model import Transition
from watchdog.quantities import rfc3339

app = typer.Typer(help="The care of the ledger: backup, restore, verify, export, prune.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(metavar="FILE", help="the backup")]


@app.command()
def backup(ctx: typer.Context, file: File, as_json: AsJson = False, config: Config = None) -> None:  # noqa: FBT002
    """Copy the ledger as it is now into a new FILE, which only you may read. The daemon goes on meanwhile.

    The copy is examined before it gets its name. Exit: 0, or 2 when there is no whole copy.

    Examples: `slo-watchdog ledger backup /var/backups/slo-watchdog/2026-11-23.db`,
    `slo-watchdog ledger backup before-upgrade.db --json`.
    """
    url = settings_of(ctx, config).ledger
    copy = back_up(url, file)
    waiting = _waiting(url)
    if as_json:
        print_json(_told(copy) | {"in_emergency_journal": waiting})
        return
    typer.echo(f"{copy.path}: {copy.size:,} bytes, sha256 {copy.sha256}, schema {copy.schema}")
    _print(copy)
    if waiting:
        typer.echo(f"not in it: {waiting} entries of the emergency journal, which the ledger has not taken yet")


@app.command()
def restore(ctx: typer.Context, file: File, by: By = None, as_json: AsJson = False, config: Config = None) -> None:  # noqa: FBT002
    """Put FILE in the ledger's place. Stop the daemon before; what was there is kept beside it.

    Each rollout that is under way gets a line in its history that says so. The daemon goes on from the backup at its
    next start and asks Prometheus for what came since. Exit: 0, or 2 when nothing was changed.

    Example: `slo-watchdog ledger restore /var/backups/slo-watchdog/2026-11-23.db --by ada`.
    """
    settings, now = settings_of(ctx, config), time.time()
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    copy, kept = put_back(settings.ledger, file, stamp)
    with ledger_of(settings) as ledger:
        for stored in ledger.rollouts():
            if stored.phase.active:
                why = f"the ledger was restored from {file.name} (sha256 {copy.sha256[:12]})"
                said = Transition(now, "restored", stored.phase, stored.phase, why, who(by))
                ledger.record(Record(stored.id, stored.revision, transitions=(said,)))
    if as_json:
        print_json(_told(copy) | {"kept": str(kept) if kept is not None else None})
        return
    typer.echo(f"restored from {copy.path}, sha256 {copy.sha256}")
    if kept is not None:
        typer.echo(f"the ledger that was there is now {kept}")
    _print(copy)
    if waiting := _waiting(settings.ledger):
        typer.echo(f"the emergency journal has {waiting} entries, which the daemon records at its next start")


def _waiting(url: str) -> int:
    """How many entries of the emergency journal the ledger has not taken yet."""
    try:
        return len(Journal(journal_path(url)).entries())
    except LedgerError:
        return 0


def _told(copy: Copy) -> dict[str, Any]:
    rollouts = [
        {"rollout": held.name, "phase": held.phase, "last_slot": _time(held.last_slot)} for held in copy.rollouts
    ]
    facts = {"file": str(copy.path), "bytes": copy.size, "sha256": copy.sha256, "schema": copy.schema}
    return {**facts, "rollouts": rollouts}


def _print(copy: Copy) -> None:
    rows = [(held.name, held.phase, _time(held.last_slot) or "-") for held in copy.rollouts]
    if rows:
        print_table(("rollout", "phase", "newest slot"), rows)
    else:
        typer.echo("it holds no rollout")


def _time(at: int | None) -> str | None:
    return rfc3339(at) if at is not None else None
