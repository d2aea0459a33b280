"""What a bundle says of itself: its manifest, and the in-toto statement over its files that is signed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SCHEMA = "slo-watchdog/bundle/1"
"""Changes when a field of the manifest is renamed or changes its meaning; new fields do not change it."""
STATEMENT = "https://in-toto.io/Statement/v1"
EVIDENCE = "https://slo-watchdog.example/evidence/v1"
"""What kind of statement this is: a name, not an address."""
COUNTERSIGNATURE = "https://slo-watchdog.example/countersignature/v1"

MANIFEST_FILE = "manifest.json"
STATEMENT_FILE = "statement.json"
ENVELOPE_FILE = "statement.dsse.json"
COUNTERSIGNATURES = "countersignatures/"
NOT_LISTED = (MANIFEST_FILE, STATEMENT_FILE, ENVELOPE_FILE)
"""Members that the manifest cannot list: itself, and what is made of it. Countersignatures come later, too."""

Json = dict[str, Any]


def text(document: Mapping[str, Any]) -> bytes:
    """A document as its one text."""
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def sha256(data: bytes) -> str:
    """The digest of a member, in hex."""
    return hashlib.sha256(data).hexdigest()


def manifest(facts: Mapping[str, Any], files: Mapping[str, bytes]) -> Json:
    """The list of a bundle's files, with what it is about."""
    listed = {name: {"sha256": sha256(data), "size": len(data)} for name, data in sorted(files.items())}
    return {"schema": SCHEMA, **facts, "files": listed}


def statement(listed: Mapping[str, Any], manifest_text: bytes) -> Json:
    """The in-toto statement: every file is a subject, and the predicate says what they show of which rollout."""
    subjects = [{"name": name, "digest": {"sha256": file["sha256"]}} for name, file in listed["files"].items()]
    subjects.append({"name": MANIFEST_FILE, "digest": {"sha256": sha256(manifest_text)}})
    predicate = {
        name: listed[name] for name in ("rollout", "service", "version", "window", "verdict", "as_of", "engine")
    }
    return {
        "_type": STATEMENT,
        "subject": sorted(subjects, key=lambda one: str(one["name"])),
        "predicateType": EVIDENCE,
        "predicate": predicate,
    }


def countersigned(statement_text: bytes, rollout: str, by: str, reason: str, at: str) -> bytes:
    """What an approver signs: the statement by its digest, so every file of the bundle, with who, why and when."""
    document = {
        "_type": STATEMENT,
        "subject": [{"name": STATEMENT_FILE, "digest": {"sha256": sha256(statement_text)}}],
        "predicateType": COUNTERSIGNATURE,
        "predicate": {"rollout": rollout, "by": by, "reason": reason, "at": at},
    }
    return text(document)
