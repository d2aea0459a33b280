"""What every command on flags needs: the services with their audit, the ledger when it is wanted, exit statuses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from watchdog.audit import ChangeLog, open_changes
from watchdog.cli.remote import steered_at
from watchdog.cli.shared import say_error
from watchdog.config.settings import Settings
from watchdog.errors import FlagServiceError, LedgerError
from watchdog.flagsystem import FlagSystem, open_flags
from watchdog.flagsystem.byhand import ByHand
from watchdog.ledger import Ledger, open_ledger

if TYPE_CHECKING:
    from watchdog.client import Client

FAILED = 1


@dataclass(frozen=True)
class Access:
    """The flag services of an installation; the ledger is opened when something asks for it, never before a kill."""

    system: FlagSystem
    changes: ChangeLog

    @property
    def by_hand(self) -> ByHand:
        """Changes with a person's rules."""
        return ByHand(self.system, self.changes)

    @property
    def ledger(self) -> Ledger:
        """The ledger, opened now. Raises LedgerError."""
        return self.changes.reading()

    def say_where(self) -> None:
        """On standard error, if a change did not get into the ledger, where it is instead."""
        if self.changes.trouble:
            say_error(
                f"recorded in {self.changes.journal.path} until the ledger takes it: {self.changes.trouble}; the next "
                "change that is recorded brings it in"
            )


@contextmanager
def flags_of(settings: Settings, what: str) -> Iterator[Access]:
    """The flag services for one command, named `what` in its errors: a service or ledger that fails is status 1."""
    changes = open_changes(settings.ledger, lambda: open_ledger(settings.ledger), time.time)
    try:
        yield Access(open_flags(settings, changes, time.time), changes)
    except (FlagServiceError, LedgerError) as error:
        say_error(f"{what}: {error}")
        raise typer.Exit(FAILED) from error
    finally:
        changes.close()


@contextmanager
def flags_there(what: str, url: str, token_file: Path | None) -> Iterator[Client]:
    """The daemon there, for a change of a flag; a service that does not take it is status 1, as it is here."""
    from watchdog.client import Trouble  # noqa: PLC0415 - most commands need no HTTP

    with steered_at(what, url, token_file) as client:
        try:
            yield client
        except Trouble as error:
            say_error(f"{what}: {error}")
            raise typer.Exit(FAILED) from error
