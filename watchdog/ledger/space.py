"""Space that pruning freed: given back to the disk a little at a time, or all at once while nobody else is there."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from watchdog.errors import LedgerError, Refused
from watchdog.ledger.backup import explained, opened
from watchdog.ledger.database import Database
from watchdog.ledger.prune import REST

_PAGES = 500
"""Pages moved in one transaction: some milliseconds."""
_INCREMENTAL = 2


@dataclass(frozen=True, slots=True)
class Given:
    """How many bytes the file became smaller; `why_not` is a sentence about what stays, empty when nothing does."""

    size: int
    why_not: str


def give_back(ledger: Database, told: Callable[[int], None] = lambda _pages: None) -> Given:
    """Shrink the ledger's file by its free pages, beside a daemon. `told` hears how many are left."""
    if ledger.shared:
        return Given(0, "PostgreSQL's autovacuum makes the space usable again; VACUUM FULL gives it to the system")
    page, free = _pragma(ledger, "page_size"), _pragma(ledger, "freelist_count")
    if _pragma(ledger, "auto_vacuum") != _INCREMENTAL:
        later = "is free inside the file and used again; to shrink it, stop the daemon and run `ledger compact`"
        return Given(0, f"{free * page:,} bytes {later}" if free else "")
    before, place = _pragma(ledger, "page_count"), Path(ledger.place)
    with explained(f"ledger {place}"), closing(opened(place, "rw")) as connection:
        while free:
            # A script, since only that goes through all of the pages; each is a transaction of its own.
            connection.executescript(f"PRAGMA incremental_vacuum({_PAGES})")
            left = _pragma(ledger, "freelist_count")
            if left >= free:
                break
            free = left
            told(free)
            time.sleep(REST)
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")  # the file itself shrinks when its log is folded in
    return Given((before - _pragma(ledger, "page_count")) * page, "")


def rewrite(place: Path) -> Given:
    """Write the file anew without its free pages. Nobody else may have it open; Refused when somebody has."""
    size, there = place.stat().st_size, shutil.disk_usage(place.absolute().parent).free
    if there < 2 * size:
        raise LedgerError(
            f"ledger {place}: writing it anew takes up to {2 * size:,} bytes, its file system has {there:,}: free space"
        )
    with explained(f"ledger {place}"), closing(opened(place, "rw")) as connection:
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            connection.execute("PRAGMA journal_mode = DELETE")  # only the last one that has it open may do this
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            raise Refused(f"ledger {place} is in use: stop slo-watchdog and every command that works on it") from error
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("VACUUM")
        connection.execute("PRAGMA journal_mode = WAL")
    return Given(size - place.stat().st_size, "")


def _pragma(ledger: Database, name: str) -> int:
    with ledger.reading() as connection:
        return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
