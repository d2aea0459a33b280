#!/usr/bin/env python3
"""Promote what is signed off, restore what was before a rollback. The ledger says which; twice does no harm."""

from __future__ import annotations

import json
from typing import Any

import installation
import steps


def _step() -> None:
    rollout = steps.setting("PIPELINE_ROLLOUT_NAME", "the rollout's name")
    told = json.loads(steps.call(["slo-watchdog", "deployments", "--json"]).stdout)
    here = steps.setting("PIPELINE_ENVIRONMENT", "staging or production")
    ours = [one for one in told if one["deployment"]["environment"] == here]
    mine = next((one for one in ours if one["rollout"] == rollout), None)
    if mine is None:
        raise steps.StepFailed(f"{rollout} has no deployment in {here}; start_rollout.py records one")
    done, why = ("nothing", f"{ours[0]['rollout']} came after it") if ours[0] is not mine else _settled(mine)
    steps.keep("settlement.json", {"rollout": rollout, "phase": mine["phase"], "done": done, "why": why})
    steps.output(done=done)
    steps.summary(f"{rollout} is {mine['phase'].replace('_', ' ')}: {done} ({why})")


def _settled(mine: dict[str, Any]) -> tuple[str, str]:
    """What was done, and why."""
    if mine["phase"] == "signed_off":
        return _promoted(mine["deployment"])
    if mine["phase"] == "rolled_back":
        return _restored(mine["deployment"], mine["rollout"])
    if mine["phase"] == "stopped":
        return "nothing", "a person ended the watch, and decides"
    return "nothing", "it is not decided"


def _promoted(facts: dict[str, Any]) -> tuple[str, str]:
    """The way back is not needed any more."""
    serves = installation.active()
    if serves is None or serves.digest != facts["digest"]:
        return "nothing", f"{serves.digest if serves else 'nobody'} serves, not what was signed off"
    others = [colour for colour in installation.colours() if colour != serves.colour]
    for colour in others:
        installation.retire(colour)
    return ("promoted", f"{', '.join(others)} retired") if others else ("nothing", "it is promoted already")


def _restored(facts: dict[str, Any], rollout: str) -> tuple[str, str]:
    """The flag is off by now; the old build gets the traffic back."""
    before, serves = facts["previous"], installation.active()
    if before is None:
        return "nothing", "there was no build before it"
    if serves is None or serves.digest != facts["digest"]:
        return "nothing", f"{serves.digest if serves else 'nobody'} serves, not what was rolled back"
    found = installation.colours().get(before["colour"])
    if found is None or found.digest != before["digest"]:
        raise steps.StepFailed(
            f"{before['colour']} does not run {before['digest']} any more; start production with that build"
        )
    if (goes := installation.way_back()) != found.colour:
        raise steps.StepFailed(f"the driver's way back is {goes}, not {found.colour}: look at its status, then switch")
    installation.back(f"{rollout} was rolled back")
    return "restored", f"{found.colour} serves {found.digest} again"


steps.main(_step)
