#!/usr/bin/env python3
"""Name the newest rollout of this environment, for the scheduled gate; none is no error."""

import json

import steps


def _step() -> None:
    here = steps.setting("PIPELINE_ENVIRONMENT", "staging or production")
    told = json.loads(steps.call(["slo-watchdog", "deployments", "--json"]).stdout)
    found = next((one["rollout"] for one in told if one["deployment"]["environment"] == here), "")
    steps.output(rollout=found)
    steps.summary(f"{found} is the newest in {here}" if found else f"nothing was deployed to {here} with a rollout")


steps.main(_step)
