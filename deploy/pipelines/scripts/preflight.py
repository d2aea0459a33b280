#!/usr/bin/env python3
"""Look at all that must hold before a rollout starts, and keep the result. Every failed blocker fails this step."""

import json

import steps


def _step() -> None:
    build = steps.build()
    report = steps.place("preflight.xml")
    image = f"{build['image']}@{build['digest']}"
    command = ["slo-watchdog", "preflight", "--json", "--junit", report, "--image", image]
    done = steps.call([*command, "--commit", build["commit"], "--by", steps.actor()], accept=(0, 1))
    told = json.loads(done.stdout)
    steps.keep(steps.PREFLIGHT, told)
    broken = [one for one in told["checks"] if one["outcome"] == "failed"]
    for one in broken:
        steps.warn(f"{one['area']}: {one['name']}: {one['found']}; {one['todo']}")
    if not told["passed"] and steps.place(steps.BYPASS).exists():
        steps.warn(f"the preflight failed {len(broken)} checks; the bypass lets it go on, and is recorded")
    elif not told["passed"]:
        raise steps.StepFailed(f"the preflight failed {len(broken)} checks; correct them, or record why not (docs)")
    if told["id"] is None:
        raise steps.StepFailed("the preflight could not be recorded: see what it says of the ledger")
    steps.summary(f"preflight {told['id']}: {'passed' if told['passed'] else 'failed'}, score {told['score']} %")


steps.main(_step)
