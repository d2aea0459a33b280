"""Commands that ask a daemon elsewhere over HTTP (`--url`) in place of the ledger here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchdog.cli.shared import say_error
from watchdog.errors import ConfigError, Problem, Refused

if TYPE_CHECKING:
    from watchdog.client import Client
    from watchdog.client.shapes.rollouts import Status

Url = Annotated[str | None, typer.Option("--url", help="ask the daemon there over HTTP, not the ledger here")]
TokenFile = Annotated[Path | None, typer.Option("--token-file", help="with --url: file that holds your token")]
UNREACHABLE = 4
LONGEST_TOKEN = 64 * 1024
PATIENT = 5.0
"""Seconds between two looks at a daemon elsewhere."""


@contextmanager
def daemon_at(url: str, token_file: Path | None = None) -> Iterator[Client]:
    """The daemon there. An address where none answers ends the command with status 4; what it refuses, with 2."""
    from watchdog.client import Client, Unreachable  # noqa: PLC0415 - most commands need no HTTP

    client = Client(url, _token(token_file) if token_file is not None else None)
    try:
        yield client
    except Unreachable as error:
        say_error(str(error))
        raise typer.Exit(UNREACHABLE) from error


@contextmanager
def steered_at(what: str, url: str, token_file: Path | None) -> Iterator[Client]:
    """The daemon there, for a change, named `what` in its refusal. Raises Refused without a token."""
    if token_file is None:
        raise Refused(f"{what}: --url needs --token-file; a daemon takes changes from who has a token only")
    with daemon_at(url, token_file) as client:
        yield client


def order(verb: str, rollout: str, reason: str, by: str, url: str, token_file: Path | None) -> None:
    """Give a command to the daemon there. Raises Refused, ConfigError, and what the client raises."""
    with steered_at(f"{verb} {rollout}", url, token_file) as client:
        give = {
            "hold": client.hold,
            "resume": client.resume,
            "rollback": client.rollback,
            "stop": client.stop,
            "start": client.start,
            "adopt": client.adopt,
        }[verb]
        given = give(rollout, reason, by=by)
    typer.echo(f"{rollout}: {verb} recorded as command {given['command']}; the daemon carries it out at once")


@contextmanager
def looks_at(url: str, token_file: Path | None, rollout: str, until: float) -> Iterator[Callable[[], Status]]:
    """How to look at a rollout there. Until then (monotonic) a look that fails is tried again, which is said once."""
    from watchdog.client import Trouble, Unreachable  # noqa: PLC0415 - as above

    said = False

    def look() -> Status:
        nonlocal said
        while True:
            try:
                return client.rollout(rollout)
            except (Trouble, Unreachable) as error:
                if time.monotonic() + PATIENT >= until:
                    raise
                if not said:
                    say_error(f"{error}; it is asked again every {PATIENT:g} s")
                said = True
                time.sleep(PATIENT)

    with daemon_at(url, token_file) as client:
        yield look


def _token(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(LONGEST_TOKEN + 1)
        token = content.decode().strip()
    except OSError as error:
        found = f"{str(file)!r} cannot be read ({error.strerror}); write the daemon's http.token into that file"
        raise ConfigError([Problem("--token-file", found)]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([Problem("--token-file", f"{str(file)!r} is not UTF-8 text; expected one token")]) from error
    if not token or len(content) > LONGEST_TOKEN:
        raise ConfigError(
            [Problem("--token-file", f"{str(file)!r} is empty or larger than 64 KiB; expected one token")]
        )
    return token
