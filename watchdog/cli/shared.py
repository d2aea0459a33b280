"""What several groups of commands need: settings, the ledger, tables, names of people."""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from watchdog.config import load_settings
from watchdog.config.settings import Settings
from watchdog.errors import ConfigError, Problem, Refused
from watchdog.ledger import Ledger, StoredRollout, open_ledger
from watchdog.quantities import parse_duration, parse_time

DEFAULT_FILE = Path("watchdog.yaml")

Config = Annotated[Path | None, typer.Option("--config", help="the daemon's watchdog.yaml")]
AsJson = Annotated[bool, typer.Option("--json", help="for machines")]
Name = Annotated[str, typer.Argument(metavar="ROLLOUT", help="the rollout's name")]
Why = Annotated[str, typer.Option("--reason", help="why; it is recorded")]
By = Annotated[str | None, typer.Option("--by", help="who (default: the system user); it is recorded")]


def say_error(sentence: str) -> None:
    """One line on standard error."""
    typer.echo(f"slo-watchdog: {sentence}", err=True)


def settings_of(ctx: typer.Context, config: Path | None) -> Settings:
    """The daemon's settings: --config, else WATCHDOG_CONFIG, else ./watchdog.yaml. Raises ConfigError."""
    path = config if config is not None else ctx.find_root().obj
    if path is None and DEFAULT_FILE.is_file():
        import os  # noqa: PLC0415 - only to see whether the environment names another file

        path = None if os.environ.get("WATCHDOG_CONFIG") else DEFAULT_FILE
    return load_settings(path)


@contextmanager
def ledger_of(settings: Settings) -> Iterator[Ledger]:
    """The ledger, closed afterwards. Raises LedgerError."""
    ledger = open_ledger(settings.ledger)
    try:
        yield ledger
    finally:
        ledger.close()


def known(ledger: Ledger, name: str) -> StoredRollout:
    """The rollout of that name, or a sentence that lists those there are."""
    stored = ledger.rollout(name)
    if stored is None:
        names = ", ".join(item.name for item in ledger.rollouts()) or "none yet"
        raise Refused(f"the ledger has no rollout {name!r}; it has: {names}")
    return stored


def who(by: str | None) -> str:
    """Who gives a command: --by, else the system user."""
    if by:
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown user"


def instant(text: str, place: str) -> float:
    """A time as people write it: RFC 3339, `now`, or a duration ago such as `-7d`. Raises ConfigError."""
    now = time.time()
    try:
        if text == "now":
            return now
        if text.startswith("-"):
            return now - parse_duration(text[1:])
        return parse_time(text)
    except ValueError as error:
        hint = "expected a time such as 2026-11-22T09:00:00Z, `now`, or a duration ago such as -7d"
        raise ConfigError([Problem(place, f"{error}; {hint}")]) from error


def ahead(text: str, place: str, now: float) -> float:
    """A time later than `now`: RFC 3339, or a duration from now such as `48h`. Raises ConfigError."""
    hint = "expected a time to come such as 2026-11-22T09:00:00Z, or a duration from now such as 48h"
    try:
        at = parse_time(text) if "T" in text or ":" in text else now + parse_duration(text)
    except ValueError as error:
        raise ConfigError([Problem(place, f"{error}; {hint}")]) from error
    if at <= now:
        raise ConfigError([Problem(place, f"found {text}, which is over; {hint}")])
    return at


def duration(text: str, place: str) -> float:
    """A duration option. Raises ConfigError."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ConfigError([Problem(place, str(error))]) from error


def print_json(data: Any) -> None:
    """Plain data on standard output."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None) -> None:
    """A table as wide as the terminal; plain when it is not one."""
    from rich.console import Console  # noqa: PLC0415 - the daemon starts without it
    from rich.table import Table  # noqa: PLC0415

    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(soft_wrap=False, emoji=False).print(table)  # job:x:rate5m is a recording, not a picture


def cell(text: str) -> str:
    """Other people's text as a table may show it: on one line, and nothing in it acts on the terminal or the table."""
    from rich.markup import escape  # noqa: PLC0415 - the daemon starts without it

    return escape("".join(sign if sign.isprintable() else " " for sign in text))
