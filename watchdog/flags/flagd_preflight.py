"""Everything that would make a kill in a flag file unsafe, looked at before a ramp starts.

Every check states what it found; one that fails says what to do. They are independent: a broken file does not hide a
directory that cannot be written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from watchdog.errors import FlagServiceError
from watchdog.flags import flagd_document as flagd
from watchdog.flags.base import Check
from watchdog.flags.flagd_asked import era_of
from watchdog.flags.flagd_document import Json
from watchdog.flags.flagd_set import FlagdSet
from watchdog.model import EMERGENCY_FLAGS

FREE_BYTES = 1_000_000
"""What must be left on the file system: a kill writes the document anew before it replaces the old one."""

DAY = 86_400
BROKEN = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What else flagd's core raises for a document that makes no sense to it."""

MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True)
class Look:
    """What is looked at: the file, one flag in it, the settings for it, and how to write it without changing it."""

    file: FlagdSet
    flag: str
    emergency: bool
    now: Callable[[], float]

    @property
    def path(self) -> Path:
        """Where the file is called."""
        return self.file.path

    @property
    def directory(self) -> Path:
        """Where the file is."""
        return Path(os.path.realpath(self.path)).parent

    def document(self) -> Json:
        """The document. Raises FlagServiceError."""
        return self.file.parsed(self.file.storage.load())

    def entry(self) -> Json:
        """The flag. Raises FlagServiceError."""
        return self.file.entry(self.document(), self.flag)

    def served(self) -> flagd.Served:
        """Whom the flag is served to. Raises FlagServiceError."""
        return self.file.served(self.flag, self.entry())


class _BlockerError(Exception):
    """A failed check: what was found."""


def preflight(look: Look) -> tuple[Check, ...]:
    """Every check, in the order in which a person would repair them. Never raises."""
    return tuple(_made(name, check, todo, look) for name, check, todo in CHECKS)


def _made(name: str, check: Callable[[Look], str], todo: str, look: Look) -> Check:
    try:
        return Check(name, ok=True, found=check(look))
    except _BlockerError as blocker:
        return Check(name, ok=False, found=str(blocker), todo=todo)
    except (FlagServiceError, OSError) as error:
        return Check(name, ok=False, found=str(error), todo=todo)


def _file(look: Look) -> str:
    document = look.document()
    return f"{look.path} holds {len(document['flags'])} flags, version {flagd.version_of(document)}"


def _flag(look: Look) -> str:
    return f"it serves {look.served().percent:g} % of the targeting keys"


def _off(look: Look) -> str:
    entry = look.entry()
    variants, default, targeting = entry["variants"], entry.get("defaultVariant"), entry.get("targeting")
    if variants.get("off") is not False or variants.get("on") is not True:
        raise _BlockerError(f"its variants are {variants}, so a kill would not give every caller false")
    if default == "on" and look.served().percent < 100:
        raise _BlockerError("callers without a targeting key get the feature by default")
    return f"off is false, the default is {default}" + ("" if targeting or default == "off" else ": it is switched on")


def _readers(look: Look) -> str:
    from openfeature.contrib.tools.flagd.core import FlagdCore  # noqa: PLC0415
    from openfeature.exception import OpenFeatureError  # noqa: PLC0415

    document = look.document()
    try:
        FlagdCore().set_flags(flagd.render(document).decode())
    except (OpenFeatureError, re.error, *BROKEN) as error:
        raise _BlockerError(f"flagd's Python core refuses the document: {type(error).__name__}: {error}") from error
    return f"flagd's Python core takes the document with all of its {len(document['flags'])} flags"


def _directory(look: Look) -> str:
    if not os.access(look.directory, os.W_OK | os.X_OK):
        raise _BlockerError(f"{look.directory} cannot be written by this user")
    return f"{look.directory} can be written"


def _lock(look: Look) -> str:
    with look.file.storage.locked():
        return "it was held for a moment"


def _space(look: Look) -> str:
    found = os.statvfs(look.directory)
    free = found.f_bavail * found.f_frsize
    if free < FREE_BYTES:
        raise _BlockerError(f"{free} bytes are free, fewer than {FREE_BYTES}")
    if found.f_files and not found.f_favail:
        raise _BlockerError("no file can be created on the file system (no free inode)")
    return f"{free / 1e6:,.0f} MB are free"


def _time(look: Look) -> str:
    snapshot = look.file.storage.load()
    if snapshot is None:
        raise _BlockerError("there is no file")
    ahead = snapshot.mtime_ns / 1e9 - look.now()
    if ahead > DAY:
        raise _BlockerError(f"the file is {ahead / DAY:.1f} days ahead of the clock; readers look for newer times only")
    return "the modification time is not ahead of the clock" if ahead <= 0 else f"it is {ahead:.0f} s ahead"


def _mount(look: Look) -> str:
    try:
        table = MOUNTS.read_text(errors="replace")
    except OSError:
        return "what is mounted cannot be told on this system"
    if mounted(os.path.realpath(look.path), table):
        raise _BlockerError("the single file is mounted, so it cannot be replaced")
    return "the file is not a mount of its own"


def mounted(path: str, table: str) -> bool:
    """Whether something is mounted exactly at `path`, by a table in the form of /proc/self/mountinfo."""
    points = [line.split(" ")[4] for line in table.splitlines() if line.count(" ") > 4]
    return path in {re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), point) for point in points}


def _written(look: Look) -> str:
    before = flagd.fingerprint(look.entry())
    look.file.rewrite()
    after = flagd.fingerprint(look.entry())
    if after != before:
        raise _BlockerError(f"the flag was written as it is and reads {after} instead of {before}")
    return f"written and read back, {look.flag} reads {after} as before"


def _era(look: Look) -> str:
    document = look.document()
    mark, dealt = era_of(document), flagd.partial(document, look.file.audiences)
    if mark not in (None, look.file.bucketing) and dealt:
        found = f"the document's users are dealt by {mark}, flags.bucketing is {look.file.bucketing}"
        raise _BlockerError(f"{found}, and {', '.join(dealt)} is partly on")
    return f"users are dealt by {look.file.bucketing}"


def _apart(look: Look) -> str:
    names = look.document()["flags"]
    if look.emergency:
        if others := [name for name in names if name not in EMERGENCY_FLAGS]:
            raise _BlockerError(f"the emergency set also holds {', '.join(others)}")
        return "the emergency flags have the file for themselves"
    if inside := [name for name in EMERGENCY_FLAGS if name in names]:
        raise _BlockerError(f"{', '.join(inside)} is in the same file as the flags that are ramped")
    return "no emergency flag is in this file"


INIT = "run `slo-watchdog flags init`, or repair the file"
CHECKS: tuple[tuple[str, Callable[[Look], str], str], ...] = (
    ("flag file", _file, INIT),
    ("flag", _flag, INIT + " so that its exposure can be told"),
    ("off variant", _off, 'write "variants": {"on": true, "off": false} and "defaultVariant": "off"'),
    ("all flags of the set", _readers, "repair the flag it names: one bad flag stops a kill of all others"),
    ("directory", _directory, "let this user write it: the file is replaced, not written in place"),
    ("lock", _lock, "find the process that holds the lock and end it"),
    ("disk space", _space, "free some space: a kill writes the document anew"),
    ("modification time", _time, "correct the clock, or set the file's time with touch"),
    ("mount", _mount, "mount its directory instead"),
    ("write and read back", _written, "see what the other checks say"),
    ("bucketing", _era, "finish or roll back the ramp first, or set flags.bucketing back"),
    ("emergency flags", _apart, "give the emergency flags a file of their own (emergency.path)"),
)
