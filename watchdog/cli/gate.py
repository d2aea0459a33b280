"""`gate`: is it decided? For pipelines, here or at a daemon elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from watchdog.account import Account, exit_of
from watchdog.cli.remote import PATIENT, TokenFile, Url, looks_at
from watchdog.cli.shared import Config, Name, duration, known, ledger_of, say_error, settings_of
from watchdog.model import Phase

POLL = 1.0


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(gate)


def gate(
    ctx: typer.Context,
    rollout: Name,
    wait: Annotated[bool, typer.Option("--wait", help="until it is decided")] = False,  # noqa: FBT002
    timeout: Annotated[str | None, typer.Option(help="give up waiting after this long, such as 6h")] = None,
    until: Annotated[str, typer.Option("--for", help="interim or final")] = "final",
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
) -> None:
    """Is it decided? For pipelines. Exit: 0 signed off, 1 rolled back or stopped, 3 undecided, 4 no daemon at --url.

    Examples: `slo-watchdog gate checkout-2.14.0 --wait --timeout 6h --for interim`,
    `slo-watchdog gate checkout-2.14.0 --url https://watchdog.example`.
    """
    if until not in ("interim", "final"):
        say_error(f"gate: --for is {until!r}; expected interim or final")
        raise typer.Exit(2)
    ends = time.monotonic() + duration(timeout, "--timeout") if timeout else math.inf
    with _looks(ctx, config, rollout, url, token_file, ends if wait else 0.0) as look:
        while True:
            phase, interim, window = look()
            code = exit_of(phase)
            if until == "interim" and interim and code == 3:
                code = 0
            if code != 3 or not wait or time.monotonic() >= ends:
                break
            time.sleep(POLL if url is None else PATIENT)
        progress = f"{window()['current']} of {window()['required']} slices"
    ended = f"{phase.value.replace('_', ' ')}" + ("" if phase is Phase.SIGNED_OFF else f", {progress}")
    typer.echo(f"{rollout}: {ended}")
    raise typer.Exit(code)


Look = tuple[Phase, bool, Callable[[], Mapping[str, Any]]]
"""A rollout's phase, whether it has its interim sign-off, and how to come by its window."""


@contextmanager
def _looks(
    ctx: typer.Context, config: Path | None, rollout: str, url: str | None, token_file: Path | None, until: float
) -> Iterator[Callable[[], Look]]:
    """How to look at a rollout: in the ledger here, or at the daemon there, which may be away for a while."""
    if url is not None:
        with looks_at(url, token_file, rollout, until) as ask:

            def told() -> Look:
                status: Mapping[str, Any] = ask()
                return Phase(status["phase"]), status["interim_at"] is not None, lambda: status["window"]

            yield told
            return
    with ledger_of(settings_of(ctx, config)) as ledger:

        def recorded() -> Look:
            account = Account(ledger, known(ledger, rollout))
            return account.control.phase, account.control.interim_at is not None, account.window

        yield recorded
