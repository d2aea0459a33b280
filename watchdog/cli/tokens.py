"""`tokens`: who may do what over HTTP. The file of `http.tokens_file` is rewritten; the daemon reads it anew."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchdog.cli.shared import AsJson, Config, ahead, print_json, print_table, settings_of
from watchdog.errors import ConfigError, Problem, Refused
from watchdog.quantities import rfc3339

if TYPE_CHECKING:
    from watchdog.access.model import Role
    from watchdog.access.tokens import Token

app = typer.Typer(help="Named tokens for the page and the API: viewer, operator, approver.", no_args_is_help=True)
Who = Annotated[str, typer.Argument(metavar="NAME", help="whose token; this name goes on record")]
File = Annotated[Path | None, typer.Option("--file", help="the tokens file (default: http.tokens_file)")]


@app.command("add")
def add(
    ctx: typer.Context,
    name: Who,
    role: Annotated[str, typer.Option("--role", help="viewer reads, operator steers, approver may do everything")],
    expires: Annotated[str | None, typer.Option("--expires", help="when it ends: 90d, or a time")] = None,
    file: File = None,
    config: Config = None,
) -> None:
    """Make a token and print it, once: only its sha256 is kept. Exit: 0 made, 2 refused.

    A daemon that runs takes it at once. To replace somebody's token, revoke the old one first.

    The token goes to standard output, all else to standard error, so that a file can take it.

    Example: `slo-watchdog tokens add ada --role operator --expires 90d`.
    """
    from watchdog.access.tokenfile import change_tokens  # noqa: PLC0415 - the daemon starts without it
    from watchdog.access.tokens import Token, mint  # noqa: PLC0415

    now = time.time()
    until = ahead(expires, "--expires", now) if expires is not None else None
    path, (token, sha256) = _path(ctx, file, config), mint()
    new = Token(_name(name), _role(role), sha256, float(int(now)), until)

    def with_it(tokens: tuple[Token, ...]) -> Sequence[Token]:
        if any(one.name == name for one in tokens):
            raise Refused(f"{path} has a token of {name} already; `slo-watchdog tokens revoke {name}` ends it")
        return [*tokens, new]

    change_tokens(path, with_it)
    ends = f"until {rfc3339(until)}" if until is not None else "until it is revoked"
    typer.echo(f"{name} is {new.role} {ends}; this is the token, and it is shown only now:", err=True)
    typer.echo(token)


@app.command("list")
def show(ctx: typer.Context, as_json: AsJson = False, file: File = None, config: Config = None) -> None:  # noqa: FBT002
    """Everybody who has a token. Exit: 0, 2 if the file cannot be read.

    Example: `slo-watchdog tokens list`.
    """
    from watchdog.access.tokenfile import read_tokens  # noqa: PLC0415 - the daemon starts without it

    now, found = time.time(), read_tokens(_path(ctx, file, config))
    if as_json:
        print_json({"tokens": [_data(one, now) for one in found]})
    else:
        print_table(["name", "role", "created", "expires"], [_row(one, now) for one in found])


@app.command("revoke")
def revoke(ctx: typer.Context, name: Who, file: File = None, config: Config = None) -> None:
    """End a token, and every session that was opened with it, at once. Exit: 0 ended, 2 there is none.

    Example: `slo-watchdog tokens revoke ada`.
    """
    from watchdog.access.tokenfile import change_tokens  # noqa: PLC0415 - the daemon starts without it

    path = _path(ctx, file, config)

    def without_it(tokens: tuple[Token, ...]) -> Sequence[Token]:
        kept = [one for one in tokens if one.name != name]
        if len(kept) == len(tokens):
            there = ", ".join(one.name for one in tokens) or "none"
            raise Refused(f"{path} has no token of {name!r}; there are: {there}")
        return kept

    change_tokens(path, without_it)
    typer.echo(f"{name}: revoked")


def _path(ctx: typer.Context, file: Path | None, config: Path | None) -> Path:
    """The tokens file. Raises ConfigError when neither option nor settings name one."""
    found = file if file is not None else settings_of(ctx, config).http.tokens_file
    if found is None:
        message = "is not set; write for example http: {tokens_file: tokens.yaml}, or give --file"
        raise ConfigError([Problem("http.tokens_file", message)])
    return found


def _name(written: str) -> str:
    from watchdog.access.tokens import name_of  # noqa: PLC0415 - the daemon starts without it

    try:
        return name_of(written)
    except ValueError as error:
        raise ConfigError([Problem("NAME", str(error).removeprefix("name: "))]) from error


def _role(written: str) -> Role:
    from watchdog.access.model import ROLES  # noqa: PLC0415 - the daemon starts without it

    if written not in ROLES:
        raise ConfigError([Problem("--role", f"found {written!r}, expected one of {', '.join(ROLES)}")])
    return ROLES[written]


def _data(one: Token, now: float) -> dict[str, object]:
    until = rfc3339(one.expires) if one.expires is not None else None
    known = {"name": one.name, "role": str(one.role), "created": rfc3339(one.created), "expires": until}
    return {**known, "valid": one.valid(now), "sha256": one.sha256}


def _row(one: Token, now: float) -> list[str]:
    until = "never" if one.expires is None else rfc3339(one.expires)
    return [one.name, str(one.role), rfc3339(one.created), until if one.valid(now) else f"{until}, over"]
