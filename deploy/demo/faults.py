"""Switches with which a test or a person breaks the shop and its users while they run: a file, looked at all the time.

    echo '{"errors": 0.3}' > build/stack/faults.json

Shares are parts of one. A key that is left out is as it should be; a file that cannot be read changes nothing.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Faults:
    """What is wrong. The first six are the shop's, the others its users'."""

    errors: float = 0.0
    """Share of checkouts that fail."""
    slow: float = 0.0
    """Share of checkouts that take a quarter of a second longer."""
    failing_tests: float = 0.0
    """Share of tests that fail."""
    tests: float = 1.0
    """0: the suite no longer runs."""
    spend: float = 1.0
    """Times the usual cost of everything."""
    open_files: float = 0.0
    """Share of the file descriptors that the shop may have, held open for nothing."""
    traffic: float = 1.0
    """Share of the users who come; 0 is nobody."""
    wrong_passwords: float = 0.0
    """Share of logins with a wrong password."""
    knocks: float = 0.0
    """Share of the checkouts in whose place somebody tries the door of the staff."""
    injections: float = 0.0
    """Share of the questions to the assistant that try to give it orders."""

    def write(self, file: Path) -> None:
        """Make a file say this, in one step."""
        changed = {key: value for key, value in dataclasses.asdict(self).items() if value != getattr(HEALTHY, key)}
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(changed) + "\n", encoding="utf-8")
        fresh.replace(file)


HEALTHY = Faults()


class FaultFile:
    """The newest that a file says; None, or no such file, is nothing wrong."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._seen: tuple[int, int] | None = None
        self._now = HEALTHY

    @property
    def now(self) -> Faults:
        """What is wrong at this moment."""
        if self._file is None:
            return HEALTHY
        try:
            stat = self._file.stat()
        except OSError:
            return HEALTHY
        seen = (stat.st_mtime_ns, stat.st_ino)
        if seen != self._seen:
            self._seen = seen
            try:
                self._now = Faults(**json.loads(self._file.read_text(encoding="utf-8")))
            except (OSError, TypeError, ValueError) as problem:
                print(f"{self._file} is not understood and changes nothing: {problem}", file=sys.stderr, flush=True)
        return self._now


def drawn(number: int, share: float) -> bool:
    """Whether the `number`th of many is among the `share` of them; counted out evenly, not drawn."""
    return int(number * share) > int((number - 1) * share)
