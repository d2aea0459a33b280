"""Real reports, manifests, statements and countersignatures: the schemas are made of them and tested by them."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.evidences import SCENES, Keys, bundle_of, changes_its_flag
from tests.report_evidence import SCENES as MADE_UP
from tests.report_evidence import scene
from tests.rollouts import NOON
from watchdog.deployments import SCHEMA
from watchdog.evidence.archive import unpack
from watchdog.evidence.countersign import in_bundle, in_ledger
from watchdog.model import Waiver
from watchdog.report import build

USED = ("the_smallest", "rolled_back", "with_gaps", "amended", "observed", "pending", "held")


def samples() -> dict[str, list[Any]]:
    """By the name of the schema."""
    found: dict[str, list[Any]] = {"report": [], "bundle": [], "statement": [], "countersignature": []}
    found["report"] = [json.loads(json.dumps(build(scene(name)))) for name in MADE_UP]
    with TemporaryDirectory() as directory:
        keys = Keys(Path(directory))
        for name in USED:
            path = Path(directory) / name
            path.mkdir()
            stage = SCENES[name](path)
            changes_its_flag(stage)
            if name == "the_smallest":
                stage.ledger.add_waiver(stage.rule.name, Waiver("preflight", "ada", "a test", NOON, NOON + 60))
                stage.ledger.add_deployment(stage.rule.name, json.dumps({"schema": SCHEMA, **DEPLOYMENT}), "ci", NOON)
                in_ledger(stage.ledger, stage.rule.name, "ada", "a test", NOON + 7200, keys.ada)
            members = unpack(in_bundle(bundle_of(stage, keys.own), stage.rule.name, "ada", "why", NOON, keys.ada))
            stage.close()
            found["report"].append(json.loads(zlib.decompress(members["report.json.gz"], 31)))
            found["bundle"].append(json.loads(members["manifest.json"]))
            found["statement"].append(json.loads(members["statement.json"]))
            envelope = json.loads(members["countersignatures/001.dsse.json"])
            found["countersignature"].append(json.loads(base64.b64decode(envelope["payload"])))
    return found


DEPLOYMENT: dict[str, Any] = {
    "environment": "production",
    "colour": "blue",
    "image": "registry.example/checkout",
    "digest": f"sha256:{'a' * 64}",
    "commit": "b" * 40,
    "by": "ci",
    "at": "2023-11-15T11:59:00Z",
    "previous": None,
    "bypass": None,
}
