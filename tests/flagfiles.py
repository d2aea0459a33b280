"""A flag file and the people who edit it: shared by the tests of the flagd file service."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from watchdog.flags.base import Change
from watchdog.model import Exposure

FLAG = "new-checkout"
NOON = 1_795_348_800.0
AUDIENCES: dict[str, Any] = {
    "staff": {"ends_with": [{"var": "email"}, "@example.com"]},
    "beta": {"==": [{"var": "plan"}, "beta"]},
    "eu": {"in": [{"var": "region"}, ["eu-west", "eu-north"]]},
}
OFF = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"}


def to(percent: float, *cohort: str, rollout: str | None = "checkout-1") -> Change:
    return Change(Exposure(percent, bool(cohort)), cohort, "watchdog", "because", rollout)


def for_audiences(percent: float, *audiences: str, cohort: tuple[str, ...] = ()) -> Change:
    exposure = Exposure(percent, bool(cohort), tuple(sorted(audiences)))
    return Change(exposure, cohort, "watchdog", "because", "checkout-1")


def entry(path: Path, flag: str = FLAG) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())["flags"][flag]
    return found


def serving(path: Path, flag: str = FLAG) -> dict[str, Any]:
    return {key: value for key, value in entry(path, flag).items() if key != "metadata"}


def edit(path: Path, change: Callable[[dict[str, Any]], object], flag: str = FLAG) -> None:
    """A person edits one flag with an editor."""
    document = json.loads(path.read_text())
    change(document["flags"][flag])
    path.write_text(json.dumps(document))


@contextmanager
def lock_held(path: Path) -> Iterator[None]:
    """Somebody holds the lock of the flag file."""
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
