#!/usr/bin/env python3
"""Take the build that staging validated, or the one that somebody names with a reason that is recorded."""

import shutil
import time

import steps

from watchdog.config import load_settings
from watchdog.deployments import Deployment, read_deployment
from watchdog.quantities import format_duration


def _step() -> None:
    commit = steps.setting("PIPELINE_COMMIT", "the commit to deploy, its whole hash")
    reason = steps.optional("PIPELINE_BYPASS_REASON")
    if reason:
        _bypass(commit, reason)
        return
    if steps.optional("PIPELINE_DIGEST"):
        raise steps.StepFailed("a digest was named without a reason; staging's is taken, a reason is recorded instead")
    read = read_deployment(steps.place(steps.STAGING))
    if complaints := list(_complaints(read.facts, commit)):
        raise steps.StepFailed(f"staging does not vouch for {commit[:12]}: {'; '.join(complaints)}")
    build = {"image": read.facts.image, "digest": read.facts.digest, "commit": commit}
    steps.keep(steps.BUILD, build)
    for release in steps.place("staging/").glob("release.tar*"):
        shutil.copy2(release, steps.place(release.name))
    steps.keep("staging.json", {"sha256": read.sha256})
    steps.summary(f"{build['image']}@{build['digest']} is what staging validated ({read.facts.at:%Y-%m-%d %H:%M} UTC)")


def _complaints(facts: Deployment, commit: str):
    if facts.environment != "staging":
        yield f"the evidence is of {facts.environment}"
    if facts.commit != commit:
        yield f"the evidence is of {facts.commit[:12]}"
    if facts.bypass is not None:
        yield f"staging itself was bypassed by {facts.bypass.by}"
    if facts.preflight is None or not facts.preflight.passed:
        yield "its preflight did not pass"
    if facts.previous is not None and (facts.rollback_test is None or not facts.rollback_test.passed):
        yield "its rollback was not tested, or the test failed"
    age, most = time.time() - facts.at.timestamp(), load_settings().preflight.max_age
    if age > most:
        yield f"the evidence is {format_duration(int(age))} old, more than preflight.max_age ({format_duration(most)})"


def _bypass(commit: str, reason: str) -> None:
    image, digest = steps.setting("PIPELINE_IMAGE", "the image"), steps.setting("PIPELINE_DIGEST", "its digest")
    steps.keep(steps.BUILD, {"image": image, "digest": digest, "commit": commit})
    steps.keep(steps.BYPASS, {"by": steps.actor(), "reason": reason})
    steps.build()
    steps.warn(f"staging is bypassed by {steps.actor()}: {reason}")


steps.main(_step)
