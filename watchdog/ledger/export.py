"""A ledger as JSON lines: every canonical row with the seals over it, to be kept, searched or verified elsewhere.

{"export": "slo-watchdog ledger", "format": 1, "at": ..., "engine": ..., "schema": ..., "rollouts": [...]}
{"chain": 3, "rollout": "checkout-2.14.0"}
{"table": "rollouts", "seal": 1, ...}            one line a row, as in `rowset.py`
{"end": 3, "lines": 61204}
{"end": "export", "lines": 61208}
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from watchdog.errors import LedgerError, Refused
from watchdog.ledger.backup import explained, new_file, sync
from watchdog.ledger.canon import encode
from watchdog.ledger.rowset import Found, RowSets
from watchdog.ledger.sealcheck import Check
from watchdog.ledger.seals import OWN
from watchdog.ledger.verify import Anchors, Verified, judged
from watchdog.migrations import STEPS
from watchdog.quantities import rfc3339

FORMAT = 1
_LONGEST = 64 << 20
"""Bytes of one line: no row of a ledger comes near."""
_TELL_EVERY = 5000
Progress = Callable[[str, int], None]
"""Told of each chain's name with how many of its rows are through."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A written export: its lines, bytes and sha256."""

    path: Path
    lines: int
    size: int
    sha256: str


def export(
    ledger: RowSets,
    rollouts: Mapping[int, str],
    target: Path,
    *,
    now: float,
    engine: str,
    progress: Progress = lambda _name, _rows: None,
) -> Exported:
    """Write these rollouts (number -> name) into a new file, compressed when its name ends in .gz.

    `OWN` among them is the chain of what belongs to none. `now` is wall time, `engine` our version. Raises LedgerError.
    """
    if target.exists():
        raise Refused(f"export {target}: it exists, and an export is never written over; name a new file")
    with new_file(target) as part:
        with explained(f"export {target}"), ExitStack() as stack:
            raw = stack.enter_context(part.open("wb"))
            file: IO[bytes] | gzip.GzipFile = _compressed(stack, raw) if target.suffix == ".gz" else raw
            names = [name for number, name in rollouts.items() if number != OWN]
            head = {"export": "slo-watchdog ledger", "format": FORMAT, "at": rfc3339(now), "engine": engine}
            lines = _Lines(file)
            lines.add({**head, "schema": STEPS[-1].name, "rollouts": names})
            for number, name in rollouts.items():
                _chain(ledger, number, name, lines, progress)
            lines.add({"end": "export", "lines": lines.written})
        with part.open("rb") as whole:
            digest = hashlib.file_digest(whole, "sha256").hexdigest()
        size = part.stat().st_size
        part.replace(target)
    sync(target.parent)
    return Exported(target, lines.written, size, digest)


def verify_export(path: Path, anchors: Anchors, progress: Progress = lambda _name, _rows: None) -> Verified:
    """Whether the chains of an export are whole. LedgerError when it cannot be read or is none."""
    found = Verified()
    lines = _read(path)
    head = next(lines, {})
    if head.get("export") != "slo-watchdog ledger" or head.get("format") != FORMAT:
        expected = f"one of slo-watchdog in format {FORMAT}"
        raise LedgerError(f"export {path} is not {expected}: name a file that `ledger export` wrote")
    names: set[str] = set()
    for line in lines:
        if "chain" in line and isinstance(line["chain"], int):
            name = None if line.get("rollout") is None else str(line["rollout"])
            names.add(name or "")
            check = Check(line["chain"], anchors.get(name or "", {}))
            for number, (table, row) in enumerate(_rows(path, lines)):
                check.add(table, row)
                if number % _TELL_EVERY == 0:
                    progress(name or "the ledger's own chain", number)
            check.end()
            judged(check, name, found)
        elif line.get("end") != "export":
            raise LedgerError(f"export {path}: a line is none of an export: {str(line)[:80]}")
    for missing in sorted(set(head.get("rollouts", ())) - names):
        found.say("rollout", "the export names it and does not have it", missing)
    for missing in anchors.keys() - names:
        found.say("rollout", "a seal of it was kept outside, and the export does not have it", missing)
    return found


class _Lines:
    """Lines on their way into a file, counted."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile) -> None:
        self._file = file
        self.written = 0

    def add(self, line: Mapping[str, Any]) -> None:
        self._file.write(encode(line).encode("ascii") + b"\n")
        self.written += 1


def _chain(ledger: RowSets, number: int, name: str, lines: _Lines, progress: Progress) -> None:
    lines.add({"chain": number, "rollout": None if number == OWN else name})
    before = lines.written
    for table, row in ledger.own_rows() if number == OWN else ledger.rows_of(number):
        lines.add({"table": table, **row})
        if lines.written % _TELL_EVERY == 0:
            progress(name, lines.written - before)
    lines.add({"end": number, "lines": lines.written - before})


def _compressed(stack: ExitStack, raw: IO[bytes]) -> gzip.GzipFile:
    return stack.enter_context(gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0))


def _read(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with ExitStack() as stack:
            raw = stack.enter_context(path.open("rb"))
            zipped = path.suffix == ".gz"
            file: IO[bytes] | gzip.GzipFile = stack.enter_context(gzip.GzipFile(fileobj=raw)) if zipped else raw
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST), b""), start=1):
                yield _parsed(path, number, line)
    except (OSError, EOFError, zlib.error) as error:
        raise LedgerError(f"export {path} cannot be read: {error}; copy it again, or make a new one") from error


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LedgerError(f"export {path}: line {number} cannot be read ({error}); the file was changed") from error
    if not isinstance(found, dict):
        raise LedgerError(f"export {path}: line {number} is none of an export; the file was changed")
    return found


def _rows(path: Path, lines: Iterable[dict[str, Any]]) -> Iterator[Found]:
    """The rows of one chain, up to its end."""
    for number, line in enumerate(lines):
        if "end" in line:
            if line.get("lines") != number:
                raise LedgerError(f"export {path}: a chain has {number} lines, it ended with {line.get('lines')}")
            return
        yield str(line.pop("table", "")), line
    raise LedgerError(f"export {path} ends in the middle: copy it again, or make a new one")
