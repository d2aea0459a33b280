"""Scripts of the pipelines that believe others: an event of the daemon, and the evidence of staging."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Finished, Installation
from tests.test_deployments import GOOD
from watchdog.quantities import rfc3339
from watchdog.signing import signature

ROOT = Path(__file__).parent.parent
SECRET = "a-secret-that-signs"
TOLD = {"format": 1, "rollout": "checkout-1", "to": "signed_off", "kind": "signed_off"}
COMMIT = str(GOOD["commit"])
PROOF = {"environment": "staging", "rollback_test": {"passed": True, "requests": 900, "failed": 0, "back_s": 0.2}}


def script(name: str, directory: Path, **environ: str) -> Finished:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("GITHUB_", "PIPELINE_"))}
    given = {"PYTHONPATH": str(ROOT), "PIPELINE_DIR": str(directory / "pipeline"), "PIPELINE_ACTOR": "ada", **environ}
    command = [sys.executable, str(ROOT / "deploy/pipelines/scripts" / name)]
    done = subprocess.run(command, env={**kept, **given}, capture_output=True, text=True, timeout=60, check=False)
    return Finished(done.returncode, done.stdout, done.stderr)


def signed(told: dict[str, Any], *, ago: float = 0.0, secret: str = SECRET) -> dict[str, Any]:
    text, timestamp = json.dumps(told), str(int(time.time() - ago))
    mark = f"v1={signature(secret.encode(), timestamp, text.encode())}"
    return {"transition": {}, "signed": {"text": text, "timestamp": timestamp, "signature": mark}}


def believed(directory: Path, payload: Any) -> Finished:
    event = directory / "event.json"
    event.write_text(json.dumps({"client_payload": payload}))
    output = directory / "output"
    done = script(
        "verify_event.py",
        directory,
        GITHUB_EVENT_PATH=str(event),
        TRANSITION_SECRET=SECRET,
        GITHUB_OUTPUT=str(output),
    )
    return Finished(done.status, done.out + (output.read_text() if output.exists() else ""), done.err)


def test_what_the_daemon_signed_is_believed(tmp_path: Path) -> None:
    done = believed(tmp_path, signed(TOLD))
    assert (done.status, "rollout=checkout-1\nphase=signed_off" in done.out) == (0, True), done.out + done.err


def test_a_name_with_a_line_break_writes_no_output_of_its_own(tmp_path: Path) -> None:
    done = believed(tmp_path, signed({**TOLD, "rollout": "x\ndone=promoted"}))
    assert "rollout=x done=promoted\n" in done.out


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ({"transition": TOLD}, "is not signed; give the daemon"),
        (None, "is not signed"),
        (signed(TOLD, secret="another"), "is not signed by the daemon"),
        ({**signed(TOLD), "signed": {**signed(TOLD)["signed"], "text": "{}"}}, "is not signed by the daemon"),
        (signed(TOLD, ago=200_000), "too long ago, or in the future"),
        (signed(TOLD, ago=-4_000), "too long ago, or in the future"),
        (signed({**TOLD, "format": 2}), "has the format 2; this script knows 1"),
    ],
)
def test_everything_else_is_refused(tmp_path: Path, payload: Any, why: str) -> None:
    done = believed(tmp_path, payload)
    assert (done.status, why in done.out, "phase=" in done.out) == (1, True, False), done.out
    assert SECRET not in done.out + done.err


def staged(directory: Path, **changes: Any) -> Finished:
    """What production makes of staging's evidence; None is no evidence at all."""
    place = directory / "pipeline" / "staging"
    place.mkdir(parents=True, exist_ok=True)
    facts = {**GOOD, **PROOF, "at": rfc3339(time.time() - 60), **changes}
    (place / "deployment.json").write_text(json.dumps(facts))
    return verified(directory)


def verified(directory: Path, **environ: str) -> Finished:
    config = Installation(directory, "http://127.0.0.1:9").config
    return script("verify_staging.py", directory, PIPELINE_COMMIT=COMMIT, WATCHDOG_CONFIG=str(config), **environ)


def test_exactly_what_staging_validated_goes_on(tmp_path: Path) -> None:
    done = staged(tmp_path)
    assert done.status == 0, done.out
    build = json.loads((tmp_path / "pipeline/build.json").read_text())
    assert build == {"image": GOOD["image"], "digest": GOOD["digest"], "commit": COMMIT}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"environment": "production"}, "the evidence is of production"),
        ({"commit": "a" * 40}, "the evidence is of aaaaaaaaaaaa"),
        ({"preflight": {**GOOD["preflight"], "passed": False}}, "its preflight did not pass"),
        ({"rollback_test": None}, "its rollback was not tested"),
        ({"rollback_test": {**PROOF["rollback_test"], "passed": False}}, "or the test failed"),  # type: ignore[dict-item]
        ({"bypass": {"by": "eve", "reason": "no time"}}, "staging itself was bypassed by eve"),
        ({"at": "2020-01-01T00:00:00Z"}, "more than preflight.max_age"),
        ({"digest": "latest"}, "digest"),
    ],
)
def test_weak_evidence_does_not(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    done = staged(tmp_path, **changes)
    assert (done.status, why in done.out, (tmp_path / "pipeline/build.json").exists()) == (1, True, False), done.out


def test_a_bypass_needs_a_reason_and_a_digest_and_is_recorded(tmp_path: Path) -> None:
    digest = str(GOOD["digest"])
    assert "without a reason" in verified(tmp_path, PIPELINE_DIGEST=digest).out
    given = {"PIPELINE_BYPASS_REASON": "the shop burns", "PIPELINE_IMAGE": "shop"}
    assert "PIPELINE_DIGEST is not set" in verified(tmp_path, **given).out
    assert "no tag" in verified(tmp_path, **given, PIPELINE_DIGEST="latest").out
    done = verified(tmp_path, **given, PIPELINE_DIGEST=digest)
    assert (done.status, "staging is bypassed by ada: the shop burns" in done.out) == (0, True)
    assert json.loads((tmp_path / "pipeline/bypass.json").read_text()) == {"by": "ada", "reason": "the shop burns"}
