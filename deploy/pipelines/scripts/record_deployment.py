#!/usr/bin/env python3
"""Write deployment.json: what was put where, on whose word and on which evidence (docs/pipelines.md)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import installation
import steps

from watchdog.config import load_settings
from watchdog.deployments import SCHEMA, checked, written
from watchdog.errors import FlagServiceError
from watchdog.flags import open_service
from watchdog.rolloutfile import load_rollout


def _step() -> None:
    file = steps.place(steps.DEPLOYMENT)
    facts = checked(gathered(), str(file))
    text = written(facts)
    file.write_text(text, encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    steps.output(sha256=digest, rollout=facts.rollout.name)
    watched = f"{facts.digest} on {facts.colour}, rollout {facts.rollout.name}"
    steps.summary(f"{facts.environment}: {watched} (sha256 {digest[:12]})")


def gathered() -> dict[str, Any]:
    """The facts, as plain data."""
    build, settings = steps.build(), load_settings()
    serves = installation.active()
    if serves is None or serves.digest != build["digest"]:
        raise steps.StepFailed(f"{build['digest']} does not serve; switch.py gives it the traffic")
    rollout = load_rollout(Path(steps.setting("PIPELINE_ROLLOUT", "the rollout's file")), settings.facts())
    try:
        version = open_service(settings.flags).read(rollout.flag).version
    except FlagServiceError as error:
        raise steps.StepFailed(f"the flag {rollout.flag} cannot be read: {error}") from error
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "environment": steps.setting("PIPELINE_ENVIRONMENT", "staging or production"),
        "service": rollout.service,
        **build,
        "colour": serves.colour,
        "rollout": {"name": rollout.name, "sha256": rollout.sha256},
        "flag": {"name": rollout.flag, "version": version},
        "preflight": _preflight(),
        "by": steps.actor(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "previous": steps.kept("previous.json", "deploy.py"),
        "run": steps.run_address(),
    }
    for name, file in (("rollback_test", steps.ROLLBACK_TEST), ("bypass", steps.BYPASS)):
        if steps.place(file).exists():
            found[name] = steps.kept(file, "an earlier step")
    if steps.place("staging.json").exists():
        found["staging"] = steps.kept("staging.json", "verify_staging.py")["sha256"]
    return found


def _preflight() -> dict[str, Any] | None:
    if not steps.place(steps.PREFLIGHT).exists():
        return None
    told = steps.kept(steps.PREFLIGHT, "preflight.py")
    return {name: told[name] for name in ("id", "sha256", "passed")}


steps.main(_step)
