"""Targets: bundles of evidence. One may be anybody's work: whatever it holds is a finding, never an exception."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzz.target import target
from watchdog.evidence import statement
from watchdog.evidence.archive import Damaged, Inflater, compress, pack, unpack
from watchdog.evidence.verify import verify

PACKED = ".gz"


@cache
def _bundle() -> bytes:
    """The least that can be signed off, as the live engine recorded it."""
    from tests.evidences import ASKED, NAME, the_smallest  # noqa: PLC0415 - a whole watch, for who wants it
    from watchdog.evidence.bundle import write  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="slo-watchdog-fuzz-") as directory:
        stage = the_smallest(Path(directory))
        try:
            return write(stage.ledger, NAME, ASKED)
        finally:
            stage.close()


def _contents() -> dict[str, Any]:
    """What its members say: as JSON, else as text. Reports follow from the rest and are left out."""
    inflater, found = Inflater(), dict[str, Any]()
    for name, data in unpack(_bundle()).items():
        if name.startswith("report") or name in (statement.MANIFEST_FILE, statement.STATEMENT_FILE):
            continue
        text = (inflater.inflate(name, data) if name.endswith(PACKED) else data).decode()
        found[name] = json.loads(text) if ".json" in name else text
    return found


@target(
    "evidence-archive",
    (),
    lambda: [_bundle()],
    form="bytes",
    words=[b"\x1f\x8b\x08\0", b"ustar\x0000", b"rows/steps.json.gz\0", b"../../etc/passwd\0", b"0" * 11 + b" "],
)
def evidence_archive(raw: bytes) -> None:
    """The bytes of a bundle."""
    found = verify(raw)
    assert found.consistent or found.first


@target(
    "evidence-contents", (), lambda: [_contents()], words=[b'"all"', b'"rows"', b'"columns"', b'"chain"', b'"table"']
)
def evidence_contents(raw: bytes) -> None:
    """What a bundle says, spoilt by somebody who makes every digest anew; a chain and a report do not follow it."""
    try:
        contents = json.loads(raw)
    except (ValueError, RecursionError):
        return
    if not isinstance(contents, dict):
        return
    files = {name: data for name, data in unpack(_bundle()).items() if name.startswith("report")}
    for name, content in contents.items():
        text = content if isinstance(content, str) else json.dumps(content)
        data = text.encode("utf-8", "surrogatepass")
        files[name] = compress(data) if name.endswith(PACKED) else data
    try:
        packed = _packed(files)
    except (Damaged, ValueError):
        return  # a name that no archive takes, or half a letter in one
    found = verify(packed)
    assert found.consistent or found.first


def _packed(files: dict[str, bytes]) -> bytes:
    """A bundle of these files, with a list of them and a statement that fit."""
    listed = json.loads(unpack(_bundle())[statement.MANIFEST_FILE])
    facts = {key: value for key, value in listed.items() if key not in ("schema", "files")}
    manifest = statement.manifest(facts, files)
    text = statement.text(manifest)
    own = {
        statement.MANIFEST_FILE: text,
        statement.STATEMENT_FILE: statement.text(statement.statement(manifest, text)),
    }
    return pack({**files, **own})
