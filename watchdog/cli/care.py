"""`ledger verify | export | prune | compact`: whether the ledger is whole, copies of it to read, and retention."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from watchdog import __version__
from watchdog.audit import open_changes
from watchdog.cli.shared import (
    AsJson,
    By,
    Config,
    duration,
    known,
    ledger_of,
    print_json,
    settings_of,
    who,
)
from watchdog.config.settings import Settings
from watchdog.errors import ConfigError, Problem, Refused
from watchdog.ledger import Ledger
from watchdog.ledger.export import export as write_export
from watchdog.ledger.export import verify_export
from watchdog.ledger.prune import Prunable, Pruned, prunable
from watchdog.ledger.prune import prune as take_away
from watchdog.ledger.seals import OWN, Seal
from watchdog.ledger.space import Given, give_back, rewrite
from watchdog.ledger.verify import ChainFound, Verified, Wrong
from watchdog.ledger.verify import verify as look_at
from watchdog.quantities import rfc3339

FAILED = 1
_OWN_NAME = "(the ledger itself)"
Anchor = Annotated[
    list[str] | None,
    typer.Option(
        "--anchor", metavar="ROLLOUT=NUMBER:SHA256", help="a seal that you kept (rollout empty: the ledger's own)"
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands to those of the ledger."""
    app.command()(verify)
    app.command()(export)
    app.command()(prune)
    app.command()(compact)


def verify(
    ctx: typer.Context,
    file: Annotated[Path | None, typer.Option("--export", metavar="FILE", help="of an export instead")] = None,
    anchor: Anchor = None,
    as_json: AsJson = False,  # noqa: FBT002
    config: Config = None,
) -> None:
    """Look through the whole ledger: database, schema, seals of every rollout, flag changes, frozen reports.

    Whatever was edited, removed, added or reordered by other means than slo-watchdog is named. The daemon goes on
    meanwhile. Exit: 0 whole, 1 not, 2 when it cannot be read.

    Examples: `slo-watchdog ledger verify`, `slo-watchdog ledger verify --anchor checkout-2.14.0=41:9f2c...`,
    `slo-watchdog ledger verify --export checkout.jsonl.gz`.
    """
    anchors = _anchors(anchor or ())
    with _bar("verifying", as_json=as_json) as told:
        if file is not None:
            found = verify_export(file, anchors, lambda name, rows: told(f"{name} ({rows:,} rows)"))
        else:
            settings = settings_of(ctx, config)
            with ledger_of(settings) as ledger:
                found = look_at(ledger, anchors, told)
                _flags(settings, ledger, found)
    if as_json:
        print_json(_verified(found))
    else:
        _print_verified(found)
    raise typer.Exit(0 if found.sound else FAILED)


def export(
    ctx: typer.Context,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="a new file; .gz compresses it")],
    rollout: Annotated[str | None, typer.Argument(metavar="[ROLLOUT]", help="the rollout's name")] = None,
    everything: Annotated[bool, typer.Option("--all", help="every rollout, and what belongs to none")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
    config: Config = None,
) -> None:
    """Write a rollout, or all of them, as JSON lines: every row with the seals over it. The daemon goes on meanwhile.

    `ledger verify --export FILE` verifies it anywhere. Exit: 0, or 2 when there is no whole file.

    Examples: `slo-watchdog ledger export checkout-2.14.0 -o checkout.jsonl.gz`,
    `slo-watchdog ledger export --all -o ledger.jsonl.gz`.
    """
    if (rollout is None) is not everything:
        raise Refused("ledger export: name a rollout, or give --all")
    with ledger_of(settings_of(ctx, config)) as ledger:
        if rollout is not None:
            stored = known(ledger, rollout)
            chosen = {stored.id: stored.name}
        else:
            chosen = {OWN: _OWN_NAME, **{one.id: one.name for one in ledger.rollouts()}}
        with _bar("exporting", as_json=as_json) as told:
            made = write_export(
                ledger,
                chosen,
                output,
                now=time.time(),
                engine=__version__,
                progress=lambda name, rows: told(f"{name} ({rows:,} rows)"),
            )
    if as_json:
        print_json({"file": str(made.path), "lines": made.lines, "bytes": made.size, "sha256": made.sha256})
        return
    typer.echo(f"{made.path}: {made.lines:,} lines, {made.size:,} bytes, sha256 {made.sha256}")


def prune(
    ctx: typer.Context,
    older_than: Annotated[str, typer.Option("--older-than", metavar="AGE", help="such as 400d, since a rollout ended")],
    rollout: Annotated[str | None, typer.Option("--rollout", help="only this one")] = None,
    reason: Annotated[str, typer.Option("--reason", help="why; it is recorded")] = "retention",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go")] = False,  # noqa: FBT002
    by: By = None,
    as_json: AsJson = False,  # noqa: FBT002
    config: Config = None,
) -> None:
    """Take away the measurements of rollouts that were rolled back or stopped long ago.

    Never of a signed-off rollout, nor of one that is not over. Their transitions, breaches, slices, messages and seals
    stay, and a record of what went: `ledger verify` still holds. The daemon goes on meanwhile. Exit: 0, or 2.

    Examples: `slo-watchdog ledger prune --older-than 400d --dry-run`,
    `slo-watchdog ledger prune --older-than 400d --by ada --reason "retention, policy 12"`.
    """
    now = time.time()
    before = now - duration(older_than, "--older-than")
    with ledger_of(settings_of(ctx, config)) as ledger:
        if rollout is not None:
            known(ledger, rollout)
        chosen = prunable(ledger, before, rollout)
        if dry_run:
            _print_dry(chosen, as_json=as_json)
            return
        done: list[Pruned] = []
        with _bar("pruning", as_json=as_json) as told:
            for one in chosen:

                def advance(gone: int, of: int, name: str = one.name) -> None:
                    told(f"{name} ({gone:,} of {of:,})")

                done.append(take_away(ledger, one, by=who(by), why=reason, now=now, progress=advance))
            told("giving the space back")
            given = give_back(ledger) if done else None
    _print_pruned(done, given, as_json=as_json)


def compact(ctx: typer.Context, as_json: AsJson = False, config: Config = None) -> None:  # noqa: FBT002
    """Write the ledger's file anew, without the free space in it. Stop the daemon before.

    Only a ledger that an older version began needs it; newer ones shrink when they are pruned. It takes up to twice
    the file's size on the disk for a moment. Exit: 0, or 2 when nothing was changed.

    Example: `slo-watchdog ledger compact`.
    """
    with ledger_of(settings_of(ctx, config)) as ledger:
        if ledger.shared:
            raise Refused(f"ledger {ledger.place} is on a server, whose own tools do that: VACUUM FULL, or pg_repack")
        place = Path(ledger.place)
    given = rewrite(place)
    if as_json:
        print_json({"file": str(place), "bytes_given_back": given.size})
        return
    typer.echo(f"{place}: {given.size:,} bytes given back")


def _anchors(written: list[str] | tuple[str, ...]) -> dict[str, dict[int, str]]:
    found: dict[str, dict[int, str]] = {}
    for one in written:
        name, _, head = one.rpartition("=")
        number, _, digest = head.partition(":")
        if not (number.isascii() and number.isdigit() and len(digest) == 64):
            expected = "expected ROLLOUT=NUMBER:SHA256, as `ledger verify` prints them"
            raise ConfigError([Problem("--anchor", f"found {one[:120]!r}, {expected}")])
        found.setdefault(name, {})[int(number)] = digest
    return found


def _flags(settings: Settings, ledger: Ledger, found: Verified) -> None:
    """Whether the newest flag changes were cut off, by the head that is kept beside the ledger."""
    verified = open_changes(settings.ledger, ledger, time.time).verify()
    known_already = {one.what for one in found.wrong}
    for one in verified.findings:
        what = f"flag change {one.id} {one.what}"
        if what not in known_already:
            found.wrong.append(Wrong("flags", None, None, what))


@contextmanager
def _bar(what: str, *, as_json: bool) -> Iterator[Callable[[str], None]]:
    """What is being done, on a terminal; nothing elsewhere."""
    from rich.console import Console  # noqa: PLC0415 - the daemon starts without it

    console = Console(stderr=True)
    if as_json or not console.is_terminal:
        yield lambda _: None
        return
    with console.status(what) as status:
        yield lambda now: status.update(f"{what} {now}")


def _verified(found: Verified) -> dict[str, Any]:
    return {
        "ok": found.sound,
        "findings": [
            {"part": one.part, "rollout": one.rollout, "seal": one.seal, "what": one.what} for one in found.wrong
        ],
        "notes": found.notes,
        "rollouts": [_chain(one) for one in found.chains if one.rollout is not None],
        "own": next((_chain(one) for one in found.chains if one.rollout is None), None),
    }


def _chain(one: ChainFound) -> dict[str, Any]:
    return {
        "rollout": one.rollout,
        "seals": one.seals,
        "rows": one.rows,
        "seal": _head(one.head),
        "found_at": None if one.found_at is None else rfc3339(one.found_at),
        "pruned": one.pruned,
    }


def _head(seal: Seal | None) -> dict[str, Any] | None:
    return None if seal is None else {"number": seal.number, "sha256": seal.sha256, "at": rfc3339(seal.at)}


def _print_verified(found: Verified) -> None:
    for one in found.chains:
        said = [f"{one.rows:,} rows", "no seal" if one.head is None else f"seal {one.head.number}:{one.head.sha256}"]
        said += [f"sealed as found {rfc3339(one.found_at)}"] if one.found_at is not None else []
        said += [f"measurements of {one.pruned:,} seals pruned"] if one.pruned else []
        typer.echo(f"{one.rollout or _OWN_NAME}: {', '.join(said)}")
    told: dict[tuple[str, str | None], list[str]] = {}
    for wrong in found.wrong:
        told.setdefault((wrong.part, wrong.rollout), []).append(wrong.what)
    for (part, rollout), whats in told.items():
        more = f" (and {len(whats) - 1} more, see --json)" if len(whats) > 1 else ""
        typer.echo(f"NOT WHOLE: {rollout or part}: {whats[0]}{more}")
    for note in found.notes:
        typer.echo(f"note: {note}")
    if found.sound:
        typer.echo("whole")


def _print_dry(chosen: list[Prunable], *, as_json: bool) -> None:
    said = [
        {"rollout": one.name, "phase": one.phase.value, "ended_at": rfc3339(one.ended_at), "rows": one.rows}
        for one in chosen
    ]
    if as_json:
        print_json({"dry_run": True, "rollouts": said})
        return
    for one in chosen:
        typer.echo(f"{one.name}: {one.rows:,} measurements would go ({one.phase.value} {rfc3339(one.ended_at)})")
    if not chosen:
        typer.echo("nothing to prune")


def _print_pruned(done: list[Pruned], given: Given | None, *, as_json: bool) -> None:
    if as_json:
        said = [{"rollout": one.name, "rows": one.rows, "through": one.through, "sha256": one.sha256} for one in done]
        space = None if given is None else {"bytes": given.size, "why_not": given.why_not or None}
        print_json({"dry_run": False, "rollouts": said, "given_back": space})
        return
    for one in done:
        typer.echo(f"{one.name}: {one.rows:,} measurements pruned, digest {one.sha256}")
    if given is None:
        typer.echo("nothing to prune")
    else:
        typer.echo(f"{given.size:,} bytes given back" + (f"; {given.why_not}" if given.why_not else ""))
