#!/usr/bin/env python3
"""Start the rollout of what was just deployed. The daemon watches it from here on; this pipeline ends."""

import steps

from watchdog.config import load_settings


def _step() -> None:
    deployment = steps.place(steps.DEPLOYMENT)
    file = steps.setting("PIPELINE_ROLLOUT", "the rollout's file")
    command = ["slo-watchdog", "start", file, "--deployment", deployment, "--by", steps.actor()]
    if steps.place(steps.BYPASS).exists():
        said = steps.kept(steps.BYPASS, "verify_staging.py")
        until = f"{load_settings().preflight.max_age:.0f}s"
        command += ["--waive", said["reason"], "--waive-until", until]
    steps.call(command)
    steps.summary(f"the rollout in {file} starts; the daemon promotes it or takes it back")


steps.main(_step)
